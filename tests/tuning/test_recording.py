"""What a cache recorded, read back: the accesses themselves, what the source answered, and figures of the whole task."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress

import pytest

from holdfast import CachePolicy, DiskCache, get_cache_entry, resilient
from holdfast.errors import StoreError, TraceError
from holdfast.recording import store, taps
from holdfast.recording.taps import ALL, Answer, Counts
from holdfast.tuning import Access, Recording, Trace, tune


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that is recorded."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    cache = DiskCache(tmp_path / "cache")
    yield cache
    cache.close()


@pytest.fixture
def fetch(cache, clock):
    """A function of two seconds, cached for a minute."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def fetch(city: str) -> str:
        clock.advance(2)
        return f"{city} {clock.time() // 300:.0f}"

    return fetch


def load(cache, **options):
    """Written down until now, and read."""
    cache.witness.look()
    return Recording.load(cache.path, **options)


def test_a_call_of_a_moment_ago_is_there(tmp_path, fetch, cache):
    """Whoever reads the recording in the process that made it need not wait for the thread that writes it, whatever way the folder is named."""
    fetch("Oslo")
    (tmp_path / "link").symlink_to(cache.path)

    assert [f"{__name__}.fetch.<locals>.fetch"] == Recording.tasks(tmp_path / "link")
    fetch("Lima")
    assert 2 == Recording.load(cache.path / "recording.db").counters.gets


def test_what_was_asked_is_what_is_read(cache, fetch, clock):
    """Every access with its key and time; a computed one has its duration, and the answer is a sighting."""
    start = clock.time()
    for city, pause in (("Oslo", 10), ("Lima", 30), ("Oslo", 300), ("Oslo", 0)):
        fetch(city)
        clock.advance(pause)
    recording = load(cache)
    accesses = list(recording.trace)
    oslo, lima = accesses[0].key, accesses[1].key

    assert [(oslo, 0, 2), (lima, 12, 2), (oslo, 44, None), (oslo, 344, 2)] == [
        (each.key, each.time - start, each.compute) for each in accesses
    ]
    seen = list(recording.sightings)
    assert [(oslo, 2.0, "fill", True), (lima, 2.0, "fill", True), (oslo, 2.0, "fill", True)] == [
        (each.key, each.duration, each.kind, each.ok) for each in seen
    ]
    assert seen[0].fingerprint != seen[2].fingerprint
    assert (4, 3, 6.0) == (recording.counters.gets, recording.counters.fills, recording.counters.seconds)
    assert (60.0, 1.0) == (recording.live_ttl, recording.rate)
    assert recording.task.endswith("fetch.<locals>.fetch")


def test_curves_are_those_of_the_true_accesses(cache, fetch, clock):
    """Recorded at one TTL, replayed at others: equal to a trace of the same calls written by hand, hits that were only counted included."""
    chance, truth = random.Random(7), []
    for _ in range(600):
        city = f"city {chance.randrange(20)}"
        now = clock.time()
        fetch(city)
        truth.append(Access(city, now, compute=2.0 if clock.time() > now else None))
        if chance.random() < 0.3:  # again at once: counted alone
            truth.append(Access(city, clock.time()))
            fetch(city)
        clock.advance(chance.expovariate(0.5))
    ttls = [5, 20, 60, 300, None]
    expected = Trace(truth).hits(ttls)
    found = load(cache).hits(ttls)

    assert [(each.gets, each.calls) for each in expected] == [(each.gets, each.calls) for each in found]
    assert all(each.hits + each.coalesced + each.calls == each.gets for each in found)


