"""What is written behind a run's back: nobody waits for it, so it gathers on its way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from holdfast.runtime.writer import MOST_AT_ONCE, Item

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.runtime.writer import Writer
    from holdfast.typing import Commit, StepRecord


class Late:
    """The changes of one run that nobody waits for.

    Attributes:
        error: What went wrong with one of them; None while all is well.
    """

    def __init__(self, writer: Writer, change: Callable[[StepRecord], Commit]) -> None:
        """Give them to ``writer``; ``change`` makes one of a step."""
        self.error: Exception | None = None
        self._writer = writer
        self._change = change
        self._last: _Item | None = None  # in line, and not taken yet
        self._lock = threading.Lock()

    def put(self, change: Commit) -> None:
        """Have a change written soon."""
        item = _Item(change, self)
        with self._lock:
            self._last = item
        self._writer.put(item)

    def put_step(self, record: StepRecord) -> None:
        """Have a step written soon, with the change before it where that is still in line: one for each would cost as much again."""
        with self._lock:
            last = self._last
            if last is not None and last.size < MOST_AT_ONCE:
                last.joined.append(record)
                return
        self.put(self._change(record))

    def part(self, item: _Item) -> None:
        """No step may join a change any more."""
        with self._lock:
            if self._last is item:
                self._last = None


class _Item(Item):
    __slots__ = ("_late", "joined")
    is_awaited = False

    def __init__(self, change: Commit, late: Late) -> None:
        super().__init__(change)
        self._late = late
        self.joined: list[StepRecord] = []

    @property
    def size(self) -> int:
        return 1 + len(self.joined)

    def taken(self) -> Commit:
        self._late.part(self)
        return self.change._replace(steps=(*self.change.steps, *self.joined))

    def settle(self, error: Exception | None) -> None:
        if error is not None:
            self._late.error = error
