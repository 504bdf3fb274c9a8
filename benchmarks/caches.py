"""A decorated function whose result is cached: found in memory, found on disk, or computed and stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import Contestant, Guard, Make, Measure, Row, async_loop, loop

CITY = "Oslo"
RECORD = {"city": "Oslo", "sky": "clear", "degrees": 21.5, "hours": [6, 12, 18]}
TEXT = "clear " * 16
HOUR = 3600
AT_ONCE = 64
STORES = 200
"""Calls in one measurement of a miss: each writes an entry."""

Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]
Cached = Callable[[ExitStack], Decorate]


def record(city: str) -> dict[str, Any]:
    """A small answer of a web service."""
    return dict(RECORD)


async def record_async(city: str) -> dict[str, Any]:
    """The same in the other colour."""
    return dict(RECORD)


def text(city: str) -> str:
    """An answer that nobody can change, so that it need not be copied."""
    return TEXT


async def text_async(city: str) -> str:
    """The same in the other colour."""
    return TEXT


def folder(stack: ExitStack) -> str:
    """A folder of its own for a store."""
    return stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))


def disk_cache(stack: ExitStack, **options: Any) -> Any:
    """A DiskCache in a folder of its own."""
    from holdfast import DiskCache

    cache = DiskCache(folder(stack), **options)
    stack.callback(cache.close)
    return cache


def holdfast(**options: Any) -> Cached:
    """Ours over a DiskCache."""

    def cached(stack: ExitStack) -> Decorate:
        from holdfast import CachePolicy, resilient

        return resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1h"), cache=disk_cache(stack, **options))

    return cached


def in_memory(stack: ExitStack) -> Decorate:
    """Ours over an InMemoryCache."""
    from holdfast import CachePolicy, InMemoryCache, resilient

    return resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1h"), cache=InMemoryCache())


def dictionary(stack: ExitStack) -> Decorate:
    """A dict, by hand."""

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[Any, Any] = {}

        def wrapper(city: Any) -> Any:
            try:
                return known[city]
            except KeyError:
                known[city] = value = fn(city)
                return value

        return wrapper

    return decorate


def dictionary_async(stack: ExitStack) -> Decorate:
    """The same in the other colour."""

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[Any, Any] = {}

        async def wrapper(city: Any) -> Any:
            try:
                return known[city]
            except KeyError:
                known[city] = value = await fn(city)
                return value

        return wrapper

    return decorate


def functools_lru(stack: ExitStack) -> Decorate:
    """The standard library's; knows no time to live."""
    return lru_cache(maxsize=10_000)


def cachetools(stack: ExitStack) -> Decorate:
    """Its TTLCache behind a lock."""
    import cachetools

    return cachetools.cached(cachetools.TTLCache(10_000, HOUR), lock=threading.RLock())


def diskcache(stack: ExitStack) -> Decorate:
    """Its memoize."""
    import diskcache

    cache = diskcache.Cache(folder(stack))
    stack.callback(cache.close)
    return cache.memoize(expire=HOUR)


def joblib(stack: ExitStack) -> Decorate:
    """Its Memory; knows no time to live unless asked at each lookup."""
    import joblib

    return joblib.Memory(folder(stack), verbose=0).cache


def aiocache(stack: ExitStack) -> Decorate:
    """Its default, in memory."""
    import aiocache

    return aiocache.cached(ttl=HOUR)


def cashews(url: str) -> Cached:
    """In memory or on disk."""

    def cached(stack: ExitStack) -> Decorate:
        import cashews

        cache = cashews.Cache()
        cache.setup(url, **({"directory": folder(stack)} if url.startswith("disk") else {}))
        return cache(ttl=HOUR)

    return cached


def hit(cached: Cached, fn: Callable[..., Any], *, is_async: bool) -> Make:
    """The same call over and over, after a first that stored."""

    def make(stack: ExitStack) -> Measure:
        decorated = cached(stack)(fn)
        measure = async_loop(stack, decorated, CITY) if is_async else loop(decorated, CITY)
        measure(1)
        return measure

    return make


