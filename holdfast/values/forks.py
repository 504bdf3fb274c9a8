"""What a store does around ``os.fork``: a child must inherit neither held locks nor open SQLite connections.

SQLite keeps its file locks per process in memory. A child that inherits that memory believes it holds locks which the kernel never gave
it, and can ruin the file (sqlite.org/howtocorrupt.html, section 2.6); and where another thread is inside SQLite at that moment, SQLite's own
locks come along locked, for ever. So nothing is inherited: connections are closed just before the fork, and parent and child open their own
when they next need one. Nothing that could open another is made meanwhile.
"""

from __future__ import annotations

import contextlib
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


class _Things:
    """Whoever is to be told, in the order in which they were made; none is kept alive."""

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Forkable]] = {}

    def add(self, thing: Forkable) -> None:
        name, known = id(thing), self._known
        known[name] = weakref.ref(thing, lambda gone: known.pop(name) if known.get(name) is gone else None)

    def alive(self) -> list[Forkable]:
        """A copy: other threads make things meanwhile, and the collector drops some."""
        return [thing for each in list(self._known.values()) if (thing := each()) is not None]


class _Fork:
    """One fork.

    Attributes:
        told: Whose `before_fork` was called, by id.
    """

    def __init__(self) -> None:
        self.told: dict[int, Forkable] = {}
        self._undo = contextlib.ExitStack()  # whatever one of them raises, the others go on

    def begin(self, around: list[_Fork]) -> None:
        """Tell everybody: first those that may wait for threads which make others; then whatever was made by then, and the files last.

        Args:
            around: Forks of this thread in whose hooks a signal's handler has come to fork, too.
        """
        known = {name for each in around for name in each.told}
        if not self._passes(_turn):
            return
        self._tell(_others, known)
        if self._passes(door):
            self._tell(_others, known)
            self._tell(_files, known)

    def _passes(self, lock: threading.RLock) -> bool:
        is_mine = lock.acquire(timeout=_PATIENCE)
        if is_mine:
            self._undo.callback(lock.release)
        return is_mine

    def _tell(self, things: _Things, known: set[int]) -> None:
        for thing in things.alive():
            if id(thing) not in known:
                known.add(id(thing))
                self.told[id(thing)] = thing
                self._undo.callback(thing.after_fork_in_parent)
                thing.before_fork()

    def end(self) -> None:
        """In the parent: go on."""
        self._undo.close()


_others, _files = _Things(), _Things()
_forking: dict[int, list[_Fork]] = {}  # by thread
_turn = threading.RLock()
"""Held by the thread that forks."""
door = threading.RLock()
"""Held while something is made that could open a file, and by whoever closes what has no owner any more; a fork holds it, too."""


def protect(thing: Forkable, *, is_file: bool = False) -> None:
    """Call the three methods of ``thing`` around every fork, for as long as it lives.

    Args:
        thing: What is just being made: behind `door`, if it could open a file by itself. Not so while a module is loaded: the child may need
            that module, and would find it locked.
        is_file: Others may have work under way that needs it: it is told after them, and in the child before them.
    """
    (_files if is_file else _others).add(thing)


def _before() -> None:
    around = _forking.setdefault(threading.get_ident(), [])
    fork = _Fork()
    around.append(fork)
    fork.begin(around[:-1])


def _in_parent() -> None:
    around = _forking[threading.get_ident()]
    fork = around.pop()
    if not around:
        del _forking[threading.get_ident()]
    fork.end()


def _in_child() -> None:
    global door, _turn  # the child's own: threads that do not exist here may hold the parent's
    door, _turn = threading.RLock(), threading.RLock()
    things = [*_files.alive(), *_others.alive()]
    with contextlib.ExitStack() as stack:  # whatever one of them raises, the others are told
        stack.callback(_forking.clear)  # last: who was held by the fork alone is dropped then, and its end may need locks of others
        for thing in reversed(things):
            stack.callback(thing.after_fork_in_child)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
