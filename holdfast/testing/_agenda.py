"""What a `FakeClock` is waiting to do: the pending waits, in the order in which virtual time reaches them."""

from __future__ import annotations

import enum
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator


class Kind(enum.IntEnum):
    """Why someone waits. At one and the same moment limits come first, as with `asyncio.timeout` around `asyncio.sleep`."""

    LIMIT = 0
    """Something else is expected to end the wait; time running out is the exception."""
    SLEEP = 1
    """Only time ends the wait."""


@dataclass(slots=True, eq=False)
class Wait:
    """One pending wait.

    Attributes:
        deadline: The virtual moment that ends it, nanoseconds since the clock's start.
        kind: See `Kind`.
        what: For people: ``sleep(2)``.
        who: For people: the thread or asyncio task that waits.
        wake: Called once, when the moment has come.
        since: Real moment of registration, `time.monotonic` seconds.
        thread: Identifier of the thread that is blocked, None for asyncio.
        loop: The event loop that `wake` goes to, None for threads.
        event: The event that ends the wait too, if any.
        order: Tie-break among equals: first come, first served.
        is_over: True once it was released, given up or failed.
        error: What the waiter has to raise instead of returning.
    """

    deadline: int
    kind: Kind
    what: str
    who: str
    wake: Callable[[], object]
    since: float
    thread: int | None = None
    loop: Any = None
    event: threading.Event | None = None
    order: int = field(default_factory=itertools.count().__next__)
    is_over: bool = False
    error: Exception | None = None

    @property
    def is_timeout(self) -> bool:
        """Tell whether nobody is suspended in it: a limit around a coroutine's body."""
        return self.kind is Kind.LIMIT and self.loop is not None

    def __lt__(self, other: Wait) -> bool:
        """Order by moment, then limits before sleepers, then first come."""
        return (self.deadline, self.kind, self.order) < (other.deadline, other.kind, other.order)

    def __str__(self) -> str:
        """One line for an error message."""
        return f"{self.what} in {self.who}, due at {self.deadline / 1e9:g} s"


class Agenda:
    """The pending waits of one clock. Not thread-safe: its clock holds the lock."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[Wait] = []

    def add(self, wait: Wait) -> None:
        """Remember ``wait``."""
        heapq.heappush(self._heap, wait)

    def next(self) -> Wait | None:
        """Return the wait that virtual time reaches next, without removing it."""
        while self._heap and self._heap[0].is_over:
            heapq.heappop(self._heap)  # given up by its waiter earlier
        return self._heap[0] if self._heap else None

    def take(self) -> list[Wait]:
        """Remove and return what is to be released next: one wait, or all of one event loop at that moment.

        The waits of one loop go together because the loop runs them in this very order anyway, and a thousand tasks that back off for
        the same time then cost one switch between threads.
        """
        first = self.next()
        if first is None:
            return []
        taken = [heapq.heappop(self._heap)]
        if first.loop is None:
            return taken
        while (wait := self.next()) is not None and wait.deadline == first.deadline and wait.loop is first.loop:
            taken.append(heapq.heappop(self._heap))
        return taken

    def __iter__(self) -> Iterator[Wait]:
        """Every pending wait, soonest first."""
        return iter(sorted(wait for wait in self._heap if not wait.is_over))
