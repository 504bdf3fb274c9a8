"""Every difference between sync and async code, in pairs: the driver is written with the ``_async`` names and its twin is generated.

Nothing else in ``runtime/`` may sleep, spawn, wait or hop threads.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.errors import NodeTimeoutError
from holdfast.runtime.dispatch import MOST_WAITING_THREADS, workers
from holdfast.runtime.future import TaskFuture, post, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from contextvars import Context

    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call

DRAIN_SECONDS = 1.0
"""How long an interrupted or cancelled run waits for sync bodies that cannot be stopped."""


# -- one attempt ------------------------------------------------------------------------------------------------------------------


def _limit(call: Call) -> tuple[float | None, str]:
    """Seconds the next attempt may take, and which setting says so."""
    timeout, remaining = call.plan.timeout, call.remaining()
    if remaining is None:
        return timeout, "timeout"
    if timeout is None or remaining < timeout:
        return max(remaining, 0.0), "deadline"
    return timeout, "timeout"


async def execute_async(call: Call) -> Any:
    """Run the body once, within its time limit."""
    plan = call.plan
    if plan.timeout is None and plan.deadline is None:
        return await plan.fn(*call.args, **call.kwargs)
    limit, cause = _limit(call)
    if limit is None:
        return await plan.fn(*call.args, **call.kwargs)
    timer: Any = None
    try:
        async with clock.current.timeout(limit) as timer:
            return await plan.fn(*call.args, **call.kwargs)
    except TimeoutError as error:
        if timer is None or not timer.expired():
            raise
        raise NodeTimeoutError(plan.name, limit, cause=cause) from error


def execute_sync(call: Call) -> Any:
    """Run the body once, within its time limit."""
    plan = call.plan
    if plan.timeout is None and plan.deadline is None:
        return plan.fn(*call.args, **call.kwargs)
    limit, cause = _limit(call)
    if limit is None:
        return plan.fn(*call.args, **call.kwargs)
    outcome = _Outcome()
    workers.run(partial(outcome.run, copy_context(), call))
    if clock.current.wait(outcome.is_done, limit) or not outcome.abandon(call):
        return outcome.take()
    raise NodeTimeoutError(plan.name, limit, cause=cause)


class _Outcome:
    """A sync attempt on a thread of its own, which may be given up but not stopped."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self._lock = threading.Lock()
        self._leave: Callable[[], None] | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self, context: Any, call: Call) -> None:
        try:
            self._value = context.run(call.plan.fn, *call.args, **call.kwargs)
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread whatever it is
            self._error = error
        with self._lock:
            self.is_done.set()
            leave = self._leave
        if leave is not None:
            leave()

    def abandon(self, call: Call) -> bool:
        """Leave the thread to itself; it keeps the call's slot until it returns. False when it has just finished."""
        with self._lock:
            if self.is_done.is_set():
                return False
            if call.has_slot and call.slots is not None:
                call.has_slot = False
                self._leave = call.slots.leave
            return True

    def take(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


# -- waiting ----------------------------------------------------------------------------------------------------------------------


async def pause_async(call: Call, seconds: float) -> None:
    """Wait between two attempts, holding no slot."""
    if seconds > 0:
        call.release_slot()
        await clock.current.sleep_async(seconds)
    await take_slot_async(call)


def pause_sync(call: Call, seconds: float) -> None:
    """Wait between two attempts, holding no slot; a run that ends wakes the sleeper."""
    if seconds > 0:
        if workers.count < MOST_WAITING_THREADS:
            call.release_slot()
        if call.run is None:
            clock.current.sleep(seconds)
        elif call.run.sleep(seconds):
            raise CancelledError
    take_slot_sync(call)


class _Turn:
    """Waits in line for a slot on behalf of a body that has begun already."""

    def __init__(self) -> None:
        self.future: TaskFuture[None] = TaskFuture()

    def start(self) -> bool:
        self.future.set_result(None)
        return True


async def take_slot_async(call: Call) -> None:
    """Own a slot again before the body goes on."""
    if call.slots is not None and not call.has_slot:
        turn = _Turn()
        call.slots.enter(turn, first=True)
        await turn.future
        call.has_slot = True


def take_slot_sync(call: Call) -> None:
    """Own a slot again before the body goes on."""
    if call.slots is not None and not call.has_slot:
        turn = _Turn()
        call.slots.enter(turn, first=True)
        turn.future.result()
        call.has_slot = True


async def join_async(call: Call, flight: TaskFuture[Any]) -> None:
    """Wait, holding no slot, until another call's computation has landed."""
    call.release_slot()
    if not flight.done():
        await _Waiting(flight)
    await take_slot_async(call)


def join_sync(call: Call, flight: TaskFuture[Any]) -> None:
    """Wait, holding no slot, until another call's computation has landed."""
    call.release_slot()
    flight.exception()
    take_slot_sync(call)


class _Waiting:
    """Awaits a future without cancelling it when the waiter is cancelled."""

    def __init__(self, future: TaskFuture[Any]) -> None:
        self._future = future

    def __await__(self) -> Any:
        return self._future.waiting()


# -- stores -----------------------------------------------------------------------------------------------------------------------


async def store_call_async(is_blocking: bool, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
    """Call a store: inline when it never blocks, else on a worker thread."""
    if not is_blocking:
        return fn(*args, **kwargs)
    return await in_thread(partial(fn, *args, **kwargs))


def store_call_sync(is_blocking: bool, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
    """Call a store, inline."""
    del is_blocking
    return fn(*args, **kwargs)


async def in_thread(fn: Callable[[], Any]) -> Any:
    """Run ``fn`` on a worker thread, in a copy of this context."""
    loop = running_loop()
    if loop is None:
        msg = "no running event loop"
        raise RuntimeError(msg)
    answer = loop.create_future()

    def settle(outcome: tuple[Any, BaseException | None]) -> None:
        if answer.done():
            return
        value, error = outcome
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def job() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (fn(), None)
        except Exception as error:  # noqa: BLE001 - handed to the waiting task
            outcome = (None, error)
        post(loop, settle, outcome)

    workers.run(partial(copy_context().run, job))
    return await answer


# -- bodies and runs --------------------------------------------------------------------------------------------------------------


async def resolve_async(value: Any) -> Any:
    """Await what a body returned, if it can be awaited (a future, a gather)."""
    while hasattr(value, "__await__"):
        value = await value
    return value


def resolve_sync(value: Any) -> Any:
    """Wait for what a body returned, if it is a task's future."""
    while _is_future(value):
        value = value.result()
    return value


def _is_future(value: Any) -> bool:
    return isinstance(value, TaskFuture)


async def drain_async(run: Run, seconds: float | None) -> bool:
    """Wait until no call of the run is open; False when ``seconds`` passed first."""
    gate = run.close_gate()
    if gate is None:
        return True
    import asyncio

    try:
        async with asyncio.timeout(seconds):
            await _Waiting(gate)
    except TimeoutError:
        return False
    return True


def drain_sync(run: Run, seconds: float | None) -> bool:
    """Wait until no call of the run is open; False when ``seconds`` passed first."""
    gate = run.close_gate()
    if gate is None:
        return True
    try:
        gate.result(seconds)
    except TimeoutError:
        return False
    return True


def on_a_thread(fn: Callable[[], Any]) -> Any:
    """Run ``fn`` on a worker thread, in a copy of this context, and block until it has ended."""
    return all_on_threads([fn], return_exceptions=False)[0]


def all_on_threads(jobs: Sequence[Callable[[], Any]], *, return_exceptions: bool) -> list[Any]:
    """Run every job on a worker thread of its own, in a copy of this context; wait for all."""
    futures: list[Future[Any]] = [Future() for _ in jobs]
    for fn, future in zip(jobs, futures, strict=True):
        workers.run(partial(_settle, copy_context(), fn, future))
    errors = [future.exception() for future in futures]
    first = next((error for error in errors if error is not None), None)
    if first is not None and not return_exceptions:
        raise first
    return [future.result() if error is None else error for future, error in zip(futures, errors, strict=True)]


def _settle(context: Context, fn: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(context.run(fn))
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits
        future.set_exception(error)


# -- streams ----------------------------------------------------------------------------------------------------------------------

_END = "end"


class ChunksSync:
    """The chunks of a run that goes on a worker thread; closing early stops the run."""

    def __init__(self, run: Run, modes: tuple[str, ...]) -> None:
        """Collect the chunks of ``modes``."""
        self._run = run
        self._modes = modes
        self._queue: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._outcome: Future[Any] = Future()
        run.sink = self._put

    def _put(self, mode: str, chunk: Any) -> None:
        if mode in self._modes:
            self._queue.put((mode, chunk))

    def start(self, fn: Callable[[], Any]) -> None:
        """Run ``fn`` on a worker thread."""
        self._outcome.add_done_callback(lambda _: self._queue.put((_END, None)))
        workers.run(partial(_settle, copy_context(), fn, self._outcome))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield chunks until the run ends; raise what it raised."""
        while True:
            mode, chunk = self._queue.get()
            if mode == _END:
                break
            yield mode, chunk
        self._outcome.result()

    def close(self) -> None:
        """Stop a run that nobody reads any more, and wait for it."""
        if not self._outcome.done():
            self._run.stop()
            self._outcome.exception()


class ChunksAsync:
    """The chunks of a run that goes on this loop; closing early cancels the run."""

    def __init__(self, run: Run, modes: tuple[str, ...]) -> None:
        """Collect the chunks of ``modes``."""
        import asyncio

        self._modes = modes
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None
        run.sink = self._put

    def _put(self, mode: str, chunk: Any) -> None:
        if mode not in self._modes:
            return
        if running_loop() is self._loop:
            self._queue.put_nowait((mode, chunk))
        else:
            post(self._loop, self._queue.put_nowait, (mode, chunk))

    def start(self, body: Coroutine[Any, Any, Any]) -> None:
        """Run ``body`` as a task of this loop."""
        self._task = self._loop.create_task(body)
        self._task.add_done_callback(lambda _: self._loop.call_soon(self._queue.put_nowait, (_END, None)))

    async def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield chunks until the run ends; raise what it raised."""
        while True:
            mode, chunk = await self._queue.get()
            if mode == _END:
                break
            yield mode, chunk
        if self._task is not None:
            await self._task

    async def aclose(self) -> None:
        """Cancel a run that nobody reads any more, and wait for it."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            import asyncio

            await asyncio.wait([self._task])
