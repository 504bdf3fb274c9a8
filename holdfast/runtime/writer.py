"""Group commit: whatever gathers while a transaction is under way goes into the next one.

There is one writer for each saver. A thread that wants something committed puts it in line and waits for its turn; whoever has the turn
takes the whole line along, so the others find theirs done. No thread of its own, no waiting for company: a lone step commits at once on
the thread that made it, a hundred that end together share a few transactions. Async callers get a worker thread to take the turn.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from holdfast.errors import StoreError
from holdfast.runtime.dispatch import workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.typing import Checkpointer, Commit

MOST_AT_ONCE = 256
"""Commits in one transaction: more would keep the first ones waiting."""


class Item:
    """A commit in line.

    Attributes:
        change: What is to be written.
        error: Why it was not.
        is_done: True once it is written, or was refused.
    """

    __slots__ = ("change", "error", "is_done", "on_done")

    def __init__(self, change: Commit, on_done: Callable[[Item], object] | None = None) -> None:
        """Describe it; ``on_done`` is called by whoever has written it."""
        self.change = change
        self.on_done = on_done
        self.error: Exception | None = None
        self.is_done = False


class Writer:
    """Commits to one saver."""

    def __init__(self, saver: Checkpointer) -> None:
        """Write to ``saver``; `writer_of` makes the one there is."""
        self._saver = saver
        self._line: deque[Item] = deque()
        self._turn = threading.Lock()
        self._called = False  # a worker is about to take the turn

    def commit(self, change: Commit) -> None:
        """Write ``change``; it is durable, as far as the saver is, when this returns.

        Raises:
            StoreError: It could not be written.
            ThreadBusyError: Somebody else owns the thread now.
        """
        item = Item(change)
        self._line.append(item)
        self._take_turn(item)
        if item.error is not None:
            raise item.error

    def post(self, change: Commit, on_done: Callable[[Item], object]) -> None:
        """Write ``change`` soon, on a worker thread, which then calls ``on_done``."""
        self._line.append(Item(change, on_done))
        if not self._called:
            self._called = True
            workers.run(self._clear_line)

    def _clear_line(self) -> None:
        self._called = False  # before looking: what is put in line from here on calls another worker
        while self._line:
            self._take_turn(None)

    def _take_turn(self, item: Item | None) -> None:
        with self._turn:
            if item is None:
                self._write_some()
            while item is not None and not item.is_done:
                self._write_some()

    def _write_some(self) -> None:
        batch: list[Item] = []
        while self._line and len(batch) < MOST_AT_ONCE:
            batch.append(self._line.popleft())
        if not batch:
            return
        try:
            errors = self._saver.commit([item.change for item in batch])
        except BaseException as error:
            _settle(batch, [_own(error) for _ in batch])  # whatever it is, nobody in the batch may wait for ever
            if not isinstance(error, Exception):  # Ctrl-C
                raise
        else:
            _settle(batch, errors)


def _settle(batch: list[Item], errors: list[Exception | None]) -> None:
    for item, error in zip(batch, errors, strict=True):
        item.error = error
        item.is_done = True
        if item.on_done is not None:
            item.on_done(item)


def _own(error: BaseException) -> Exception:
    """An error for one of many: the same object raised on many threads would collect all their tracebacks."""
    if isinstance(error, StoreError):
        return StoreError(*error.args)
    failure = StoreError(f"the checkpointer failed: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


_writers: weakref.WeakValueDictionary[int, Writer] = weakref.WeakValueDictionary()  # a writer holds its saver, so an id is not used again
_making = threading.Lock()


def writer_of(saver: Checkpointer) -> Writer:
    """The writer of a saver."""
    with _making:
        writer = _writers.get(id(saver))
        if writer is None:
            writer = _writers[id(saver)] = Writer(saver)
        return writer


def _forget_in_child() -> None:
    global _making  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _making = threading.Lock()
    _writers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
