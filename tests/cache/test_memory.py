"""InMemoryCache: bounds, encoding, and what every cache has in common."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

import httpx
import pytest

from holdfast.cache._lru import Lru, hold
from holdfast.cache.disk import DiskCache
from holdfast.cache.info import CacheStats, matches
from holdfast.cache.memory import InMemoryCache
from holdfast.errors import NotSerializable, PolicyError
from holdfast.policies.classify import is_transient
from holdfast.typing import Cache, CacheKey
from holdfast.values.codec import PickleCodec


def test_is_a_cache(cache):
    """Both caches have every method of the protocol."""
    assert isinstance(cache, Cache)


def test_only_the_disk_blocks(open_cache):
    """Async callers go through a thread for the disk alone."""
    assert (False, True) == (InMemoryCache().is_blocking, open_cache().is_blocking)


def test_nothing_was_stored(cache, codec, key):
    """A key that was never set is a miss, in every tier."""
    assert (None, None) == (cache.peek(key, codec), cache.get(key, codec))


@pytest.mark.parametrize(
    "value", [None, True, 0, -7, 1.5, "", "text", b"", b"bytes", [1, [2]], {"a": (1, 2)}, {1, 2}, 2**70, float("inf")], ids=repr
)
def test_comes_back_equal_and_of_the_same_type(cache, codec, key, value):
    """What is stored is what is served, from memory as from disk."""
    cache.set(key, value, codec, ttl=60)

    assert (value, type(value)) == (cache.get(key, codec).value, type(cache.get(key, codec).value))


def test_entry_tells_when_and_how(cache, clock, codec, key):
    """Times, size and origin come back with the value."""
    stored_at = clock.time()
    size = cache.set(key, [1, 2], codec, ttl=60, origin=("ab" * 16, "cd" * 8))

    clock.advance(5)
    entry = cache.get(key, codec)

    assert (stored_at, 60, size, "memory", False, "ab" * 16, "cd" * 8) == entry[1:8]
    assert len(codec.encode([1, 2])) == size


def test_no_ttl_is_kept_as_none(cache, codec, key):
    """None is no time to live, not zero."""
    cache.set(key, 1, codec, ttl=None)

    assert cache.get(key, codec).ttl is None


def test_expired_entries_are_still_found(cache, clock, codec, key):
    """Freshness is judged by the policy at read time, not by the store."""
    cache.set(key, 1, codec, ttl=1)

    clock.advance(3600)

    assert 1 == cache.get(key, codec).value


def test_what_comes_back_is_the_callers_own(cache, codec, key):
    """Changing a served list, or the list that was stored, does not change the cache."""
    given = [1]
    cache.set(key, given, codec, ttl=60)
    given.append(2)
    cache.get(key, codec).value.append(3)

    assert [1] == cache.get(key, codec).value


def test_a_failure_comes_back_as_an_exception(cache, codec, key):
    """A negative entry holds the exception, made anew for each caller."""
    cache.set(key, ValueError("no such city"), codec, ttl=60, negative=True)

    first, second = cache.get(key, codec), cache.get(key, codec)

    assert first.negative
    assert (ValueError, ("no such city",)) == (type(first.value), first.value.args)
    assert first.value is not second.value


def test_refuses_what_production_would_refuse(cache, codec, key):
    """A value that cannot be encoded is refused when it is stored."""
    with pytest.raises(NotSerializable):
        cache.set(key, object(), codec, ttl=60)


def test_a_later_value_replaces_the_earlier(cache, codec, key):
    """One key, one value."""
    cache.set(key, "old", codec, ttl=60)
    cache.set(key, "new", codec, ttl=60)

    assert ("new", 1) == (cache.get(key, codec).value, cache.stats().entries)


def test_another_codec_is_a_miss(cache, codec, key, reasons):
    """Bytes of one codec are never read with another."""
    cache.set(key, [1], PickleCodec(secret=b"s" * 32), ttl=60)

    assert cache.get(key, codec) is None
    assert ["corrupt"] == reasons()


def test_delete_forgets_one(cache, codec, key, new_key):
    """The other entries stay."""
    cache.set(key, 1, codec, ttl=60)
    cache.set(new_key("other"), 2, codec, ttl=60)

    assert (True, False) == (cache.delete(key), cache.delete(key))
    assert (None, 2) == (cache.get(key, codec), cache.get(new_key("other"), codec).value)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("a.f@1", ["a.f@2", "a.fg@1"]),
        ("a.f@*", ["a.fg@1"]),
        ("a.f*", []),
        ("a.f", ["a.f@1", "a.f@2", "a.fg@1"]),
        (None, []),
        ("*f@*", ["a.fg@1"]),
        ("*@1", ["a.f@2"]),
        ("a.*g@*", ["a.f@1", "a.f@2"]),
        ("**", []),
        ("a?f@1", ["a.f@1", "a.f@2", "a.fg@1"]),
        ("*.f", ["a.f@1", "a.f@2", "a.fg@1"]),
    ],
)
def test_purge_by_namespace(cache, codec, new_key, pattern, left):
    """A namespace is exact, but for its stars; entries() and purge() mean the same by it."""
    namespaces = ["a.f@1", "a.f@2", "a.fg@1"]
    for namespace in namespaces:
        cache.set(new_key("k", namespace), namespace, codec, ttl=60)

    assert set(namespaces) - set(left) == {info.key.namespace for info in cache.entries(pattern)}
    assert 3 - len(left) == cache.purge(namespace=pattern)
    assert left == [name for name in namespaces if cache.get(new_key("k", name), codec) is not None]


@pytest.mark.parametrize("tag", ["a", "b\n", "%0A", "sql' OR 1=1 --", "ü"])
def test_purge_by_tag(cache, codec, new_key, tag):
    """Only entries with exactly this tag go, whatever characters it has."""
    cache.set(new_key("1"), 1, codec, ttl=60, tags=(tag, "x"))
    cache.set(new_key("2"), 2, codec, ttl=60, tags=(f"{tag}{tag}", f"x{tag}", "\n"))
    cache.set(new_key("3"), 3, codec, ttl=60)

    assert 1 == cache.purge(tag=tag)
    assert [None, 2, 3] == [entry and entry.value for entry in (cache.get(new_key(name), codec) for name in "123")]


def test_purge_by_namespace_and_tag(cache, codec, new_key):
    """Both must match."""
    cache.set(new_key("1", "a"), 1, codec, ttl=60, tags=("t",))
    cache.set(new_key("1", "b"), 2, codec, ttl=60, tags=("t",))
    cache.set(new_key("2", "a"), 3, codec, ttl=60)

    assert 1 == cache.purge(namespace="a", tag="t")
    assert 2 == cache.stats().entries


def test_purge_by_age(cache, codec, new_key, monkeypatch):
    """What was stored longer ago goes; the rest stays, whatever its ttl."""
    cache.set(new_key("old"), 1, codec, ttl=None)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    cache.set(new_key("new"), 1, codec, ttl=1)

    assert 0 == cache.purge(older_than="3h")
    assert 1 == cache.purge(older_than="1h")
    assert ["new"] == [info.key.digest.decode().strip(".") for info in cache.entries()]


def test_purge_by_no_age(cache, codec, key):
    """It takes nothing."""
    cache.set(key, 1, codec, ttl=60)

    with pytest.raises(PolicyError, match="older_than='soon'"):
        cache.purge(older_than="soon")
    assert cache.get(key, codec) is not None


@pytest.mark.parametrize(
    ("given", "text"), [({"tag": ["weather"]}, r"tag=\['weather'\]: give one text"), ({"namespace": 5}, "namespace=5: give one")]
)
def test_a_purge_by_what_is_no_text(given, text, tmp_path):
    """Would match nothing in memory, and raised an AttributeError on disk."""
    for cache in (InMemoryCache(), DiskCache(tmp_path)):
        with pytest.raises(PolicyError, match=text):
            cache.purge(**given)


def test_entries_tell_about_values_without_reading_them(cache, codec, new_key):
    """Key, ttl, tags and size; in a namespace or altogether."""
    cache.set(new_key("1", "a"), [1], codec, ttl=60, tags=("t", "u\n"))
    cache.set(new_key("2", "b"), [2], codec, ttl=None)

    found = [(info.key, info.ttl, info.tags) for info in cache.entries()]

    assert [(new_key("1", "a"), 60, ("t", "u\n")), (new_key("2", "b"), None, ())] == found
    assert [new_key("2", "b")] == [info.key for info in cache.entries("b")]
    assert all(info.size > 0 and info.stored_at > 0 for info in cache.entries())


def test_can_be_used_again_after_close(cache, codec, key):
    """Closing releases; it does not end."""
    cache.set(key, 1, codec, ttl=60)
    cache.close()
    cache.set(key, 2, codec, ttl=60)

    assert 2 == cache.get(key, codec).value


def test_evicts_the_least_recently_used_entry(codec, new_key):
    """A hit counts as use."""
    cache = InMemoryCache(max_entries=2)
    cache.set(new_key("1"), 1, codec, ttl=60)
    cache.set(new_key("2"), 2, codec, ttl=60)
    cache.get(new_key("1"), codec)
    cache.set(new_key("3"), 3, codec, ttl=60)

    assert [True, False, True] == [cache.peek(new_key(name), codec) is not None for name in "123"]


def test_is_bounded_by_bytes(codec, new_key):
    """Encoded values never take more than max_bytes together."""
    cache = InMemoryCache(max_bytes=1000)
    sizes = [cache.set(new_key(str(n)), "x" * 200, codec, ttl=60) for n in range(20)]

    assert CacheStats(None, 4, 4 * sizes[0], evicted=16, evicted_bytes=16 * sizes[0]) == cache.stats()


def test_a_replaced_value_gives_its_bytes_back(codec, key):
    """The count of bytes does not creep."""
    cache = InMemoryCache(max_bytes=1000)
    for length in (200, 10, 100):
        size = cache.set(key, "x" * length, codec, ttl=60)

    assert CacheStats(None, 1, size) == cache.stats()


def test_a_value_that_is_too_large_is_not_kept(codec, key, reasons):
    """It would push out all others; the earlier value of the key goes too."""
    cache = InMemoryCache(max_bytes=1000)
    cache.set(key, "small", codec, ttl=60)

    assert cache.set(key, "x" * 300, codec, ttl=60) is None
    assert cache.get(key, codec) is None
    assert ["too_large"] == reasons()


@pytest.mark.parametrize("limits", [{"max_entries": 0}, {"max_bytes": 0}])
def test_limits_that_keep_nothing_are_refused(limits):
    """A cache that never holds anything is a mistake."""
    with pytest.raises(PolicyError, match="would keep nothing"):
        InMemoryCache(**limits)


def test_threads_leave_the_count_right(codec, new_key):
    """Entries and bytes agree after many threads set, get and delete at once."""
    cache = InMemoryCache(max_entries=50)
    sizes = {n: len(codec.encode("x" * n)) for n in range(100)}

    def work(seed):
        for step in range(2000):
            n = (step * seed) % 100
            cache.set(new_key(str(n)), "x" * n, codec, ttl=60)
            cache.get(new_key(str(n)), codec)
            if step % 3 == 0:
                cache.delete(new_key(str(n)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 7, 13, 29)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    held = [int(info.key.digest.decode().lstrip(".")) for info in cache.entries()]
    assert len(held) <= 50
    assert (len(held), sum(sizes[n] for n in held)) == cache.stats()[1:3]


def test_a_forked_child_is_not_stuck_on_a_lock(key):
    """A lock that another thread held at the fork is replaced, and what it guarded forgotten."""
    lru = Lru(10, 1000)
    lru._lock.acquire()

    lru.after_fork_in_child()

    assert (None, 0) == (lru.get(key), lru.bytes)


def test_reprs_show_how_to_make_them(open_cache, folder):
    """A repr one would like to read."""
    assert "InMemoryCache(max_entries=10000, max_bytes=67108864)" == repr(InMemoryCache())
    assert f"DiskCache({str(folder)!r})" == repr(open_cache())


@pytest.mark.parametrize(("pattern", "expected"), [("a.f", False), ("a.f@1", True), ("a.f@*", True), ("*", True), ("", False)])
def test_matches(pattern, expected):
    """Only a trailing star is special."""
    assert expected == matches(pattern, "a.f@1")


def test_an_entry_evicted_while_it_is_looked_up_is_still_found():
    """Looking takes no lock: what was there when the look began is the answer."""

    class Evicting(OrderedDict):
        """Another thread evicts everything between the two steps of a look."""

        def get(self, key):
            found = super().get(key)
            self.clear()
            return found

    lru = Lru(10, 1_000)
    lru._held = Evicting()
    held = hold(1, b"\1", 1, (0.0, None, 1, "memory", False, "", ""))
    lru.put(CacheKey("n", b"k"), held)

    assert held is lru.get(CacheKey("n", b"k"))
    assert 0 == len(lru)


@pytest.mark.parametrize("given", ["5", 1.5, True, None, -1])
def test_a_limit_that_is_no_number_is_refused(given):
    """When the cache is made, not at the first value that it is to keep; the text names the limit."""
    for what in ("max_entries", "max_bytes"):
        with pytest.raises(PolicyError, match=f"{what}={given!r}"):
            InMemoryCache(**{what: given})
    for what in ("memory_entries", "memory_bytes"):
        with pytest.raises(PolicyError, match=f"{what}={given!r}: give a whole number of at least 0"):
            DiskCache("never-made", **{what: given})


def test_a_folder_leads_to_the_cache_that_has_one():
    """The first parameter of one is the folder, and of the other a number."""
    with pytest.raises(PolicyError, match=r"write DiskCache\('my-cache'\)"):
        InMemoryCache("my-cache")


@pytest.mark.parametrize(("status", "expected"), [(404, False), (503, True)])
def test_a_remembered_failure_is_judged_as_the_original(cache, codec, key, status, expected):
    """By what was at hand then, not by what is left of it: an outer policy does at every hit what it did at first."""
    request = httpx.Request("GET", "http://x")
    error = httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))
    cache.set(key, error, codec, ttl=60, negative=True)

    again = cache.get(key, codec).value
    assert (status, expected) == (again.response.status_code, is_transient(again))
    del again.response
    assert expected == is_transient(again)
