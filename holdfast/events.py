"""The facts a call emits, and the Observer protocol for those who listen.

The runtime fills records (`holdfast._facts`) while it works and hands them over at each boundary; spans, log lines and metrics are made from
them alone. No observer, no record: with nobody listening `observer` is None and no object is ever made, nor their module loaded.

Rules, kept by whoever emits:

1. ``*_started`` is called before and ``*_ended`` after the thing, on the same thread and in the same `contextvars` context, which is
   also the context the body runs in: a span that an observer makes current in ``attempt_started`` is current inside the user's code.
   (A sync attempt with a timeout runs on its own thread, in a copy of that context.)
2. Every ``*_started`` has exactly one ``*_ended``, whatever happens. (Of a call that was told in brief, `BriefTracer`, there may be an
   ``*_ended`` alone.)
3. Records belong to one thread at a time; observers may keep references after the end, and must not change any field but ``memo`` (and a call's ``trace_id`` and ``span_id``).
4. Observers neither raise nor block: their own side sees to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from holdfast._lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast._facts import AttemptFacts, CallFacts, InBrief, Origin, Outbox, Remains, RunFacts

__all__ = [
    "DEBUG",
    "ERROR",
    "INFO",
    "WARNING",
    "AttemptFacts",
    "BriefTracer",
    "CallFacts",
    "CallTracer",
    "Called",
    "InBrief",
    "Note",
    "Observer",
    "Origin",
    "Outbox",
    "Remains",
    "RunFacts",
    "RunTracer",
    "StepTracer",
    "detect",
    "fallback",
    "listener",
    "note",
    "observe",
    "observer",
]

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


class Note(NamedTuple):
    """Something worth a line that is not a boundary of a run, call or attempt.

    Attributes:
        event: Dotted name, for example ``holdfast.cache.error``.
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        text: One sentence for a person.
        fields: Names and plain values for machines.
        call: The call it came up in, if any.
    """

    event: str
    level: int
    text: str
    fields: Mapping[str, Any] = {}
    call: CallFacts | None = None


class Observer(Protocol):
    """Listens to the runtime. See the rules at the top of this module."""

    def run_started(self, run: RunFacts) -> None:
        """A run begins; called in the context its body will run in."""

    def run_ended(self, run: RunFacts) -> None:
        """The run and all its calls have ended."""

    def call_started(self, call: CallFacts) -> None:
        """Work on a call begins; the current span is that of whoever made the call."""

    def call_ended(self, call: CallFacts) -> None:
        """The call has its outcome."""

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """The body is about to run in this context."""

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """The body has returned or raised and, after a failure, the policy has decided."""

    def noted(self, note: Note) -> None:
        """Something happened beside the calls."""


@runtime_checkable
class RunTracer(Protocol):
    """What an observer may do beside: know its span of a run before the run is recorded, and give spans that a process left open their end.

    Called where a run is opened, in the caller's context, perhaps on another thread.
    """

    def run_opened(self, run: RunFacts) -> None:
        """A run is about to be recorded: say in ``run.trace`` where it will be traced. It may never start."""

    def run_died(self, remains: Remains) -> None:
        """The process of an execution died; the record says by now that this one looks after its traces."""


@runtime_checkable
class CallTracer(Protocol):
    """What an observer may do beside: know its span of a call before that has ended."""

    def call_followed(self, call: CallFacts) -> None:
        """What is about to be computed behind this call will name it by its ``trace_id`` and ``span_id``; called on the call's thread."""


class Called(Protocol):
    """What is known of a call before it is made; a plan knows it. The names are those of `CallFacts`."""

    @property
    def name(self) -> str:
        """Name of the task."""
        ...

    @property
    def function(self) -> str:
        """Module and qualified name of the function."""
        ...

    @property
    def kind(self) -> str:
        """``internal``, ``client`` or what the user gave."""
        ...

    @property
    def capture(self) -> str:
        """``none``, ``shape``, ``values``, or ``""``."""
        ...

    @property
    def max_attempts(self) -> int | None:
        """The most attempts; None is unbounded."""
        ...


@runtime_checkable
class BriefTracer(Observer, Protocol):
    """What an observer may do beside: make do without records of a call outside runs, should its first attempt succeed.

    Nearly all calls do, and records are most of what observing one costs.
    """

    def brief_started(self, called: Called, began_ns: int) -> Any:
        """Such a call and its first attempt begin, in the context the body runs in.

        Returns:
            What one of the other two methods is given, on the same thread, when the attempt is over; None asks for records, and for
            everything that an `Observer` is told.
        """

    def brief_passed(self, memo: Any, called: Called, ended_ns: int) -> bool:
        """The attempt has returned, and the call with it.

        Returns:
            False asks for records after all: much is to be told, or more is wanted than when the call began.
        """
        ...

    def brief_recorded(self, memo: Any, attempt: AttemptFacts) -> None:
        """It came otherwise, or records are wanted after all: these are they. What ends is told as ever; of what began, this is all that is told."""


@runtime_checkable
class StepTracer(Observer, Protocol):
    """What an observer may do beside: make do without records of a call in a run, its body's own among them, should its first attempt succeed."""

    def step_started(self, called: Called, brief: InBrief) -> tuple[Any, Any] | None:
        """Its first attempt begins, in the context the body runs in; its run was told of.

        Returns:
            What `CallFacts` and `AttemptFacts` will have as their ``memo``, should there be any; None asks for them, and for everything
            that an `Observer` is told.
        """

    def step_passed(self, called: Called, brief: InBrief, ended_ns: int) -> bool:
        """The attempt has returned, and the call with it.

        Returns:
            False asks for records after all: much is to be told, or more is wanted than when the call began.
        """
        ...

    def step_recorded(self, brief: InBrief, attempt: AttemptFacts) -> None:
        """It came otherwise, or records are wanted after all: these are they, with their memos. What ends is told as ever."""


observer: Observer | None = None
"""Who listens, for the whole process; None while nobody does."""


def observe(listener: Observer | None) -> Observer | None:
    """Make ``listener`` the process's observer (None: nobody) and return the one it replaces."""
    global observer
    previous, observer = observer, listener
    return previous


def _drop(note: Note) -> None:
    del note


fallback = _drop
"""Takes warnings and errors while nobody observes; ``holdfast`` points it at stderr (`holdfast.tracing.logs.lines.warn`)."""


def note(event: str, level: int, text: str, *, call: CallFacts | None = None, **fields: Any) -> None:
    """Report something beside the calls: to the observer, else warnings and errors to the fallback."""
    if observer is None and level < WARNING:
        return
    record = Note(event=event, level=level, text=text, fields=fields, call=call)
    if observer is not None:
        observer.noted(record)
    else:
        fallback(record)


def _nobody() -> Observer | None:
    return None


detect = _nobody
"""Looks for reasons to observe while nobody does: an application's tracer provider, structlog, the environment. Set by ``holdfast``."""


def listener() -> Observer | None:
    """Who listens now: the observer, or one that `detect` finds a reason for."""
    return observer if observer is not None else detect()


if not TYPE_CHECKING:  # when there is something to record: what the records stand on takes a third of the time of `import holdfast`
    __getattr__ = lazy(globals(), {"_facts": ("AttemptFacts", "CallFacts", "InBrief", "Origin", "Outbox", "Remains", "RunFacts")})
