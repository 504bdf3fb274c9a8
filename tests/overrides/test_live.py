"""Overrides in running programs: entries that are there already, canaries, guards, and real second processes."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from holdfast import CachePolicy, DiskCache, Probe, events, resilient
from holdfast._evidence import POLICIES_CHANGED
from holdfast.overrides import Overrides
from holdfast.recording import attendant, rules
from holdfast.runtime import probing
from holdfast.testing import recorded
from holdfast.tuning import Recording
from tests.waiting import until


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that is recorded: guards look at that. Nothing looks but what a test calls, least of all the thread, which may do so at the same time.

    The secret is the same in each session, for it says which keys an override of a share covers.
    """
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    monkeypatch.setenv("HOLDFAST_SECRET", "a secret for tests, long enough")
    attendant._watch.stop()
    monkeypatch.setattr(attendant._watch, "start", lambda: None)
    cache = DiskCache(tmp_path / "cache")
    yield cache
    cache.close()
    POLICIES_CHANGED.clear()


class Source:
    """Counts how often it is asked; its answers change, or fail, as told."""

    def __init__(self, cache, colour, **policy):
        self.asked = []
        self.answer = "rain"

        def fetch(key: int) -> str:
            self.asked.append(key)
            if isinstance(self.answer, Exception):
                raise self.answer
            return f"{self.answer} {key}"

        decorated = resilient(retry_policy=(), cache_policy=CachePolicy(ttl=60, version="1", **policy), cache=cache)(colour.define(fetch))
        self.task = decorated.key(0).namespace.rpartition("@")[0]
        self.fetch = lambda key=0: colour.run(decorated, key)
        self.hash_of = lambda key: cache.witness.rules._hash_of(decorated.key(key))


@pytest.fixture
def source(cache, colour, clock):
    """In both colours."""
    return Source(cache, colour)


def test_it_acts_on_entries_that_are_there_both_ways(cache, source, clock):
    """Shorter, longer, and back again; at the next look of the thread, which here is called by hand."""
    overrides = Overrides(cache.path)
    source.fetch()
    clock.advance(30)
    first = overrides.set(source.task, 20, author="anna")
    source.fetch()
    unseen = len(source.asked)
    cache.witness.look()
    source.fetch()
    shortened = len(source.asked)
    clock.advance(90)
    overrides.set(source.task, 100, author="anna", after=first.id)
    cache.witness.look()
    source.fetch()

    assert (1, 2, 2) == (unseen, shortened, len(source.asked))


def test_what_is_stored_under_it_stays_as_long(cache, source, clock):
    """A long one is not undone by the sweep of the disk, which goes by the ttl an entry was stored with."""
    Overrides(cache.path).set(source.task, 86_400, author="anna")
    cache.stats()
    cache.witness.look()
    source.fetch()
    (info,) = cache.entries()

    assert 86_400 == info.ttl


def test_it_ends_without_a_look(cache, source, clock):
    """Each read asks the time."""
    Overrides(cache.path).set(source.task, 1000, author="anna", expires_in=300)
    cache.stats()
    cache.witness.look()
    source.fetch()
    clock.advance(299)
    source.fetch()
    kept = len(source.asked)
    clock.advance(1)
    source.fetch()

    assert (1, 2) == (kept, len(source.asked))


def test_a_canary_covers_its_share(cache, source, clock):
    """The others keep the policy's own."""
    Overrides(cache.path).set(source.task, 10, share=0.25, author="anna")
    for key in range(200):
        source.fetch(key)
    cache.witness.look()
    clock.advance(30)
    del source.asked[:]
    for key in range(200):
        source.fetch(key)

    assert 30 <= len(source.asked) <= 70


