"""Old values instead of failures, and sources that are left alone for a while after they have failed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, resilient
from holdfast.runtime import behind, flight, holdoff
from holdfast.testing import FakeClock, recorded
from tests.runtime.stale import Setup, Sync
from tests.waiting import until

SAFE = {"ttl": 60, "stale_if_error": "1h"}


def test_a_failure_is_answered_with_the_old_value(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """And told: with its age, the error, and when the source is asked again."""
    fetch = Setup(colour, kind, cache, cache_policy=SAFE)
    assert 1 == fetch.call()
    still.advance(90)
    fetch.source.broken = ConnectionError("down")

    with recorded() as told:
        assert 1 == fetch.call()
    (call,) = [each for each in told.facts if each["kind"] == "call"]
    assert ("stale_if_error", 90.0, "ok", 1) == (call["cache"], call["cache_age_s"], call["outcome"], call["attempts"])
    (note,) = told.notes
    text = "fetch failed (ConnectionError: down): its value of 90 s ago is served instead, and its source is asked again in 30s"
    assert ("holdfast.cache.stale_if_error", "warning", text, 90.0) == (note["event"], note["level"], note["text"], note["age_s"])


def test_the_source_is_left_alone_for_the_throttle(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """A hundred calls, one attempt; then one more, and when it succeeds all is as before."""
    fetch = Setup(colour, kind, cache, cache_policy=SAFE)
    fetch.call()
    still.advance(61)
    fetch.source.broken = ConnectionError("down")
    with recorded() as told:
        assert {1} == {fetch.call() for _ in range(20)}
    assert ["stale_if_error"] * 20 == [each["cache"] for each in told.facts if each["kind"] == "call"]
    assert 2 == fetch.source.asked
    still.advance(29)
    assert (1, 2) == (fetch.call(), fetch.source.asked)
    still.advance(1)
    assert (1, 3) == (fetch.call(), fetch.source.asked)
    still.advance(30)
    fetch.source.broken = None

    assert (4, 4, 4) == (fetch.call(), fetch.call(), fetch.source.asked)


def test_an_outage_is_a_warning_once_a_minute(colour: Any, kind: str, still: FakeClock) -> None:
    """Each key has its failure, and there may be thousands; the next warning says how many were held back."""
    fetch = Setup(colour, kind, InMemoryCache(), cache_policy=SAFE)
    for key in range(20):
        fetch.call(key)
    still.advance(61)
    fetch.source.broken = ConnectionError("down")
    with recorded() as told:
        for _ in range(3):
            for key in range(20):
                fetch.call(key)
            still.advance(30)

    found = [(note["level"], note.get("held_back")) for note in told.notes if note["event"] == "holdfast.cache.stale_if_error"]
    assert [("warning", None), *[("debug", None)] * 39, ("warning", 39), *[("debug", None)] * 19] == found


@pytest.mark.parametrize(("age", "is_safe"), [(3659, True), (3660, False)])
def test_the_windows_end(colour: Any, still: FakeClock, age: float, is_safe: bool) -> None:
    """An hour after the ttl the failure is the caller's."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=SAFE)
    fetch.call()
    still.advance(age)
    fetch.source.broken = ConnectionError("down")

    if is_safe:
        assert 1 == fetch.call()
    else:
        with pytest.raises(ConnectionError):
            fetch.call()


def test_an_old_value_that_became_too_old_during_the_attempts_is_not_served(colour: Any) -> None:
    """The window is asked about when the failure is there."""
    with FakeClock() as still:
        fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=SAFE)
        fetch.call()
        still.advance(3600)

        def fail(number: int) -> int:
            still.advance(100)
            raise ConnectionError("slow and down")

        fetch.source._answer = fail  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):
            fetch.call()


def test_a_failure_is_remembered_only_where_no_old_value_can_be_served(colour: Any, cache: Any, still: FakeClock) -> None:
    """``negative_ttl`` must not push the old value out."""
    fetch = Setup(colour, "resilient", cache, cache_policy={**SAFE, "negative_ttl": 300})
    fetch.call()
    still.advance(61)
    fetch.source.broken = ConnectionError("down")
    assert [1, 1] == [fetch.call() for _ in range(2)]
    still.advance(3600)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            fetch.call()

    assert 3 == fetch.source.asked


def test_the_old_value_keeps_its_date(colour: Any, cache: Any, still: FakeClock) -> None:
    """Serving it does not store it anew: it is as old as it is."""
    fetch = Setup(colour, "resilient", cache, cache_policy=SAFE)
    fetch.call()
    still.advance(61)
    fetch.source.broken = ConnectionError("down")
    fetch.call()

    still.advance(5)
    with recorded() as told:
        fetch.call()

    assert [66.0] == [each["cache_age_s"] for each in told.facts if each["kind"] == "call"]


