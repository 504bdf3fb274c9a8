"""TaskFuture: one future for threads and for asyncio.

Theory of operation. It subclasses `concurrent.futures.Future`, so `wait`, `as_completed` and friends take it, but makes the lock and
condition those need only when somebody blocks on it: a future that is awaited, or read after it is done, never has one. It also duck-types
`asyncio.Future` (``_asyncio_future_blocking``, ``get_loop``, callbacks that run on the loop of whoever added them), so `gather`,
`asyncio.wait`, `wait_for` and `shield` take it without wrapping it in a task.

Rules:

1. State changes happen under the future's lock (`stripes.py`), held for a few instructions; nobody is called while it is held.
2. A callback added on a running loop is called on that loop; any other is called at once by whoever settles the future, as
   `concurrent.futures` does. Both run in the context variables of whoever added them.
3. The condition is published under the lock. Once there is one, the state changes while it is held (condition first, then the lock), and
   its waiters are told before it is let go: `cf.wait` and `as_completed` count on seeing either an unfinished future or its notification,
   never both.
4. Whoever waits holds no slot: a body that waits for a future, in whatever way, gives its slot back (`dispatch.py`).
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING  # the states that cf.wait and as_completed compare
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

from holdfast.clock import waitable
from holdfast.policies.duration import patience
from holdfast.runtime.context import give_slot_back
from holdfast.runtime.foreign import call_back
from holdfast.runtime.loops import post, refuse_to_block, running_loop
from holdfast.runtime.sight import glance, look
from holdfast.runtime.stripes import locks as _locks
from holdfast.runtime.stripes import stripes as _stripes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator
    from contextvars import Context
    from types import TracebackType

    from holdfast.policies.duration import Duration
    from holdfast.runtime.sight import Sight

    # No context: it only wakes somebody on the loop, and may be called there by whoever settles the future.
    _Calls = list[tuple[Callable[[Any], object], asyncio.AbstractEventLoop | None, Context | None]]

R = TypeVar("R")

_DONE = frozenset((FINISHED, CANCELLED_AND_NOTIFIED))


class Work(Protocol):
    """What a future asks of the call it belongs to."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    def help(self) -> None:
        """Run the call on this thread, if it is still queued and that is allowed."""

    def stop(self, *, on_loop: bool) -> bool:
        """Ask a running body to stop; True when it will, or when its outcome may be dropped."""
        ...

    def withdrawn(self) -> None:
        """It was cancelled before it began."""


