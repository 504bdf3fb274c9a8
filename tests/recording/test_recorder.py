"""What is kept of the calls of a cached task, and what is not."""

from __future__ import annotations

import asyncio
import threading
from hashlib import blake2b

import pytest

from holdfast import CachePolicy, DiskCache, resilient
from holdfast.recording import attendant, hashes, hot, store, tails, taps
from holdfast.recording import recorder as recorder_module
from holdfast.recording.hashes import Hasher
from holdfast.recording.store import ANSWERS, TIMES
from holdfast.runtime import behind
from holdfast.tuning import Recording
from tests.waiting import until


def test_calls_are_kept_with_their_times(cache, fetch, evidence, clock):
    """A computed call and a hit each leave a time; both leave the same key."""
    start = round(clock.time() * 1e6)
    fetch("Oslo")
    clock.advance(10)
    fetch("Oslo")
    fetch("Lima")
    times = evidence().times()

    assert [start, start + 10_000_000, start + 10_000_000] == [time for _, time in times]
    assert times[0][0] == times[1][0] != times[2][0]


def test_the_source_leaves_how_long_it_took_and_what_it_said(cache, clock, evidence):
    """Equal values have equal fingerprints, others do not; a failure has none."""
    said = iter(["rain", "rain", "sun"])

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl=1), cache=cache)
    def sky() -> str:
        clock.advance(2.5)
        try:
            return next(said)
        except StopIteration:
            raise OSError("down") from None

    for _ in range(3):
        sky()
        clock.advance(1)
    with pytest.raises(OSError, match="down"):
        sky()
    found = evidence()
    first, second, third, failed = found.answers()

    assert (4, 1, 10.0) == (found.counts().fills, found.counts().errors, found.counts().seconds)
    assert [("fill", True, 2.5)] * 3 == [(each.kind, each.ok, each.seconds) for each in (first, second, third)]
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert (False, 0, -1) == (failed.ok, failed.fingerprint, failed.size)
    assert first.size > 0


def test_counts_are_exact_and_by_the_hour(cache, fetch, evidence, clock):
    """Whatever is thinned out, every call is counted."""
    clock.advance(3600 - clock.time() % 3600 - 60)
    for _ in range(500):
        fetch("Oslo")
    evidence()
    clock.advance(120)
    fetch("Oslo")
    found = evidence()
    hours = [counts for _, counts in found.reader.counts(found.task, 0)]

    assert [(500, 1), (1, 1)] == [(counts.gets, counts.fills) for counts in hours]
    assert 501 == found.counts().gets


def test_hits_within_the_resolution_are_counted_alone(fetch, evidence, clock):
    """Of a key that is asked for all the time, a hundred times a second are kept."""
    for _ in range(100):
        fetch("Oslo")
        clock.advance(0.001)
    found = evidence()

    assert 100 == found.counts().gets
    assert 10 == len(found.times())


