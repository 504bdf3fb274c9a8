"""Every difference between sync and async code, in pairs: the driver is written with the ``_async`` names and its twin is generated.

The driver, all of ``_async/``, sleeps, spawns, waits and hops threads by these alone.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import CancelledError
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.errors import NodeTimeoutError
from holdfast.runtime import lookup
from holdfast.runtime.convoy import in_convoy
from holdfast.runtime.detached import Detached
from holdfast.runtime.dispatch import MOST_WAITING_THREADS, workers
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.hop import in_thread, sent, taken
from holdfast.runtime.landing import Waiting, landed_async, landed_sync
from holdfast.runtime.turns import turn_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from holdfast.runtime.dispatch import Slots, Unlimited
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call
    from holdfast.typing import Commit

DRAIN_SECONDS = 1.0
"""How long an interrupted or cancelled run waits for sync bodies that cannot be stopped."""


# -- one attempt ------------------------------------------------------------------------------------------------------------------


def _limit(call: Call) -> tuple[float | None, str]:
    """Seconds the next attempt may take, and which setting says so.

    Raises:
        NodeTimeoutError: The deadline passed while the call waited for its turn: an attempt that nobody waits for is not begun.
    """
    timeout, remaining = call.plan.timeout, call.remaining()
    if remaining is None:
        return timeout, "timeout"
    if remaining <= 0:
        raise NodeTimeoutError(call.plan.name, call.plan.deadline or 0.0, cause="deadline")
    if timeout is None or remaining < timeout:
        return remaining, "deadline"
    return timeout, "timeout"


async def execute_async(call: Call) -> Any:
    """Run the body once, within its time limit."""
    plan = call.plan
    if plan.timeout is None and plan.deadline is None:
        return await plan.fn(*call.args, **call.kwargs)
    limit, cause = _limit(call)
    if limit is None:
        return await plan.fn(*call.args, **call.kwargs)
    timer: Any = None
    try:
        async with clock.current.timeout(limit) as timer:
            return await plan.fn(*call.args, **call.kwargs)
    except TimeoutError as error:
        if timer is None or not timer.expired():
            raise
        raise NodeTimeoutError(plan.name, limit, cause=cause) from error


def execute_sync(call: Call) -> Any:
    """Run the body once, within its time limit."""
    plan = call.plan
    if plan.timeout is None and plan.deadline is None:
        return plan.fn(*call.args, **call.kwargs)
    limit, cause = _limit(call)
    if limit is None:
        return plan.fn(*call.args, **call.kwargs)
    outcome = Detached()
    workers.run(partial(outcome.run, copy_context(), partial(plan.fn, *call.args, **call.kwargs)))
    try:
        is_done = clock.current.wait(outcome.is_done, limit)
    except BaseException:  # Ctrl-C
        outcome.abandon(call)
        raise
    if is_done or not outcome.abandon(call):
        return outcome.take()
    raise NodeTimeoutError(plan.name, limit, cause=cause)


# -- waiting ----------------------------------------------------------------------------------------------------------------------


async def pause_async(call: Call, seconds: float) -> None:
    """Wait between two attempts, holding no slot."""
    if seconds > 0:
        call.release_slot()
        await clock.current.sleep_async(seconds)
    await take_slot_async(call)


def pause_sync(call: Call, seconds: float) -> None:
    """Wait between two attempts, holding no slot; a run that ends wakes the sleeper, and makes no further attempt."""
    if seconds > 0:
        if workers.count < MOST_WAITING_THREADS:
            call.release_slot()
        if call.run is None:
            clock.current.sleep(seconds)
        elif call.run.sleep(seconds):
            raise CancelledError
    take_slot_sync(call)
    if call.run is not None and call.run.is_stopping:
        raise CancelledError


class _Turn:
    """Waits in line for a slot on behalf of a body that has begun already."""

    def __init__(self) -> None:
        self.future: TaskFuture[None] = TaskFuture()

    def start(self) -> bool:
        if not self.future.claim():  # whoever waited has given up
            return False
        self.future.set_result(None)
        return True

    def give_up(self, slots: Slots | Unlimited) -> None:
        self.future.cancel()
        if not self.future.cancelled():  # the slot came at the same moment
            slots.leave()


async def take_slot_async(call: Call) -> None:
    """Own a slot again before the body goes on."""
    if call.slots is not None and not call.has_slot:
        turn = _Turn()
        call.slots.enter(turn, first=True)
        try:
            await turn.future
        except BaseException:
            turn.give_up(call.slots)
            raise
        call.has_slot = True


def take_slot_sync(call: Call) -> None:
    """Own a slot again before the body goes on."""
    if call.slots is not None and not call.has_slot:
        turn = _Turn()
        call.slots.enter(turn, first=True)
        try:
            turn.future.result()
        except BaseException:
            turn.give_up(call.slots)
            raise
        call.has_slot = True


async def join_async(call: Call, computation: TaskFuture[Any], limit: float | None = None) -> bool:
    """Wait, holding no slot, until another call's computation has landed; False when ``limit`` passed first."""
    call.release_slot()
    has_landed = await landed_async(computation, limit)
    await take_slot_async(call)
    return has_landed


def join_sync(call: Call, computation: TaskFuture[Any], limit: float | None = None) -> bool:
    """Wait, holding no slot, until another call's computation has landed; False when ``limit`` passed first, or when it waits for this thread."""
    call.release_slot()
    has_landed = landed_sync(call, computation, limit)
    take_slot_sync(call)
    return has_landed


