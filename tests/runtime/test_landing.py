"""Waiting until another call's computation has landed: how long, and what is answered."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast.runtime import landing
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.landing import landed_async, landed_sync
from holdfast.testing import FakeClock


class Watched:
    """Stands for `holdfast.runtime.landing.wait`: nothing lands before so many looks, and nobody waits for real."""

    def __init__(self, looks: int) -> None:
        self.waited: list[float] = []
        self._looks = looks

    def __call__(self, futures: list[TaskFuture[Any]], seconds: float) -> Any:
        self.waited.append(seconds)
        if len(self.waited) == self._looks:
            futures[0].set_result(None)
        return type("Looked", (), {"done": {each for each in futures if each.done()}})


@pytest.mark.parametrize("limit", [None, 5.0])
def test_what_has_landed_is_not_waited_for(clock: FakeClock, limit: float | None) -> None:
    """With or without a limit, in both colours."""
    computation: TaskFuture[int] = TaskFuture()
    computation.set_result(1)
    call: Any = None

    assert asyncio.run(landed_async(computation, limit)) is True
    assert landed_sync(call, computation, limit) is True
    assert [] == clock.slept


@pytest.mark.parametrize("limit", [None, 5.0])
def test_what_lands_meanwhile_is_there(clock: FakeClock, limit: float | None) -> None:
    """An asyncio task that waits is told when it comes."""

    async def main() -> bool:
        computation: TaskFuture[int] = TaskFuture()
        waiting = asyncio.create_task(landed_async(computation, limit))
        await asyncio.sleep(0)
        computation.set_result(1)
        return await waiting

    assert asyncio.run(main()) is True


def test_what_lands_meanwhile_wakes_a_thread(clock: FakeClock) -> None:
    """Also one that waits for a limited time only."""
    computation: TaskFuture[int] = TaskFuture()
    call: Any = None
    helper = threading.Thread(target=computation.set_result, args=(1,))
    helper.start()

    assert landed_sync(call, computation, 60.0) is True
    helper.join()


def test_what_does_not_land_in_time_is_not_there(clock: FakeClock) -> None:
    """In both colours, after just so long."""
    computation: TaskFuture[int] = TaskFuture()
    call: Any = None

    assert landed_sync(call, computation, 5.0) is False
    assert asyncio.run(landed_async(computation, 5.0)) is False


def test_it_is_looked_ever_more_rarely_whether_a_computation_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tenth of a second first, and never more than five seconds apart."""
    looking = Watched(looks=9)
    asked: list[Any] = []
    call: Any = object()
    monkeypatch.setattr(landing, "wait", looking)
    monkeypatch.setattr(landing.flight, "is_stuck", asked.append)

    assert landed_sync(call, TaskFuture(), None) is True
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0] == looking.waited
    assert [call] * 8 == asked


def test_one_that_waits_for_this_very_thread_will_not_land(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody waits on."""
    looking = Watched(looks=9)
    call: Any = object()
    monkeypatch.setattr(landing, "wait", looking)
    monkeypatch.setattr(landing.flight, "is_stuck", lambda _: len(looking.waited) == 2)

    assert landed_sync(call, TaskFuture(), None) is False
    assert [0.1, 0.2] == looking.waited