def test_threads_lose_no_count(fetch, evidence):
    """Hits of many threads at once are all counted."""
    fetch("Oslo")
    threads = [threading.Thread(target=lambda: [fetch("Oslo") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 16_001 == evidence().counts().gets


def test_a_refresh_behind_a_caller_is_no_miss(cache, evidence, clock):
    """The caller had a hit; what the source was asked behind it has a kind of its own, and is no access of the key."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m", stale_while_revalidate="1m"), cache=cache)
    def fetch(city: str) -> str:
        return city

    fetch("Oslo")
    clock.advance(61)
    fetch("Oslo")
    until(lambda: not behind._under_way)
    found = evidence()
    counts = found.counts()

    assert (2, 1, 1) == (counts.gets, counts.fills, counts.refreshes)
    assert ["fill", "refresh"] == [each.kind for each in found.answers()]
    assert 2 == len(found.times())
    assert sum(each.size for each in found.answers()) == counts.bytes > 0


def test_what_is_not_recorded_now_can_be_read_all_the_same(cache, fetch, clock):
    """By a program whose own object for the cache is one that records nothing."""
    fetch("Oslo")
    silent = DiskCache(cache.path, record=False)
    silent.stats()

    assert 1 == Recording.load(cache.path).counters.gets
    silent.close()


def test_async_calls_are_kept_too(cache, evidence, clock):
    """Found in memory on the loop, or computed there."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    async def fetch(city: str) -> str:
        return city

    async def main():
        await fetch("Oslo")
        clock.advance(1)
        await fetch("Oslo")

    asyncio.run(main())
    found = evidence()

    assert (2, 1) == (found.counts().gets, found.counts().fills)
    assert 2 == len(found.times())


@pytest.mark.parametrize("memory_entries", [0, 100])
def test_a_remembered_failure_is_asked_for_once_a_call(tmp_path, clock, memory_entries):
    """As a value is: on disk, in memory, and from a loop."""
    cache = DiskCache(tmp_path / "c", memory_entries=memory_entries)
    policy = CachePolicy(ttl="1m", negative_ttl="1m")

    @resilient(retry_policy=(), cache_policy=policy, cache=cache)
    def fetch(city: str) -> str:
        raise LookupError(city)

    @resilient(retry_policy=(), cache_policy=policy, cache=cache)
    async def fetch_async(city: str) -> str:
        raise LookupError(city)

    for _ in range(5):
        with pytest.raises(LookupError, match="Oslo"):
            fetch("Oslo")
        with pytest.raises(LookupError, match="Oslo"):
            asyncio.run(fetch_async("Oslo"))
        clock.advance(1)
    cache.close()
    found = [Recording.load(cache.path, task=name).counters for name in ("fetch", "fetch_async")]

    assert [(5, 1), (5, 1)] == [(each.gets, each.fills) for each in found]


def test_no_key_can_be_read_or_guessed(cache, fetch, evidence):
    """The file holds neither arguments nor their digests; the salt is not in it."""
    fetch("a-patient-name")
    evidence()
    key = fetch.key("a-patient-name")
    data = b"".join(path.read_bytes() for path in cache.path.glob("recording.db*"))
    ((hashed, _),) = evidence().times()

    assert b"a-patient-name" not in data
    assert b"A-PATIENT-NAME" not in data
    assert key.digest not in data
    assert hashed != int.from_bytes(blake2b(key.namespace.encode() + b"\0" + key.digest, digest_size=8).digest())


def test_the_file_is_private(cache, fetch, evidence):
    """As everything beside the cache."""
    fetch("Oslo")
    evidence()

    assert {0o600} == {path.stat().st_mode & 0o777 for path in cache.path.glob("recording.db*")}


@pytest.mark.parametrize("word", ["off", "0", " False ", "no"])
def test_it_can_be_switched_off(cache, fetch, monkeypatch, word):
    """By the environment; then there is no file."""
    monkeypatch.setenv("HOLDFAST_RECORD", word)
    fetch("Oslo")
    fetch("Oslo")
    cache.witness.look()

    assert [] == list(cache.path.glob("recording.db*"))


def test_one_cache_can_be_left_out(tmp_path, clock):
    """By its argument; another object for the same folder may record."""
    silent, other = DiskCache(tmp_path / "c", record=False), DiskCache(tmp_path / "c")
    resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=silent)(lambda: 1)()
    silent.witness.look()
    files = list(silent.path.glob("recording.db*"))
    resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=other)(lambda: 1)()
    other.witness.look()

    assert [] == files
    assert list(other.path.glob("recording.db"))
    silent.close()
    other.close()


def test_a_busy_task_is_thinned_by_key(fetch, evidence, clock, monkeypatch):
    """All accesses of a key are kept, or none; the counts stay whole, and segments tell the share. Hot keys have tests of their own."""
    monkeypatch.setattr(hot, "MOST", 0)
    monkeypatch.setattr(taps, "BURST", 200)
    monkeypatch.setattr(taps, "SUSTAINED", 0.0)
    cities = [f"city {number}" for number in range(120)]
    for _ in range(10):
        for city in cities:
            fetch(city)
        clock.advance(1)
        evidence()
    found = evidence()
    shift = max(segment.shift for segment in found.segments(TIMES))
    last = [segment for segment in found.segments(TIMES) if segment.shift == shift]
    kept = {key for segment in last for key, _ in store.packing.unpack_times(segment.data, segment.number)}
    by_key = {key: sum(1 for each, _ in found.times() if each == key) for key in kept}

    assert 1200 == found.counts().gets
    assert shift >= 2
    assert kept
    assert all(key < taps.ALL >> shift for key in kept)
    assert {10} == set(by_key.values())
    assert all(each.key < taps.ALL for each in found.answers())


def test_a_new_process_goes_on_as_thinly(tmp_path, clock):
    """What was found out about a task today need not be found out again."""
    old = recorder_module.Recorder(tmp_path, Hasher(b"secret"))
    ledger = store.Ledger(tmp_path)
    ledger.write([(store.segment_of_times("app.fetch", 1, 5, [(1, clock.time())]), ())], [], clock.time())
    ledger.close()
    from holdfast.typing import CacheKey

    logs = [old.tap(CacheKey(f"{task}@1", b"0" * 16)).log.shift for task in ("app.fetch", "app.other")]
    clock.advance(90_000)
    later = recorder_module.Recorder(tmp_path, Hasher(b"secret")).tap(CacheKey("app.fetch@1", b"0" * 16)).log.shift

    assert [5, 0] == logs
    assert 0 == later


def test_a_clock_that_is_set_back_silences_nobody(fetch, evidence, clock, monkeypatch):
    """A key's next hit is kept though its last one seems to lie ahead."""
    fetch("Oslo")
    evidence()
    earlier = clock.time() - 30
    monkeypatch.setattr(clock, "time", lambda: earlier)
    evidence()
    fetch("Oslo")

    assert 2 == len(evidence().times())


def test_small_segments_become_one(fetch, evidence, clock, monkeypatch):
    """A task that is asked for once a second does not leave a row a second."""
    monkeypatch.setattr(tails, "MOST_SMALL", 10)
    for _ in range(25):
        fetch("Oslo")
        clock.advance(1)
        evidence()
    found = evidence()

    assert 25 == len(found.times())
    assert sorted(found.times(), key=lambda each: each[1]) == found.times()
    assert len(found.segments(TIMES)) <= 10


def test_a_full_segment_is_left_as_it_is(fetch, evidence, clock, monkeypatch):
    """It is packed once, and written once."""
    monkeypatch.setattr(tails, "FULL", 8)
    for _ in range(20):
        fetch("Oslo")
        clock.advance(1)
        evidence()

    assert [8, 8, 1, 1, 1, 1] == [segment.number for segment in evidence().segments(TIMES)]


def test_the_oldest_goes_when_it_is_too_much(tmp_path, clock):
    """The file has a budget; what was recorded last is kept."""
    ledger = store.Ledger(tmp_path, budget=20_000)
    for number in range(60):
        times = [(key * 0x9E3779B97F4A7C15 % taps.ALL, clock.time() + key) for key in range(number * 100, number * 100 + 100)]
        ledger.write([(store.segment_of_times("app.fetch", 1, 0, times), ())], [], clock.time())
    reader = store.Reader(ledger.path)
    kept = list(reader.segments("app.fetch", TIMES, 0))

    assert 1 < len(kept) < 60
    assert sum(len(each.data) + store.ROW for each in kept) <= 20_000
    assert round((clock.time() + 5999) * 1e6) == kept[-1].last
    ledger.close()
    reader.close()


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path, cache, fetch):
    """Whoever deletes a cache does not find its evidence there a second later."""
    import shutil

    fetch("Oslo")
    shutil.rmtree(cache.path)
    cache.witness.look()

    assert not cache.path.exists()