def test_the_live_ttl_is_that_of_most_keys(cache, source, clock):
    """Whichever key was computed last; or else a canary would make a task's ttl go to and fro, and what probes found at it be thrown away."""
    overrides, found = Overrides(cache.path), []
    source.fetch()

    def compute():
        clock.advance(100)
        cache.witness.look()
        for key in sorted(range(40), key=lambda key: overrides.current()[0].covers(source.hash_of(key))):
            source.fetch(key)
        cache.witness.look()
        found.append(Recording.load(cache.path).live_ttl)

    canary = overrides.set(source.task, 20, share=0.3, author="anna")
    compute()
    most = overrides.promote(source.task, share=0.8, author="anna", after=canary.id)
    compute()
    overrides.promote(source.task, author="anna", after=most.id)
    compute()

    assert [60, 20, 20] == found


def test_a_second_task_is_not_touched(cache, colour, clock):
    """Overrides are of one task."""
    one, other = Source(cache, colour), Source(cache, colour)
    other.task = other.task + "_other"
    Overrides(cache.path).set(other.task, 5, author="anna")
    one.fetch()
    cache.witness.look()
    clock.advance(10)
    one.fetch()

    assert 1 == len(one.asked)


@pytest.mark.parametrize("guard", ["errors<=10%", "changed<=20%"])
def test_a_guard_takes_it_back(cache, source, clock, guard, monkeypatch):
    """What goes wrong under it is seen in what is recorded, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    overrides.set(source.task, 10, guard=guard, author="anna")
    cache.stats()
    cache.witness.look()
    for number in range(8):
        source.answer = OSError("down") if guard.startswith("errors") and number % 2 else f"rain {number}"
        for key in range(10):
            with contextlib.suppress(OSError):
                source.fetch(key)
        clock.advance(10)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()
    cache.witness.look()

    assert [] == overrides.current()
    assert "guard" == overrides.history()[-1].author
    assert "over " + guard in overrides.history()[-1].reason
    assert ["holdfast.override.rolled_back"] == [note.event for note in told]
    assert source.task not in cache.witness.rules._rules or cache.witness.rules._rules[source.task].override.ttl is None


@pytest.mark.parametrize("window", [{}, {"stale_while_revalidate": 60}], ids=["simple", "with a window"])
def test_probes_are_doubled_in_a_canary(cache, colour, clock, window):
    """There its guard asks how stale hits are, and there are few of them; the other keys' hits are chosen as before."""
    source = Source(cache, colour, probe=Probe(share=0.2, max_per_hour=3600), **window)
    Overrides(cache.path).set(source.task, 3600, share=0.5, author="anna")
    cache.stats()
    cache.witness.look()
    override = cache.witness.rules._rules[source.task].override
    in_it, outside = [next(n for n in range(100) if override.covers(source.hash_of(n)) is wanted) for wanted in (True, False)]

    def hits_before_a_probe(key):
        source.fetch(key)
        source.fetch(key)
        clock.advance(2)
        cache.witness.look()
        del source.asked[:]
        hits = 0
        while not source.asked:
            source.fetch(key)
            until(lambda: not probing._under_way)
            hits += 1
        return hits

    least = -math.log(2**-53)  # what `FakeClock` draws
    doubled, plain = [math.floor(least / -math.log(1 - share)) + 1 for share in (0.4, 0.2)]
    assert [doubled, plain, doubled] == [hits_before_a_probe(key) for key in (in_it, outside, in_it)]


def test_a_guard_sees_stale_answers_by_probes(cache, clock):
    """Of an entry that was there before, too, which no renewal would tell of for an hour."""
    said = ["rain"]

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl=60, version="1", probe=Probe(share=1, max_per_hour=3600)), cache=cache)
    def fetch() -> str:
        return said[-1]

    fetch()
    cache.witness.look()
    overrides = Overrides(cache.path)
    overrides.set(fetch.key().namespace.rpartition("@")[0], 3600, guard="stale<=10%", author="anna")
    for number in range(30):
        cache.witness.look()
        clock.advance(2)
        said.append(f"rain {number}")
        fetch()
        until(lambda: not probing._under_way)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()

    assert ("guard", True) == (overrides.history()[-1].author, "probed hits were stale, at 9" in overrides.history()[-1].reason)


