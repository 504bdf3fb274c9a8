"""How old entries were when they had to make room: counted for each task, and read for tuning."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import CachePolicy, DiskCache, Tune, resilient
from holdfast._evidence import age_class
from holdfast.cache._sweep import Swept
from holdfast.recording import store
from holdfast.recording.schema import SCHEMA
from holdfast.recording.store import Counted, Ledger, Reader
from holdfast.recording.taps import Counts
from holdfast.tuning import Evictions, Recording, tune
from holdfast.values._sqlite import Database
from tests.children import in_child

SMALL = 1 << 17
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def cache(tmp_path):
    """One with little room."""
    cache = DiskCache(tmp_path / "cache", size_limit=SMALL)
    yield cache
    cache.close()


@pytest.fixture
def fetch(cache):
    """Its results are large."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="30d"), cache=cache)
    def fetch(number: int) -> str:
        return str(number) * 3000

    return fetch


@contextlib.contextmanager
def written_beside(cache):
    """A connection to the cache's database that is not the cache's."""
    with contextlib.closing(sqlite3.connect(cache.path / "cache.db")) as connection, connection:
        yield connection


def rows(cache):
    """When each row was stored, by its name: read beside the cache."""
    with written_beside(cache) as connection:
        return dict(connection.execute("SELECT key, store_time FROM Cache"))


def settled():
    """No sweep is under way."""
    for thread in threading.enumerate():
        if thread.name == "holdfast-sweep":
            thread.join(60)


def grow_old(cache):
    """Let what is there have been stored at many moments, from a second to months ago."""
    with written_beside(cache) as connection:
        for number, (name,) in enumerate(connection.execute("SELECT key FROM Cache ORDER BY key").fetchall()):
            connection.execute("UPDATE Cache SET store_time = store_time - ? WHERE key = ?", (3.1**number, name))


