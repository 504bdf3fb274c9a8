"""Who may work on a thread, and go on with a run of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._traces import left_behind
from holdfast.errors import PolicyError, ThreadBusyError
from holdfast.runtime.context import current
from holdfast.runtime.once import refuse_doubts
from holdfast.typing import UNFINISHED, RunRecord

if TYPE_CHECKING:
    from holdfast.errors import CorruptRecord
    from holdfast.typing import Checkpointer, Lease

POLL_SECONDS = 0.05
_MOST_SHOWN = 5


def claim(saver: Checkpointer, thread_id: str, wait: float) -> Lease:
    """Own a thread, waiting at most ``wait`` seconds for whoever does."""
    _refuse_own(saver, thread_id)
    until = clock.current.monotonic() + wait
    while True:
        try:
            return saver.claim(thread_id)
        except ThreadBusyError:
            left = until - clock.current.monotonic()
            if left <= 0:
                raise
        clock.current.sleep(min(POLL_SECONDS, left))


def _refuse_own(saver: Checkpointer, thread_id: str) -> None:
    """Do not wait for the run that waits for this call."""
    scope = current.get()
    if scope is not None and scope.run.journal is not None and not scope.run.is_over and scope.run.journal.owns(saver, thread_id):
        msg = (
            f"thread {thread_id!r} belongs to the very run that this call is made in, until that has ended: name another thread; an entrypoint "
            f"that is invoked with no thread_id and no config is a step of this run"
        )
        raise ThreadBusyError(msg)


def checkpoint(saver: Checkpointer, thread_id: str, checkpoint_id: str) -> RunRecord:
    """The run of that id, in that thread.

    Raises:
        PolicyError: The thread has no such run.
    """
    found = saver.find(checkpoint_id)
    if found is None or found.thread_id != thread_id:
        latest = ", ".join(repr(run.run_id) for run in saver.runs(thread_id, limit=_MOST_SHOWN)) or "none"
        msg = f"checkpoint_id={checkpoint_id!r}: thread {thread_id!r} has no such run; its latest are: {latest}"
        raise PolicyError(msg)
    return found


def abandoned(saver: Checkpointer, latest: RunRecord, now: float) -> RunRecord | None:
    """A thread's newest run as it is recorded when another one takes its place; None when it has come to its end.

    Raises:
        InDoubt: It has a step of which a person has to say what became of it.
    """
    if latest.status not in UNFINISHED:
        return None
    refuse_doubts(latest, saver.steps(latest.run_id))
    return latest._replace(status="abandoned", updated=now, trace=left_behind(latest))


def refuse_anothers(record: RunRecord, name: str) -> None:
    """Stop before the entrypoint ``name`` goes on with a run that is not its own: it would find other steps, and another input.

    Raises:
        PolicyError: Another entrypoint made it.
    """
    if record.entry != name:
        msg = (
            f"run {record.run_id!r} of thread {record.thread_id!r} was made by the entrypoint {record.entry!r}, and this is {name!r}: go on with "
            f"it by {record.entry!r}, or, when that was renamed, keep its name with @entrypoint(..., name={record.entry!r})"
        )
        raise PolicyError(msg)


def tell_anothers(error: CorruptRecord, record: RunRecord, name: str) -> None:
    """Say of what cannot be decoded that another entrypoint made it, so that nobody takes it for damage."""
    if record.entry != name:
        error.add_note(
            f"holdfast: it is of run {record.run_id!r}, made by the entrypoint {record.entry!r}; {name!r} knows only classes that its own annotations "
            f"name, and those that were registered: holdfast.register(...)"
        )
