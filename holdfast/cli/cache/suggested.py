"""What was found when times to live were looked after (`holdfast.Tune`), and is not in force: below the tables of ``cache stats`` and ``cache ttl list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.cache import place
from holdfast.cli.marks import age, plain
from holdfast.errors import HoldfastError
from holdfast.overrides import Overrides

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.overrides.advice import Advice

_OLD = 2 * 86_400.0
"""Seconds after which a suggestion is no longer shown: whoever made it has stopped, or found nothing since."""


def moves(folder: Path, given: str | None, now: float) -> list[Advice]:
    """The changes that are suggested for all tasks, or for those that a name means.

    Args:
        folder: The cache's.
        given: The name; None for all.
        now: Seconds since the epoch.
    """
    overrides = Overrides(folder)
    try:
        advice, current = overrides.advice(), {each.task: each.ttl for each in overrides.current()}
    except HoldfastError:  # it only helps
        return []
    finally:
        overrides.close()
    return [
        each
        for each in advice
        if each.is_move
        and now - each.made < _OLD
        and current.get(each.task) != each.ttl
        and (given is None or place.is_meant(each.task, given))
    ]


def drawn(advice: Advice, now: float) -> str:
    """One of them for people."""
    return f"suggested {age(now - advice.made)} ago, for a budget of {100 * advice.budget:g}% stale: {plain(advice.said)}"
