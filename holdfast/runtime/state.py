"""Call: the state of one call while it is on its way, shared by the driver, the dispatcher and the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast._secrets import hidden

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

    from holdfast.events import AttemptFacts, CallFacts, InBrief, Observer, RunFacts
    from holdfast.policies.freshness import Freshness
    from holdfast.policies.plan import Plan
    from holdfast.runtime.cache_entry import CacheEntry
    from holdfast.runtime.context import Scope
    from holdfast.runtime.dispatch import Slots, Unlimited
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.handed import Handed
    from holdfast.runtime.run import Run
    from holdfast.runtime.turns import Turn
    from holdfast.typing import Cache, CacheKey, Entry, StepId


class Call:
    """One call of a task.

    The outcome is kept here rather than raised through the layers: ``error`` is None when the call succeeded. So the user's traceback
    holds the user's frames, and whoever hands the outcome out (a future, a wrapper) raises it once.

    Attributes:
        plan: What to do.
        args: Positional arguments.
        kwargs: Keyword arguments.
        run: The run it belongs to; None for ``@resilient``.
        parent: The scope it was made in; None for ``@resilient`` and for an entrypoint's body.
        step: Its name in the journal; None without one.
        history: Where on its scope's trail it was made; see `holdfast.runtime.trail`.
        cache: Where its result is cached; None without a cache policy.
        key: Names its result in the cache.
        is_missing: Whether its result was looked for in the whole cache already, and not found.
        is_behind: Whether it computes behind another call's back; see `holdfast.runtime.behind`.
        is_probe: Whether it only looks what the source would answer now; see `holdfast.runtime.probing`.
        replaces: The entry that it was begun to replace, which is no answer to it; None for any other call.
        freshness: What may be done with the entry that was found last; None before, and where that was fresh.
        previous: The value that is stored, fresh or not; None without one, or when nobody has looked for more than a fresh one.
        said: What its present attempt says of its result; None without a cache policy.
        spare: An entry that is served if computing fails; None without one.
        turn: Its turn at computing its key among other processes; None unless it had to ask.
        future: What the caller holds; None for ``@resilient`` and bodies.
        context: The caller's context variables, copied; the body runs in them.
        handed: What its body is handed, and the calls made there, in an entrypoint that is a step of another one's run; None: the run's.
        slots: Where its slot comes from; None when it needs none.
        has_slot: Whether it holds one now.
        is_cancelled: Whether its async body was told to stop, which takes a moment.
        is_sent: See `holdfast.runtime.dispatch.Job`.
        is_past: See there too.
        nonce: What `get_idempotency_key` tells it apart by, where it has no step; None until somebody asks.
        frees_thread: Whether its end leaves a worker thread with nothing to do.
        asyncio_task: The asyncio task of a running async body.
        error: What it raised.
        started: Monotonic time of the first attempt, for the deadline.
        number: Attempts begun.
        counts: Failures that each retry policy has counted, once there is one.
        waited: Seconds waited between attempts.
        observer: Who listens, fixed for the call.
        facts: The record for the observer; None without one, and while it is told in brief.
        attempt: The record of the current attempt.
        brief: What stands for the records while it is told in brief (`holdfast.events.StepTracer`); None else.
    """

    __slots__ = (
        "args",
        "asyncio_task",
        "attempt",
        "brief",
        "cache",
        "context",
        "counts",
        "error",
        "facts",
        "frees_thread",
        "freshness",
        "future",
        "handed",
        "has_slot",
        "history",
        "is_behind",
        "is_body",
        "is_cancelled",
        "is_missing",
        "is_past",
        "is_probe",
        "is_sent",
        "key",
        "kwargs",
        "nonce",
        "number",
        "observer",
        "parent",
        "plan",
        "previous",
        "replaces",
        "run",
        "said",
        "slots",
        "spare",
        "started",
        "step",
        "turn",
        "waited",
    )

    def __init__(
        self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run | None = None, parent: Scope | None = None
    ) -> None:
        """Describe a call; nothing runs yet."""
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.run = run
        self.parent = parent
        self.step: StepId | None = None
        self.history = b""
        self.cache: Cache | None = None
        self.key: CacheKey | None = None
        self.is_missing = self.is_behind = self.is_probe = False
        self.replaces: Entry | None = None
        self.spare: Entry | None = None
        self.previous: Entry | None = None
        self.said: CacheEntry | None = None
        self.freshness: Freshness | None = None
        self.turn: Turn | None = None
        self.future: TaskFuture[Any] | None = None
        self.context: Context | None = None
        self.handed: Handed | None = None if parent is None else parent.call.handed
        self.slots: Slots | Unlimited | None = None
        self.has_slot = False
        self.is_body = self.is_cancelled = False
        self.is_sent = self.is_past = False
        self.frees_thread = False
        self.asyncio_task: asyncio.Task[Any] | None = None
        self.error: BaseException | None = None
        self.started: float | None = None
        self.nonce: bytes | None = None
        self.number = 0
        self.counts: list[int] | None = None
        self.waited = 0.0
        self.observer: Observer | None = None
        self.facts: CallFacts | None = None
        self.attempt: AttemptFacts | None = None
        self.brief: InBrief | None = None

    def observe(self, *, values: tuple[Any, ...] | None = None) -> None:
        """Make the record for the observer, if anybody listens; of a call in a run it may do without until there is more to say than a success."""
        observer = events.observer
        if observer is None:
            observer = events.detect()  # as `events.listener` does
        if observer is not None:
            run, made_ns = self.run, clock.current.time_ns()
            is_plain = run is not None and run.journal is None and not run.is_silent and self.plan.is_plain
            if run is not None and is_plain and hasattr(observer.__class__, "step_started"):
                self.observer = observer
                self.brief = events.InBrief(run.facts, 0 if self.is_body else run.count_call(), made_ns, self.is_body)
            else:
                self.record(observer, made_ns, values=values)
        elif self.plan.secrets:  # a warning on stderr may repeat them
            self.shown(self._values() if values is None else values)

    def record(self, observer: Observer, started_ns: int, *, values: tuple[Any, ...] | None = None) -> None:
        """Make the record for this observer, of a call that was made then."""
        run = self.run
        index = 0
        if run is not None and run.is_silent:
            run = None
        if run is not None and not self.is_body:
            index = run.count_call()
        self.observer = observer
        self.facts = self._record(None if run is None else run.facts, index, started_ns, values)

    def records(self) -> tuple[CallFacts | None, AttemptFacts | None]:
        """Its records, or what they would be by now while it is told in brief; for looking only, from any thread."""
        brief, facts = self.brief, self.facts  # once: it may end meanwhile
        if facts is not None or brief is None:
            return facts, self.attempt
        return self.recorded(brief, brief.memos or (None, None))

    def recorded(self, brief: InBrief, memos: tuple[Any, Any]) -> tuple[CallFacts, AttemptFacts]:
        """The records of a call that was told in brief so far, of which one attempt has begun."""
        call = self._record(brief.run, brief.index, brief.made_ns, None)
        call.begun_ns, call.attempts = brief.begun_ns, 1
        attempt = events.AttemptFacts(call=call, number=1, started_ns=brief.begun_ns)
        call.memo, attempt.memo = memos
        return call, attempt

    def _record(self, run: RunFacts | None, index: int, started_ns: int, values: tuple[Any, ...] | None) -> CallFacts:
        plan = self.plan
        names, arguments = self.shown(self._values() if values is None else values)
        return events.CallFacts(
            run=run,
            name=plan.name,
            function=plan.function,
            started_ns=started_ns,
            index=index,
            kind=plan.kind,
            capture=plan.capture,
            names=names,
            arguments=arguments,
            max_attempts=plan.max_attempts,
            is_body=self.is_body,
        )

    def shown(self, values: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """The names of parameters that observers may see, and what was given for them."""
        names, unshown, secrets = self.plan.names, self.plan.unshown, self.plan.secrets
        if secrets and values:
            values = tuple(hidden(value) if name in secrets else value for name, value in zip(names, values, strict=True))
        if not unshown or not values:
            return names if values else (), values
        kept = [(name, value) for name, value in zip(names, values, strict=True) if name not in unshown]
        return tuple(name for name, _ in kept), tuple(value for _, value in kept)

    def _values(self) -> tuple[Any, ...]:
        try:
            return self.plan.bind(*self.args, **self.kwargs)
        except TypeError:  # a wrong call: the function itself is about to say so
            return ()

    @property
    def name(self) -> str:
        """The task's name."""
        return self.plan.name

    @property
    def is_stranded(self) -> bool:
        """Whether the loop of a call behind another one's back has stopped with it: nobody will ever hear of it."""
        return self.is_behind and self.asyncio_task is not None and not self.asyncio_task.get_loop().is_running()

    def release_slot(self) -> None:
        """Give the slot back, if it holds one."""
        if self.has_slot and self.slots is not None and self.slots.detach(self):
            self.slots.leave()

    def pop_error(self) -> BaseException:
        """The error, to be raised at once: what is raised and also kept in a frame is a cycle, and lives until the garbage collector comes."""
        error, self.error = self.error, None
        if error is None:
            msg = "the call has no error"
            raise RuntimeError(msg)
        return error

    def forget(self) -> None:
        """Let go of everything that is not needed once the outcome is out: contexts and errors lead back here."""
        self.args, self.kwargs = (), {}
        self.run = self.parent = self.context = self.slots = self.asyncio_task = self.future = self.error = self.facts = self.brief = None
        self.replaces = self.spare = self.previous = self.said = None

    def remaining(self) -> float | None:
        """Seconds left of the deadline; None without one."""
        deadline = self.plan.deadline
        if deadline is None or self.started is None:
            return deadline
        return deadline - (clock.current.monotonic() - self.started)

    def start(self) -> bool:
        """Begin, owning a slot (`holdfast.runtime.dispatch.Startable`); False when it was cancelled while it waited in line."""
        if self.run is None or self.future is None or self.future.done():
            return False
        self.has_slot = True
        return self.run.start(self)

    def work(self) -> None:
        """Run its sync body on this worker thread (`holdfast.runtime.dispatch.Job`), unless it is over or another thread has taken it."""
        run = self.run
        if run is not None:
            run.work_off(self)

    def stop(self, *, on_loop: bool) -> bool:
        """Ask the running body to stop; a sync body cannot, but on a loop its future may be given up."""
        if self.run is None or self.future is None:
            return False
        if self.plan.is_async:
            self.is_cancelled = True
            self.run.cancel_async(self)
            return True
        return on_loop and self.future.settle_cancelled()

    def withdrawn(self) -> None:
        """It was cancelled before it began. An asyncio task that was made for it already ends first."""
        if self.run is not None and not (self.plan.is_async and self.has_slot):
            self.run.closed(self)

    def help(self) -> None:
        """Run a queued sync body on the thread that waits for it."""
        if self.run is not None and self.has_slot and not self.plan.is_async:
            self.run.help_out(self)
