"""What a store does around ``os.fork``: a child must inherit neither held locks nor open SQLite connections.

SQLite keeps its file locks per process in memory. A child that inherits that memory believes it holds locks which the kernel never gave
it, and can ruin the file (sqlite.org/howtocorrupt.html, section 2.6); and where another thread is inside SQLite at that moment, SQLite's own
locks come along locked, for ever. So nothing is inherited: connections are closed just before the fork, and parent and child open their own
when they next need one. Nothing that could open another is made meanwhile.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

_PATIENCE = 2.0  # seconds


class Forkable(Protocol):
    """Something with locks or connections."""

    def before_fork(self) -> None:
        """Finish what is under way, take the locks, close connections."""
        ...

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""
        ...

    def after_fork_in_child(self) -> None:
        """Start over with new locks; no other thread exists here. Called although `before_fork` was not where a fork had no more patience."""
        ...


class _Fork:
    """One fork.

    Attributes:
        told: Whose `before_fork` was called, by id.
        holds_door: Whether nothing can be made meanwhile.
    """

    def __init__(self) -> None:
        self.told: dict[int, Forkable] = {}  # by id
        self.holds_door = False

    def begin(self) -> None:
        """Tell everybody: first those that may wait for threads which make others; then whatever was made by then, and the files last."""
        if self._passes():
            others = list(_others)
            door.release()
            self._tell(others)
            self.holds_door = self._passes()
        if self.holds_door:
            self._tell(list(_others))
            self._tell(list(_files))

    @staticmethod
    def _passes() -> bool:
        return door.acquire(timeout=_PATIENCE)

    def _tell(self, things: list[Forkable]) -> None:
        for thing in things:
            if id(thing) not in self.told:
                self.told[id(thing)] = thing
                thing.before_fork()

    def end(self) -> None:
        """In the parent: go on."""
        for thing in self.told.values():
            thing.after_fork_in_parent()
        if self.holds_door:
            door.release()


_others: weakref.WeakSet[Forkable] = weakref.WeakSet()
_files: weakref.WeakSet[Forkable] = weakref.WeakSet()
_forking: dict[int, _Fork] = {}  # by thread
door = threading.RLock()
"""Held while something protected is made, and by whoever closes what has no owner any more; a fork holds it, too."""


def protect(thing: Forkable, *, is_file: bool = False) -> None:
    """Call the three methods of ``thing`` around every fork, for as long as it lives.

    Args:
        thing: What is just being made; it waits for a fork that is under way.
        is_file: Others may have work under way that needs it: it is told after them.
    """
    with door:
        (_files if is_file else _others).add(thing)


def _before() -> None:
    _forking[threading.get_ident()] = fork = _Fork()
    fork.begin()


def _in_parent() -> None:
    _forking.pop(threading.get_ident()).end()


def _in_child() -> None:
    global door  # noqa: PLW0603 - the child's own: threads that do not exist here may wait for the parent's
    door = threading.RLock()
    _forking.clear()
    for things in (_others, _files):
        for thing in list(things):
            thing.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
