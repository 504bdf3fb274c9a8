"""The chunks of a stream while its run goes on elsewhere, for sync and for async readers."""

from __future__ import annotations

from collections import deque
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Self

from holdfast.runtime import _ports, threads
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.loops import post, running_loop
from holdfast.runtime.stream import Choice

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from types import TracebackType

    from holdfast.runtime.run import Run
    from holdfast.runtime.stream import Chunk

_END = "end"


class ChunksSync:
    """The chunks of a run that goes on a worker thread; leaving the ``with`` block early stops the run."""

    def __init__(self, run: Run, modes: tuple[str, ...], *, shows_inner: bool = False) -> None:
        """Collect the chunks of ``modes``, and with ``shows_inner`` those of graphs inside others."""
        self._run = run
        self._chunks: Inbox[Chunk] = Inbox()
        self._outcome: TaskFuture[Any] = TaskFuture()
        run.sink = Choice(modes, self._chunks.put, shows_inner=shows_inner)

    def start(self, fn: Callable[[], Any]) -> None:
        """Run ``fn`` on a worker thread."""

        def job() -> Any:
            try:
                return fn()
            finally:
                self._chunks.put((_END, None, ()))

        try:
            threads.run_in_thread(job, self._outcome)
        except BaseException:
            self._outcome.cancel()  # there is no thread to be had, and nobody else will settle it
            raise

    def __iter__(self) -> Iterator[Chunk]:
        """Yield chunks until the run ends; raise what it raised."""
        while True:
            chunk = self._chunks.take()
            if chunk[0] == _END:
                break
            yield chunk
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

    def __init__(self, run: Run, modes: tuple[str, ...], *, shows_inner: bool = False) -> None:
        """Collect the chunks of ``modes``, and with ``shows_inner`` those of graphs inside others."""
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._arrived: deque[Chunk] = deque()
        self._queue: asyncio.Queue[Chunk] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None
        run.sink = Choice(modes, self._put, shows_inner=shows_inner)

    def _put(self, item: Chunk) -> None:
        self._arrived.append(item)
        if running_loop() is self._loop:
            self._deliver(self._arrived)
        else:
            post(self._loop, self._deliver, self._arrived)

    def _deliver(self, arrived: deque[Chunk]) -> None:
        """Pass on what has come so far, in the order in which it came: also what a thread has put, and the loop has not got round to."""
        while arrived:
            self._queue.put_nowait(arrived.popleft())

    def start(self, body: Coroutine[Any, Any, Any]) -> None:
        """Run ``body`` as a task of this loop."""
        self._task = self._loop.create_task(body)
        self._task.add_done_callback(lambda _: self._loop.call_soon(self._put, (_END, None, ())))

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        """Yield chunks until the run ends; raise what it raised."""
        while True:
            chunk = await self._queue.get()
            if chunk[0] == _END:
                break
            yield chunk
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