async def take_turn_async(call: Call) -> bool:
    """Wait, holding no slot, while other processes compute the same; True when the value may be in the cache by now."""
    turn = turn_of(call)
    if turn is None:
        return False
    while (seconds := turn.pause()) is not None:
        import asyncio

        call.release_slot()
        await asyncio.sleep(seconds)  # real time, here and below: of other processes
    await take_slot_async(call)
    return turn.has_news()


def take_turn_sync(call: Call) -> bool:
    """Wait, holding no slot, while other processes compute the same; True when the value may be in the cache by now."""
    turn = turn_of(call)
    if turn is None:
        return False
    while (seconds := turn.pause()) is not None:
        call.release_slot()
        time.sleep(seconds)
        if not is_wanted_sync(call):
            raise CancelledError
    take_slot_sync(call)
    return turn.has_news()


# -- stores -----------------------------------------------------------------------------------------------------------------------


look_async, looks_anywhere_async = lookup.in_memory, False
"""Looks for a fresh entry where a caller may wait for it, and whether that is every tier: an event loop waits for no disk."""
look_sync, looks_anywhere_sync = lookup.anywhere, True
"""The same; not wrapped in functions, which would be a tenth of a hit in memory."""


async def store_call_async(is_blocking: bool, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
    """Call a store: inline when it never blocks, else on a worker thread."""
    if not is_blocking:
        return fn(*args, **kwargs)
    return await in_convoy(partial(fn, *args, **kwargs))


def store_call_sync(is_blocking: bool, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
    """Call a store, inline."""
    del is_blocking
    return fn(*args, **kwargs)


async def commit_async(journal: Journal, change: Commit) -> None:
    """Write to the journal, and wait until it is done."""
    await uninterrupted_async(journal.is_blocking, journal.commit, change)


def commit_sync(journal: Journal, change: Commit) -> None:
    """Write to the journal, and wait until it is done."""
    journal.commit(change)


def is_wanted_async(call: Call) -> bool:
    """False once its asyncio task has been told to stop, while a commit was waited for."""
    return call.asyncio_task is None or not call.asyncio_task.cancelling()


def is_wanted_sync(call: Call) -> bool:
    """False once its run is ending."""
    return call.run is None or not call.run.is_stopping


async def uninterrupted_async(is_blocking: bool, fn: Callable[..., Any], *args: Any) -> Any:  # noqa: FBT001
    """Call what must not be left half done, on a worker thread when it may block; a cancellation that comes meanwhile is let go."""
    if not is_blocking:
        return fn(*args)
    work = sent(partial(fn, *args))
    await _ended(work)
    try:
        return taken(work)
    finally:
        del work  # it leads to the error, and that to this frame


async def _ended(work: asyncio.Future[Any]) -> None:
    """Wait until it is done, whoever is cancelled meanwhile."""
    import asyncio

    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


async def acquire_async(is_blocking: bool, fn: Callable[[], Any], give_back: Callable[[Any], None]) -> Any:  # noqa: FBT001
    """Get something on a worker thread when that may block; whoever is cancelled meanwhile does not want it any more, and gives it back."""
    if not is_blocking:
        return fn()
    import asyncio

    work = sent(fn)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        await _ended(work)
        value, error = work.result()
        if error is None:
            await in_thread(partial(give_back, value))
        raise
    try:
        return taken(work)
    finally:
        del work  # it leads to the error, and that to this frame


def uninterrupted_sync(is_blocking: bool, fn: Callable[..., Any], *args: Any) -> Any:  # noqa: FBT001
    """Call a function, inline."""
    del is_blocking
    return fn(*args)


async def perform_in_thread(run: Run, call: Call, perform: Callable[[Call], Any]) -> Any:
    """Perform a sync body for an async caller. When that is cancelled the body stays open: it cannot be stopped, so the run waits for it."""

    def job() -> Any:
        if not run.opened(call):  # cancelled before it began
            return None
        try:
            return perform(call)
        finally:
            run.closed(call)

    return await in_thread(job)


# -- bodies and runs --------------------------------------------------------------------------------------------------------------


async def resolve_async(value: Any) -> Any:
    """Await what a body returned, if it can be awaited (a future, a gather)."""
    try:
        while hasattr(value, "__await__"):
            value = await value
        return value
    finally:
        del value  # a failed future leads to its error, and that to this frame


def resolve_sync(value: Any) -> Any:
    """Wait for what a body returned, if it is a task's future."""
    try:
        while _is_future(value):
            value = value.result()
        return value
    finally:
        del value  # a failed future leads to its error, and that to this frame


def _is_future(value: Any) -> bool:
    return isinstance(value, TaskFuture)


async def drain_async(run: Run, seconds: float | None) -> None:
    """Wait until no call of the run is open, or for ``seconds``."""
    gate = run.close_gate()
    if gate is None or isinstance(run.error, GeneratorExit):  # a coroutine that is being closed cannot wait
        return
    import asyncio

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while gate is not None:
                await Waiting(gate)
                gate = run.close_gate()


def drain_sync(run: Run, seconds: float | None) -> None:
    """Wait until no call of the run is open, or for ``seconds``."""
    gate = run.close_gate()
    if gate is None:  # as for nearly every run: nothing is begun for it
        return
    with contextlib.suppress(TimeoutError):
        while gate is not None:
            gate.result(seconds)
            gate = run.close_gate()
