"""The chunks of a stream while its run goes on elsewhere, for sync and for async readers."""

from __future__ import annotations

from concurrent.futures import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from holdfast.runtime import _ports, threads
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.loops import post, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from types import TracebackType

    from holdfast.runtime.run import Run

_END = "end"


class ChunksSync:
    """The chunks of a run that goes on a worker thread; leaving the ``with`` block early stops the run."""

    def __init__(self, run: Run, modes: tuple[str, ...]) -> None:
        """Collect the chunks of ``modes``."""
        self._run = run
        self._modes = modes
        self._queue: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._outcome: TaskFuture[Any] = TaskFuture()
        run.sink = self._put

    def _put(self, mode: str, chunk: Any) -> None:
        if mode in self._modes:
            self._queue.put((mode, chunk))

    def start(self, fn: Callable[[], Any]) -> None:
        """Run ``fn`` on a worker thread."""

        def job() -> Any:
            try:
                return fn()
            finally:
                self._queue.put((_END, None))

        threads.run_in_thread(job, self._outcome)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield chunks until the run ends; raise what it raised."""
        while True:
            mode, chunk = self._queue.get()
            if mode == _END:
                break
            yield mode, chunk
        wait([self._outcome])
        self._outcome.result()

    def __enter__(self) -> Self:
        """Read inside the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop a run that nobody reads any more, and wait for it; after Ctrl-C for a moment only."""
        if not self._outcome.done():
            self._run.stop()
            is_patient = kind is None or issubclass(kind, (Exception, GeneratorExit))
            wait([self._outcome], None if is_patient else _ports.DRAIN_SECONDS)


class ChunksAsync:
    """The chunks of a run that goes on this loop; leaving the ``async with`` block early cancels the run."""

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

    async def __aenter__(self) -> Self:
        """Read inside the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel a run that nobody reads any more, and wait for it."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            import asyncio

            await asyncio.wait([self._task])
        if self._task is not None and not self._task.cancelled():
            self._task.exception()  # seen, so that asyncio does not report it: whoever left early does not want to know
