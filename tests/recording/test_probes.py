"""Probes: the source is asked behind a few hits, and only the recording hears what it says."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter

import pytest

from holdfast import CachePolicy, DiskCache, InMemoryCache, InMemorySaver, PolicyError, Probe, RetryPolicy, entrypoint, resilient, task
from holdfast.recording import taps
from holdfast.recording.choosing import Chooser
from holdfast.recording.store import Ledger, Reader
from holdfast.runtime import probing
from holdfast.testing import FakeClock, recorded
from holdfast.testing.recording import observing
from holdfast.tuning import Recording
from tests.tracing.conftest import Recorder
from tests.waiting import until

ALWAYS = Probe(share=1, max_per_hour=60)


class Source:
    """Answers what it is told to, and counts."""

    def __init__(self):
        self.asked, self.says, self.gate = 0, "rain", threading.Event()
        self.gate.set()

    @property
    def ask(self):
        """A function without an object that would be part of its key."""
        return lambda city="Oslo": self._ask()

    def _ask(self):
        self.asked += 1
        says, gate = self.says, self.gate
        assert gate.wait(60)
        if isinstance(says, Exception):
            raise says
        return says


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Whatever happens, nothing stays under way."""
    yield
    until(lambda: not probing._under_way)


@pytest.fixture
def clock():
    """Virtual time that the test alone moves."""
    with FakeClock(auto=False) as clock:
        yield clock


@pytest.fixture
def source():
    """What is asked."""
    return Source()


@pytest.fixture(params=["resilient", "task"])
def fetch(request, source, cache, colour, clock):
    """A function whose hits are probed, and how to call it."""

    def decorated(policy=None, **settings):
        policy = CachePolicy(ttl="1h", version="1", probe=ALWAYS) if policy is None else policy
        if request.param == "resilient":
            function = resilient(name="fetch", retry_policy=settings.pop("retry_policy", ()), cache_policy=policy, cache=cache, **settings)(
                colour.define(source.ask)
            )
            return lambda *args: colour.run(staying, function, *args) if colour.is_async else function(*args)
        function = task(name="fetch", cache_policy=policy, **settings)(colour.define(source.ask))
        main = entrypoint(name="main", cache=cache)(_main(colour, function))
        return lambda *args: colour.run(staying, main.ainvoke, *args) if colour.is_async else main.invoke(*(args or ("Oslo",)))

    return decorated


@pytest.fixture
def probed(source, cache, evidence):
    """A function whose next hit is probed."""

    def decorated(ttl):
        fetch = resilient(name="fetch", retry_policy=(), cache_policy=CachePolicy(ttl=ttl, version="1", probe=ALWAYS), cache=cache)(
            source.ask
        )
        fetch("Oslo")
        fetch("Oslo")
        evidence()
        return fetch

    return decorated


async def staying(function, *args):
    """On a loop that stays until the probe is over."""
    value = await function(*(args or ("Oslo",)))
    while any(not each.is_stranded for each in probing._under_way.values()):
        await asyncio.sleep(0.001)
    return value


def _main(colour, function):
    async def main_async(city):
        return await function(city)

    def main(city):
        return function(city).result()

    return main_async if colour.is_async else main


def settled(evidence):
    until(lambda: not probing._under_way)
    return evidence()


def test_a_hit_has_its_source_asked_behind_it(fetch, source, cache, evidence, clock):
    """The caller gets what is cached, and so does the next one; the recording has what the source says."""
    call = fetch()
    call()
    clock.advance(100)
    source.says = "sun"
    first = call()  # from here on it is known that probes are wanted
    evidence()
    with recorded() as told:
        assert ["rain", "rain"] == [first, call()]
        found = settled(evidence)
    counts = found.counts()
    assert "rain" == call()

    fill, probe = found.answers()
    assert ("fill", "probe", True) == (fill.kind, probe.kind, probe.ok)
    assert fill.key == probe.key
    assert fill.fingerprint != probe.fingerprint
    assert 2 == source.asked
    assert (3, 1, 1) == (counts.gets, counts.fills, counts.probes)
    assert {"probe", "hit"} == {each["cache"] for each in told.facts if each["kind"] == "call" and each["cache"]}