def test_a_deleted_file_is_begun_anew(cache, fetch, evidence, clock):
    """Nothing is written to a file that nobody can find any more."""
    fetch("Oslo")
    evidence().reader.close()
    for path in cache.path.glob("recording.db*"):
        path.unlink()
    clock.advance(1)
    fetch("Oslo")

    assert 1 == len(evidence().times())


def test_a_damaged_file_is_set_aside(cache, fetch, evidence, clock, notes):
    """One line tells; what comes after is kept."""
    fetch("Oslo")
    evidence()
    cache.witness.recorder.close()
    path = cache.path / "recording.db"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    clock.advance(1)
    fetch("Oslo")
    cache.witness.look()
    clock.advance(1)
    fetch("Oslo")
    cache.witness.look()

    assert list(cache.path.glob("recording.db.broken-1"))
    assert ["holdfast.recording.failed"] == [note.event for note in notes]
    assert "set aside" in notes[0].text
    assert 1 == len(evidence().times())


def test_somebody_elses_file_is_left_alone(cache, fetch, evidence, notes):
    """Calls go on, and one line tells."""
    cache.stats()
    path = cache.path / "recording.db"
    path.write_text("my own notes")
    path.chmod(0o600)

    assert "OSLO" == fetch("Oslo")
    cache.witness.look()
    cache.witness.look()
    assert "my own notes" == path.read_text()
    assert ["holdfast.recording.failed"] == [note.event for note in notes]


