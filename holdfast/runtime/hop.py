"""One function on a worker thread, awaited: how an event loop has something done that may block."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from holdfast.runtime.dispatch import workers
from holdfast.runtime.loops import post, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    Outcome = tuple[Any, BaseException | None]


async def in_thread(fn: Callable[[], Any]) -> Any:
    """Run ``fn`` on a worker thread, in a copy of this context."""
    answer = sent(fn)
    await answer
    try:
        return taken(answer)
    finally:
        del answer  # it leads to the error, and that to this frame


def sent(fn: Callable[[], Any]) -> asyncio.Future[Outcome]:
    """Have ``fn`` run on a worker thread, in a copy of this context; `taken` takes its outcome.

    It is no asyncio task: a loop that is shut down cancels all of those, and nobody would hear any more what the thread has done.
    """
    loop = running_loop()
    if loop is None:
        raise RuntimeError("no running event loop")
    answer: asyncio.Future[Outcome] = loop.create_future()
    workers.send(_Hop(fn, loop, answer))
    return answer


def taken(answer: asyncio.Future[Outcome]) -> Any:
    """The value of a function that was `sent` and has ended; raises what it raised."""
    value, error = answer.result()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error, answer  # both lead to the error, that to its traceback, and that to this frame


class _Hop:
    """The job for the worker thread; see `holdfast.runtime.dispatch.Job`.

    The answer leaves as the last thing of all. Waking the loop makes its thread want the GIL, and whatever is left to do here would then
    have the two take turns at it, at 25 us each: that was a quarter of what the whole way took.
    """

    __slots__ = ("_answer", "_context", "_function", "_loop", "is_past", "is_sent")

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Outcome]) -> None:
        self._function, self._loop, self._answer = function, loop, answer
        self._context = copy_context()
        self.is_sent = self.is_past = False

    def work(self) -> None:
        """Run the function, count this thread as idle, answer."""
        outcome: Outcome
        try:
            outcome = self._context.run(self._function), None
        except BaseException as error:  # noqa: BLE001 - handed to the waiting task
            outcome = None, error
        workers.forgo(self)
        post(self._loop, self._settle, outcome)
        del outcome, self  # as above

    def _settle(self, outcome: Outcome) -> None:
        if not self._answer.done():
            self._answer.set_result(outcome)  # an error too: a future of asyncio's does not take every one