def hits_at_once(cached: Cached, number: int) -> Make:
    """The same call so many times at once, awaited together, over and over."""

    def make(stack: ExitStack) -> Measure:
        decorated = cached(stack)(record_async)

        async def gathered() -> None:
            await asyncio.gather(*[decorated(CITY) for _ in range(number)])

        measure = async_loop(stack, gathered)
        measure(1)
        return lambda count: measure(count // number)

    return make


def miss(cached: Cached, fn: Callable[..., Any], *, is_async: bool) -> Make:
    """A new argument at each call."""

    def make(stack: ExitStack) -> Measure:
        decorated, numbers = cached(stack)(fn), count()

        def call() -> Any:
            return decorated(next(numbers))

        return async_loop(stack, call) if is_async else loop(call)

    return make


SYNC_MEMORY: dict[str, Cached] = {
    "dict": dictionary,
    "lru_cache": functools_lru,
    "holdfast": holdfast(),
    "holdfast, InMemoryCache": in_memory,
    "cachetools": cachetools,
    "diskcache.memoize": diskcache,
    "joblib": joblib,
}
ASYNC_MEMORY: dict[str, Cached] = {
    "dict": dictionary_async,
    "holdfast": holdfast(),
    "holdfast, InMemoryCache": in_memory,
    "aiocache": aiocache,
    "cashews": cashews("mem://"),
}
SYNC_DISK: dict[str, Cached] = {"holdfast": holdfast(memory_entries=0), "diskcache.memoize": diskcache, "joblib": joblib}
ASYNC_DISK: dict[str, Cached] = {"holdfast": holdfast(memory_entries=0), "cashews": cashews("disk://")}


def _hits(contestants: dict[str, Cached], fn: Callable[..., Any], *, is_async: bool) -> dict[str, Contestant]:
    return {name: Contestant(hit(cached, fn, is_async=is_async)) for name, cached in contestants.items()}


def _misses(contestants: dict[str, Cached], fn: Callable[..., Any], *, is_async: bool) -> dict[str, Contestant]:
    return {name: Contestant(miss(cached, fn, is_async=is_async), STORES) for name, cached in contestants.items()}


MEMORY_GUARD = (Guard("diskcache.memoize", 1),)

ROWS = [
    Row(name="hit in memory, a text, sync", target=2, guards=MEMORY_GUARD, contestants=_hits(SYNC_MEMORY, text, is_async=False)),
    Row(name="hit in memory, a small dict, sync", target=2, guards=MEMORY_GUARD, contestants=_hits(SYNC_MEMORY, record, is_async=False)),
    Row(name="hit in memory, a text, async", target=2, contestants=_hits(ASYNC_MEMORY, text_async, is_async=True)),
    Row(name="hit in memory, a small dict, async", target=2, contestants=_hits(ASYNC_MEMORY, record_async, is_async=True)),
    Row(
        name="hit on disk, a small dict, sync",
        target=10,
        guards=(Guard("diskcache.memoize", 1.5),),
        contestants=_hits(SYNC_DISK, record, is_async=False),
    ),
    Row(name="hit on disk, a small dict, async", target=60, contestants=_hits(ASYNC_DISK, record_async, is_async=True)),
    Row(
        name=f"hit on disk, a small dict, async, {AT_ONCE} at once",
        contestants={name: Contestant(hits_at_once(cached, AT_ONCE), 10 * AT_ONCE) for name, cached in ASYNC_DISK.items()},
    ),
    Row(
        name="miss and store, a small dict, sync",
        guards=(Guard("diskcache.memoize", 3),),  # today 2: a turn among processes, and what is kept to explain a later miss
        contestants=_misses(SYNC_MEMORY, record, is_async=False),
    ),
    Row(
        name="miss and store, a small dict, async",
        contestants=_misses(ASYNC_MEMORY | {"cashews, disk": cashews("disk://")}, record_async, is_async=True),
    ),
]
