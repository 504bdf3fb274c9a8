"""One run, from the start of its body to the end of its last call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast import clock
from holdfast.errors import RunInterrupted
from holdfast.runtime import _ports, stream
from holdfast.runtime.attempts import shown_result
from holdfast.runtime.context import current
from holdfast.runtime.ending import conclude

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call


async def execute_run(run: Run, call: Call, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``body``, which performs ``call``; wait for every call it started; return or raise the outcome."""
    before = current.get()
    observer = call.observer  # the one that its record was made for, should another one listen by now
    run.facts.started_ns = run.facts.started_ns or clock.current.time_ns()  # one with a journal has begun when it was recorded
    if observer is not None:
        observer.run_started(run.facts)
    value = None
    try:
        if run.sink is not None:
            stream.task_started(call)
        outcome = await end(run, call, body)
        if run.journal is not None:
            value = await _ports.uninterrupted_async(run.journal.is_blocking, conclude, run, call, outcome)
        else:
            value = conclude(run, call, outcome)
    finally:
        current.set(before)
        run.is_over = True
        if observer is not None:
            run.facts.error, run.facts.output = run.error, shown_result(call.plan, value)
            run.facts.ended_ns = clock.current.time_ns()
            observer.run_ended(run.facts)
            is_told = call.facts is None or call.facts.ended_ns  # else its body goes on, in a thread that cannot be stopped
            if run.error is not None and is_told:  # its frames hold run and call: a circle, were it not for this
                call.facts, run.facts = None, replace(run.facts, error=None)
    if run.error is not None:
        raise run.pop_error()
    return value


async def end(run: Run, call: Call, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run the body and wait for the calls it started: all of them after a success, what cannot be stopped after a failure."""
    try:
        value = await body()
        run.error, call.error = call.error, None
        if run.error is None or isinstance(run.error, RunInterrupted):  # whoever else has a question shall ask it, too
            await _ports.drain_async(run, None)
            return value
    except BaseException as error:  # noqa: BLE001 - Ctrl-C or a cancellation while waiting is the run's outcome
        run.error = error
    run.stop()
    try:
        await _ports.drain_async(run, None if isinstance(run.error, Exception) else _ports.DRAIN_SECONDS)
    except BaseException as error:  # noqa: BLE001 - a second Ctrl-C: leave at once
        run.error = error
    return None
