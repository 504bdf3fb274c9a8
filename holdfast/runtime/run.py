"""Run: one invocation of an entrypoint; knows its open calls, its slots, its loop, and how to end."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.runtime import steps
from holdfast.runtime._async.step import run_step as run_step_async
from holdfast.runtime._sync.step import run_step as run_step_sync
from holdfast.runtime.background import background_loop
from holdfast.runtime.dispatch import DEFAULT_SYNC_LIMIT, Slots, workers
from holdfast.runtime.future import TaskFuture, post, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from holdfast.events import RunFacts
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.state import Call
    from holdfast.runtime.stream import Sink
    from holdfast.typing import Cache

MOST_NESTED_HELP = 50
_help_depth: ContextVar[int] = ContextVar("holdfast_help_depth", default=0)


class Run:
    """One run.

    Attributes:
        facts: Its record.
        config: What `get_config` returns.
        store: Handed through to ``store`` parameters, as given.
        context: Handed through to ``runtime.context``, as given.
        previous: The value the thread's last run returned; None without one.
        cache: Opens the cache that tasks with a cache policy use.
        journal: The finished steps; None without a checkpointer.
        loop: Where async bodies run; None until the first one needs it.
        sink: Takes stream chunks; None when nobody streams.
        is_stopping: True once it has failed or was interrupted: nothing new is started.
        is_over: True once it has ended.
    """

    def __init__(self, facts: RunFacts, *, cache: Callable[[], Cache], max_concurrency: int | None = None) -> None:
        """Open a run; nothing runs yet."""
        self.facts = facts
        self.cache = cache
        self.config: dict[str, Any] = {}
        self.store: Any = None
        self.context: Any = None
        self.previous: Any = None
        self.journal: Journal | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.sink: Sink | None = None
        self.is_stopping = False
        self.is_over = False
        self.sync_slots = Slots(DEFAULT_SYNC_LIMIT if max_concurrency is None else max_concurrency)
        self.async_slots = Slots(None) if max_concurrency is None else self.sync_slots
        self._open: set[Call] = set()
        self._failed: list[tuple[Call, TaskFuture[Any]]] = []
        self._lock = threading.Lock()
        self._gate: TaskFuture[None] | None = None
        self._stopped: threading.Event | None = None

    # -- starting a call ----------------------------------------------------------------------------------------------------------

    def opened(self, call: Call) -> None:
        """Count a call that is about to wait for a slot."""
        with self._lock:
            self._open.add(call)

    def start(self, call: Call) -> None:
        """Run a call that has its slot: an async body on the loop, a sync body on a worker thread."""
        if not call.plan.is_async:
            workers.run(partial(_work, call))
            return
        if self.loop is None:
            self.loop = background_loop()
        if running_loop() is self.loop:
            self._spawn(call)
        else:
            post(self.loop, self._spawn, call)

    def _spawn(self, call: Call) -> None:
        if self.loop is not None:
            call.asyncio_task = self.loop.create_task(_begin(call), context=call.context)

    def cancel_async(self, call: Call) -> None:
        """Cancel a running async body, from any thread."""
        if self.loop is None:
            return
        if running_loop() is self.loop:
            _cancel_task(call)
        else:
            post(self.loop, _cancel_task, call)

    def help_out(self, call: Call) -> None:
        """Run a started but still queued sync call here, in its own context: the waiting thread is idle anyway.

        Nesting is bounded, because each level adds frames to one stack.
        """
        depth = _help_depth.get()
        if depth < MOST_NESTED_HELP and call.context is not None and steps.claim(call):
            call.context.run(_help_depth.set, depth + 1)
            call.context.run(run_step_sync, call)

    # -- ending a call ------------------------------------------------------------------------------------------------------------

    def closed(self, call: Call) -> None:
        """A call has ended; the last one to do so opens the gate."""
        if call.error is not None and isinstance(call.error, Exception) and call.future is not None:
            self._failed.append((call, call.future))
        if self.journal is not None and call.step is not None:
            self.journal.open.pop(call.step, None)
        with self._lock:
            self._open.discard(call)
            gate = self._gate if not self._open else None
        if gate is not None:
            gate.set_result(None)

    def close_gate(self) -> TaskFuture[None] | None:
        """A future for the end of every open call; None when none is open."""
        with self._lock:
            if not self._open:
                return None
            self._gate = TaskFuture()
            return self._gate

    # -- ending the run -----------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancel what is queued and what can be cancelled; sync bodies at work finish, their backoffs end at once."""
        with self._lock:
            self.is_stopping = True
            if self._stopped is not None:
                self._stopped.set()
            open_calls = list(self._open)
        for call in open_calls:
            future = call.future
            if future is not None and (call.plan.is_async or not future.running()):
                future.cancel()

    def sleep(self, seconds: float) -> bool:
        """Block for ``seconds``; True when the run began to stop first."""
        with self._lock:
            if self._stopped is None:
                self._stopped = threading.Event()
                if self.is_stopping:
                    self._stopped.set()
        return clock.current.pause(seconds, self._stopped)

    def tell_uncollected(self) -> None:
        """Say which calls failed without anybody having looked at their outcome."""
        for call, future in self._failed:
            if not future.is_collected:
                events.note(
                    "holdfast.task.uncollected_failure",
                    events.ERROR,
                    f"{call.plan.name} failed in run {self.facts.run_id} and nobody looked at its future: {call.error!r}",
                    call=call.facts,
                    task=call.plan.name,
                    run_id=self.facts.run_id,
                    error_type=type(call.error).__qualname__,
                )
        self._failed.clear()


def _work(call: Call) -> None:
    """A worker thread's job. Claimed before the context is entered: a context can be entered by one thread only."""
    if call.context is not None and steps.claim(call):
        call.context.run(run_step_sync, call)


async def _begin(call: Call) -> None:
    """An asyncio task's job. Claimed inside: a task cancelled before its first step would never settle the future."""
    if steps.claim(call):
        await run_step_async(call)


def _cancel_task(call: Call) -> None:
    if call.asyncio_task is not None:
        call.asyncio_task.cancel()
