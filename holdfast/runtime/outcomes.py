"""The end of a step: its outcome is journaled, and only then the future resolves: durable before anyone sees it.

Nobody waits here for the commit. The thread, and the slot, of a body that has ended are the next body's, and an asyncio task is over:
whoever has written the outcome goes on with the call. So no cancellation can come between a body that is done and its record.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from holdfast.runtime import attempts, steps
from holdfast.runtime.dispatch import workers
from holdfast.runtime.loops import running_loop
from holdfast.runtime.writer import Item

if TYPE_CHECKING:
    import asyncio

    from holdfast.runtime.journal import Journal
    from holdfast.runtime.state import Call
    from holdfast.typing import Commit, StepRecord


class _Outcome(Item):
    """What is to be written of a call, and the call, which goes on when it is."""

    __slots__ = ("_call", "_context", "_value")

    def __init__(self, change: Commit, call: Call, value: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(change, loop)
        self._call = call
        self._value = value
        self._context = None if call.observer is None else copy_context()  # an observer may look at the body's context variables

    @property
    def calls_out(self) -> bool:
        future = self._call.future
        return future is not None and future.calls_at_once

    def tell(self) -> None:
        if self._context is None:
            conclude(self._call, self._value, self.error)
        else:
            self._context.run(conclude, self._call, self._value, self.error)


def finish(call: Call, value: Any) -> None:
    """Settle a call that has been performed, as soon as its outcome is in the journal, if there is one."""
    journal = None if call.run is None else call.run.journal
    if call.step is None or journal is None:
        steps.settle(call, value)
        return
    error: BaseException | None = None
    try:
        record = journal.outcome(call, value)
        if record is not None and _is_left_to_others(call, value, journal, record):
            return
    except BaseException as broken:  # noqa: BLE001 - whatever it is, Ctrl-C included, it is the step's outcome
        error = broken
    conclude(call, value, error)


def _is_left_to_others(call: Call, value: Any, journal: Journal, record: StepRecord) -> bool:
    """Write an outcome; True when others do it, who then go on with the call.

    Raises:
        StoreError: It could not be written.
        ThreadBusyError: Somebody else owns the thread now.
    """
    if record.kind != "error":
        return _write(call, value, journal, record)
    with journal.standing(record) as is_standing:  # else its body has ended meanwhile, and has it forgotten
        return is_standing and _write(call, value, journal, record)


def _write(call: Call, value: Any, journal: Journal, record: StepRecord) -> bool:
    if not journal.is_blocking:
        journal.commit(journal.change(record))
        return False
    if journal.durability != "sync" and not call.plan.is_once:
        journal.late.put_step(record)
        return False
    loop = running_loop()
    item = _Outcome(journal.change(record), call, value, loop)
    writer, is_failure = journal.writer, record.kind == "error"
    if loop is not None or is_failure or not writer.is_idle:  # a failure holds the journal's lock, which the disk may not
        _leave_thread(call)
        # A store that cannot keep up holds bodies back: what it has not got is done again after a crash.
        if not is_failure and not writer.is_behind:
            call.release_slot()
        writer.put(item)
        return True
    writer.write_alone(item)
    if item.error is not None:
        raise item.error
    return False


def _leave_thread(call: Call) -> None:
    """Count this thread as idle, before others can end the call: theirs is not the one that gets free."""
    if call.frees_thread:
        call.frees_thread = False
        workers.forgo(call)


def conclude(call: Call, value: Any, error: BaseException | None) -> None:
    """End a call whose outcome is journaled; ``error`` says why it is not. Nobody may see an unrecorded result, nor the run go on after it."""
    if error is not None:
        call.error = error
        if call.run is not None and isinstance(error, Exception) and not attempts.is_cancellation(error):
            call.run.halt(error)
    if call.observer is not None:
        attempts.close_call(call, value)
    steps.settle(call, value)
