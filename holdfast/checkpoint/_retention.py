"""Which runs of a thread may be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import PolicyError
from holdfast.typing import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence


class Candidate(NamedTuple):
    """A run as far as its retention goes; see `holdfast.typing.RunRecord`."""

    run_id: str
    status: str
    base: str
    updated: float


def check_keep_last(keep_last: object) -> None:
    """Refuse a number of runs that cannot be kept; None is fine.

    Raises:
        PolicyError: It is not a whole number above zero.
    """
    if keep_last is None or (isinstance(keep_last, int) and not isinstance(keep_last, bool) and keep_last >= 1):
        return
    raise PolicyError(f"keep_last={keep_last!r} is not a number of runs: give 1 or more, or None to keep all")


def doomed(runs: Sequence[Candidate], *, keep_last: int | None, oldest: float | None, keeps_newest: bool = False) -> list[str]:
    """Ids of the runs to forget, oldest first.

    A run goes when it is not among the thread's ``keep_last`` newest, or last changed before ``oldest``. It stays when it is the newest
    and unfinished, or when a run that stays sees its saved value as ``previous``.

    Args:
        runs: All runs of a thread, newest first.
        keep_last: How many to keep; None does not count.
        oldest: Seconds since the epoch; None does not look.
        keeps_newest: The newest stays in any case.
    """
    kept = [
        run
        for place, run in enumerate(runs)
        if (place == 0 and (keeps_newest or run.status in UNFINISHED))
        or ((keep_last is None or place < keep_last) and (oldest is None or run.updated >= oldest))
    ]
    staying = {run.run_id for run in kept} | {run.base for run in kept}
    return [run.run_id for run in reversed(runs) if run.run_id not in staying]
