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

ROUNDS = 3
"""So often the event loop goes round while there is one access to the disk."""
LONGEST_S = 20.0
"""How long an access waits for that: by then the loop itself waits for the access, however slow the machine."""


class Rounds:
    """Counts how often a loop goes round, and makes each access to the disk take as long as a few rounds.

    Attributes:
        accesses: How often the disk was slow.
        stood_still: How often the loop did not go round meanwhile.
    """

    def __init__(self) -> None:
        self.accesses = self.stood_still = self._count = 0
        self._is_going = False

    async def go(self, work: Any) -> None:
        """Count until something is done."""
        doing = asyncio.ensure_future(work)
        self._is_going = True
        while not doing.done():
            self._count += 1
            await asyncio.sleep(0.001)
        self._is_going = False
        await doing

    def access(self) -> None:
        """Take as long."""
        self.accesses += self._is_going
        goal, end = self._count + ROUNDS, time.monotonic() + LONGEST_S
        while self._is_going and self._count < goal:
            if time.monotonic() > end:
                self.stood_still, self._is_going = self.stood_still + 1, False
            time.sleep(0.001)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache, open, on a disk that has become slow."""
    cache = DiskCache(tmp_path / "cache", memory_entries=0)
    assert cache.stats().entries == 0
    yield cache
    monkeypatch.undo()
    cache.close()


@pytest.fixture
def slow(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """Every access to the disk takes its time from now on: reading and writing rows, and what is written beside them."""
    rounds = Rounds()

    def slowed(function: Any) -> Any:
        def access(*args: Any, **kwargs: Any) -> Any:
            rounds.access()
            return function(*args, **kwargs)

        return access

    monkeypatch.setattr(Rows, "_select", slowed(Rows._select))
    monkeypatch.setattr(Rows, "_writing", slowed(Rows._writing))
    monkeypatch.setattr(Rows, "reading", slowed(Rows.reading))
    monkeypatch.setattr(os, "pwrite", slowed(os.pwrite))
    monkeypatch.setattr(_leases, "BEAT", 0.01)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())
    return rounds


class Calls:
    """A function that is asked for four keys by three callers each, again and again; after the first time there are old values, and two of their renewals fail."""

    def __init__(self, cache: DiskCache) -> None:
        self.asked = 0
        policy = CachePolicy(ttl=0.1, version="1", stale_while_revalidate=60, stale_if_error=60, fail_safe_throttle=0.1, tags=("t",))

        @resilient(cache=cache, cache_policy=policy, retry_policy=[])
        async def fetch(key: int) -> int:
            self.asked += 1
            number = self.asked
            await asyncio.sleep(0.05)
            if number > 6:
                raise ConnectionError("down")
            return key

        self.fetch = fetch

    async def round(self) -> list[int]:
        return list(await asyncio.gather(*(self.fetch(n % 4) for n in range(12))))


def test_the_loop_goes_on_while_the_disk_is_slow(cache: DiskCache, slow: Rounds) -> None:
    """It goes round during each access, through misses, hits, renewals, failures and old values in their place."""

    async def main() -> None:
        await Calls(cache).round()  # imports
        cache.purge()
        calls = Calls(cache)

        async def all_of_it() -> None:
            for number in range(2):
                assert [n % 4 for n in range(12)] == await calls.round(), number
                await asyncio.sleep(0.1)
            await until_async(lambda: not behind._under_way)

        await slow.go(all_of_it())
        assert calls.asked >= 8

    asyncio.run(main())
    assert 0 == slow.stood_still
    assert slow.accesses > 8
