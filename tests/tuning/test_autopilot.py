"""Times to live that look after themselves: days of traffic in seconds, under a fake clock, to a source whose changes are known here alone."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from itertools import pairwise

import pytest

from holdfast import CachePolicy, DiskCache, Probe, Tune, _evidence, resilient
from holdfast import clock as time_of
from holdfast._evidence import POLICIES_CHANGED
from holdfast.errors import HoldfastError
from holdfast.overrides import Overrides
from holdfast.overrides.override import AUTO
from holdfast.recording.store import Reader
from holdfast.runtime import probing
from holdfast.testing import FakeClock, recorded
from holdfast.tuning import autopilot
from tests.waiting import LIMIT, until

HOUR, DAY = 3600.0, 86_400.0
AUTOMATIC = Tune(mode="auto", stale_budget=0.05)


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    """Caches are recorded; and nothing looks but what a test calls.

    The secret is the same in each session, for it orders the keys, and so says which random numbers are drawn for which.
    """
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    monkeypatch.setenv("HOLDFAST_SECRET", "a secret for tests, long enough")
    monkeypatch.setattr(_evidence, "look_after", lambda folder, tasks: None)
    yield
    POLICIES_CHANGED.clear()


@pytest.fixture
def clock():
    """Virtual time that the test alone moves."""
    chance = random.Random(5)
    with FakeClock(auto=False, draw=chance.random) as clock:
        yield clock


class Service:
    """A function that is asked through a cache, for days; and the truth about its source.

    Args:
        clock: Whose time passes.
        folder: Of the cache.
        every: Seconds between two changes of a key at the source, on average.
        failing: Share of the calls of the source that fail.
        policy: Its fields, but for the version.
    """

    def __init__(self, clock, folder, every, *, keys=12, seed=3, failing=0.0, **policy):
        self.clock, self.chance, self.keys, self.begin = clock, random.Random(seed), keys, clock.time()
        self.changes = {key: [0.0] for key in range(keys)}
        self.every = every
        self.cache = DiskCache(folder)
        self.folder = self.cache.path
        self.overrides = Overrides(folder)
        self.policy = CachePolicy(**{"ttl": "1h", "ttl_range": ("5m", "2h"), "tune": AUTOMATIC, "version": "1", **policy})

        @resilient(name="fetch", retry_policy=(), cache_policy=self.policy, cache=self.cache)
        def fetch(key: int) -> int:
            if failing and self.chance.random() < failing:
                raise ConnectionError
            return self.truth(key)

        self.fetch = fetch
        self.task = fetch.key(0).namespace.rpartition("@")[0]

    def truth(self, key):
        """How often a key has changed by now."""
        changes, now = self.changes[key], self.clock.time() - self.begin
        while changes[-1] <= now:
            changes.append(changes[-1] + self.chance.expovariate(1 / self.every))
        return bisect_right(changes, now)

    def live(self, days, *, gap=90.0, look=True):
        """Let time pass, with a look every third hour; return the true share of stale answers.

        Each hour is written down just before it ends, as counts belong to the hour in which they are written.
        """
        end, due, gets, stale = self.clock.time() + days * DAY, (self.clock.time() // HOUR + 1) * HOUR - 60, 0, 0
        while self.clock.time() < end:
            key = self.chance.randrange(self.keys)
            with contextlib.suppress(ConnectionError):
                stale += self.fetch(key) != self.truth(key)
            gets += 1
            until(lambda: not probing._under_way)
            self.clock.advance(self.chance.expovariate(1 / gap))
            if self.clock.time() >= due:
                self.look(is_piloted=look and due // HOUR % 3 == 0)
                due += HOUR
        return stale / gets

    def look(self, *, is_piloted=True):
        """What the thread of the process does."""
        self.cache.witness.look()
        if is_piloted:
            autopilot.look(self.folder, self.task, self.policy)
            self.cache.witness.look()

    @property
    def ttls(self):
        """Of all steps, after that of the code."""
        return [self.policy.ttl, *(each.ttl for each in self.overrides.history() if each.action != "renew")]

    def close(self):
        self.overrides.close()
        self.cache.close()


@pytest.fixture
def service(clock, tmp_path):
    """Made to order."""
    made = []

    def make(every, **policy):
        made.append(Service(clock, tmp_path / "cache", every, **policy))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_comes_down_into_its_budget_step_by_step(service, clock):
    """At most a factor of two at most once a day, inside the range; and then it stays there, for its override is renewed."""
    serving = service(every=HOUR)
    before = serving.live(1)
    serving.live(3)
    after = serving.live(1.5)
    history = serving.overrides.history()
    steps = [each for each in history if each.action == "set"]

    assert before > 0.1
    assert after <= 0.05
    assert all(1 <= then / now <= 2 for then, now in pairwise(serving.ttls))
    assert all(5 * 60 <= ttl <= 2 * HOUR for ttl in serving.ttls)
    assert all(later.created - earlier.created >= DAY for earlier, later in pairwise(steps))
    assert {AUTO} == {each.author for each in history}
    assert {"renew"} == {each.action for each in history[len(steps) :]}
    assert all(each.expires - each.created == 7 * DAY for each in history)
    assert all("over the budget of 5%" in each.reason and each.expected is not None and each.guard.errors for each in steps)


def test_it_stops_at_the_end_of_its_range(service):
    """A budget that no TTL keeps to; the end is taken though nobody would write such a TTL."""
    serving = service(every=HOUR, ttl="9m", ttl_range=("7m", "1h"), tune=Tune(mode="auto", stale_budget=0.0))
    serving.live(3)

    assert [540.0, 420.0] == serving.ttls


def test_failures_that_there_are_anyway_take_no_step_back(service):
    """Its guard is for a tenth more than those."""
    serving = service(every=HOUR, failing=0.3)
    serving.live(0.5)
    (step,) = serving.overrides.history()

    assert 0.3 < step.guard.errors < 0.5


def test_it_goes_up_where_nothing_changes_and_comes_down_once_something_does(service, clock):
    """A step up is guarded by probes, and by looks at what was recorded since; the one before it holds again."""
    serving = service(every=8 * HOUR, ttl="10m", probe=Probe(share=0.5, max_per_hour=3600))
    calm = serving.live(1.5)
    (raised,) = serving.overrides.current()
    serving.every = HOUR / 4
    serving.changes = {key: [serving.clock.time() - serving.begin] for key in serving.changes}
    with recorded() as told:
        serving.live(0.9)
    back = serving.overrides.history()[1]

    assert calm < 0.02
    assert (600.0 < raised.ttl <= 1200.0, 0.05, AUTO) == (True, raised.guard.stale, raised.author)
    assert ("rollback", None, raised.id) == (back.action, back.ttl, back.previous)
    assert back.author in {AUTO, "guard"}
    assert "over " in back.reason
    assert "holdfast.override.rolled_back" in {each["event"] for each in told.notes}


def test_what_an_operator_has_set_stays(service):
    """While it is in force; and for a week after somebody has taken a step back by hand."""
    serving = service(every=HOUR)
    mine = serving.overrides.set(serving.task, "50m", author="anna", expires_in="2d")
    serving.live(1.9)
    while_in_force = len(serving.overrides.history())
    serving.live(1)
    theirs = serving.overrides.history()[-1]
    serving.overrides.rollback(serving.task, author="anna", reason="leave it", after=theirs.id)
    serving.live(1.5)

    assert (1, AUTO) == (while_in_force, theirs.author)
    assert theirs.created >= mine.created + 2 * DAY
    assert "anna" == serving.overrides.history()[-1].author


def test_too_little_says_nothing(service):
    """Evidence D: 200 gets are the least."""
    serving = service(every=HOUR)
    serving.live(2, gap=900.0)

    assert ([], []) == (serving.overrides.history(), serving.overrides.advice())


def test_a_suggestion_is_told_once_a_day_and_not_followed(service):
    """As a line, and where the commands find it."""
    serving = service(every=HOUR, tune=Tune(mode="suggest", stale_budget=0.05))
    with recorded() as told:
        serving.live(2.5)
    lines = [each for each in told.notes if each["event"] == "holdfast.ttl.suggested"]
    (advice,) = serving.overrides.advice()

    assert [] == serving.overrides.history()
    assert 2 <= len(lines) <= 3
    assert "is a step there" in lines[-1]["text"]
    assert (serving.task, 3600.0, 1800.0, "B", 0.05, True) == (*advice[:1], *advice[2:6], advice.is_move)


@pytest.mark.parametrize("mode", ["record", None])
def test_who_only_records_is_never_looked_at(service, mode):
    """As it is without a word."""
    serving = service(every=HOUR, tune=None if mode is None else Tune(mode=mode))
    serving.live(0.5, look=False)

    assert [] == serving.cache.witness.recorder.looked_after
    assert [serving.task] == Reader(serving.folder / "recording.db").tasks()


def test_off_records_nothing(service):
    """Neither hits nor calls, of a policy with windows neither; other tasks of the cache are recorded."""
    serving = service(every=HOUR, tune=Tune(mode="off"))

    @resilient(
        name="other",
        retry_policy=(),
        cache_policy=CachePolicy(ttl=60, version="1", stale_if_error=5, tune=Tune(mode="off")),
        cache=serving.cache,
    )
    def other() -> int:
        return 1

    @resilient(name="third", retry_policy=(), cache_policy=CachePolicy(ttl=60, version="1"), cache=serving.cache)
    def third() -> int:
        return 1

    for function in (other, other, third, third):
        function()
    serving.live(0.1, look=False)
    reader = Reader(serving.folder / "recording.db")

    assert [third.key().namespace.rpartition("@")[0]] == reader.tasks()


def test_switched_off_nothing_is_looked_at_and_what_was_done_is_not_applied(service, clock, monkeypatch):
    """HOLDFAST_TUNE=off: the policy in the code holds, or what a person has set."""
    asked = []
    monkeypatch.setattr(_evidence, "look_after", lambda folder, tasks: asked.extend(tasks))
    serving = service(every=HOUR)
    serving.fetch(1)
    serving.look(is_piloted=False)
    looked_after = len(asked)
    monkeypatch.setenv("HOLDFAST_TUNE", "off")
    made = serving.overrides.set(serving.task, "10m", author=AUTO)
    serving.look(is_piloted=False)
    key = serving.fetch.key(1)
    by_itself = serving.cache.witness.in_force(serving.policy, key).ttl
    serving.overrides.set(serving.task, "20m", author="anna", after=made.id)
    serving.look(is_piloted=False)

    assert (1, 1) == (looked_after, len(asked))
    assert (3600.0, 1200.0) == (by_itself, serving.cache.witness.in_force(serving.policy, key).ttl)


def test_switched_off_a_canary_is_tried_beside_the_code(service, clock, monkeypatch):
    """The keys that a person's override does not cover have the policy's own ttl there, not the one that was found automatically."""
    serving = service(every=HOUR)
    made = serving.overrides.set(serving.task, "10m", author=AUTO)
    serving.overrides.set(serving.task, "20m", share=0.5, author="anna", after=made.id)
    serving.fetch(1)

    def ttls():
        serving.cache.witness.rules._signature = ()  # as in a process that has just begun
        serving.look(is_piloted=False)
        return {serving.cache.witness.in_force(serving.policy, serving.fetch.key(number)).ttl for number in range(64)}

    switched_on = ttls()
    monkeypatch.setenv("HOLDFAST_TUNE", "off")

    assert ({600.0, 1200.0}, {3600.0, 1200.0}) == (switched_on, ttls())


PROCESS = """
import sys
from pathlib import Path
from holdfast import CachePolicy, Tune
from holdfast.overrides import Overrides
from holdfast.tuning import autopilot