def test_those_who_waited_get_the_old_value_too(still: FakeClock, joined: list[Any]) -> None:
    """One execution failed for all of them."""
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=SAFE)
    fetch.call()
    still.advance(61)
    fetch.source.gate.clear()
    fetch.source.broken = ConnectionError("down")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(fetch.call())) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: len(joined) == 4)
    fetch.source.gate.set()
    for thread in threads:
        thread.join(60)

    assert ([1] * 5, 2) == (found, fetch.source.asked)


@pytest.mark.parametrize("error", [NodeTimeoutError("fetch", 5.0), TypeError("a bug")])
def test_any_final_failure_counts(colour: Any, still: FakeClock, error: Exception) -> None:
    """A timeout, and a bug: the note says which."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=SAFE)
    fetch.call()
    still.advance(61)
    fetch.source.broken = error

    assert 1 == fetch.call()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), CancelledError()])
def test_whoever_is_stopped_is_stopped(still: FakeClock, error: BaseException) -> None:
    """A cancellation is no failure of the source."""
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=SAFE)
    fetch.call()
    still.advance(61)
    fetch.source.broken = error

    with pytest.raises(type(error)):
        fetch.call()
    assert {} == flight._flights


def test_a_cancelled_asyncio_task_is_cancelled(still: FakeClock) -> None:
    """It does not end with an old value."""

    @resilient(cache_policy=CachePolicy(version="1", **SAFE), cache=InMemoryCache())  # type: ignore[arg-type]
    async def fetch(seconds: float = 0) -> int:
        await asyncio.sleep(fetch_seconds[0])
        return 1

    fetch_seconds = [0.0]

    async def main() -> None:
        await fetch()
        await still.advance_async(61)
        fetch_seconds[0] = 3600
        work = asyncio.ensure_future(fetch())
        await asyncio.sleep(0)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_both_windows(colour: Any, kind: str, still: FakeClock) -> None:
    """First old values with refreshes behind, then old values where the source fails, then failures."""
    fetch = Setup(colour, kind, InMemoryCache(), cache_policy={**SAFE, "stale_while_revalidate": 60, "fail_safe_throttle": 1})
    fetch.call()
    fetch.source.broken = ConnectionError("down")
    told = []
    for wait in (61, 60, 3540):
        still.advance(wait)
        with recorded() as record, contextlib.suppress(ConnectionError):
            fetch.call()
        until(lambda: not behind._under_way)
        told += [each["cache"] for each in record.facts if each["kind"] == "call" and each["cache"] != "refresh"]

    assert ["stale", "stale_if_error", "miss"] == told


def test_a_hit_near_its_end_is_renewed(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """It is a hit like any other; what is asked for often never expires."""
    fetch = Setup(colour, kind, cache, cache_policy={"ttl": 100, "refresh_ahead": 0.8})
    assert 1 == fetch.call()
    still.advance(79)
    assert 1 == fetch.call()
    assert (1, {}) == (fetch.source.asked, behind._under_way)
    still.advance(1)
    with recorded() as told:
        assert 1 == fetch.call()
        fetch.source.settled(2)
    assert {"hit", "refresh"} == {each["cache"] for each in told.facts if each["kind"] == "call"}
    still.advance(60)

    assert fetch.source.asked == fetch.call() >= 2


def test_nothing_is_renewed_that_nobody_asks_for(still: FakeClock, colour: Any) -> None:
    """There is no timer."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy={"ttl": 100, "refresh_ahead": 0.5})
    fetch.call()
    still.advance(99)

    assert (1, {}) == (fetch.source.asked, behind._under_way)


def test_jitter_spreads_expiries(colour: Any, still: FakeClock) -> None:
    """Of a hundred entries stored at once, about half have expired in the middle of the time, and all at its end."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy={"ttl": 100, "ttl_jitter": 0.5})
    for key in range(100):
        fetch.call(key)
    still.advance(75)
    for key in range(100):
        fetch.call(key)
    middle = fetch.source.asked - 100

    assert 30 < middle < 70


def test_what_is_held_off_is_bounded(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """The first is forgotten first, and so is what is over."""
    monkeypatch.setattr(holdoff, "MOST", 3)
    monkeypatch.setattr(holdoff, "_until", {})
    cache: Any = InMemoryCache()
    for n in range(5):
        holdoff.hold_off(cache, ("n", bytes([n])), 10)  # type: ignore[arg-type]
    assert [False, False, True, True, True] == [holdoff.is_held_off(cache, ("n", bytes([n]))) for n in range(5)]  # type: ignore[arg-type]
    still.advance(10)
    holdoff.hold_off(cache, ("n", b"9"), 10)  # type: ignore[arg-type]

    assert 1 == len(holdoff._until)
