"""Computations behind the caller's back: the old value is served at once, and one call renews it.

At most one for each key in this process, whoever asks for it; a call that finds nothing to serve joins it, as it joins any computation.

- Whatever it computes is a call of its own: with the task's retry policy, timeout and deadline, with a span of its own that begins a trace
  and is linked to the call it was begun for, in a copy of that call's context variables. The body of a task has a run of its own, so that
  it can call tasks; no span and no line is made of that run.
- A sync body runs on a worker thread, which is a daemon. An async body runs on the loop of the call, because clients and pools belong to
  a loop. When that ends first (``asyncio.run`` cancels what it finds), the computation is begun once more, on holdfast's own loop.
- A process that exits waits for what is under way, `EXIT_SECONDS` at most. What is lost is a computation, never a value.
- A failure is a note: the old value stays until its window ends.
- Where several wait for it each gets a value of its own, as from `holdfast.runtime.flight`.
"""

from __future__ import annotations

import atexit
import os
import threading
from concurrent.futures import CancelledError, wait
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.policies.plan import USE
from holdfast.runtime import lookup
from holdfast.runtime._async.behind import perform_behind as perform_async
from holdfast.runtime._sync.behind import perform_behind as perform_sync
from holdfast.runtime.attempts import is_cancellation
from holdfast.runtime.background import background_loop
from holdfast.runtime.context import current
from holdfast.runtime.dispatch import workers
from holdfast.runtime.flight import hand_out, joins, leave, name_of
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.inject import fill
from holdfast.runtime.loops import post, running_loop
from holdfast.runtime.run import Run
from holdfast.runtime.state import Call
from holdfast.values.ids import uuid7

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

    from holdfast.runtime.flight import Landed
    from holdfast.runtime.handed import Handed
    from holdfast.typing import CacheKey, Entry

MOST = 128
"""Refreshes under way at once; those beyond are left to later calls, so that a cache that expires as a whole does not start a thread for each key."""
EXIT_SECONDS = 2.0
"""How long the end of the process waits for what is under way."""

_under_way: dict[tuple[int, CacheKey], Behind] = {}
_lock = threading.Lock()
_is_registered = False


