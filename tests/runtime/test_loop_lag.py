"""Async callers of a cache on a slow disk: their event loop goes on, whatever is looked up, stored, renewed or forgotten behind it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast import CachePolicy, DiskCache, resilient
from holdfast.cache import _leases
from holdfast.cache._rows import Rows
from holdfast.runtime import behind
from tests.waiting import until_async

SLOW_S = 0.25
"""What each access to the disk takes here."""
BUSY_S = 0.15
"""How long a loop may stand still on a machine that is busy with other things."""
TRIES = 3
"""How often it may be held up for longer by those; the disk would hold it up each time."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache, open, on a disk that has become slow."""
    cache = DiskCache(tmp_path / "cache", memory_entries=0)
    assert cache.stats().entries == 0
    yield cache
    monkeypatch.undo()
    cache.close()


@pytest.fixture
def slow(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every access to the disk takes `SLOW_S` from now on: reading and writing rows, and what is written beside them."""
    monkeypatch.setattr(Rows, "_select", _slowed(Rows._select))
    monkeypatch.setattr(Rows, "_writing", _slowed(Rows._writing))
    monkeypatch.setattr(Rows, "reading", _slowed(Rows.reading))
    monkeypatch.setattr(os, "pwrite", _slowed(os.pwrite))
    monkeypatch.setattr(_leases, "BEAT", 0.01)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())


def _slowed(function: Any) -> Any:
    def slowed(*args: Any, **kwargs: Any) -> Any:
        time.sleep(SLOW_S)
        return function(*args, **kwargs)

    return slowed


async def longest_stand(work: Any) -> float:
    """Seconds for which the loop stood still at most while something is done, beyond its own pauses."""
    longest, last = 0.0, time.perf_counter()
    doing = asyncio.ensure_future(work)
    while not doing.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, last = max(longest, now - last - 0.005), now
    await doing
    return longest


class Calls:
    """A function that is asked for four keys by three callers each, again and again; after the first time there are old values, and renewals fail."""

    def __init__(self, cache: DiskCache) -> None:
        self.asked = 0
        policy = CachePolicy(ttl=0.1, version="1", stale_while_revalidate=60, stale_if_error=60, fail_safe_throttle=0.1, tags=("t",))

        @resilient(cache=cache, cache_policy=policy, retry_policy=[])
        async def fetch(key: int) -> int:
            self.asked += 1
            await asyncio.sleep(0.05)
            if self.asked > 10:
                raise ConnectionError("down")
            return key

        self.fetch = fetch

    async def round(self) -> list[int]:
        return list(await asyncio.gather(*(self.fetch(n % 4) for n in range(12))))


def test_the_loop_goes_on_while_the_disk_is_slow(cache: DiskCache, slow: None) -> None:
    """It stands still for less than one access takes, through misses, hits, renewals, failures and old values in their place."""

    async def main() -> float:
        await Calls(cache).round()  # imports
        cache.purge()
        calls = Calls(cache)

        async def all_of_it() -> None:
            for number in range(2):
                assert [n % 4 for n in range(12)] == await calls.round(), number
                await asyncio.sleep(0.1)
            await until_async(lambda: not behind._under_way)

        longest = await longest_stand(all_of_it())
        assert calls.asked >= 8
        return longest

    assert any(asyncio.run(main()) < BUSY_S for _ in range(TRIES))
