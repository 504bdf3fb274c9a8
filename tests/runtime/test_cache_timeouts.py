"""Callers that wait only so long for a new value, and computations that go on behind them."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, PolicyError, clock, entrypoint, resilient
from holdfast.runtime import behind, flight
from holdfast.testing import FakeClock, recorded
from tests.runtime.stale import Setup, Sync
from tests.waiting import until

SOFT = {"ttl": 60, "stale_if_error": "1h", "soft_timeout": 0.05}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Any:
    """Whatever happens, nothing stays under way."""
    yield
    until(lambda: not behind._under_way)
    assert {} == flight._flights


class Aged:
    """A time of day that stands still and is set forward: these tests are about waiting really, and about old values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        now = time.time()
        monkeypatch.setattr(clock.Clock, "time", lambda _: now + self.ahead)


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> Aged:
    return Aged(monkeypatch)


def test_a_slow_source_is_waited_for_only_so_long(colour: Any, kind: str, cache: Any, aged: Aged) -> None:
    """Then the old value is served; the computation goes on and is stored."""
    fetch = Setup(colour, kind, cache, cache_policy=SOFT)
    assert 1 == fetch.call()
    aged.ahead = 100
    fetch.source.gate.clear()
    with recorded() as told:
        assert 1 == fetch.call()
    (call,) = [each for each in told.facts if each["kind"] == "call" and each.get("cache") == "stale"]
    assert 100.0 == call["cache_age_s"]
    (note,) = [each for each in told.notes if each["event"] == "holdfast.cache.soft_timeout"]
    assert note["text"].startswith("fetch was not computed within 0.05s: its value of 100 s ago is served")
    fetch.source.gate.set()
    until(lambda: not behind._under_way)

    assert fetch.source.asked == fetch.call() > 1


def test_a_quick_source_is_waited_for(colour: Any, kind: str, cache: Any, aged: Aged) -> None:
    """The caller gets the new value, and there is no note."""
    fetch = Setup(colour, kind, cache, cache_policy={**SOFT, "soft_timeout": 30})
    fetch.call()
    aged.ahead = 100
    with recorded() as told:
        assert [2, 2] == [fetch.call(), fetch.call()]

    assert ["coalesced", "hit"] == [each["cache"] for each in told.facts if each["kind"] == "call" and each["cache"] != "refresh"]
    assert [] == told.notes


def test_without_an_old_value_the_soft_limit_does_not_hold(colour: Any) -> None:
    """There would be nothing to serve: the first caller computes, itself."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=SOFT)
    fetch.source.gate.clear()
    threading.Timer(0.3, fetch.source.gate.set).start()

    assert (1, 1) == (fetch.call(), fetch.source.asked)


def test_the_hard_limit_raises(colour: Any, kind: str, cache: Any) -> None:
    """And what was computed meanwhile is the next caller's."""
    fetch = Setup(colour, kind, cache, cache_policy={"ttl": 60, "hard_timeout": 0.05})
    fetch.source.gate.clear()
    with pytest.raises(NodeTimeoutError, match=r"fetch did not finish within 0.05 s \(hard_timeout\)") as caught:
        fetch.call()
    assert ("hard_timeout", 0.05) == (caught.value.cause, caught.value.limit)
    fetch.source.gate.set()
    until(lambda: not behind._under_way)

    assert fetch.source.asked == fetch.call()


def test_the_hard_limit_gives_the_old_value_where_there_is_one(colour: Any, aged: Aged) -> None:
    """As any failure does."""
    cache, windows = InMemoryCache(), {"ttl": 60, "stale_if_error": 3600}
    Setup(colour, "resilient", cache, cache_policy=windows).call()
    fetch = Setup(colour, "resilient", cache, cache_policy={**windows, "hard_timeout": 0.05})
    aged.ahead = 100
    fetch.source.gate.clear()
    assert 1 == fetch.call()
    fetch.source.gate.set()


def test_a_failure_within_the_limit_is_the_callers(colour: Any, kind: str) -> None:
    """Its own class, its own text; and the note about refreshes is for those whom nobody waits for."""
    fetch = Setup(colour, kind, InMemoryCache(), cache_policy={"ttl": 60, "hard_timeout": 30})
    fetch.source.broken = ConnectionError("down")
    with recorded() as told, pytest.raises(ConnectionError, match="down"):
        fetch.call()

    assert [] == told.notes


def test_a_failure_within_the_limit_gives_way_to_the_old_value(colour: Any, aged: Aged) -> None:
    """As without a limit."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy={**SOFT, "soft_timeout": 30})
    fetch.call()
    aged.ahead = 100
    fetch.source.broken = ConnectionError("down")
    with recorded() as told:
        assert 1 == fetch.call()

    assert ["holdfast.cache.stale_if_error"] == [each["event"] for each in told.notes]


def test_many_callers_wait_for_one_computation(kind: str) -> None:
    """Each for its own time."""
    fetch = Setup(Sync, kind, InMemoryCache(), cache_policy={"ttl": 60, "hard_timeout": 0.1})
    fetch.source.gate.clear()
    errors: list[BaseException] = []

    def call() -> None:
        try:
            fetch.call()
        except NodeTimeoutError as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    fetch.source.gate.set()
    until(lambda: not behind._under_way)

    assert (20, 1, 1) == (len(errors), fetch.source.asked, fetch.call())


def test_a_function_that_calls_itself_does_not_wait_for_itself() -> None:
    """The inner call knows what it is inside of, on the other thread too."""
    depth: list[int] = []

    @resilient(cache_policy=CachePolicy(ttl=60, hard_timeout=30, version="1"), cache=InMemoryCache())
    def fetch() -> int:
        depth.append(1)
        return len(depth) if len(depth) > 1 else fetch()

    began = time.monotonic()
    assert 2 == fetch()
    assert time.monotonic() - began < 20


def test_a_caller_that_is_cancelled_leaves_the_computation_to_itself() -> None:
    """It is others' as well."""
    gate = asyncio.Event()
    asked: list[int] = []

    @resilient(cache_policy=CachePolicy(ttl=60, hard_timeout=30, version="1"), cache=InMemoryCache())
    async def fetch() -> int:
        asked.append(1)
        await gate.wait()
        return len(asked)

    async def main() -> int:
        first = asyncio.ensure_future(fetch())
        while not asked:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.ensure_future(fetch())
        await asyncio.sleep(0.01)
        gate.set()
        return await second

    assert 1 == asyncio.run(main())


def test_the_limit_is_of_the_clock_in_force(colour: Any) -> None:
    """An hour of virtual time takes none."""
    with FakeClock(patience=0.05):
        fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy={"ttl": 60, "hard_timeout": 3600})
        fetch.source.gate.clear()
        with pytest.raises(NodeTimeoutError):
            fetch.call()
        fetch.source.gate.set()
        until(lambda: not behind._under_way)


@pytest.mark.parametrize("field", [{"hard_timeout": 5}, {"stale_if_error": 5, "soft_timeout": 5}])
def test_an_entrypoint_takes_no_such_limit(field: dict[str, Any], tmp_path: Path) -> None:
    """It would go on as a run that nobody has."""
    with pytest.raises(PolicyError, match="_timeout, which computes behind the caller's back"):
        entrypoint(cache_policy=CachePolicy(ttl=60, **field))(lambda: 1)
