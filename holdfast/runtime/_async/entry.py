"""One run, from the start of its body to the end of its last call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.runtime import _ports
from holdfast.runtime.context import current
from holdfast.runtime.ending import conclude

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call


async def execute_run(run: Run, call: Call, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``body``, which performs ``call``; wait for every call it started; return or raise the outcome."""
    before = current.get()
    observer = events.listener()
    run.facts.started_ns = clock.current.time_ns()
    if observer is not None:
        observer.run_started(run.facts)
    try:
        value = await body()
        value = await drain(run, call, value)
        value = conclude(run, call, value)
    finally:
        current.set(before)
        run.is_over = True
        if observer is not None:
            run.facts.ended_ns = clock.current.time_ns()
            observer.run_ended(run.facts)
    if call.error is not None:
        raise call.error
    return value


async def drain(run: Run, call: Call, value: Any) -> Any:
    """Wait for calls still open: all of them after a success, what cannot be stopped after a failure."""
    try:
        if call.error is None:
            await _ports.drain_async(run, None)
            return value
    except BaseException as error:  # noqa: BLE001 - Ctrl-C or a cancellation while waiting is the run's outcome
        call.error = error
    run.stop()
    try:
        await _ports.drain_async(run, None if isinstance(call.error, Exception) else _ports.DRAIN_SECONDS)
    except BaseException as error:  # noqa: BLE001 - a second Ctrl-C: leave at once
        call.error = error
    return None
