"""A task call inside a run: bind, replay, look in memory, or start. Everything here is done at the call and never waits."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from holdfast.errors import CorruptRecord, Divergence, InDoubt, RunInterrupted, StoreError, ThreadBusyError
from holdfast.runtime import attempts, lookup, once, stream
from holdfast.runtime.dispatch import workers
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.inject import fill
from holdfast.runtime.journal import MISSING
from holdfast.runtime.state import Call

if TYPE_CHECKING:
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.handed import Handed
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.run import Run


def submit(
    scope: Scope,
    plan: Plan,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    step_key: str = "",
    *,
    is_alone: bool = False,
    handed: Handed | None = None,
) -> TaskFuture[Any]:
    """Make a call of a task from ``scope`` and return its future at once.

    ``handed`` is what its body and the calls made there get in place of what is handed out in ``scope``.
    With ``is_alone`` the body does nothing until this call has ended, and `holdfast.runtime.run.has_room`: a sync one then runs right here, and
    no thread is woken.

    Raises:
        TypeError: The arguments do not fit the function.
        NotKeyable: The task is cached and an argument cannot be keyed.
        TaskContextError: The task may run at most once, and the run keeps nothing.
    """
    run = scope.run
    if plan.is_once and run.journal is None:
        once.refuse_unrecorded(plan)
    scope.call.release_slot()
    if plan.injected:
        plan, kwargs = fill(plan, args, kwargs, run, scope.call.handed if handed is None else handed)
    values = None if plan.is_node else plan.bind(*args, **kwargs)  # a graph has seen to it that what it gives its nodes fits
    call = Call(plan, args, kwargs, run, scope)
    if handed is not None:
        call.handed = handed
    call.observe(values=values)
    if run.journal is None:
        return _look_or_start(call, run, is_alone=is_alone)
    future = _replay(call, run, run.journal, values or (), step_key)
    if future is None:
        future = _look_or_start(call, run, is_alone=is_alone)
    if scope.trail is not None and call.step is not None:
        scope.trail.passed(call.step, future)
    return future


def _look_or_start(call: Call, run: Run, *, is_alone: bool) -> TaskFuture[Any]:
    if call.plan.cache is not None:
        call.cache = (run if call.handed is None else call.handed).cache()
        lookup.assign_key(call)
        if run.journal is None:  # with one, a hit is a step like any other, and to be recorded before it is seen
            entry = lookup.peek(call)
            if entry is not None:
                future = _serve(call, lookup.serve(call, entry), origin="cache")
                if call.freshness is not None:
                    lookup.renew(call)
                return future
    return _start(call, is_alone=is_alone)


def _replay(call: Call, run: Run, journal: Journal, values: tuple[Any, ...], step_key: str) -> TaskFuture[Any] | None:
    """The future of a step that is finished, parked, or under way because an earlier attempt of the body started it; else None."""
    scope = call.parent
    if scope is None:
        return None
    try:
        journal.check_late()
        call.step, call.history = journal.name_step(call.plan, scope, values, step_key)
        under_way = journal.under_way(call.step, scope)
        if under_way is not None:
            return under_way
        if journal.questions.parked(call.step):
            call.error = RunInterrupted(f"{call.plan.name} waits for an answer")
            return _serve(call, None, origin="journal")
        value, call.error = journal.find(call.step, call.plan)
    except (Divergence, InDoubt, CorruptRecord, StoreError, ThreadBusyError) as error:
        run.halt(error)
        raise
    if value is MISSING:
        return None
    run.facts.replayed += 1
    if call.facts is not None:
        call.facts.outcome = "replayed"
    return _serve(call, value, origin="journal")


def _serve(call: Call, value: Any, *, origin: str) -> TaskFuture[Any]:
    """A finished future, for a call that needed no body."""
    if call.observer is not None:
        attempts.open_call(call)
        attempts.close_call(call, value)
    if call.run is not None and call.run.sink is not None:
        stream.task_started(call)
        stream.task_ended(call, value, origin=origin)
    future: TaskFuture[Any] = TaskFuture()
    if call.error is None:
        future.set_result(value)
    else:
        future.set_exception(call.error)
    return future


def _start(call: Call, *, is_alone: bool) -> TaskFuture[Any]:
    run = call.run
    future: TaskFuture[Any] = TaskFuture(call)
    if run is None:
        return future
    call.future = future
    call.context = copy_context()
    call.slots = run.async_slots if call.plan.is_async else run.sync_slots
    if not run.opened(call):
        future.settle_cancelled()
        return future
    if run.journal is not None and call.step is not None:
        run.journal.started(call.step, call)
    if not (is_alone and run.perform_here(call)):
        call.slots.enter(call)
    return future


def claim(call: Call) -> bool:
    """Begin a call on the thread or task that reached it first; a cancelled one gives its slot back."""
    future = call.future
    if future is None or call.run is None:
        return False
    if not future.claim():
        if future.cancelled():
            call.release_slot()
        return False
    if call.run.sink is not None:
        stream.task_started(call)
    return True


def settle(call: Call, value: Any) -> None:
    """Resolve the future, give the slot back, and let the run know.

    Whoever waits in line for the slot is then started on this very thread, which counts as idle from here on: otherwise each end of a body
    would make a thread. Callbacks may block, so a future that has some gives the slot back before it is resolved.
    """
    run, future = call.run, call.future
    if run is None or future is None:
        return
    if future.has_callbacks:
        call.release_slot()
    if run.sink is not None:
        stream.task_ended(call, value, origin="body" if call.number else "cache")  # no attempt was made
    run.settling(call)
    try:
        if call.error is None:
            future.set_result(value)
        elif attempts.is_cancellation(call.error):
            future.settle_cancelled()
        else:
            future.set_exception(call.error)
    finally:  # a callback of the user's may raise SystemExit
        if call.frees_thread:
            workers.forgo(call)
        call.release_slot()
        run.closed(call)
        call.forget()
