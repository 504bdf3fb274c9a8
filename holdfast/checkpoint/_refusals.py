"""What every saver refuses, in the same words: ids that cannot be kept apart, and writers that are not the thread's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, PolicyError, StoreError, ThreadBusyError
from holdfast.values.names import is_utf8

if TYPE_CHECKING:
    from holdfast.typing import Commit, Lease

LONGEST_ID = 255


def check_id(value: object, what: str) -> str:
    """A thread or run id that can be kept, and told from all others.

    Args:
        value: The id.
        what: Name of the parameter, for the error.

    Raises:
        PolicyError: It is not text, empty, longer than 255 characters, or holds a NUL or half a surrogate pair.
    """
    if not isinstance(value, str):
        raise PolicyError(
            f"{what}={value!r} is not text, and must not be taken for {str(value)!r}: give {what}={str(value)!r} if that is meant"
        )
    if not value:
        raise PolicyError(f"{what}='' names nothing: give a text of 1 to {LONGEST_ID} characters")
    if len(value) > LONGEST_ID:
        raise PolicyError(
            f"{what}={value[:20]!r}... has {len(value)} characters, at most {LONGEST_ID} are kept: give a digest of it instead"
        )
    if "\0" in value or not is_utf8(value):
        raise PolicyError(f"{what}={value!r} holds a NUL or half a surrogate pair, which not every store can keep: leave it out")
    return value


def busy(thread_id: str, owner: str) -> ThreadBusyError:
    """The refusal of a claim; ``owner`` is for example ``process 4711 on box``."""
    return ThreadBusyError(
        f"thread {thread_id!r} is being worked on by {owner}: wait until that run has ended, use another thread id, "
        f"or, if it is stuck, take the thread over: saver.release(saver.claim({thread_id!r}, force=True))"
    )


def stale(lease: Lease, epoch: int | None, owner: str | None) -> ThreadBusyError:
    """The refusal of a write under a lease that is no longer the thread's.

    Args:
        lease: The writer's.
        epoch: The thread's epoch now; None for a thread that is gone.
        owner: Who has it now, as for `busy`; None for nobody.
    """
    if epoch is None:
        state = "was deleted meanwhile"
    elif epoch == lease.epoch:
        state = f"now belongs to {owner}" if owner else "was given back"
    else:
        state = f"now belongs to {owner or 'nobody'} (claim {epoch}, this one was claim {lease.epoch})"
    return ThreadBusyError(
        f"thread {lease.thread_id!r} is not this writer's any more, it {state}: what this writer does now is not kept; "
        "resume the thread to go on from what is"
    )


def misplaced(commit: Commit) -> HoldfastError | None:
    """Why a commit contradicts itself; None when it does not."""
    run = commit.run
    try:
        check_id(commit.run_id, "run_id")
    except PolicyError as error:
        return error
    if run is not None and (run.run_id, run.thread_id) != (commit.run_id, commit.lease.thread_id):
        return StoreError(
            f"run {run.run_id!r} of thread {run.thread_id!r} cannot be written as run {commit.run_id!r} of thread {commit.lease.thread_id!r}"
        )
    return None


def foreign(run_id: str, owner: str, thread_id: str) -> StoreError:
    """The refusal of a write to a run of another thread."""
    return StoreError(f"run {run_id!r} belongs to thread {owner!r}, not to {thread_id!r}: choose another run id")


def unknown(run_id: str) -> StoreError:
    """The refusal of steps for a run that nobody has begun."""
    return StoreError(f"there is no run {run_id!r} to add steps to: commit its record first")
