"""What ``holdfast cache ttl history`` shows: every change, what was expected of it, and what came."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from holdfast.cli.cache import place
from holdfast.cli.marks import age, plain
from holdfast.cli.table import Row, draw, fitted
from holdfast.policies.duration import spoken
from holdfast.tuning._aftermath import Aftermath, Outcome
from holdfast.tuning._words import percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.overrides import Override
    from holdfast.recording.store import Reader

_HEAD = ("", "ID", "WHEN", "WHAT", "TASK", "TTL", "KEYS", "BY", "EXPECTED", "CAME", "REASON")
_RIGHT = frozenset(("TTL", "KEYS", "ID", "WHEN"))


def outcomes(folder: Path, changes: Sequence[Override], now: float) -> dict[int, Outcome]:
    """What came of changes, by id, where enough was recorded.

    Args:
        folder: The cache's.
        changes: Those of one task or several, in their order.
        now: Seconds since the epoch.
    """
    found: dict[int, Outcome] = {}
    for task in dict.fromkeys(each.task for each in changes):
        own = [each for each in changes if each.task == task]
        found |= place.recorded(folder, partial(_outcomes, changes=own, now=now), dict[int, Outcome]())
    return found


def _outcomes(reader: Reader, changes: Sequence[Override], now: float) -> dict[int, Outcome]:
    aftermath = Aftermath(reader, changes[0].task, changes[0].created)
    found: dict[int, Outcome] = {}
    for each, following in pairwise((*changes, None)):
        if each is None or each.ttl is None:
            continue
        end = min(now if following is None else following.created, now if each.expires is None else each.expires)
        outcome = aftermath.between(each.created, end, each.ttl, each.covers)
        if outcome is not None:
            found[each.id] = outcome
    return found


def drawn(changes: Sequence[Override], came: dict[int, Outcome], now: float, *, color: bool) -> str:
    """The table."""
    head, rows = fitted(_HEAD, [_row(each, came.get(each.id), now) for each in changes], ("EXPECTED", "CAME"))
    return draw(head, rows, right=_RIGHT, color=color)


def _row(each: Override, came: Outcome | None, now: float) -> Row:
    is_back = each.action == "rollback"
    texts = (
        "-" if is_back else "*",
        str(each.id),
        f"{age(now - each.created)} ago",
        each.action,
        plain(each.task),
        ttl_of(each),
        share_of(each),
        plain(each.author),
        "" if each.expected is None else _said(each.expected.hits, each.expected.stale),
        "" if came is None else _said(came.hits, came.stale),
        plain(each.reason),
    )
    return Row(texts, "yellow" if is_back else "green")


def _said(hits: float | None, stale: float | None) -> str:
    return ", ".join(f"{percent(share)} {name}" for share, name in ((hits, "hits"), (stale, "stale")) if share is not None)


def ttl_of(override: Override) -> str:
    """Its TTL for people."""
    return "of its policy" if override.ttl is None else spoken(override.ttl)


def share_of(override: Override) -> str:
    """Of the keys; empty where no TTL is set."""
    return f"{100 * override.share:g}%" if override.ttl is not None else ""


def in_json(each: Override) -> dict[str, Any]:
    """For programs."""
    return each._asdict() | {
        "guard": None if each.guard is None else str(each.guard),
        "expected": None if each.expected is None else each.expected._asdict(),
    }


def all_in_json(changes: Sequence[Override], came: dict[int, Outcome]) -> list[dict[str, Any]]:
    """The history for programs: changes with their outcomes."""
    return [in_json(each) | {"outcome": came[each.id]._asdict() if each.id in came else None} for each in changes]