def test_a_guard_lets_what_is_well_be(cache, source, clock):
    """A source that is steady and answers."""
    overrides = Overrides(cache.path)
    overrides.set(source.task, 10, guard="errors<=10%, changed<=20%", author="anna")
    cache.stats()
    cache.witness.look()
    for _ in range(6):
        for key in range(10):
            source.fetch(key)
        clock.advance(10)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()

    assert 1 == len(overrides.current())


def test_a_guard_looks_though_another_task_has_none(cache, colour, clock, monkeypatch):
    """One that nothing watches over, and one that has ended, are passed over without a word."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    source, overrides = Source(cache, colour), Overrides(cache.path)
    overrides.set("app.a", 10, author="anna")
    overrides.set("app.b", 10, guard="errors<=10%", expires_in=5, author="anna")
    overrides.set(source.task, 10, guard="errors<=10%", author="anna")
    cache.stats()
    cache.witness.look()
    source.answer = OSError("down")
    for _ in range(30):
        with contextlib.suppress(OSError):
            source.fetch()
    clock.advance(10)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()

    assert ["app.a"] == [each.task for each in overrides.current()]
    assert ["guard"] == [each.author for each in overrides.history() if each.action == "rollback"]
    assert ["holdfast.override.rolled_back"] == [note.event for note in told]


def test_guards_look_now_and_then(cache, source, clock, monkeypatch):
    """Reading a recording each second would cost more than it is worth."""
    monkeypatch.setattr(rules, "GUARD_PERIOD", 3600.0)
    looked = []
    monkeypatch.setattr(rules.Rules, "guard", lambda _, override: looked.append(override.task))
    Overrides(cache.path).set(source.task, 10, guard="errors<=10%", author="anna")
    cache.stats()
    for _ in range(3):
        cache.witness.look()

    assert [source.task] == looked


def long_ago(overrides):
    """Make the file, and its log, look as if nobody had changed them for a minute."""
    for path in overrides.path.parent.glob("overrides.db*"):
        os.utime(path, (time.time() - 60,) * 2)


def test_the_file_is_read_when_it_has_changed(cache, source, clock, monkeypatch):
    """And not each second; a change that still stands in the database's log counts."""
    overrides = Overrides(cache.path)
    first = overrides.set(source.task, 10, author="anna")
    long_ago(overrides)
    cache.stats()
    cache.witness.look()
    read, current = [], Overrides.current
    monkeypatch.setattr(Overrides, "current", lambda self: read.append(1) or current(self))
    for _ in range(3):
        cache.witness.look()
    at_rest = len(read)
    before = overrides.path.stat()
    overrides.set(source.task, 20, author="anna", after=first.id)
    assert before.st_size == overrides.path.stat().st_size
    os.utime(overrides.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    cache.witness.look()

    assert (0, 1) == (at_rest, len(read))
    assert 20 == cache.witness.rules._rules[source.task].override.ttl


def test_each_change_is_told_as_it_is_seen(cache, source, clock):
    """One line for each, in the words of an operator."""
    overrides = Overrides(cache.path)
    cache.stats()
    with recorded() as recording:
        first = overrides.set(source.task, "45m", share=0.1, author="anna")
        cache.witness.look()
        cache.witness.look()
        whole = overrides.promote(source.task, author="ben", after=first.id)
        cache.witness.look()
        overrides.rollback(source.task, author="anna", after=whole.id)
        cache.witness.look()

    assert [
        (f"the ttl of {source.task} is 45m for 10% of its keys, says anna", 1),
        (f"the ttl of {source.task} is 45m, says ben", 2),
        (f"the ttl of {source.task} is again that of its policy", 0),
    ] == [(note["text"], note["override"]) for note in recording.notes if note["event"] == "holdfast.override.changed"]


def test_a_cache_that_is_gone_leaves_no_hit_waiting(cache, tmp_path, clock):
    """While an override is in force each hit asks for it; that ends with the cache that it is about."""
    other = DiskCache(tmp_path / "other")
    folder = other.path
    Overrides(folder).set("app.fetch", 10, author="anna")
    other.stats()
    while_open = folder in POLICIES_CHANGED
    other.close()
    del other
    gc.collect()

    assert (True, False) == (while_open, folder in POLICIES_CHANGED)


def test_what_the_policy_does_not_take_is_not_applied(cache, colour, clock, monkeypatch):
    """Whatever the file says: the policy knows its bounds, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    source = Source(cache, colour, ttl_range=("30s", "2m"))
    source.fetch()
    Overrides(cache.path).set(source.task, "3m", author="anna")
    cache.witness.look()
    clock.advance(90)
    source.fetch()
    source.fetch()

    assert 2 == len(source.asked)
    assert ["holdfast.override.refused"] == [note.event for note in told]
    assert "beyond ttl_range, 30s to 2m" in told[0].text


def test_a_row_written_by_hand_ends_nothing(cache, source, clock, monkeypatch):
    """One that cannot be read leaves things as they are, too."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    first = overrides.set(source.task, 1000, author="anna")
    source.fetch()
    cache.witness.look()
    overrides.set(source.task, 5, guard="errors<=5%", author="anna", after=first.id)
    with closing(sqlite3.connect(overrides.path)) as connection, connection:
        connection.execute("UPDATE overrides SET guard = 'whatever' WHERE guard IS NOT NULL")
    cache.witness.look()
    clock.advance(500)
    source.fetch()

    assert 1 == len(source.asked)
    assert ["holdfast.override.unreadable"] == [note.event for note in told]


def test_a_damaged_file_leaves_things_as_they_are(cache, source, clock, monkeypatch):
    """What was in force stays so, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    overrides.set(source.task, 1000, author="anna")
    overrides.close()
    source.fetch()
    cache.witness.look()
    overrides.path.write_bytes(b"\xff" * 4096)
    clock.advance(500)
    cache.witness.look()
    cache.witness.look()
    source.fetch()

    assert 1 == len(source.asked)
    assert ["holdfast.override.unreadable"] == [note.event for note in told]


PROGRAM = """
import sys, time
from holdfast import CachePolicy, DiskCache, resilient

asked = 0

@resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1h", version="1"), cache=DiskCache(sys.argv[1]))
def fetch() -> int:
    global asked
    asked += 1
    return asked

fetch()
print(fetch.key().namespace.rpartition("@")[0], flush=True)
for line in sys.stdin:
    fetch()
    print(asked, flush=True)
"""


def test_other_processes_see_it_within_a_second(tmp_path):
    """Real ones, that hit in memory and know nothing of the operator; and again when it is taken back."""
    folder = tmp_path / "cache"
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    tasks = {process.stdout.readline().strip() for process in processes}

    def ask():
        for process in processes:
            print(file=process.stdin, flush=True)
        return [int(process.stdout.readline()) for process in processes]

    def wait_until(is_seen):
        """A second, and more where the machine is busy with other tests."""
        time.sleep(1.0)
        deadline = time.monotonic() + 20
        while not is_seen(ask(), ask()):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    before = ask()
    overrides = Overrides(folder)
    (task,) = tasks
    made = overrides.set(task, 0.000001, author="anna")  # a quick machine asks again within a millisecond
    wait_until(lambda one, other: all(now > then for now, then in zip(other, one, strict=True)))
    overrides.rollback(task, author="anna", after=made.id)
    wait_until(lambda one, other: one == other)
    after = ask()
    for process in processes:
        process.communicate(timeout=20)
    overrides.close()

    assert sum(before) <= 2
    assert all(now > then for now, then in zip(after, before, strict=True))
