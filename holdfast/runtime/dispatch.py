"""Who runs a body, and when: slots count bodies at work, worker threads run the sync ones.

Rules:

1. A call waits in line only for a slot, never for a thread: with a slot in hand a thread is found or made.
2. A body gives its slot back for good at its first task call or its first wait for a future, and for the time of every wait of the
   runtime's own (backoff, another's computation of the same key). So whoever waits holds no slot, and no limit, not even 1, can deadlock.
3. Worker threads are shared by all runs of the process, daemonic, and leave after `IDLE_SECONDS` without work.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import Empty
from typing import TYPE_CHECKING, Protocol

from holdfast.runtime.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_SYNC_LIMIT = 128
IDLE_SECONDS = 5.0
MOST_WAITING_THREADS = 1_000
"""Above this many worker threads a backoff keeps its slot: it ends by itself, so it cannot deadlock, and threads stay bounded."""


class Startable(Protocol):
    """Something that waits for a slot."""

    def start(self) -> bool:
        """Begin, owning one slot; False when it was cancelled meanwhile and needs none."""
        ...


class Holder(Protocol):
    """Something that may hold a slot."""

    has_slot: bool


class Slots:
    """Counts bodies at work against a limit; the others wait in the order they came."""

    def __init__(self, limit: int | None) -> None:
        """Allow ``limit`` bodies at once; None allows any number."""
        self.limit = limit
        self._used = 0
        self._line: deque[Startable] = deque()
        self._lock = threading.Lock()

    def enter(self, item: Startable, *, first: bool = False) -> None:
        """Start ``item`` now if a slot is free, else when one becomes free. ``first`` goes to the head of the line."""
        if self.limit is not None:
            with self._lock:
                if self._used >= self.limit:
                    (self._line.appendleft if first else self._line.append)(item)
                    return
                self._used += 1
        if not item.start():
            self.leave()

    def detach(self, holder: Holder) -> bool:
        """Take the slot off ``holder``; True for one caller only, who then owes a `leave`, however many threads ask at once."""
        with self._lock:
            had_slot, holder.has_slot = holder.has_slot, False
            return had_slot

    def leave(self) -> None:
        """Give a slot back; whoever is next in line starts."""
        if self.limit is None:
            return
        while True:
            with self._lock:
                if not self._line or self._used > self.limit:
                    self._used -= 1
                    return
                item = self._line.popleft()
            if item.start():
                return


class Job(Protocol):
    """Something for a worker thread to do.

    Attributes:
        is_sent: It lies in the pool's inbox and no thread has taken it yet. Written by the pool.
    """

    is_sent: bool

    def work(self) -> object:
        """Do it; must not raise. Does nothing when it has become void meanwhile."""
        ...


class Errand:
    """A function as a `Job`."""

    __slots__ = ("is_sent", "work")

    def __init__(self, work: Callable[[], object]) -> None:
        """``work`` must not raise."""
        self.work = work
        self.is_sent = False


class Workers:
    """The process's pool of worker threads.

    A job is put in the inbox only for a thread that is sure to come for it: one that stands there, or one whose coming has been announced
    (`forgo`, `give_up`). Whoever announces a thread does so before that thread can arrive, for an announcement that nobody honours would
    leave a job lying. ``_idle`` counts those threads, less the jobs on the way to them.
    """

    def __init__(self) -> None:
        """Start empty: the first job makes the first thread."""
        self._jobs: Inbox[Job] = Inbox()
        self._lock = threading.Lock()
        self._idle = 0
        self._announced = 0  # threads that are yet to arrive at the inbox, but counted in `_idle` already
        self.count = 0

    def run(self, work: Callable[[], object]) -> None:
        """Call ``work``, which must not raise, on an idle thread or on a new one.

        Raises:
            RuntimeError: The system allows no more threads.
        """
        self.send(Errand(work))

    def send(self, job: Job) -> None:
        """Have ``job`` done by an idle thread, or by a new one.

        Raises:
            RuntimeError: The system allows no more threads.
        """
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                job.is_sent = True
                self._jobs.put(job)
                return
            self.count += 1
        thread = threading.Thread(target=self._work, args=([job],), name="holdfast-worker", daemon=True)  # a Thread keeps its arguments
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self.count -= 1
            raise

    def forgo(self) -> None:
        """Count the calling worker thread as idle: its job is about to end, without waiting for anything.

        Without this each body that ends, and starts the next in line, would make a thread for it.
        """
        with self._lock:
            self._idle += 1
            self._announced += 1

    def give_up(self, job: Job) -> None:
        """Count the thread as idle that is on its way to ``job``, which has become void.

        Without this a body that calls and awaits one task after the other, helping with each, would make a thread for each.
        """
        with self._lock:
            if job.is_sent:  # else that thread may have come and gone
                self._idle += 1
                self._announced += 1

    def _work(self, first: list[Job]) -> None:
        job: Job | None = first.pop()
        while job is not None:
            job.work()
            del job  # what it holds must not live until the next job comes
            job = self._next()

    def _next(self) -> Job | None:
        with self._lock:
            if self._announced > 0:
                self._announced -= 1
            else:
                self._idle += 1
        job = self._take()
        if job is not None:
            job.is_sent = False
        return job

    def _take(self) -> Job | None:
        try:
            return self._jobs.take(IDLE_SECONDS)
        except Empty:
            with self._lock:
                if self._idle > 0:  # nobody has counted on this thread since
                    self._idle -= 1
                    self.count -= 1
                    return None
        return self._jobs.take()  # `send` took one idle thread off the count and its job is on the way

    def reset(self) -> None:
        """Forget threads that a fork did not bring along."""
        self.__init__()  # type: ignore[misc]


workers = Workers()
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=workers.reset)