class Behind:
    """One computation behind the caller's back.

    Attributes:
        landed: Its outcome, for those who wait.
        made: The call that is computing; None before it began.
        waiting: How many calls have come to wait for it, each of which gets its failure, too.
    """

    def __init__(self, call: Call, entry: Entry | None, *, is_asked_for: bool) -> None:
        """Take over from ``call`` what it takes to make it again, instead of ``entry``."""
        self.landed: TaskFuture[Landed] = TaskFuture()
        self.waiting = int(is_asked_for)
        plan = call.plan if call.plan.cache_mode == USE else call.plan.replace(cache_mode=USE)
        self._plan, self._args, self._run, self._cache = plan, call.args, call.run, call.cache
        self._handed = call.run if call.handed is None else call.handed
        self._kwargs = {name: value for name, value in call.kwargs.items() if name not in call.plan.injected}
        self._facts = call.facts
        self._entry = entry
        self._name = name_of(call)
        self._context = copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.made: Call | None = None
        self._is_home = False  # on a loop of ours, which may be about to run for the first time
        self._is_over = False

    @property
    def is_stranded(self) -> bool:
        """Whether its loop has stopped with it: nobody will ever hear of it."""
        return self._loop is not None and not (self._is_home or self._is_over or self._loop.is_running())

    def joined_by(self, call: Call) -> TaskFuture[Landed] | None:
        """Let a call wait for it, which then gets its failure, too; None where the call would wait for itself."""
        if not joins(call, self.made):
            return None
        self.waiting += 1
        return self.landed

    def give_up(self) -> None:
        """Count on it no more; whoever waits for it looks for itself."""
        self._is_over = True
        if self.made is not None:
            leave(self.made)
        self.landed.settle_cancelled()

    def start(self) -> None:
        """Begin, on another thread or later on a loop.

        Raises:
            RuntimeError: The system allows no more threads.
        """
        if self._plan.is_async:
            loop = running_loop() or (None if self._run is None else self._run.loop)
            self._come_home() if loop is None else self._post(loop)
        else:
            workers.run(self._work)

    def _come_home(self) -> None:
        self._is_home = True
        self._post(background_loop())

    def _post(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        if running_loop() is loop:
            self._spawn(loop)
        else:
            post(loop, self._spawn, loop)

    def _spawn(self, loop: asyncio.AbstractEventLoop) -> None:
        context = self._own_context()
        self._task = loop.create_task(self._work_async(), context=context)
        self._task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        """The asyncio task has ended; if it was cancelled before its first step, or could not begin, nothing has been done."""
        if task.cancelled() and not self._is_home:
            try:
                self._come_home()
            except RuntimeError as error:  # the system allows no more threads
                self._end(None, error, None)
        elif task.cancelled():
            self._end(None, CancelledError(), None)
        elif task.exception() is not None:
            self._end(None, task.exception(), None)

    def _work(self) -> None:
        context = self._own_context()
        try:
            call = context.run(self._call)
            value = context.run(perform_sync, call)
        except BaseException as error:  # noqa: BLE001 - nobody else hears of it
            self._end(None, error, None)
        else:
            self._end(value, call.error, call)

    async def _work_async(self) -> None:
        call = self._call()
        call.asyncio_task = self._task
        value = await perform_async(call)
        if call.error is None or not is_cancellation(call.error) or self._is_home:
            self._end(value, call.error, call)
            return
        self._come_home()

    def _own_context(self) -> Context:
        """The caller's context variables, without its run; one for each attempt to do it, for a context is entered by one thread only."""
        context = self._context.copy()
        context.run(current.set, None)
        return context

    def _call(self) -> Call:
        plan, kwargs, around = self._plan, self._kwargs, self._handed
        run = None
        if around is not None:
            run = _run_like(around, plan.name, plan.function)
            run.loop = self._loop
            plan, kwargs = fill(plan, self._args, kwargs, run)
        call = Call(plan, self._args, kwargs, run)
        self.made, call.is_behind, call.replaces, call.cache = call, True, self._entry, self._cache
        call.observe()
        lookup.assign_key(call)
        if call.facts is not None:
            call.facts.is_behind = True
            if self._entry is not None:
                call.facts.cache = "refresh"
            if self._facts is not None:
                call.facts.origin_trace_id, call.facts.origin_span_id = self._facts.trace_id, self._facts.span_id
        return call

    def _end(self, value: Any, error: BaseException | None, call: Call | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:  # while it is still under way: the next caller would ask a source again that has just failed
            if call is not None and not self.waiting and isinstance(error, Exception) and not is_cancellation(error):
                lookup.refresh_failed(call, error)
        finally:
            with _lock:
                if _under_way.get(self._name) is self:
                    del _under_way[self._name]
            self._land(value, error, call)

    def _land(self, value: Any, error: BaseException | None, call: Call | None) -> None:
        """Tell whoever waits."""
        if error is not None and (is_cancellation(error) or not isinstance(error, Exception)):
            self.landed.settle_cancelled()
            return
        facts = None if call is None else call.facts
        trace_id, span_id = ("", "") if facts is None else (facts.trace_id, facts.span_id)
        hand_out(self.landed, call, (value, error, trace_id, span_id), is_shared=self.waiting > 1)


def start(call: Call, entry: Entry | None, *, is_asked_for: bool = False) -> TaskFuture[Landed] | None:
    """Have a call's value computed behind it, unless that is under way.

    Args:
        call: The call that found ``entry``.
        entry: What is to be replaced: it does not count as an answer. None for nothing.
        is_asked_for: True when the caller waits for it: it is begun however many are under way.

    Returns:
        The future of its outcome; None when too many are under way, the system allows no more threads, or the call would wait for itself.
    """
    name = name_of(call)
    with _lock:
        found = _under_way.get(name)
        if found is not None and not found.is_stranded:
            return found.joined_by(call) if is_asked_for else found.landed
        stranded = _take_stranded(name)
        behind = None
        if len(_under_way) < MOST or is_asked_for:
            behind = _under_way[name] = Behind(call, entry, is_asked_for=is_asked_for)
            _register()
    for each in stranded:
        each.give_up()
    if behind is None:
        return None
    tell_followed(call)
    try:
        behind.start()
    except RuntimeError:  # the system allows no more threads
        with _lock:
            del _under_way[name]
        behind.give_up()  # another call may have come to wait for it
        return None
    return behind.landed


def _take_stranded(name: tuple[int, CacheKey]) -> list[Behind]:
    """Take out what nobody will ever hear of: of this name, and where there is no room, the oldest of any."""
    names = [name] if len(_under_way) < MOST else [name, *islice(_under_way, MOST)]
    stranded = {each: found for each in names if (found := _under_way.get(each)) is not None and found.is_stranded}
    return [_under_way.pop(each) for each in stranded]


def tell_followed(call: Call) -> None:
    """Have its observer know the span of a call, which that of the computation behind it is linked to."""
    listener: object = call.observer
    if call.facts is not None and isinstance(listener, events.CallTracer):
        listener.call_followed(call.facts)


def _run_like(around: Handed | Run, name: str, function: str) -> Run:
    """A run for one call behind the back of a call that was handed what ``around`` hands out."""
    run_id = uuid7(clock.current.time_ns())
    run = Run(events.RunFacts(run_id=run_id, thread_id=run_id, name=name, function=function, started_ns=0), cache=around.cache)
    run.is_silent = True
    configurable = {**around.config.get("configurable", {}), "thread_id": run_id, "run_id": run_id}
    run.config = {**around.config, "configurable": configurable}
    run.store, run.context, run.previous = around.store, around.context, around.previous
    return run


def _register() -> None:
    global _is_registered  # noqa: PLW0603 - once, at the first use
    if not _is_registered:
        _is_registered = True
        atexit.register(_at_exit)


def _at_exit() -> None:
    wait([each.landed for each in list(_under_way.values()) if not each.is_stranded], EXIT_SECONDS)


def _forget_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()
    _under_way.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
