"""Run: one invocation of an entrypoint; knows its open calls, its slots, its loop, and how to end."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.errors import RunInterrupted
from holdfast.runtime import steps
from holdfast.runtime._async.step import run_step as run_step_async
from holdfast.runtime._sync.step import run_step as run_step_sync
from holdfast.runtime.attempts import is_cancellation
from holdfast.runtime.background import background_loop, level_above
from holdfast.runtime.context import current
from holdfast.runtime.dispatch import DEFAULT_SYNC_LIMIT, UNLIMITED, Slots, workers
from holdfast.runtime.foreign import shown
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.loops import post, running_loop
from holdfast.runtime.signals import is_signal
from holdfast.runtime.stream import tell_custom

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from holdfast.events import CallFacts, RunFacts
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.state import Call
    from holdfast.runtime.stream import Sink
    from holdfast.typing import Cache

DEEPEST_HELP = 100
"""Frames on a stack above which a waiting thread does not help: the bodies it ran there would have less room for recursion of their own."""


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
        level: Which background loop async bodies run on, if none is given; see `background`.
        error: What it is about to raise; None while all is well.
        verdict: What it raises whatever its body makes of it: a divergence, a broken checkpoint store; None while all is well.
        sink: Takes stream chunks; None when nobody streams.
        is_silent: True for a run that is told to no observer: the calls made in it belong to none, as far as that knows.
        ask: Puts a question to people, in a run where that is another's business; None: as `holdfast.interrupt` does.
        is_stopping: True once it has failed or was interrupted: nothing new is started.
        is_over: True once its body and all calls have ended.
        sync_slots: Where sync bodies get theirs.
        async_slots: Where async bodies get theirs.
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
        around = current.get()
        self.level: int = 0 if around is None else around.run.level
        self.sink: Sink | None = None
        self.ask: Callable[[Any, Any], Any] | None = None
        self.error: BaseException | None = None
        self.verdict: Exception | None = None
        self.is_silent = False
        self.is_stopping = False
        self.is_over = False
        self.sync_slots = Slots(DEFAULT_SYNC_LIMIT if max_concurrency is None else max_concurrency)
        self.async_slots = UNLIMITED if max_concurrency is None else self.sync_slots
        self._open: set[Call] = set()
        facts.open = self._open
        self._is_ending = False
        self._failed: list[tuple[str, CallFacts | None, BaseException, TaskFuture[Any]]] = []
        self._lock = threading.Lock()
        self._gate: TaskFuture[None] | None = None
        self._stopped: threading.Event | None = None

    # -- starting a call ----------------------------------------------------------------------------------------------------------

    def opened(self, call: Call) -> bool:
        """Count a call that is about to wait for a slot; False when the run takes no more.

        Without the lock, which all threads of a large fan-out would wait for: a set's own steps are atomic, and whoever closes or stops the
        run says so (``_is_ending``) before it looks at the set.
        """
        self._open.add(call)
        if not self._is_ending:
            return True
        with self._lock:
            is_welcome = not (self.is_stopping or self.is_over)
        if not is_welcome:
            self._left(call)
        return is_welcome

    def tell(self, value: Any) -> None:
        """Send what a body has written to whoever reads the stream."""
        if self.sink is not None:
            tell_custom(self.sink, current.get(), value)

    def avoid(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Run async bodies where they go on while ``loop``, on whose thread this run is waited for, is blocked."""
        self.level = max(self.level, level_above(loop))

    def count_call(self) -> int:
        """Ordinal of a call in this run, from 1."""
        with self._lock:
            self.facts.calls += 1
            return self.facts.calls

    def start(self, call: Call) -> bool:
        """Run a call that has its slot: an async body on the loop, a sync body on a worker thread. False when it needs the slot no more."""
        try:
            if not call.plan.is_async:
                workers.send(call)
                return True
            loop = self.loop_of(call)
        except RuntimeError as error:  # the system allows no more threads
            return not _refuse(call, error)
        if running_loop() is loop:
            _spawn(call)
        else:
            post(loop, _spawn, call)
        return True

    def loop_of(self, call: Call) -> asyncio.AbstractEventLoop:
        """Where the async body of ``call`` runs."""
        del call  # all go to one
        if self.loop is None:
            self.loop = background_loop(self.level)
        return self.loop

    def cancel_async(self, call: Call) -> None:
        """Cancel a running async body, from any thread."""
        loop = self.loop_of(call)
        if running_loop() is loop:
            _cancel_task(call)
        else:
            post(loop, _cancel_task, call)

    def help_out(self, call: Call) -> None:
        """Run a started but still queued sync call here, in its own context: the waiting thread is idle anyway."""
        context = call.context
        if context is not None and not _is_deep() and steps.claim(call):
            workers.give_up(call)
            context.run(run_step_sync, call)

    def perform_here(self, call: Call) -> bool:
        """Run a sync call on this thread at once, for a body that would only wait for it; False where that is not to be.

        It needs no slot: the body that waits has given its own back, and nothing else of that body runs. Whoever wants it has asked `has_room`.
        """
        context = call.context
        if context is None or call.plan.is_async:
            return False
        if steps.claim(call):
            context.run(run_step_sync, call)
        return True

    def work_off(self, call: Call) -> None:
        """Run a sync call on a worker thread. Claimed before the context is entered: a context can be entered by one thread only."""
        context = call.context
        if context is not None and steps.claim(call):
            call.frees_thread = True
            context.run(run_step_sync, call)

    # -- ending a call ------------------------------------------------------------------------------------------------------------

    def settling(self, call: Call) -> None:
        """The outcome of a call is recorded, and about to be seen."""

    def closed(self, call: Call) -> None:
        """A call has ended; the last one to do so opens the gate."""
        error = call.error
        is_failure = error is not None and not (is_cancellation(error) or isinstance(error, RunInterrupted) or is_signal(error))
        if call.future is not None and error is not None and is_failure:
            self._failed.append((call.plan.name, call.records()[0], error, call.future))
        if self.journal is not None and call.step is not None:
            self.journal.ended(call.step, call)
        self._left(call)

    def _left(self, call: Call) -> None:
        self._open.discard(call)
        gate = self._gate
        if gate is not None and not self._open:
            gate.set_result(None)

    def close_gate(self) -> TaskFuture[None] | None:
        """A future for the end of every open call; None when none is open: from then on none can be opened."""
        with self._lock:
            self._is_ending = True
            if not self._open:
                self.is_over = True
                return None
            gate = self._gate = TaskFuture()
        if not self._open:  # the last one ended before it could see the gate
            gate.set_result(None)
        return gate

    # -- ending the run -----------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancel what is queued and what can be cancelled; sync bodies at work finish, their backoffs end at once."""
        with self._lock:
            self._is_ending = self.is_stopping = True
            if self._stopped is not None:
                self._stopped.set()
        for call in self._open.copy():
            future = call.future
            if future is not None and (call.plan.is_async or not future.running()):
                future.cancel()

    def halt(self, error: Exception) -> None:
        """Stop the run with ``error`` as its outcome, whatever its body makes of it."""
        with self._lock:
            if self.verdict is None:
                self.verdict = error
        self.stop()

    def pop_error(self) -> BaseException:
        """What the run raises, to be raised at once; see `Call.pop_error`."""
        error, self.error = self.error, None
        if error is None:
            msg = "the run has no error"
            raise RuntimeError(msg)
        return error

    def sleep(self, seconds: float) -> bool:
        """Block for ``seconds``; True when the run began to stop first."""
        with self._lock:
            if self._stopped is None:
                self._stopped = threading.Event()
                if self.is_stopping:
                    self._stopped.set()
        return clock.current.pause(seconds, self._stopped)

    def tell_uncollected(self) -> None:
        """Say which calls failed without anybody having looked at their outcome.

        When the checkpointer broke, each call at work failed of that: the run itself raises it, once.
        """
        for name, facts, error, future in self._failed:
            is_told = self.verdict is not None and type(error) is type(self.verdict)
            if not future.is_collected and not future.cancelled() and not is_told:
                events.note(
                    "holdfast.task.uncollected_failure",
                    events.ERROR,
                    f"{name} failed in run {self.facts.run_id} and nobody looked at its future: {shown(error)}",
                    call=facts,
                    task=name,
                    run_id=self.facts.run_id,
                    error_type=type(error).__qualname__,
                )
        self._failed.clear()


def has_room() -> bool:
    """Whether sync bodies may run on top of this frame: no loop is blocked by it, and the stack is not deep."""
    return running_loop() is None and not _is_deep()


def _is_deep() -> bool:
    try:
        sys._getframe(DEEPEST_HELP)  # noqa: SLF001 - documented, in spite of its name
    except ValueError:
        return False
    return True


def _refuse(call: Call, error: RuntimeError) -> bool:
    """End a call that cannot be started, unless a waiting thread has taken it over."""
    if not steps.claim(call):
        return False
    call.has_slot, call.error = False, error
    steps.settle(call, None)
    return True


def _spawn(call: Call) -> None:
    """Start an async body, on the loop it is to run on."""
    loop = running_loop()
    if loop is not None:
        call.asyncio_task = loop.create_task(_begin(call), context=call.context)


async def _begin(call: Call) -> None:
    """An asyncio task's job. Claimed inside: a task cancelled before its first step would never settle the future."""
    if steps.claim(call):
        await run_step_async(call)
    elif call.run is not None:
        call.run.closed(call)


def _cancel_task(call: Call) -> None:
    if call.asyncio_task is not None:
        call.asyncio_task.cancel()
