"""Which task is meant by a name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from holdfast.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Sequence


def chosen(task: str | None, known: Sequence[str], where: str) -> str:
    """The one task that is meant.

    Args:
        task: Its name or the end of it; None for the only one.
        known: Those there are.
        where: What they are recorded in, for errors.

    Raises:
        TraceError: None or more than one is meant; the text names what there is.
    """
    if not known:
        raise TraceError(f"nothing is recorded in {where} yet", where=where)
    meant = (
        list(known) if task is None else [each for each in known if each == task] or [each for each in known if each.endswith(f".{task}")]
    )
    if len(meant) == 1:
        return meant[0]
    if meant:
        several = f"{len(meant)} tasks are recorded in {where}" if task is None else f"{task!r} is the name of {len(meant)} tasks"
        raise TraceError(f"{several}: give the full name of one, {' or '.join(meant)}", where=where)
    close = get_close_matches(str(task), [*known, *(each.rpartition(".")[2] for each in known)], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known)}"
    raise TraceError(f"there is no task {task!r} in {where}: {hint}", where=where)
