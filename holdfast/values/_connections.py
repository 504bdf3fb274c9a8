"""The open connections of this process: each with its owner, which may be dropped without closing it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from holdfast.values import forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Owner = TypeVar("Owner")


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """Close it."""
        ...


class _Place(NamedTuple):
    closing: weakref.finalize[Any, Any]
    path: Path
    close: Callable[[], object]


class Connections(Generic[Owner]):
    """Which are open.

    A thread may drop the last reference to an owner at any moment, also while another thread forks. The connection is closed by whoever
    of them comes first: the dropping thread behind `forks.door`, or the fork.
    """

    def __init__(self) -> None:
        self._open: dict[Closable, _Place] = {}
        self.abandoned: set[Path] = set()
        """Files of which this process inherited an open connection."""
        self.creating = threading.Lock()
        """Held while a file is made."""
        forks.protect(self, is_file=True)

    def hold(self, connection: Closable, owner: Owner, path: Path, close: Callable[[], object]) -> None:
        """Take a new one, which ``close`` closes when ``owner`` is dropped.

        No ``__del__`` of the owner does that: in a circle that is collected the connection's own turn may come first, and Python 3.13
        then warns that it is open.
        """
        closing = weakref.finalize(owner, self._close, connection)
        closing.atexit = False  # see `owners`
        self._open[connection] = _Place(closing, path, close)

    def let_go(self, connection: Closable) -> None:
        """Forget one, which its owner is about to close."""
        place = self._open.pop(connection, None)
        if place is not None:
            place.closing.detach()

    def owners(self) -> list[Owner]:
        """Whoever has one; `holdfast.values.endings` says when they are asked for it."""
        found = [place.closing.peek() for place in list(self._open.values())]
        return [each[0] for each in found if each is not None]

    def _close(self, connection: Closable) -> None:
        with forks.door:
            place = self._open.get(connection)
            if place is None:
                return
            try:
                place.close()
            finally:
                self._open.pop(connection, None)

    def before_fork(self) -> None:
        """Close what has no owner any more."""
        for connection in list(self._open):
            place = self._open.get(connection)
            if place is not None and place.closing.peek() is None:
                self._close(connection)

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Never close what came along, not even at exit, and never use its file. No thread that makes one exists here."""
        opened, self._open = self._open, {}  # from now on nobody's end closes one
        self.creating = threading.Lock()
        self.abandoned.update(place.path for place in opened.values())
        for connection, place in opened.items():
            import ctypes

            place.closing.detach()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
