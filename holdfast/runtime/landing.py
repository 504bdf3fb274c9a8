"""Waiting for a computation that another call makes, for as long as it takes or for a limited time: both colours."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.runtime import flight

if TYPE_CHECKING:
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.state import Call

_FIRST_LOOK, _RAREST_LOOK = 0.1, 5.0
"""Seconds that a call waits for another's computation before it looks whether that is stuck, and later from look to look."""


async def landed_async(computation: TaskFuture[Any], limit: float | None) -> bool:
    """Whether it has landed; False when ``limit`` passed first."""
    if computation.done():
        return True
    if limit is None:
        await Waiting(computation)
        return True
    try:
        async with clock.current.timeout(limit):
            await Waiting(computation)
    except TimeoutError:
        return False
    return True


def landed_sync(call: Call, computation: TaskFuture[Any], limit: float | None) -> bool:
    """Whether it has landed; False when ``limit`` passed first, or without one when it never will, because it waits for this thread."""
    if limit is not None:
        event: Any = _Landing(computation)
        return clock.current.wait(event, limit)
    patience = _FIRST_LOOK
    while not wait([computation], patience).done:
        patience = min(2 * patience, _RAREST_LOOK)
        if flight.is_stuck(call):
            return False
    return True


class Waiting:
    """Awaits a future without cancelling it when the waiter is cancelled."""

    def __init__(self, future: TaskFuture[Any]) -> None:
        """Nothing is awaited yet."""
        self._future = future

    def __await__(self) -> Any:
        return self._future.waiting()


class _Landing:
    """A future as the event that a clock can wait for."""

    def __init__(self, future: TaskFuture[Any]) -> None:
        self._future = future

    def is_set(self) -> bool:
        return self._future.done()

    def wait(self, seconds: float | None = None) -> bool:
        return bool(wait([self._future], seconds).done)
