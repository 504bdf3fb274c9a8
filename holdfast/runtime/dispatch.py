"""Who runs a body, and when: slots count bodies at work, worker threads run the sync ones.

Rules:

1. A call waits in line only for a slot, never for a thread: with a slot in hand a thread is found or made.
2. A body gives its slot back for good at its first task call or its first wait for a future, and for the time of every wait of the
   runtime's own (backoff, another's computation of the same key). So whoever waits holds no slot, and no limit, not even 1, can deadlock.
3. Worker threads are shared by all runs of the process, daemonic, and leave after `IDLE_SECONDS` without work.
"""

from __future__ import annotations

import os
import sys
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
    """Counts bodies at work against a limit; the others wait in the order they came.

    A free slot is a token. Tokens and the line are deques, whose own steps are atomic, rather than under a lock, which all threads of a large
    fan-out would wait for: the fan-out took three times as long. So that nobody is forgotten, whoever adds to one of the two looks at the
    other afterwards (`_match`).
    """

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` bodies at once."""
        self.limit = limit
        self._made = 0  # tokens, made when there is a first use for them
        self._free: deque[None] = deque()
        self._line: deque[Startable] = deque()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Slots that are taken at present."""
        return self._made - len(self._free)

    def enter(self, item: Startable, *, first: bool = False) -> None:
        """Start ``item`` now if a slot is free, else when one becomes free. ``first`` goes to the head of the line."""
        if not self._take():
            (self._line.appendleft if first else self._line.append)(item)
            self._match()
        elif not item.start():
            self.leave()

    def detach(self, holder: Holder) -> bool:
        """Take the slot off ``holder``; True for one caller only, who then owes a `leave`, however many threads ask at once."""
        with self._lock:
            had_slot, holder.has_slot = holder.has_slot, False
            return had_slot

    def leave(self) -> None:
        """Give a slot back; whoever is next in line starts."""
        while self._line:  # asked first, as in `_take`
            try:
                item = self._line.popleft()
            except IndexError:
                break
            if item.start():
                return
        self._free.append(None)
        self._match()

    def _take(self) -> bool:
        if self._free:  # asked first: what an empty deque raises takes longer than all the rest
            try:
                self._free.pop()
            except IndexError:
                pass
            else:
                return True
        if self._made >= self.limit:
            return False
        with self._lock:
            if self._made >= self.limit:
                return False
            self._made += 1
        return True

    def _match(self) -> None:
        while self._line and self._take():
            self.leave()


class Unlimited:
    """Slots without a limit: nobody stands in line, so nothing is counted, and all runs may share one."""

    def enter(self, item: Startable, *, first: bool = False) -> None:
        """Start ``item`` now."""
        del first
        item.start()

    def detach(self, holder: Holder) -> bool:
        """Take the slot off ``holder``; nobody owes a `leave` for it."""
        holder.has_slot = False
        return False

    def leave(self) -> None:
        """Give a slot back, which nobody waits for."""


UNLIMITED = Unlimited()


class Job(Protocol):
    """Something for a worker thread to do.

    Attributes:
        is_sent: A thread is sure to come to it. Written by the pool, as is the next.
        is_past: That thread counts as idle again.
    """

    is_sent: bool
    is_past: bool

    def work(self) -> None:
        """Do it; must not raise. Does nothing when it has become void meanwhile."""
        ...


class Errand:
    """A function as a `Job`."""

    __slots__ = ("_function", "is_past", "is_sent")

    def __init__(self, function: Callable[[], object]) -> None:
        """``function`` must not raise."""
        self._function = function
        self.is_sent = self.is_past = False

    def work(self) -> None:
        """Call the function."""
        self._function()


class Workers:
    """The process's pool of worker threads.

    A job is put in the inbox only for a thread that is sure to come for it. Each such thread is a token in ``_idle``: it stands at the
    inbox, or is about to. So no thread ends but in `_take`. A token comes from a job that is past, and a job yields one once: early, by `forgo` or `give_up`, or when its
    thread goes on. Tokens are taken and left without a lock (a deque's own steps are atomic), for a lock that every thread takes at
    every job makes them all wait for one another.
    """

    def __init__(self) -> None:
        """Start empty: the first job makes the first thread."""
        self._jobs: Inbox[Job] = Inbox()
        self._idle: deque[None] = deque()
        self._lock = threading.Lock()
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
        try:
            self._idle.pop()
        except IndexError:
            self._start(job)
            job.is_sent = True
        else:
            job.is_sent = True
            self._jobs.put(job)

    def forgo(self, job: Job) -> None:
        """Count the calling thread as idle: ``job``, which it has done, ends without waiting for anything.

        Without this each body that ends, and starts the next in line, would make a thread for it.
        """
        job.is_past = True
        self._idle.append(None)

    def give_up(self, job: Job) -> None:
        """Count the thread as idle that is on its way to ``job``, which has become void.

        Without this a body that calls and awaits one task after the other, helping with each, would make a thread for each.
        """
        if job.is_sent:
            self._pass(job)

    def _pass(self, job: Job) -> None:
        with self._lock:  # of a void job, two threads may come to say that it is past
            if job.is_past:
                return
            job.is_past = True
        self._idle.append(None)

    def _start(self, job: Job) -> None:
        with self._lock:
            self.count += 1
        thread = threading.Thread(target=self._work, args=([job],), name="holdfast-worker", daemon=True)  # a Thread keeps its arguments
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self.count -= 1
            raise

    def _work(self, first: list[Job]) -> None:
        job: Job | None = first.pop()
        while job is not None:
            try:
                job.work()
            except BaseException:  # noqa: BLE001 - SystemExit, from a callback of the user's: told of as if this thread had ended
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            if not job.is_past:
                self._pass(job)
            del job  # what it holds must not live until the next job comes
            job = self._take()

    def _take(self) -> Job | None:
        try:
            return self._jobs.take(IDLE_SECONDS)
        except Empty:
            pass
        try:
            self._idle.pop()
        except IndexError:  # `send` has taken the token, and its job is on the way
            return self._jobs.take()
        with self._lock:
            self.count -= 1
        return None

    def reset(self) -> None:
        """Forget threads that a fork did not bring along."""
        self.__init__()  # type: ignore[misc]


workers = Workers()
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=workers.reset)