class TaskFuture(Future[R]):
    """The result of a task that may not have finished yet: ``.result()`` in sync code, ``await`` in async code."""

    seen: Sight | None = None  # the latest look at its failure
    may_block = False  # on a loop's own thread: true where a sync program that somebody conducts there waits, and nothing needs that loop
    _asyncio_future_blocking = False  # what asyncio.isfuture looks for; `await` uses a future of the waiting loop instead
    _cancel_message = None  # what asyncio.gather asks of a cancelled child

    def __init__(self, work: Work | None = None) -> None:
        """Make a pending future; ``super().__init__`` is left out because it makes a condition."""
        self._state = PENDING
        self._stripe = next(_stripes)
        self._result: Any = None
        self._exception: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._cond: threading.Condition | None = None
        self._calls: _Calls | None = None
        self._work = work
        self.is_collected = False

    def __repr__(self) -> str:
        """State, and result or error once it is done."""
        if self._state is not FINISHED:
            return f"<TaskFuture {self._state.lower().replace('_and_notified', '')}>"
        return f"<TaskFuture raised {self._exception!r}>" if self._exception is not None else f"<TaskFuture returned {self._result!r}>"

    def __bool__(self) -> NoReturn:
        """Refuse: it would be true whatever the task returns. Neither asyncio nor `concurrent.futures` asks a future given to them."""
        msg = "a TaskFuture is neither true nor false: test future.result(), or `await future`; or write `future is not None`"
        raise TypeError(msg)

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def done(self) -> bool:
        """True when there is a result, an error, or it was cancelled."""
        return self._state in _DONE

    def running(self) -> bool:
        """True while the body runs."""
        return self._state is RUNNING

    def cancelled(self) -> bool:
        """True when it was cancelled."""
        return self._state is CANCELLED_AND_NOTIFIED

    def result(self, timeout: Duration | None = None) -> R:
        """The task's result; waits for it.

        Args:
            timeout: The most to wait: seconds, a timedelta or text like ``"1.5s"``; None waits as long as it takes.

        Raises:
            PolicyError: ``timeout`` is no duration.
            TimeoutError: It was not done in time; the task goes on.
            asyncio.InvalidStateError: Called on an event loop's own thread before it was done: ``await`` it there.
            Exception: Whatever the task raised.
        """
        if self._state is not FINISHED:
            self._join(timeout)
        self.is_collected = True
        if self._exception is not None:
            self.seen = look()
            try:
                raise self._exception.with_traceback(self._traceback)  # noqa: TRY301 - raised again, it does not gain this frame
            except BaseException as error:
                error.with_traceback(self._traceback)
                raise
            finally:
                del self  # error -> traceback -> the frame of a body that was helped -> this frame -> self -> error: see `_block`
        return cast("R", self._result)

    def exception(self, timeout: Duration | None = None) -> BaseException | None:
        """Wait like `result`, and give the error instead of raising it.

        Args:
            timeout: As for `result`.

        Returns:
            What the task raised; None when it has a result.
        """
        try:
            if self._state is not FINISHED:
                self._join(timeout)
            self.is_collected = True
            if self._exception is not None:
                self.seen = glance()
            return self._exception
        finally:
            del self  # as in `result`

    def __await__(self) -> Generator[Any, None, R]:
        """Wait without blocking the loop. Cancelling the waiter cancels the task, as with `asyncio.Task`."""
        if self._state not in _DONE:
            try:
                yield from self.waiting()
            except BaseException:
                if self._state not in _DONE:
                    self.cancel()
                raise
        try:
            return self.result()
        finally:
            del self  # this frame is in the traceback: the error would live until the garbage collector comes

    def waiting(self) -> Generator[Any, None, None]:
        """Suspend this asyncio task until the future is done; cancelling the waiter leaves the task alone."""
        loop = running_loop()
        if loop is None:
            msg = "await needs a running event loop; use .result() in sync code"
            raise RuntimeError(msg)
        waiter = loop.create_future()

        def wake(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        give_slot_back()
        if not self._add(wake, loop, None):
            return
        try:
            yield from waiter
        except BaseException:
            self.remove_done_callback(wake)
            raise

    @property
    def has_callbacks(self) -> bool:
        """True when settling it will call somebody."""
        return bool(self._calls)

    @property
    def calls_at_once(self) -> bool:
        """True when settling it will call somebody on the very thread that settles it, not on an event loop."""
        return any(loop is None for _, loop, _ in self._calls or ())

    # -- cancelling and callbacks -------------------------------------------------------------------------------------------------

    def cancel(self, msg: object = None) -> bool:
        """Cancel the task if that can still be done.

        A queued task never runs. A running ``async def`` body is cancelled. A running ``def`` body cannot be stopped: called from a
        thread this returns False, as `concurrent.futures` does; called on an event loop the future is cancelled at once and the body's
        outcome is dropped when it ends, as `loop.run_in_executor` does.

        Returns:
            False when it was done already, or cannot be stopped.
        """
        del msg  # asyncio's cancel takes one; the body's CancelledError carries none
        if self._state in _DONE:
            return False
        if self._state is RUNNING:
            work = self._work
            on_loop = running_loop() is not None
            return work is not None and work.stop(on_loop=on_loop)
        work = self._work
        if not self.settle_cancelled(only_if=PENDING):
            return self.cancel()  # it has begun in between
        if work is not None:
            work.withdrawn()
        return True

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call ``fn(self)`` when done: on this event loop if one is running here, else on whichever thread finishes the task."""
        loop = running_loop()
        if self._state not in _DONE:
            give_slot_back()
            if self._add(fn, loop, context or copy_context()):
                return
        if loop is not None:
            loop.call_soon(fn, self, context=context)
        else:
            fn(self)

    def _add(self, fn: Callable[[Any], object], loop: asyncio.AbstractEventLoop | None, context: Context | None) -> bool:
        with _locks[self._stripe]:
            if self._state in _DONE:
                return False
            if self._calls is None:
                self._calls = []
            self._calls.append((fn, loop, context))
            return True

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget a callback; return how many there were."""
        with _locks[self._stripe]:
            before = self._calls or []
            self._calls = [call for call in before if call[0] != fn]
            return len(before) - len(self._calls)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop: this future belongs to whichever loop asks (asyncio's combinators call this)."""
        loop = running_loop()
        if loop is None:
            msg = "no event loop is running on this thread"
            raise RuntimeError(msg)
        return loop

    def _make_cancelled_error(self) -> BaseException:  # asyncio.gather asks a cancelled child for this
        import asyncio

        return asyncio.CancelledError()

    # -- settling: for the runtime ------------------------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Move from pending to running; False when it was cancelled or claimed before."""
        with _locks[self._stripe]:
            if self._state is not PENDING:
                return False
            self._state = RUNNING
            return True

    def set_running_or_notify_cancel(self) -> bool:
        """The name `concurrent.futures` has for `claim`."""
        return self.claim()

    def set_result(self, result: Any) -> None:
        """Settle with a result; ignored when already settled (a cancelled call's late result)."""
        self._settle(FINISHED, result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle with an error; ignored when already settled.

        StopIteration cannot be raised into a coroutine or a generator (PEP 479), and asyncio's combinators hang on it: it becomes the
        RuntimeError that Python itself makes of it there.
        """
        if isinstance(exception, StopIteration):
            cause, exception = exception, RuntimeError("a task raised StopIteration")
            exception.__cause__ = cause
        self._settle(FINISHED, None, exception)

    def settle_cancelled(self, only_if: str | None = None) -> bool:
        """Settle as cancelled; with ``only_if``, only from that state."""
        return self._settle(CANCELLED_AND_NOTIFIED, None, None, only_if)

    def _settle(self, state: str, result: Any, error: BaseException | None, only_if: str | None = None) -> bool:
        with _locks[self._stripe]:
            condition = self._cond
            calls = self._assign(state, result, error, only_if) if condition is None else None
        if condition is not None:
            with condition:
                with _locks[self._stripe]:
                    calls = self._assign(state, result, error, only_if)
                if calls is not None:
                    self._notify(condition)
        if calls:
            self._call_back(calls)
        return calls is not None

    def _assign(self, state: str, result: Any, error: BaseException | None, only_if: str | None) -> _Calls | None:
        """Change the state and return whom to call; None when that is not possible any more. The lock is held."""
        if self._state in _DONE or (only_if is not None and self._state is not only_if):
            return None
        self._result = result
        self._exception = error
        if error is not None:
            self._traceback = error.__traceback__
        self._state = state
        calls, self._calls, self._work = self._calls or [], None, None
        return calls

    def _notify(self, condition: threading.Condition) -> None:
        for waiter in self._waiters:
            if self._state is not FINISHED:
                waiter.add_cancelled(self)
            elif self._exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)
        condition.notify_all()

    def _call_back(self, calls: _Calls) -> None:
        here = running_loop()
        for fn, loop, context in calls:
            if loop is None:
                cast("Context", context).run(call_back, fn, self)
            elif loop is here:  # without a context at once, which spares a round of the loop
                fn(self) if context is None else loop.call_soon(fn, self, context=context)
            elif not loop.is_closed():
                post(loop, fn, self, context)

    # -- blocking -----------------------------------------------------------------------------------------------------------------

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # made on demand, for cf.wait and as_completed
        if self._state not in _DONE:
            give_slot_back()
        with _locks[self._stripe]:
            if self._cond is None:
                self._waiters: list[Any] = []
                self._cond = threading.Condition()
            return self._cond

    def _join(self, timeout: Duration | None) -> None:
        try:
            if self._state not in _DONE:
                self._block(None if timeout is None else patience(timeout, what="timeout"))
            if self._state is not FINISHED:
                self._raise_cancelled()
        finally:
            del self  # see `result`: a body that is helped runs on top of this frame

    def _block(self, timeout: float | None) -> None:
        if running_loop() is not None and not self.may_block:
            refuse_to_block(self)
        give_slot_back()
        try:
            work = self._work
            if (
                timeout is None and work is not None and self._state is PENDING and not self.may_block
            ):  # a body run here would ask for the loop
                work.help()
            if self._state not in _DONE:
                condition = self._condition
                with condition:
                    if not condition.wait_for(self.done, None if timeout is None else waitable(timeout)):
                        name = "the future" if work is None else work.name
                        raise FutureTimeoutError(f"{name} has not finished within {timeout:g} s; it goes on, and can be waited for again")
        finally:
            del self

    def _raise_cancelled(self) -> None:
        self.is_collected = True
        if running_loop() is not None:
            raise self._make_cancelled_error()
        raise CancelledError