def test_each_evicted_entry_is_counted_by_its_age(cache, fetch):
    """As what was there before and is not afterwards says; of each task by itself."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="30d"), cache=cache)
    def other(number: int) -> str:
        return str(number) * 3000

    for number in range(5):
        fetch(number)
        other(number)
    settled()
    grow_old(cache)
    before, began = rows(cache), time.time()
    for number in range(5, 40):
        fetch(number)
    settled()
    cache.witness.look()
    gone = set(before) - set(rows(cache))
    reader = Reader(cache.path / "recording.db")
    found = [reader.evicted(each.key(0).namespace.rpartition("@")[0], 0) for each in (fetch, other)]
    old = [
        Counter(age_class(began - before[name]) for name in gone if part in name and began - before[name] > 64)
        for part in (b"fetch", b"other")
    ]

    assert old == [Counter({each: number for each, number in counted.items() if each > 6}) for counted in found]
    assert sum(map(Counter.total, old)) >= 5
    assert cache.stats().evicted == sum(map(Counter.total, found))


def test_they_wait_for_better_times(cache, fetch, monkeypatch, notes):
    """What could not be written is not lost, and not counted twice."""
    for number in range(40):
        fetch(number)
    settled()
    with monkeypatch.context() as patched:
        patched.setattr(store.Ledger, "write", lambda *_: 1 / 0)
        cache.witness.look()
    cache.witness.recorder._rest_until = 0.0
    cache.witness.look()
    cache.witness.look()

    evicted = cache.stats().evicted
    assert evicted > 5
    assert evicted == Recording.load(cache.path).counters.evictions.entries


@FORKS
def test_a_child_leaves_its_parents_to_the_parent(cache, fetch):
    """What is not written at a fork is written once."""
    for number in range(40):
        fetch(number)
    settled()

    def look():
        cache.stats()
        cache.witness.look()
        return True

    assert 0 == in_child(look)
    fetch(39)
    cache.witness.look()
    assert cache.stats().evicted == Recording.load(cache.path).counters.evictions.entries


def test_what_is_swept_before_anybody_attends_is_counted(cache, fetch):
    """A sweep may come while the cache is being opened."""
    namespace = fetch.key(0).namespace
    cache._swept(Swept("evicted", 7, 70, 0.0, Counter({(namespace, 20): 7})))
    assert cache.witness is None
    fetch(0)
    cache.witness.look()

    assert {20: 7} == Reader(cache.path / "recording.db").evicted(namespace.rpartition("@")[0], 0)


def test_they_are_counted_by_the_hour(tmp_path):
    """So that those of last year do not speak for today."""
    ledger = Ledger(tmp_path)
    for hour, entries in ((0, 3), (0, 1), (10, 5)):
        ledger.write([], [Counted("app.fetch", None, Counts(gets=1), {4: entries})], hour * 3600 + 7)
    ledger.close()
    reader = Reader(tmp_path / "recording.db")

    assert [{4: 9}, {4: 5}, {}] == [reader.evicted("app.fetch", since) for since in (0, 7200, 40_000)]


def test_a_recording_of_the_last_schema_is_read_and_written_on(tmp_path):
    """It did not count them."""
    older = Database(tmp_path / "recording.db", SCHEMA._replace(migrations=SCHEMA.migrations[:4]))
    with older.transaction() as connection:
        connection.execute(
            "INSERT INTO counts (task, hour, gets, fills, refreshes, probes, errors, seconds, bytes) VALUES ('fetch', 0, 5, 0, 0, 0, 0, 0, 0)"
        )
    older.close()
    read = Recording.load(tmp_path).counters
    ledger = Ledger(tmp_path)
    ledger.write([], [Counted("fetch", None, Counts(gets=1), {0: 2})], 7.0)
    ledger.close()

    assert (5, 0) == (read.gets, read.evictions.entries)
    assert (6, 2) == ((found := Recording.load(tmp_path).counters).gets, found.evictions.entries)


@given(st.lists(st.floats(0, 2.0**29), min_size=1), st.floats(0.001, 1))
def test_an_age_is_right_within_a_factor_of_two(ages, share):
    """Beside the sorted list; below a second by less than one."""
    by_class = {}
    for each in ages:
        by_class[age_class(each)] = by_class.get(age_class(each), 0) + 1
    exact = sorted(ages)[max(0, math.ceil(share * len(ages) - 1e-9) - 1)]
    found = Evictions(by_class).age(share)

    assert len(ages) == Evictions(by_class).entries
    assert abs(found - exact) <= 1 or 0.49 * exact <= found <= 2.01 * exact


def test_without_any_there_is_no_age():
    """Nor a class."""
    assert (0, None) == (Evictions().entries, Evictions().age())


def test_a_full_cache_is_a_doubt(cache, fetch):
    """A recommendation says how long entries live there, whatever their TTL."""
    for number in range(40):
        fetch(number)
        fetch(number)
    settled()
    cache.witness.look()
    after = tune(cache.path)
    ledger = Ledger(cache.path)
    ledger.write([], [Counted(after.task, None, Counts(), {12: 10**6})], time.time())
    ledger.close()
    later = tune(cache.path).recommendation.what_could_be_wrong

    assert any("the cache was full" in line for line in after.recommendation.what_could_be_wrong)
    assert cache.stats().evicted == after.facts.evicted
    assert any(
        "entries had to make room for others, half of them younger than 48.3m; a TTL beyond that gains less" in line for line in later
    )


def test_a_task_that_is_not_recorded_leaves_nothing(cache, fetch):
    """Its entries make room, too; those of the others are counted."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="30d", tune=Tune(mode="off")), cache=cache)
    def private(number: int) -> str:
        return str(number) * 3000

    for number in range(20):
        private(number)
        fetch(number)
    settled()
    cache.witness.look()
    (task,) = Recording.tasks(cache.path)
    counted = Reader(cache.path / "recording.db").evicted(task, 0)

    assert task.endswith("fetch")
    assert 0 < sum(counted.values()) < cache.stats().evicted
    assert not Reader(cache.path / "recording.db").evicted(private.key(0).namespace.rpartition("@")[0], 0)


@FORKS
def test_a_child_does_not_tell_what_its_parent_is_to_tell(cache, fetch):
    """It waited for somebody to attend the cache."""
    namespace = fetch.key(0).namespace
    cache._swept(Swept("evicted", 7, 70, 0.0, Counter({(namespace, 20): 7})))

    def call():
        fetch(0)
        cache.witness.look()
        return True

    assert 0 == in_child(call)
    fetch(1)
    cache.witness.look()

    assert {20: 7} == Reader(cache.path / "recording.db").evicted(namespace.rpartition("@")[0], 0)


def test_rows_of_when_the_clock_was_wrong_have_no_age(cache, fetch):
    """They go first, and would seem to have been new; one that says nonsense harms nothing."""
    for number in range(5):
        fetch(number)
    settled()
    with written_beside(cache) as connection:
        names = [name for (name,) in connection.execute("SELECT key FROM Cache")]
        connection.execute("UPDATE Cache SET store_time = store_time + 1e6")
        connection.execute("UPDATE Cache SET store_time = 'nonsense' WHERE key = ?", (names[0],))
        connection.execute("UPDATE Cache SET store_time = -9e999 WHERE key = ?", (names[1],))
    for number in range(5, 40):
        fetch(number)
    settled()
    cache.witness.look()
    counted = Reader(cache.path / "recording.db").evicted(fetch.key(0).namespace.rpartition("@")[0], 0)

    assert not set(names) & set(rows(cache))
    assert cache.stats().evicted - 4 == sum(counted.values())
    assert 1 == counted[30]
