"""Of one computation that several wait for, each gets a value of its own, whether the cache has it or not."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, resilient
from holdfast.runtime import flight
from holdfast.runtime.behind import Behind
from holdfast.testing import FakeClock
from tests.waiting import until

NEVER = CachePolicy(ttl=60, version="1", cache_if=lambda _: False)
POLICY = CachePolicy(ttl=60, version="1")


@pytest.fixture(autouse=True)
def _no_flight_is_left() -> Any:
    """Whatever happens, no key stays taken."""
    yield
    assert {} == flight._flights
    assert set() == flight._joined


def three_threads(fetch: Callable[[], Any], joined: list[Any], go: threading.Event) -> list[Any]:
    """What three calls that are made at the same time return; the one that computes waits for ``go``."""
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(fetch())) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(joined) == 2)
    go.set()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("policy", [NEVER, POLICY], ids=["not wanted", "too large"])
def test_what_is_not_kept_in_memory_is_copied(policy: CachePolicy, joined: list[Any]) -> None:
    """One computation, and none of the three sees what another does to its result."""
    go = threading.Event()
    calls: list[int] = []

    @resilient(cache_policy=policy, cache=InMemoryCache(max_bytes=1))
    def fetch() -> dict[str, list[int]]:
        calls.append(1)
        assert go.wait(30)
        return {"items": []}

    results = three_threads(fetch, joined, go)
    for number, result in enumerate(results):
        result["items"].append(number)

    assert [{"items": [0]}, {"items": [1]}, {"items": [2]}] == results
    assert 1 == len(calls)


@pytest.mark.parametrize("make", [lambda: iter("abc"), lambda: io.StringIO("abc")], ids=["iterator", "file"])
def test_what_is_used_up_by_one_is_computed_by_each(make: Callable[[], Any], joined: list[Any]) -> None:
    """Nobody is left with an iterator, or a file, at its end."""
    go = threading.Event()

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    def fetch() -> Any:
        assert go.wait(30)
        return make()

    assert [["a", "b", "c"]] * 3 == [list("".join(result)) for result in three_threads(fetch, joined, go)]


def test_the_same_on_a_loop() -> None:
    """Those who waited compute beside each other."""
    calls = 0

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    async def fetch() -> AsyncIterator[int]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)

        async def items() -> AsyncIterator[int]:
            for item in range(3):
                yield item

        return items()

    async def main() -> list[list[int]]:
        return [[item async for item in each] for each in await asyncio.gather(fetch(), fetch(), fetch())]

    assert [[0, 1, 2]] * 3 == asyncio.run(main())
    assert 3 == calls


@pytest.fixture
def behind_them(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls that wait for a computation behind them which another call has begun."""
    joined: list[Any] = []
    join = Behind.joined_by

    def noted(self: Behind, call: Any) -> Any:
        future = join(self, call)
        joined.append(call)
        return future

    monkeypatch.setattr(Behind, "joined_by", noted)
    return joined


@pytest.mark.parametrize("limit", ["hard_timeout", "soft_timeout"])
def test_what_is_computed_behind_several_is_copied(limit: str, behind_them: list[Any]) -> None:
    """One computation, which is nobody's own."""
    go = threading.Event()
    calls: list[int] = []
    windows: dict[str, Any] = {"hard_timeout": 60} if limit == "hard_timeout" else {"soft_timeout": 60, "stale_if_error": 60}
    cache = InMemoryCache()

    @resilient(cache_policy=CachePolicy(ttl=1, version="1", cache_if=lambda value: not calls[1:], **windows), cache=cache)
    def fetch() -> list[int]:
        calls.append(1)
        assert len(calls) == 1 or go.wait(30)
        return []

    with FakeClock(auto=False) as clock:
        fetch()
        clock.advance(2)
        results = three_threads(fetch, behind_them, go)
    for number, result in enumerate(results):
        result.append(number)

    assert [[0], [1], [2]] == results
    assert 2 == len(calls)


def test_what_is_used_up_by_one_is_computed_by_each_of_those_it_was_computed_behind(behind_them: list[Any]) -> None:
    """Nobody is left with an iterator at its end."""
    go = threading.Event()

    @resilient(cache_policy=CachePolicy(ttl=60, version="1", hard_timeout=60), cache=InMemoryCache())
    def fetch() -> Iterator[str]:
        assert go.wait(30)
        return iter("abc")

    assert [["a", "b", "c"]] * 3 == [list(result) for result in three_threads(fetch, behind_them, go)]


def test_what_is_computed_behind_one_is_its_own() -> None:
    """It need not be copied."""
    made = iter("abc")
    fetch = resilient(cache_policy=CachePolicy(ttl=60, version="1", hard_timeout=60), cache=InMemoryCache())(lambda: made)

    assert made is fetch()


def test_a_failure_is_shared_all_the_same(joined: list[Any]) -> None:
    """It is no value: one computation, one error."""
    go = threading.Event()
    calls: list[int] = []
    errors: list[KeyError] = []

    @resilient(cache_policy=POLICY, retry_policy=(), cache=InMemoryCache())
    def fetch() -> None:
        calls.append(1)
        assert go.wait(30)
        raise KeyError

    def failing() -> None:
        try:
            fetch()
        except KeyError as error:
            errors.append(error)

    three_threads(failing, joined, go)

    assert (1, 3) == (len(calls), len(errors))


class Garbling:
    """A codec that cannot read what it has written."""

    id = 8

    def encode(self, value: Any, /) -> bytes:
        return bytes(value)

    def decode(self, data: bytes, /) -> Any:
        raise ValueError(data)


def test_what_cannot_be_read_back_is_computed_by_each(joined: list[Any]) -> None:
    """A codec that fails costs computations, and no call."""
    go = threading.Event()

    @resilient(cache_policy=CachePolicy(ttl=60, version="1", codec=Garbling()), cache=InMemoryCache())
    def fetch() -> bytes:
        assert go.wait(30)
        return b"abc"

    assert [b"abc"] * 3 == three_threads(fetch, joined, go)


class Interrupting:
    """A codec that is interrupted when it is asked a second time: for those who wait."""

    id = 7

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, value: Any, /) -> bytes:
        self.asked += 1
        if self.asked == 1:
            raise KeyboardInterrupt
        return bytes(value)

    def decode(self, data: bytes, /) -> Any:
        return data


def test_a_ctrl_c_while_a_value_is_copied_leaves_nobody_waiting(joined: list[Any]) -> None:
    """Those who wait look for themselves."""
    go = threading.Event()
    interrupts: list[KeyboardInterrupt] = []

    @resilient(cache_policy=CachePolicy(ttl=60, version="1", cache_if=lambda _: False, codec=Interrupting()), cache=InMemoryCache())
    def fetch() -> bytes:
        assert go.wait(30)
        return b"abc"

    def interrupted() -> bytes:
        try:
            return fetch()
        except KeyboardInterrupt as error:
            interrupts.append(error)
            return b""

    assert [b"", b"abc", b"abc"] == sorted(three_threads(interrupted, joined, go))
    assert 1 == len(interrupts)