policy = CachePolicy(ttl="1h", ttl_range=("5m", "2h"), tune=Tune(mode="auto", stale_budget=0.05))
autopilot.HOUR = float(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
autopilot.look(Path(sys.argv[1]), sys.argv[2], policy)
"""


@pytest.mark.parametrize("interval", ["3600", "1e-9"], ids=["one has the turn", "all have it"])
def test_of_several_processes_one_moves(tmp_path, interval):
    """Real ones, at once; and if they all looked, all but one would find that another was quicker."""
    with FakeClock(auto=False, start=time.time() - DAY) as clock:
        serving = Service(clock, tmp_path / "cache", HOUR)
        serving.live(0.99, look=False)
        serving.cache.witness.look()
        serving.close()
    arguments = [sys.executable, "-c", PROCESS, str(serving.folder), serving.task, interval]
    processes = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        process.communicate(timeout=120)

    assert [0] * 4 == [process.returncode for process in processes]
    assert [(1, "set", 1800.0, AUTO)] == [(each.id, each.action, each.ttl, each.author) for each in serving.overrides.history()]


def test_it_looks_behind_and_says_what_is_in_the_way(service, clock, monkeypatch):
    """On a thread of its own, once an hour; a failure is one line an hour, and ends nothing."""
    serving = service(every=HOUR)
    looks, pilot = [], autopilot.Autopilot()

    def look(folder, task, policy):
        looks.append((folder, task))
        raise HoldfastError("NumPy is not there")

    monkeypatch.setattr(autopilot, "look", look)
    with recorded() as told:
        for _ in range(3):
            pilot.look_after(serving.folder, [(serving.task, serving.policy)])
            pilot.before_fork()  # waits for it
        clock.advance(HOUR)
        pilot.look_after(serving.folder, [(serving.task, serving.policy)])
        pilot.before_fork()
    lines = [each["text"] for each in told.notes]

    assert [(serving.folder, serving.task)] * 2 == looks
    assert [f"the ttl of {serving.task} is not looked after for now: NumPy is not there"] * 2 == lines


class Look:
    """In the place of `autopilot.look`: begins, and ends when it may."""

    def __init__(self, monkeypatch):
        self.may_end, self.begun, self.ended = threading.Event(), [], []
        monkeypatch.setattr(autopilot, "look", self)

    def __call__(self, folder, task, policy):
        self.begun.append(task)
        assert self.may_end.wait(LIMIT)
        self.ended.append(task)
        return time_of.current.time() + HOUR


def test_one_look_at_a_time_that_no_program_waits_for_at_its_end(clock, tmp_path, monkeypatch):
    """What falls due meanwhile is looked at afterwards; and where nothing is due, there is no thread."""
    look, pilot = Look(monkeypatch), autopilot.Autopilot()
    pilot.look_after(tmp_path, [("first", None)])
    until(lambda: look.begun)
    thread = pilot._thread
    pilot.look_after(tmp_path, [("second", None)])
    assert (thread, ["first"], True) == (pilot._thread, look.begun, thread.daemon)

    look.may_end.set()
    thread.join(LIMIT)
    pilot.look_after(tmp_path, [("first", None)])
    assert (thread, ["first"]) == (pilot._thread, look.ended)

    pilot.look_after(tmp_path, [("first", None), ("second", None)])
    pilot._thread.join(LIMIT)
    assert ["first", "second"] == look.ended


def test_where_no_thread_can_be_had_it_looks_another_time(clock, tmp_path, monkeypatch):
    """The recorder's thread, which asks for it, goes on."""
    look, pilot = Look(monkeypatch), autopilot.Autopilot()
    look.may_end.set()

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        pilot.look_after(tmp_path, [("first", None)])
    pilot.look_after(tmp_path, [("first", None)])
    pilot._thread.join(LIMIT)

    assert ["first"] == look.ended


def test_a_fork_waits_for_the_look_under_way(clock, tmp_path, monkeypatch):
    """Its connections are to be closed by then; where none is under way, there is nothing to wait for."""
    look, pilot = Look(monkeypatch), autopilot.Autopilot()

    class Thread(threading.Thread):
        def join(self, timeout=None):
            look.may_end.set()  # only who waits sees it end
            super().join(LIMIT)

    monkeypatch.setattr(autopilot.threading, "Thread", Thread)
    pilot.before_fork()
    pilot.look_after(tmp_path, [("first", None)])
    until(lambda: look.begun)
    pilot.before_fork()
    ended = list(look.ended)
    look.may_end.set()

    assert ["first"] == ended


@pytest.mark.usefixtures("recorders_thread")
def test_the_recorders_thread_has_it_looked_after(clock, tmp_path, monkeypatch):
    """From a call of a program to an override, with nothing called by hand."""
    from holdfast import _wiring

    with contextlib.closing(Service(clock, tmp_path / "cache", HOUR)) as serving:
        serving.live(0.9, look=False)
        monkeypatch.setattr(_evidence, "look_after", _wiring._look_after)
        until(serving.overrides.history)

        assert [1800.0] == [each.ttl for each in serving.overrides.history()]
