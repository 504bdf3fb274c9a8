"""What a store does around ``os.fork``: a child must inherit neither held locks nor open SQLite connections.

SQLite keeps its file locks per process in memory. A child that inherits that memory believes it holds locks which the kernel never gave
it, and can ruin the file (sqlite.org/howtocorrupt.html, section 2.6). So nothing is inherited: connections are closed just before the
fork, and parent and child open their own when they next need one.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something with locks or connections."""

    def before_fork(self) -> None:
        """Finish what is under way, take the locks, close connections."""
        ...

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""
        ...

    def after_fork_in_child(self) -> None:
        """Start over with new locks; no other thread exists here."""
        ...


_alive: weakref.WeakSet[Forkable] = weakref.WeakSet()


def protect(thing: Forkable) -> None:
    """Call the three methods of ``thing`` around every fork, for as long as it lives."""
    _alive.add(thing)


def _before() -> None:
    for thing in list(_alive):
        thing.before_fork()


def _in_parent() -> None:
    for thing in list(_alive):
        thing.after_fork_in_parent()


def _in_child() -> None:
    for thing in list(_alive):
        thing.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
