"""Who looked at a failure, and when: so that one can tell whether anybody went on after it."""

from __future__ import annotations

import sys
import threading
from itertools import count
from typing import NamedTuple

from holdfast.runtime.loops import running_loop

Place = tuple[int, int]
"""A thread, and an asyncio task on it; 0 for none."""

ticks = count(1)
"""Orders sights and steps; taking the next one is atomic."""


class Sight(NamedTuple):
    """One look at a failure.

    Attributes:
        place: Where it was looked at.
        tick: When, by `ticks`.
    """

    place: Place
    tick: int


def place() -> Place:
    """Which thread this is, and which asyncio task on it."""
    if running_loop() is None:
        return threading.get_ident(), 0
    task = sys.modules["asyncio"].current_task()
    return threading.get_ident(), 0 if task is None else id(task)


def look() -> Sight:
    """A look from here and now."""
    return Sight(place(), next(ticks))


def glance() -> Sight:
    """A look by ``exception()``. That of `asyncio.gather` is nobody's, and since Python 3.12 it may come from within the body."""
    is_gathered = sys._getframe(2).f_globals.get("__name__") == "asyncio.tasks"  # noqa: SLF001 - documented, in spite of its name
    return Sight((threading.get_ident(), 0), next(ticks)) if is_gathered else look()