def test_a_sample_of_keys_speaks_for_all(tmp_path, clock):
    """A quarter of the keys was kept, the counts are whole: calls at other TTLs come within 15 %, and hits within 2 of a hundred."""
    chance = random.Random(3)
    rows = sorted((clock.time() + chance.random() * 7200, int(chance.paretovariate(0.8)) % 3000) for _ in range(40_000))
    keys = {key: chance.getrandbits(64) or 1 for key in range(3000)}
    whole = Trace([Access(keys[key], time) for time, key in rows])
    live = whole.hits([600])[0]
    filled, kept, answers = {}, [], []
    for time, key in rows:
        hashed = keys[key]
        if hashed < ALL >> 2:
            kept.append((hashed, time))
        if time - filled.get(key, 0) >= 600:
            filled[key] = time
            if hashed < ALL >> 2:
                answers.append(Answer(hashed, time, 0.0, 1, 10, None, "fill", True))
    ledger = store.Ledger(tmp_path)
    ledger.write(
        [(store.segment_of_times("app.fetch", 1, 2, kept), ()), (store.segment_of_answers("app.fetch", 1, 2, answers), ())],
        [store.Counted("app.fetch", CachePolicy(ttl=600), Counts(gets=len(rows), fills=live.calls))],
        clock.time(),
    )
    ledger.close()
    recording = Recording.load(tmp_path)
    ttls = [60, 300, 600, 1200]

    assert 0.25 == recording.rate
    assert len(rows) == recording.hits([60])[0].gets
    for expected, found in zip(whole.hits(ttls), recording.hits(ttls), strict=True):
        assert found.calls == pytest.approx(expected.calls, rel=0.15)
        assert found.hit_ratio == pytest.approx(expected.hit_ratio, abs=0.02)
    assert live.calls == recording.hits([600])[0].calls


def test_serving_while_refreshing_adds_up(cache, fetch, clock):
    """Hits, stale hits, waits and blocking calls are the gets."""
    for number in range(50):
        fetch(str(number % 5))
        clock.advance(20)
    (found,) = load(cache).swr(60, [120])

    assert 50 == found.gets == found.hits + found.stale_hits + found.coalesced + found.blocking
    assert found.calls >= found.blocking


def test_since_begins_with_a_full_hour(cache, fetch, clock):
    """Counts and accesses are of the same hours."""
    clock.advance(3600 - clock.time() % 3600 + 60)
    for _ in range(5):
        fetch("Oslo")
        cache.witness.look()
        clock.advance(3598)
    recording = load(cache, since="90m")

    assert (2, 2, 2) == (recording.counters.gets, len(recording.trace), len(recording.sightings))
    assert 5 == load(cache).counters.gets


def test_what_was_dropped_does_not_count(tmp_path, clock):
    """When the oldest segments are gone, counting begins with the first hour that is whole."""
    hour = clock.time() // 3600 * 3600
    ledger = store.Ledger(tmp_path)
    for number in range(4):
        ledger.write([], [store.Counted("app.fetch", CachePolicy(ttl=60), Counts(gets=10, fills=1))], hour + number * 3600)
    ledger.write(
        [(store.segment_of_times("app.fetch", 1, 0, [(5, hour + 3700), (5, hour + 7300), (5, hour + 7400)]), ())], [], hour + 10_800
    )
    ledger.close()
    recording = Recording.load(tmp_path)

    assert (20, 2) == (recording.counters.gets, len(recording.trace))


def test_hashes_of_an_earlier_secret_are_left_out(tmp_path, clock):
    """They cannot be told from other keys'."""
    ledger = store.Ledger(tmp_path)
    for salt in (1, 2):
        ledger.write([(store.segment_of_times("app.fetch", salt, 0, [(5, clock.time() + salt)]), ())], [], clock.time())
    ledger.close()

    assert [clock.time() + 2] == [each.time for each in Recording.load(tmp_path / "recording.db").trace]


