"""Group commit: whatever gathers while a transaction is under way goes into the next one.

Theory of operation. There is one writer for each saver. Whoever ends a step puts its record in line and goes on; a worker thread, called
when the first one arrives, takes the whole line along in one transaction, and only then tells each item, which resolves a future. No
thread waits for a commit that it need not wait for, and none lingers for company: a lone change is written at once, on the thread that
made it where that may block, and a thousand steps that end together share a few transactions.

Rules:

1. Only one transaction is under way: whoever writes has the turn. Nothing is told while one has it, for what is told may call the
   user's code, and that may wait for a commit.
2. At most one worker waits for the turn (``_is_called``). It takes that mark away before it empties the line, so what comes later calls
   the next one, and nothing is left lying.
3. On the user's own threads a writer takes nobody else's changes along: Ctrl-C strikes there.
4. What nobody waits for gathers for `GATHERING` seconds after a transaction, so that a run whose steps are written behind wakes a thread
   for every hundredth step and not for each. The first one is written at once, and so is all of it as soon as somebody waits.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from holdfast.errors import StoreError
from holdfast.runtime.dispatch import workers
from holdfast.runtime.loops import post

if TYPE_CHECKING:
    import asyncio

    from holdfast.typing import Checkpointer, Commit

MOST_AT_ONCE = 256
"""Commits in one transaction: more would keep the first ones waiting."""
GATHERING = 0.005
"""Seconds from one transaction to the next, as long as nobody waits for it."""


class Item:
    """A change in line.

    Attributes:
        change: What is to be written.
        error: Why it was not; None before it is, and when it was.
        loop: Where it is told; None for the thread that wrote it.
        is_awaited: Whether somebody waits for it.
    """

    __slots__ = ("change", "error", "loop")
    is_awaited = True

    def __init__(self, change: Commit, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Describe it; nothing is written yet."""
        self.change = change
        self.loop = loop
        self.error: Exception | None = None

    @property
    def calls_out(self) -> bool:
        """Whether telling it may call the user's code, which may wait for another item of the same transaction."""
        return False

    @property
    def size(self) -> int:
        """How many changes it counts for."""
        return 1

    def taken(self) -> Commit:
        """What is to be written, now that it is: nothing is added to it any more."""
        return self.change

    def settle(self, error: Exception | None) -> None:
        """It was written, or was not. Called before any later change is: do little, and call nobody."""
        self.error = error

    def tell(self) -> None:
        """Let whoever waits for it know. Called once, after `settle`."""


class _Awaited(Item):
    """One that a thread waits for."""

    __slots__ = ("_is_told",)

    def __init__(self, change: Commit) -> None:
        super().__init__(change)
        self._is_told = threading.Event()

    def tell(self) -> None:
        self._is_told.set()

    def wait(self) -> None:
        self._is_told.wait()


class Writer:
    """Commits to one saver."""

    def __init__(self, saver: Checkpointer) -> None:
        """Write to ``saver``; `writer_of` makes the one there is."""
        self._saver = saver
        self._is_blocking = saver.is_blocking
        self._line: deque[Item] = deque()
        self._turn = threading.Lock()
        self._is_called = False  # a worker is about to take the turn
        self._hurry = threading.Event()  # somebody waits, or enough has gathered
        self._last = float("-inf")  # when the last transaction in company ended

    @property
    def is_idle(self) -> bool:
        """True while nothing is being written or in line."""
        return not self._line and not self._turn.locked()

    @property
    def is_behind(self) -> bool:
        """True while a whole transaction's worth is in line."""
        return len(self._line) >= MOST_AT_ONCE

    def commit(self, change: Commit) -> None:
        """Write ``change``; it is durable, as far as the saver is, when this returns.

        Raises:
            StoreError: It could not be written.
            ThreadBusyError: Somebody else owns the thread now.
        """
        if not self._is_blocking:
            self._write_at_once(change)
            return
        item = _Awaited(change)
        if self.is_idle:
            self.write_alone(item)
        else:
            self.put(item)
            item.wait()
        if item.error is not None:
            raise item.error

    def write_alone(self, item: Item) -> None:
        """Write ``item`` on this thread, which may wait; it is settled then, but not told. For a writer that `is_idle`: a lone step's way.

        Raises:
            BaseException: Ctrl-C came meanwhile.
        """
        with self._turn:
            broken = self._write([item])
        if broken is not None and not isinstance(broken, Exception):
            raise broken

    def _write_at_once(self, change: Commit) -> None:
        """Write to a store that waits for no disk: there is nothing to gain by company."""
        try:
            (error,) = self._saver.commit((change,))
        except Exception as broken:
            raise _own(broken) from broken
        if error is not None:
            raise error

    def put(self, item: Item) -> None:
        """Have ``item`` written soon by a worker thread, and told."""
        self._line.append(item)
        if (item.is_awaited or self.is_behind) and not self._hurry.is_set():
            self._hurry.set()
        self._call()

    def _call(self) -> None:
        if self._is_called:
            return
        self._is_called = True
        try:
            workers.run(self._serve)
        except RuntimeError:  # the system allows no more threads
            while self._line:
                tell(self._write_some())

    def _serve(self) -> None:
        left = self._last + GATHERING - time.monotonic()  # real time on purpose: it is the disk that is spared
        if left > 0:
            self._hurry.wait(left)
        batch = self._write_some()
        if self._line:  # more than one transaction takes, or it came in between
            self._call()
        tell(batch)

    def _write_some(self) -> deque[Item]:
        batch: deque[Item] = deque()
        with self._turn:
            self._is_called = False
            self._hurry.clear()
            room = MOST_AT_ONCE
            while self._line and room > 0:
                batch.append(self._line.popleft())
                room -= batch[-1].size
            if self._line:  # more than one transaction takes: somebody may wait for it
                self._hurry.set()
            if batch:
                self._write(batch)
                self._last = time.monotonic()
        return batch

    def _write(self, batch: deque[Item] | list[Item]) -> BaseException | None:
        """Write changes in one transaction and settle them all; return what went wrong with it as a whole."""
        try:
            errors = self._saver.commit([item.taken() for item in batch])
            for item, error in zip(batch, errors, strict=True):
                item.settle(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody in the batch may wait for ever
            for item in batch:
                item.settle(_own(error))
            return error
        return None


def tell(items: deque[Item]) -> None:
    """Tell each where it wants to be told: on its loop, all of a loop's in one go, or here."""
    letters: dict[int, tuple[asyncio.AbstractEventLoop, deque[Item]]] = {}
    for item in items:
        if item.loop is not None:
            letters.setdefault(id(item.loop), (item.loop, deque()))[1].append(item)
    for loop, its_items in letters.values():
        post(loop, _tell_on_loop, (loop, its_items))
    _tell_here(deque(item for item in items if item.loop is None))


def _tell_here(items: deque[Item]) -> None:
    try:
        while items:
            item = items.popleft()
            if item.calls_out and len(items):
                workers.run(partial(_tell_here, deque(items)))  # the others first: nobody may wait here for one that is behind
                items.clear()
            item.tell()
    finally:
        if items:  # no more threads, or SystemExit
            _tell_here(items)


def _tell_on_loop(letter: tuple[asyncio.AbstractEventLoop, deque[Item]]) -> None:
    loop, items = letter
    try:
        while items:
            items.popleft().tell()
    finally:
        if items:  # Ctrl-C, where the loop is the main thread's
            loop.call_soon(_tell_on_loop, letter)


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