@pytest.mark.parametrize("kind", ["light", "sdk"])
def test_the_span_of_a_probe_names_that_of_the_hit(kind, fetch, evidence):
    """Which is the only span that tells what it was made for."""
    call, recorder = fetch(), Recorder(kind)
    call()
    call()
    evidence()
    with observing(recorder.observer()):
        call()
        settled(evidence)

    hit, probe = sorted((span for span in recorder.spans() if span.name == "fetch"), key=lambda span: span.start_time)
    assert ["hit", "probe"] == [span.attributes["holdfast.cache.result"] for span in (hit, probe)]
    (link,) = probe.links
    assert (hit.context.trace_id, hit.context.span_id) == (link.context.trace_id, link.context.span_id)
    assert {"holdfast.link.type": "behind"} == dict(link.attributes)


def test_an_equal_answer_has_the_fingerprint_of_the_entry(fetch, evidence):
    """So it counts as not stale."""
    call = fetch()
    call()
    call()
    evidence()
    call()
    fill, probe = settled(evidence).answers()

    assert ("probe", fill.fingerprint, fill.size) == (probe.kind, probe.fingerprint, probe.size)


def test_probes_are_no_more_than_the_policy_says(fetch, source, evidence, clock):
    """An hour of hits, ten a minute: about one probe a minute, and no more."""
    call = fetch()
    call()
    for _ in range(600):
        clock.advance(5.9)
        call()
        evidence()
        until(lambda: not probing._under_way)

    assert 50 <= source.asked - 1 <= 60


def test_a_probe_that_fails_is_counted_and_changes_nothing(fetch, source, evidence, notes, clock):
    """It is one attempt whatever the retry policy; nobody hears of it."""
    call = fetch(retry_policy=RetryPolicy(max_attempts=5))
    call()
    call()
    evidence()
    source.says = ConnectionError("down")
    assert "rain" == call()
    found = settled(evidence)

    assert 2 == source.asked
    assert (1, 1) == (found.counts().probes, found.counts().errors)
    assert [(True, "fill"), (False, "probe")] == [(each.ok, each.kind) for each in found.answers()]
    assert "rain" == call()
    assert [] == notes


def test_a_value_that_cannot_be_encoded_leaves_no_fingerprint(fetch, source, evidence, notes):
    """It could not have been stored, and is no reason to fail."""
    call = fetch()
    call()
    call()
    evidence()
    source.says = threading.Lock()
    call()

    assert ["fill", "probe"] == [each.kind for each in settled(evidence).answers()]
    assert 0 == settled(evidence).answers()[1].fingerprint


def test_a_probe_hangs_in_nobodys_way(probed, source, evidence, clock):
    """While it is under way hits go on, and no further probe of the task is begun."""
    fetch = probed("1d")
    source.gate.clear()
    for _ in range(5):
        assert "rain" == fetch("Oslo")
        clock.advance(600)
        evidence()
    until(lambda: source.asked == 2)
    source.gate.set()
    settled(evidence)

    assert 2 == source.asked


def test_a_caller_that_misses_does_not_join_a_probe(probed, source, evidence, clock):
    """The entry expires while a probe of it is under way: the caller computes, and what it computes is stored."""
    fetch = probed("1h")
    source.gate.clear()
    fetch("Oslo")
    until(lambda: source.asked == 2)
    clock.advance(3600)
    shut, source.says, source.gate = source.gate, "sun", threading.Event()
    source.gate.set()

    assert ["sun", "sun"] == [fetch("Oslo"), fetch("Oslo")]
    assert 3 == source.asked
    shut.set()
    settled(evidence)
    assert "sun" == fetch("Oslo")


def test_the_body_of_a_probe_may_ask_for_what_is_stored(cache, evidence, clock):
    """So a source with ETags answers "not modified", and the probe finds the entry's own value."""
    from holdfast import get_cache_entry

    etags = []

    @resilient(name="fetch", retry_policy=(), cache_policy=CachePolicy(ttl="1h", version="1", probe=ALWAYS), cache=cache)
    def fetch():
        entry = get_cache_entry()
        etags.append(entry.previous and entry.previous.etag)
        if entry.previous is not None:
            return entry.not_modified()
        entry.etag, entry.modified = "v1", 1000.0
        return "rain"

    fetch()
    fetch()
    evidence()
    fetch()
    fill, probe = settled(evidence).answers()

    assert [None, "v1"] == etags
    assert ("probe", fill.fingerprint) == (probe.kind, probe.fingerprint)
    assert [1000.0, 1000.0] == [fill.modified, probe.modified]