def test_two_functions_are_two_tasks(cache, fetch, clock):
    """Each has its own counts."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def other(city: str) -> str:
        return city

    fetch("Oslo")
    other("Oslo")
    cache.witness.look()

    assert 2 == len(store.Reader(cache.path / "recording.db").tasks())


def test_counts_wait_for_better_times(cache, fetch, evidence, monkeypatch, notes):
    """What could not be written is not counted twice, and counts are not lost."""
    fetch("Oslo")
    with monkeypatch.context() as patched:
        patched.setattr(store.Ledger, "write", lambda *_: 1 / 0)
        cache.witness.look()
    fetch("Oslo")
    cache.witness.recorder._rest_until = 0.0

    assert 2 == evidence().counts().gets
    assert 1 == len(notes)


def test_a_file_that_cannot_be_written_is_left_alone_for_a_while(cache, fetch, evidence, clock, monkeypatch, notes):
    """What waits meanwhile is bounded: the oldest is dropped, and the counts are whole all the same."""
    monkeypatch.setattr(recorder_module, "REST", 3600.0)
    monkeypatch.setattr(taps, "MOST_WAITING", 4)
    fetch("Oslo")
    tries = []
    with monkeypatch.context() as patched:
        patched.setattr(store.Ledger, "write", lambda *_: tries.append(1) or 1 / 0)
        for _ in range(7):
            cache.witness.look()
            clock.advance(1)
            fetch("Oslo")
        cache.witness.look()
    cache.witness.recorder._rest_until = 0.0
    found = evidence()

    assert [1] == tries
    assert 8 == found.counts().gets
    assert [round((clock.time() - seconds) * 1e6) for seconds in (3, 2, 1, 0)] == [time for _, time in found.times()]


def test_a_file_that_cannot_be_written_thins_nothing_out(cache, fetch, evidence, monkeypatch, notes):
    """What waits for better times waits at each look, and is counted at one."""
    monkeypatch.setattr(recorder_module, "REST", 3600.0)
    monkeypatch.setattr(taps, "BURST", 20)
    monkeypatch.setattr(taps, "SUSTAINED", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(store.Ledger, "write", lambda *_: 1 / 0)
        fetch("Oslo")
        cache.witness.look()
    for number in range(8):
        fetch(str(number))
    for _ in range(10):
        cache.witness.look()
    cache.witness.recorder._rest_until = 0.0

    assert {0} == {segment.shift for segment in evidence().segments(TIMES)}
    assert 9 == evidence().counts().gets


def test_every_kept_key_is_kept_whole_beside_answers(fetch, evidence, clock):
    """The time of an answer that somebody waited for is one of the accesses."""
    for city in ("Oslo", "Lima"):
        fetch(city)
        clock.advance(1)
    found = evidence()

    assert {(each.key, round(each.began * 1e6)) for each in found.answers()} <= set(found.times())
    assert 1 == len(found.segments(ANSWERS))


def test_opening_a_cache_twice_records_once(tmp_path, clock):
    """Two objects for one folder share who attends it."""
    one, other = DiskCache(tmp_path / "c"), DiskCache(tmp_path / "c")
    one.stats()
    other.stats()

    assert one.witness is other.witness
    one.close()
    other.close()


@pytest.mark.usefixtures("recorders_thread")
def test_where_no_thread_can_be_had_calls_go_on_and_ask_for_one_again(cache, fetch, evidence, monkeypatch):
    """The first calls of a process may come at a bad time."""
    attendant._watch.stop()

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert "OSLO" == fetch("Oslo")
        assert attendant._watch._thread is None
    assert "LIMA" == fetch("Lima")

    assert attendant._watch._thread.is_alive()
    assert 2 == evidence().counts().fills


def test_a_function_made_anew_all_the_time_leaves_nothing_behind(cache, evidence, clock, monkeypatch):
    """Around another value each time it has another fingerprint, and is one task all the same."""
    monkeypatch.setattr(recorder_module, "MOST_TAPS", 3)
    monkeypatch.setattr(hashes, "MOST_SEEDS", 3)

    def price(rate: float) -> float:
        @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
        def of(amount: int) -> float:
            return amount * rate

        return of(2) + of(2)

    for rate in range(10):
        assert 4 * rate == price(rate)
    recorder = cache.witness.recorder

    assert 3 >= max(len(recorder._logs_by_namespace), len(recorder._hasher._seeds))
    assert (20, 10) == (evidence().counts().gets, evidence().counts().fills)
