"""Why a call finds nothing: each cause, the nearest keys, and what is kept for it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing, nullcontext

import pytest

from holdfast import CachePolicy, InMemoryCache, PolicyError, StoreError, resilient, task
from holdfast import clock as time_of
from holdfast.cache import _fates, _rows
from holdfast.cache.default import set_default_cache
from holdfast.recording.store import FILE
from holdfast.testing import recorded
from holdfast.tuning import Recording


@pytest.fixture
def cache(open_cache):
    """A disk cache, the default one."""
    cache = open_cache()
    before = set_default_cache(cache)
    yield cache
    set_default_cache(before)


def fetch(cache, **policy):
    """A function with two arguments that is cached."""

    @resilient(cache=cache, cache_policy=CachePolicy(**{"ttl": "1h", "version": "1"} | policy))
    def fetch(city, days=3):
        return [city, days]

    return fetch


def cause(explanation):
    """What is compared: the cause, and the first words for a person."""
    return explanation.cause, str(explanation).partition(":")[0]


def test_cold(cache):
    """Never stored; then there, and nothing is missing."""
    fn = fetch(cache)
    assert ("cold", "cold") == cause(fn.why_miss("Oslo"))
    fn("Oslo")

    assert ("", "found") == cause(fn.why_miss("Oslo"))


def test_expired(cache, sql):
    """By the ttl that is in force, not by the one it was stored with."""
    fetch(cache)("Oslo")
    sql("UPDATE Cache SET store_time = store_time - 1800")
    said = fetch(cache, ttl="20m").why_miss("Oslo")

    assert "expired" == said.cause
    assert (1200, pytest.approx(1800, abs=30)) == (said.ttl, said.stored_s)
    assert str(said).endswith("and its ttl is over: 20m")
    assert "" == fetch(cache, ttl="1h").why_miss("Oslo").cause


def test_evicted(open_cache, swept):
    """It had to make room."""
    cache = open_cache(size_limit=1 << 17)
    fn = fetch(cache)
    fn("Oslo")
    for n in range(20):
        fn("x" * 10_000, n)
    swept()

    assert "evicted" == fn.why_miss("Oslo").cause
    cache.close()  # memory has it yet
    assert cache.get(fn.key("Oslo"), None) is None
    assert "evicted" == cache.miss_cause(fn.key("Oslo"))
    assert cache.get(fn.key("Oslo"), None) is None
    fn("Oslo")
    assert {} == cache._causes  # what a thread found out that only waited is not left for a later miss


def test_expired_long_ago(cache, sql, swept, codec, new_key):
    """Also when the entry is gone."""
    fn = fetch(cache)
    fn("Oslo")
    sql("UPDATE Cache SET expire_time = 1")
    cache.set(new_key("large"), b"x" * (1 << 20), codec, ttl=60)
    swept()

    assert ("expired", True) == (fn.why_miss("Oslo").cause, fn.why_miss("Oslo").gone_s is not None)


@pytest.mark.parametrize(
    "how", [lambda cache, fn: fn.forget("Oslo"), lambda cache, fn: fn.purge(), lambda cache, fn: cache.invalidate("t")]
)
def test_invalidated(cache, how):
    """By whatever way."""
    fn = fetch(cache, tags=("t",))
    fn("Oslo")
    how(cache, fn)

    assert "invalidated" == fn.why_miss("Oslo").cause


def test_of_another_version(cache):
    """Which one is said; a call with other arguments is just cold."""
    fetch(cache, version="1")("Oslo")
    fn = fetch(cache, version="2")
    said = fn.why_miss("Oslo")

    assert ("version", "1") == (said.cause, said.other)
    assert "cold" == fn.why_miss("Lima").cause


def test_another_task_with_equal_arguments_is_none(cache, codec):
    """Its key has the same digest."""
    fn = fetch(cache)
    cache.set(fn.key("Oslo")._replace(namespace="app.other@1"), 1, codec, ttl=60)

    assert "cold" == fn.why_miss("Oslo").cause


def test_what_could_not_be_read(cache, sql):
    """It was removed, which is not eviction."""
    fn = fetch(cache)
    fn("Oslo")
    cache.close()
    sql("UPDATE Cache SET value = x'00'")
    cache.get(fn.key("Oslo"), None)

    assert "error" == fn.why_miss("Oslo").cause


def test_the_nearest_keys_are_compared_argument_by_argument(cache):
    """Fewest differences first."""
    fn = fetch(cache)
    fn("Oslo", 3), fn("Lima", 4), fn("Lima", 5)
    said = fn.why_miss("Oslo", 4)

    assert {("days",), ("city",)} == {near.differs for near in said.nearest}
    assert {fn.key("Oslo", 3).digest.hex(), fn.key("Lima", 4).digest.hex()} == {near.key for near in said.nearest}
    assert "differs in days" in str(said)


def test_no_argument_can_be_read_from_the_disk(cache, sql):
    """Nor found by trying: the digests are salted with a secret that lies elsewhere."""
    fn = fetch(cache)
    fn("a secret city")
    ((parts,),) = sql("SELECT parts FROM HoldfastFate")
    (digest, *_) = fn.__wrapped__ and [part.digest for part in fn.explain_key("a secret city").parts]

    assert b"city" in parts
    assert b"secret" not in parts
    assert bytes.fromhex(digest)[:8] not in parts


def test_a_key_function_is_not_called_for_it(cache):
    """It may cost something; such keys are explained without a comparison."""
    calls = []
    fn = fetch(cache, key_func=lambda city, days=3: calls.append(city) or city)
    fn("Oslo")

    assert 1 == len(calls)
    assert ("cold", ()) == (fn.why_miss("Lima").cause, fn.why_miss("Lima").nearest)


def test_invalidated_and_not_removed_yet(cache, monkeypatch):
    """The entry is on disk for as long as the sweep has not come to it; nobody is served by it, and it is said why."""
    monkeypatch.setattr(_rows, "sweep", lambda *_: None)
    fn = fetch(cache, tags=("t",))
    fn("Oslo")
    cache.invalidate("t")

    assert 1 == cache.stats().entries
    with recorded() as told:
        fn("Oslo")
    assert ["invalidated"] == [each["cache_cause"] for each in told.facts if each["kind"] == "call"]


def test_why_is_not_known_of_a_cache_that_was_deleted(cache, folder):
    """What was kept for it went with it; it is not said that an entry had expired."""
    fn = fetch(cache)
    cache.get(fn.key("Lima"), None)
    shutil.rmtree(folder)
    with recorded() as told:
        fn("Oslo")
        fn("Bergen")

    assert ["", "cold"] == [each.get("cache_cause", "") for each in told.facts if each["kind"] == "call"]


def test_why_is_known_though_the_cache_was_closed_meanwhile(open_cache, codec, key):
    """By another thread, while this one was about to compute: what its look found is what it says."""
    cache = open_cache()
    cache.get(key, codec)
    cache.close()

    assert "cold" == cache.miss_cause(key)


@pytest.mark.parametrize("memory_entries", [0, 100])
def test_what_another_process_has_computed_was_not_missing_the_next_time(open_cache, codec, key, memory_entries):
    """A call that waited for it had found nothing before; when the entry expires, that is no reason any more."""
    here, there = (open_cache(memory_entries=memory_entries) for _ in range(2))
    here.get(key, codec)
    there.set(key, 1, codec, ttl=60)

    assert 1 == here.get(key, codec).value
    assert "expired" == here.miss_cause(key)


def test_few_keys_are_remembered(open_cache, codec, new_key, sql, monkeypatch):
    """The newest, in proportion to the size of the cache."""
    monkeypatch.setattr("holdfast.cache._rows.TRIM_EVERY", 10)
    cache = open_cache(size_limit=1 << 17)
    for n in range(100):
        cache.set(new_key(str(n)), n, codec, ttl=60)

    assert [(_fates.most_of(1 << 17),)] == sql("SELECT count(*) FROM HoldfastFate")
    assert [32, 100, 20_000] == [_fates.most_of(size) for size in (1 << 17, 400_000, 1 << 40)]


def test_tasks_explain_their_misses(cache):
    """As `resilient` functions do."""
    fn = task(fetch(cache).__wrapped__, cache_policy=CachePolicy(ttl="1h"))

    assert "cold" == fn.why_miss("Oslo").cause
    fn.invoke("Oslo")
    assert "" == fn.why_miss("Oslo").cause


CAUSES = {
    "cold": lambda cache, fn: fn("Lima"),
    "expired": lambda cache, fn: (fn("Oslo"), time_of.current.advance(3600)),
    "invalidated": lambda cache, fn: (fn("Oslo"), fn.forget("Oslo")),
    "marked": lambda cache, fn: (fn("Oslo"), cache.invalidate("t")),
    "version": lambda cache, fn: fetch(cache, version="0")("Oslo"),
    "error": lambda cache, fn: (fn("Oslo"), spoiled(cache)),
}


def spoiled(cache):
    """Its rows hold something else."""
    cache.close()
    with closing(sqlite3.connect(cache.path / "cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET value = x'00'")


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("is_observed", [True, False])
@pytest.mark.parametrize("memory_entries", [0, 100])
def test_a_call_that_computes_says_why(open_cache, monkeypatch, clock, cause, is_observed, memory_entries):
    """To whoever observes it, and to the recording: without another question, and only if nothing was found."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    cache = open_cache(memory_entries=memory_entries)
    fn = fetch(cache, tags=("t",))
    CAUSES[cause](cache, fn)
    before = misses(cache)
    with recorded() if is_observed else nullcontext() as told:
        fn("Oslo")
        fn("Oslo")
    expected = "invalidated" if cause == "marked" else cause

    assert {expected: before.get(expected, 0) + 1} == {
        name: number for name, number in misses(cache).items() if number != before.get(name, 0)
    }
    if told is not None:
        assert [expected, ""] == [each.get("cache_cause", "") for each in told.facts if each["kind"] == "call"]


def misses(cache):
    """As they are recorded."""
    if cache.witness is None:
        cache.stats()
    cache.witness.look()
    return Recording.load(cache.path, task="fetch").counters.misses if (cache.path / FILE).exists() else {}


def test_caches_that_keep_no_record(tmp_path, open_cache):
    """It is said which one does; and a cache that cannot be read is an error, not a cause."""
    with pytest.raises(PolicyError, match="InMemoryCache does not keep in mind why its entries went: a DiskCache does"):
        fetch(InMemoryCache()).why_miss("Oslo")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError):
        fetch(open_cache(tmp_path / "file")).why_miss("Oslo")


def test_a_clock_that_was_set_back_explains_all_the_same(cache, monkeypatch):
    """No age is negative."""
    fn = fetch(cache)
    fn("Oslo")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)

    assert ("", 0.0) == (fn.why_miss("Oslo").cause, fn.why_miss("Oslo").stored_s)