def test_what_a_run_replays_is_not_probed(source, cache, evidence, clock):
    """A recorded step is taken from the journal: the cache is not asked, nor the source."""
    fails = [True]
    fetch = task(name="fetch", cache_policy=CachePolicy(ttl="1h", version="1", probe=ALWAYS))(source.ask)

    @entrypoint(checkpointer=InMemorySaver(), cache=cache)
    def main(city):
        fetch(city).result()
        value = fetch(city).result()
        if fails:
            raise OSError(fails.pop())
        return value

    with pytest.raises(OSError, match="True"):
        main.invoke("Oslo", thread_id="trip")
    evidence()

    assert "rain" == main.invoke(None, thread_id="trip")
    assert 1 == source.asked


def test_the_end_of_its_loop_ends_a_probe(cache, evidence, clock):
    """It is not begun anew on a loop of ours; what was not seen is not recorded, and the next loop's hits are probed."""
    asked = []

    @resilient(name="fetch", retry_policy=(), cache_policy=CachePolicy(ttl="1d", version="1", probe=ALWAYS), cache=cache)
    async def fetch():
        asked.append(asyncio.get_running_loop())
        if len(asked) == 2:
            await asyncio.Event().wait()
        return "rain"

    async def twice():
        await fetch()
        await fetch()
        evidence()
        await fetch()
        await asyncio.sleep(0)

    asyncio.run(twice())
    until(lambda: not probing._under_way)
    assert 2 == len(asked)
    assert ["fill"] == [each.kind for each in evidence().answers()]

    clock.advance(61)
    evidence()
    asyncio.run(staying(lambda *_: fetch()))
    assert ["fill", "probe"] == [each.kind for each in settled(evidence).answers()]


def test_without_a_recording_nothing_is_probed(source, tmp_path, clock):
    """What nobody writes down need not be asked."""
    for cache in (InMemoryCache(), DiskCache(tmp_path / "other", record=False)):
        fetch = resilient(name="fetch", retry_policy=(), cache_policy=CachePolicy(ttl="1h", version="1", probe=ALWAYS), cache=cache)(
            source.ask
        )
        for _ in range(10):
            fetch("Oslo")

    assert 2 == source.asked


def test_remembered_failures_are_not_probed(source, cache, evidence, clock):
    """They are no values that could be stale."""
    policy = CachePolicy(ttl="1h", negative_ttl="1h", version="1", probe=ALWAYS)
    fetch = resilient(name="fetch", retry_policy=(), cache_policy=policy, cache=cache)(source.ask)
    source.says = OSError("down")
    for _ in range(4):
        with pytest.raises(OSError, match="down"):
            fetch("Oslo")
        evidence()

    assert 1 == source.asked


def test_keys_that_are_not_kept_are_not_probed(clock):
    """Where a task is thinned by key, what the source says of the others would be dropped: they neither are chosen nor count down."""
    log = taps.TaskLog("fetch", shift=1)
    log.chooser.passes(ALWAYS)
    log.chooser.permit()

    other = taps.KeyTap(log, 7)
    other.sleep()
    assert [True] * 5 == [other.passes(ALWAYS) for _ in range(5)]
    assert not taps.KeyTap(log, 7).passes(ALWAYS)


def passed_before(probes, draw):
    """How many hits, of these policies in turns, pass before one is chosen."""
    chooser = Chooser()
    chooser.passes(probes[0])
    with FakeClock() as clock:
        clock.draw = lambda: draw
        chooser.permit()
    return next(number for number, probe in enumerate(itertools.cycle(probes)) if not chooser.passes(probe))


def test_hits_are_chosen_alike():
    """A geometric number passes before each: one in four here, whatever the order."""
    draws = [(number + 0.5) / 1000 for number in range(1000)]
    passed = [passed_before([Probe(share=0.25)], draw) for draw in draws]

    assert 3.0 == pytest.approx(sum(passed) / 1000, rel=0.02)
    assert 0.25 == pytest.approx(sum(each == 0 for each in passed) / 1000, abs=0.002)
    assert passed_before([Probe(share=0.5)], 1.0) > 0  # the end of the range is none
    assert [0, 2, 0] == [passed_before([Probe(share=share)], draw) for share, draw in [(0.5, 0.0), (0.5, 0.8), (1.0, 0.9)]]


def test_a_hit_of_twice_the_share_is_chosen_twice_as_often():
    """Whatever comes between: with turns of 1 % and 2 % each hit has its own chance."""
    mixed = [Probe(share=0.01), Probe(share=0.02)]
    draws = [(number + 0.5) / 10_000 for number in range(10_000)]
    chosen = Counter(passed_before(mixed, draw) % 2 for draw in draws)

    assert 0.02 * 0.99 / 0.01 == pytest.approx(chosen[1] / chosen[0], rel=0.01)


