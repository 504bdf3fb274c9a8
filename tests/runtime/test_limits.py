"""Timeouts and deadlines: attempts that cannot be stopped, slots they keep, limits inside limits, waits that use up the time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import NodeTimeoutError, RetryPolicy, TaskContextError, entrypoint, resilient, task
from holdfast.runtime import _ports
from holdfast.runtime.run import Run
from holdfast.testing import FakeClock, recorded
from tests.waiting import until

AT_ONCE = {"initial_interval": 0.0001, "max_interval": 0.0001}


def test_an_abandoned_attempt_keeps_its_slot_until_it_returns(opened: list[Run]) -> None:
    """Its thread is at work, whatever the caller was told; then the slot is free again."""
    release, second = threading.Event(), threading.Event()

    @task(timeout=0.02)
    def stuck() -> None:
        release.wait(30)

    @task
    def other() -> None:
        second.set()

    @entrypoint(max_concurrency=1)
    def main() -> list[bool]:
        future, waiting = stuck(), other()
        with pytest.raises(NodeTimeoutError):
            future.result()
        before = second.wait(0.05)
        release.set()
        waiting.result()
        return [before, second.is_set()]

    with FakeClock():
        assert [False, True] == main.invoke()
    assert 0 == opened[0].sync_slots.used


def test_an_attempt_that_was_given_up_before_its_thread_began_is_not_begun(monkeypatch: pytest.MonkeyPatch, opened: list[Run]) -> None:
    """On a machine without a free processor, say. Its slot is free as soon as the thread has found that out."""
    held: list[Callable[[], object]] = []
    ran: list[str] = []
    monkeypatch.setattr(_ports, "workers", SimpleNamespace(run=held.append, count=0))

    @task(timeout=0.001)
    def late() -> None:
        ran.append("late")

    @entrypoint(max_concurrency=1)
    def main() -> list[int]:
        with pytest.raises(NodeTimeoutError):
            late().result()
        (begin,) = held
        before = opened[0].sync_slots.used
        begin()
        return [before, opened[0].sync_slots.used]

    assert ([1, 0], []) == (main.invoke(), ran)


def test_a_body_that_ends_at_its_limit_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come to its end counts, though the wait for it had been given up."""
    with FakeClock() as clock:
        monkeypatch.setattr(clock, "wait", lambda event, _: event.wait(60) and False)

        assert "done" == resilient(timeout=5, retry_policy=[])(lambda: "done")()


def test_the_late_result_of_an_abandoned_attempt_is_dropped() -> None:
    """The second attempt's result is the call's, though the first returns in between."""
    first, calls = threading.Event(), 0

    @task(timeout=1, retry_policy=RetryPolicy(**AT_ONCE, jitter=False))
    def racing() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            first.wait(30)
            return "late"
        first.set()
        time.sleep(0.01)
        return "in time"

    with FakeClock():
        assert "in time" == racing.invoke()


def test_an_abandoned_attempt_starts_nothing_new() -> None:
    """Its task calls are refused: the attempt that replaced it makes them."""
    release, refused = threading.Event(), threading.Event()
    started: list[int] = []
    calls = 0

    @task
    def child(n: int) -> int:
        started.append(n)
        return n

    @task(timeout=5, retry_policy=RetryPolicy(**AT_ONCE))
    def parent() -> int:
        nonlocal calls
        calls += 1
        mine = calls
        if mine == 1:
            release.wait(30)
        try:
            return child(mine).result()
        except TaskContextError:
            refused.set()
            raise

    @entrypoint(max_concurrency=2)
    def main() -> int:
        value = parent().result()
        release.set()
        assert refused.wait(30)
        return value

    with FakeClock():
        assert 2 == main.invoke()
    assert [2] == started


@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_an_attempt_is_not_begun_when_the_deadline_has_passed(clock: FakeClock, seconds: float) -> None:
    """It waited for its turn as long as it had, or longer; nothing is run that nobody waits for."""
    calls = 0

    @task(deadline=0.5, retry_policy=RetryPolicy(**AT_ONCE, max_attempts=5))
    def late() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    @task
    def hold() -> None:
        clock.sleep(seconds)

    @entrypoint(max_concurrency=1)
    def main() -> None:
        future, holder = late(), hold()
        try:
            future.result()
        finally:
            holder.result()

    with recorded() as recording, pytest.raises(NodeTimeoutError, match=r"0\.5 s \(deadline\)"):
        main.invoke()
    attempts = [fact for fact in recording.facts if fact["kind"] == "attempt" and "late" in fact["name"]]
    assert (1, 2) == (calls, len(attempts))
    assert "abandoned" not in attempts[1]


