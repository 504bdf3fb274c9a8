"""Short calls of stores on worker threads, awaited: those that an event loop has at once go one after the other, on one thread.

A thread for each is what `holdfast.runtime.hop` would take. But looking something up takes microseconds, and a thread woken for it takes ten times
that, while all of them want the GIL: of 64 hits on disk at once each took twice as long, and 512 made 300 threads. So a thread that has
come for one call stays for what gathers meanwhile, and answers in batches.

Where a call does take long (a disk that spins up, a cache of the user's own beyond a network), others must not stand behind it: as long as
some wait and hardly any was done in the last `PATIENCE`, the threads are doubled.
"""

from __future__ import annotations

import contextlib
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from holdfast.runtime.dispatch import workers
from holdfast.runtime.hop import taken
from holdfast.runtime.loops import forget_closed, post, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from holdfast.runtime.hop import Outcome

    Errand = tuple[Context, Callable[[], Any], asyncio.Future[Outcome]]
    Answer = tuple[asyncio.Future[Outcome], Outcome]

BATCH = 16
"""Answers that leave together; each wake-up of the loop costs its thread and this one a turn at the GIL."""
PATIENCE = 0.01
"""Seconds after which it is looked whether those that wait get on."""
FEW = 20
"""Calls done in that time, below which more threads are wanted: a quick store does hundreds."""


async def in_convoy(fn: Callable[[], Any]) -> Any:
    """Run ``fn``, which should be short, on a worker thread, in a copy of this context, after what this loop has waiting there."""
    loop = running_loop()
    if loop is None:
        raise RuntimeError("no running event loop")
    convoy = _convoys.get(loop)
    if convoy is None:
        forget_closed(_convoys)
        convoy = _convoys[loop] = _Convoy()
    try:
        answer = convoy.send(loop, fn)
    except RuntimeError:  # no thread can be had, as in Python 3.12 when the interpreter ends: rather let this loop wait than lose a value
        return fn()
    await answer
    try:
        return taken(answer)
    finally:
        del answer  # it leads to the error, and that to this frame


class _Convoy:
    """What one loop has waiting. `send` and `_look` are called by the loop's own thread."""

    def __init__(self) -> None:
        self.waiting: deque[Errand] = deque()
        self.threads: deque[None] = deque()  # one token for each that is at work
        self.answers: deque[Answer] = deque()  # that have not left
        self.done = 0  # about: threads count without a lock
        self._is_watched = False

    def send(self, loop: asyncio.AbstractEventLoop, fn: Callable[[], Any]) -> asyncio.Future[Outcome]:
        answer: asyncio.Future[Outcome] = loop.create_future()
        errand = copy_context(), fn, answer
        self.waiting.append(errand)
        if not self.threads:
            try:
                self._start(loop)
            except RuntimeError:  # the system allows no more threads
                self.waiting.remove(errand)
                raise
        elif not self._is_watched:
            self._watch(loop)
        return answer

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.threads.append(None)
        try:
            workers.send(_Walk(self, loop))
        except RuntimeError:
            self.threads.pop()
            raise

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watched = True
        loop.call_later(PATIENCE, self._look, loop, self.done)

    def _look(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        self._is_watched = False
        _settle(self.answers)  # the call after theirs on that thread may be a slow one
        if not self.waiting:
            return
        if self.done - seen < FEW:
            with contextlib.suppress(RuntimeError):
                for _ in range(min(len(self.threads), len(self.waiting))):
                    self._start(loop)
        self._watch(loop)


class _Walk:
    """The job of one thread: what waits, until nothing does. See `holdfast.runtime.dispatch.Job`."""

    __slots__ = ("_convoy", "_loop", "is_past", "is_sent")

    def __init__(self, convoy: _Convoy, loop: asyncio.AbstractEventLoop) -> None:
        self._convoy, self._loop = convoy, loop
        self.is_sent = self.is_past = False

    def work(self) -> None:
        """Do what waits, and answer. As in `holdfast.runtime.hop`, the last answers leave as the last thing of all."""
        convoy, held = self._convoy, 0
        while (errand := self._next()) is not None:
            convoy.answers.append(_ran(errand))
            convoy.done += 1
            held += 1
            if held == BATCH:
                post(self._loop, _settle, convoy.answers)
                held = 0
        workers.forgo(self)
        if held:
            post(self._loop, _settle, convoy.answers)

    def _next(self) -> Errand | None:
        """The next in line; None when there is none and this thread is no longer counted on to come for one."""
        convoy = self._convoy
        while True:
            try:
                return convoy.waiting.popleft()
            except IndexError:
                convoy.threads.pop()
            if not convoy.waiting or convoy.threads:  # whoever adds one looks for a thread afterwards; so look once more
                return None
            convoy.threads.append(None)


def _ran(errand: Errand) -> Answer:
    """What became of a call."""
    context, fn, answer = errand
    try:
        return answer, (context.run(fn), None)
    except BaseException as error:  # noqa: BLE001 - handed to the waiting task
        return answer, (None, error)
    finally:
        del errand, answer  # which leads to the error, that to its traceback, and that to this frame and the caller's


def _settle(answers: deque[Answer]) -> None:
    """Tell those who wait; called by the loop's own thread."""
    for _ in range(len(answers)):
        answer, outcome = answers.popleft()
        if not answer.done():
            answer.set_result(outcome)


_convoys: WeakKeyDictionary[asyncio.AbstractEventLoop, _Convoy] = WeakKeyDictionary()