def test_of_two_threads_one_takes_the_chosen_hit():
    """Both may come upon it."""
    chooser = Chooser()
    assert chooser.passes(ALWAYS)
    chooser.permit()

    assert [False, False] == [chooser.passes(ALWAYS), chooser.passes(ALWAYS)]
    assert [True, False] == [chooser.take(), chooser.take()]
    assert chooser.passes(ALWAYS)


def test_processes_take_turns(tmp_path):
    """The limit holds for all that share the cache; a clock that was set back keeps nobody out for long."""
    one, other = Ledger(tmp_path), Ledger(tmp_path)

    assert (True, 1060.0) == one.take_turn("fetch", 1000, 60)
    assert (False, 1060.0) == other.take_turn("fetch", 1059, 60)
    assert (True, 1059.0) == other.take_turn("other", 999, 60)
    assert (True, 1120.0) == other.take_turn("fetch", 1060, 60)
    assert (True, 560.0) == one.take_turn("fetch", 500, 60)
    one.close()
    other.close()


def test_probes_under_another_ttl_are_left_out(source, cache, evidence, clock):
    """They say how stale hits were then; what is read for tuning is about the TTL that is live."""

    def hits(ttl):
        policy = CachePolicy(ttl=ttl, version="1", probe=ALWAYS)
        fetch = resilient(name="fetch", retry_policy=(), cache_policy=policy, cache=cache)(source.ask)
        clock.advance(3600)
        for _ in range(20):
            fetch("Oslo")
            evidence()
            until(lambda: not probing._under_way)
            clock.advance(60)
        return Recording.load(cache.path).sightings

    before = [each.kind for each in hits("1h")]
    after = [each.kind for each in hits("30m")]

    assert before.count("probe") >= 15
    assert 15 <= after.count("probe") <= 20
    assert after.count("fill") > before.count("fill")


def test_a_recording_of_an_older_holdfast_is_read(cache, source, evidence, clock):
    """One without the columns for probes."""
    import sqlite3

    fetch = resilient(name="fetch", retry_policy=(), cache_policy=CachePolicy(ttl="1h", version="1"), cache=cache)(source.ask)
    fetch("Oslo")
    evidence()
    cache.witness.recorder.close()
    with sqlite3.connect(cache.path / "recording.db") as connection:
        connection.executescript(
            "DROP TABLE turns; DROP TABLE evictions; ALTER TABLE policies DROP COLUMN since; ALTER TABLE policies DROP COLUMN spare;"
            "ALTER TABLE policies DROP COLUMN revalidated; PRAGMA user_version = 1;"
        )
    connection.close()
    reader = Reader(cache.path / "recording.db")
    (name,) = reader.tasks()

    assert (3600.0, None, None) == reader.policy(name)
    assert (0.0, (0.0, 0.0)) == (reader.ttl_since(name), reader.windows(name))
    reader.close()
    counters = Recording.load(cache.path).counters
    assert (1, 0) == (counters.gets, counters.evictions.entries)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"share": 0}, "share=0 of hits: give a number above 0 and at most 1"),
        ({"share": 1.5}, "share=1.5"),
        ({"share": True}, "share=True"),
        ({"share": float("nan")}, "share=nan"),
        ({"max_per_hour": 0}, "max_per_hour=0: give a number above 0 and at most 3600, or leave probe out for none"),
        ({"max_per_hour": 3601}, "max_per_hour=3601"),
        ({"max_per_hour": "60"}, "max_per_hour='60'"),
    ],
)
def test_what_cannot_be_is_refused(wrong, text):
    """When the policy is built."""
    with pytest.raises(PolicyError) as caught:
        Probe(**wrong)

    assert str(caught.value).startswith(text)


def test_a_policy_refuses_what_is_no_probe_and_what_measures_nothing():
    """Without a ttl there is none to tune; an entrypoint begins no runs that nobody asked for."""
    with pytest.raises(PolicyError, match=r"probe=0\.1 is no Probe"):
        CachePolicy(ttl=60, probe=0.1)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="does nothing without a ttl"):
        CachePolicy(probe=Probe())
    with pytest.raises(PolicyError, match="entrypoint main has probe"):
        entrypoint(name="main", cache_policy=CachePolicy(ttl=60, probe=Probe()))(lambda city: city)