def test_a_deadline_covers_all_attempts_and_waits(colour: Any) -> None:
    """Each attempt gets what is left of it."""
    limits: list[Any] = []

    @resilient(deadline=10, retry_policy=RetryPolicy(initial_interval=2, backoff_factor=1, max_attempts=9))
    @colour.define
    def fail() -> None:
        raise ConnectionError

    with FakeClock(), recorded() as recording:
        with pytest.raises(ConnectionError):
            colour.run(fail)
        limits = [fact["deadline_s"] for fact in recording.facts if fact["kind"] == "attempt"]

    assert [10.0, 8.0, 6.0, 4.0, 2.0] == limits


def test_only_an_abandoned_attempt_is_called_abandoned() -> None:
    """Not the caller of a task that ran out of time, nor an async attempt, which is cancelled."""
    release = threading.Event()

    @task(timeout=0.02)
    def stuck() -> None:
        release.wait(30)

    @task(timeout=0.02)
    async def asleep() -> None:
        await asyncio.sleep(60)

    @task
    def parent(child: Any) -> None:
        child().result()

    @entrypoint
    def main() -> None:
        for child in (stuck, asleep):
            with contextlib.suppress(NodeTimeoutError):
                parent(child).result()
        release.set()

    with recorded() as recording:
        main.invoke()
    assert ["stuck"] == [fact["name"].rsplit(".", 1)[-1] for fact in recording.facts if fact.get("abandoned")]


def test_limits_inside_limits(colour: Any) -> None:
    """The innermost that expires is the one that is told, and the outer ones are not used up by it."""

    @task(timeout=1)
    async def inner() -> None:
        await asyncio.sleep(60)

    @task(timeout=50)
    async def middle() -> str:
        try:
            await inner()
        except NodeTimeoutError as error:
            return str(error)
        return "no limit"

    @entrypoint(timeout=500)
    @colour.define
    def main() -> Any:
        return middle()

    with FakeClock():
        assert "inner did not finish within 1 s (timeout)" in colour.invoke(main)


def test_a_body_that_swallows_its_cancellation_is_waited_for() -> None:
    """What it returns then is its result: it was late, but it is there."""

    @resilient(timeout=0.01)
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return "done after all"

    assert "done after all" == asyncio.run(stubborn())


def test_a_cancellation_from_outside_is_not_taken_for_the_limit() -> None:
    """`asyncio.timeout` around a call with a longer timeout of its own."""

    @resilient(timeout=60, retry_policy=RetryPolicy(max_attempts=5, retry_on=Exception))
    async def slow() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.01):
            await slow()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(main())
    assert not isinstance(caught.value, NodeTimeoutError)


def test_the_smallest_timeout() -> None:
    """A nanosecond is over before the body has begun; in either colour that is a timeout, not a hang."""
    release = threading.Event()

    @resilient(timeout=1e-9, retry_policy=[])
    def sync_body() -> None:
        release.wait(30)

    @resilient(timeout=1e-9, retry_policy=[])
    async def async_body() -> None:
        await asyncio.sleep(30)

    with pytest.raises(NodeTimeoutError):
        sync_body()
    release.set()
    with pytest.raises(NodeTimeoutError):
        asyncio.run(async_body())


def test_a_run_that_fails_makes_no_further_attempts(opened: list[Run]) -> None:
    """A sync task that waits for its slot between two attempts, when the run ends, does not run again."""
    calls, held = 0, threading.Event()

    @task(retry_policy=RetryPolicy(**AT_ONCE, max_attempts=50))
    def flaky() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    @task
    def hold() -> None:
        held.set()
        until(lambda: opened[0].is_stopping)

    @entrypoint(max_concurrency=1)
    def main() -> None:
        flaky(), hold()
        until(lambda: held.is_set() and opened[0].sync_slots._line)  # flaky stands in line
        raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        main.invoke()
    assert 1 == calls