def test_a_task_is_named_by_its_end(tmp_path, clock):
    """Where it is clear which is meant; else the text names those there are, or those alike."""
    ledger = store.Ledger(tmp_path)
    counted = [store.Counted(task, None, Counts(gets=1, fills=1)) for task in ("app.fetch", "app.other.fetch", "app.store")]
    ledger.write([], counted, clock.time())
    ledger.close()

    assert "app.store" == Recording.load(tmp_path, task="store").task
    assert "app.fetch" == Recording.load(tmp_path, task="app.fetch").task
    assert ["app.fetch", "app.other.fetch", "app.store"] == Recording.tasks(tmp_path)
    for task, text in (
        ("fetch", "'fetch' is the name of 2 tasks: give the full name of one, app.fetch or app.other.fetch"),
        (None, "3 tasks are recorded in .*: give the full name of one"),
        ("stor", r"did you mean store.*\?$"),
        ("x", "it has app"),
    ):
        with pytest.raises(TraceError, match=text):
            Recording.load(tmp_path, task=task)


def test_an_empty_recording_says_so(tmp_path, clock):
    """No file, a file without anything, a task that has not been called since."""
    with pytest.raises(StoreError, match="there is no recording"):
        Recording.load(tmp_path)
    ledger = store.Ledger(tmp_path)
    ledger.write([], [], clock.time())
    with pytest.raises(TraceError, match="nothing is recorded"):
        Recording.load(tmp_path)
    ledger.write([], [store.Counted("app.fetch", CachePolicy(ttl=60), Counts(gets=1, fills=1))], clock.time())
    ledger.close()
    clock.advance(86_400)
    recording = Recording.load(tmp_path, since="1h")

    assert (0, 0, 1.0) == (len(recording.trace), recording.counters.gets, recording.scale)
    with pytest.raises(TraceError, match="no accesses"):
        recording.hits([60])


def test_damage_is_named(tmp_path, cache, fetch):
    """Which part of the file is damaged, and not a wrong figure."""
    fetch("Oslo")
    load(cache)
    with closing(sqlite3.connect(cache.path / "recording.db")) as connection, connection:
        connection.execute("UPDATE segments SET data = substr(data, 1, 12) WHERE what = 'times'")

    with pytest.raises(TraceError, match="damaged"):
        Recording.load(cache.path)


def test_a_busy_recording_says_its_rate(cache, fetch, clock, monkeypatch):
    """All keys at first, then half of them: what is read are the accesses of the keys that were kept all the time."""
    monkeypatch.setattr(taps, "BURST", 60)
    monkeypatch.setattr(taps, "SUSTAINED", 0.0)
    for _ in range(4):
        for number in range(50):
            fetch(str(number))
        cache.witness.look()
    recording = load(cache)
    accesses = {each.key for each in recording.trace}

    assert recording.rate < 1
    assert 200 == recording.counters.gets
    assert all(key < ALL * recording.rate for key in accesses)


@pytest.mark.parametrize("own", [10, None])
def test_ttls_of_the_sources_own_are_no_ttl_of_the_policy(cache, clock, own):
    """Entries end earlier than what is replayed takes them to, and a report says so; not where they live for the TTL."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def fetch(city: str) -> str:
        get_cache_entry().ttl = own
        return city

    for _ in range(400):
        fetch("Oslo")
        clock.advance(5)
    report = tune(load(cache), max_age="2m")

    assert (own == 10) == any("they end earlier" in line for line in report.recommendation.what_could_be_wrong)
    assert report.facts.calls == (200 if own else 34)


@pytest.mark.parametrize("fails", [True, False])
def test_results_that_were_not_stored_are_called_that(cache, clock, fails):
    """Of failures, and of what `cache_if` refuses, there is no entry that could end early."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m", cache_if=lambda _: False), cache=cache)
    def fetch(city: str) -> str:
        if fails:
            raise LookupError(city)
        return city

    for _ in range(100):
        with suppress(LookupError):
            fetch("Oslo")
        clock.advance(5)
    report = tune(load(cache), max_age="2m")

    assert any("results were not stored (failures, or refused by cache_if)" in line for line in report.recommendation.what_could_be_wrong)
