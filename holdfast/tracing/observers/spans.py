"""SpanObserver: OpenTelemetry spans from facts.

    run plan                        current while the run's body runs
    |-- forecast                    the task: lookup, attempts, waits
    |   |-- forecast attempt 1      current while the body runs, so that the user's own spans nest here
    |   `-- forecast attempt 2
    `-- summarize                   a task that can have one attempt only is its own attempt

A task's span is created at its first attempt, or at its end when it needed none: facts carry the times, so nothing is lost, all
attributes known by then go in with one dict, and a cache hit costs one short span or, past `max_hit_spans`, none.

Costs decide the calls used here. With a tracer of the SDK a span costs 16 us and 0.8 us per attribute, so that each span gets its
attributes in two dicts, one at its start and one at its end; a context manager would add 10 us, ``record_exception`` 32 to 120 (ours: 2
to 6). `holdfast.tracing.observers.light` has the observer for providers that are ours alone.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from holdfast import clock
from holdfast.tracing import convention as names
from holdfast.tracing.killed import under_way
from holdfast.tracing.observers import telling
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.spans import attributes, carrier, ids, links, propagation
from holdfast.tracing.spans.light_span import SPAN_KEY, with_span

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from holdfast.events import AttemptFacts, Called, CallFacts, Note, Remains, RunFacts

_NONE: attributes.Attributes = {}


class _State:
    """What is remembered of a run, call or attempt between its start and its end (their ``memo``)."""

    __slots__ = ("span",)

    span: Any  # a Span; of a call also None, until it has one

    def ids(self) -> tuple[str, str]:
        """Trace and span id in hex; empty without a span."""
        return ("", "") if self.span is None else _ids(self.span)


class _RunState(_State):
    __slots__ = ("body", "context", "failures", "hits", "shared", "token")

    def __init__(self, context: Context, span: Span, shared: attributes.Attributes) -> None:
        self.context = context
        self.span: Span = span
        self.token: Token[Context] | None = None  # until the run starts
        self.shared = shared
        self.body: CallFacts | None = None
        self.hits = itertools.count()
        self.failures: list[BaseException] = []


class _CallState(_State):
    """Of a call; ``attempt`` is what is known of the attempt that has no span of its own."""

    __slots__ = ("attempt", "context", "error_types", "is_attempt", "is_early", "notes")

    def __init__(self, context: Context, span: Span | None, *, is_attempt: bool) -> None:
        self.context = context  # the parent's until there is a span
        self.span = span
        self.is_attempt = is_attempt
        self.is_early = False  # its span was made before it was known what the call comes to
        self.attempt: attributes.Attributes = {}
        self.error_types: tuple[str, ...] = ()
        self.notes: tuple[tuple[Note, int], ...] = ()


class _AttemptState(_State):
    __slots__ = ("token",)

    def __init__(self, span: Span, token: Token[Context] | None) -> None:
        self.span: Span = span
        self.token = token


class _Brief(NamedTuple):
    """A call and its attempt, told in brief, and what they carry."""

    known: telling.Brief
    call: Span
    attempt: Span
    context: Context
    token: Token[Context]


_UNSEEN = object()
"""Stands for a `_Brief` while there is no tracer provider, and nothing can be recorded."""


class SpanObserver:
    """Makes spans from facts; see the module.

    Args:
        tracer: Where spans are made; None for the one of the global tracer provider.
        settings: Options; None for the defaults.
        woken: Called when a tracer provider has been set, where there was none before; None for nothing to do.
    """

    def __init__(self, tracer: Tracer | None = None, settings: Settings | None = None, woken: Callable[[], object] | None = None) -> None:
        self.tracer = tracer if tracer is not None else trace.get_tracer(names.SCOPE, schema_url=names.SCHEMA_URL)
        self.settings = settings if settings is not None else Settings()
        self._is_awake = tracer is not None or _has_provider()
        self._woken = woken

    def run_started(self, run: RunFacts) -> None:
        """Open the run's span, unless it is open by now, and make it current."""
        if not (self._is_awake or self._wakes()):
            return
        state = run.memo if isinstance(run.memo, _RunState) else self._open_run(run)
        state.token = otel_context.attach(state.context)
        under_way.begin(run)

    def run_opened(self, run: RunFacts) -> None:
        """Open the run's span, so that the record can name it."""
        if self._is_awake or self._wakes():
            run.trace = carrier.of_span(run, self._open_run(run).span)

    def _open_run(self, run: RunFacts) -> _RunState:
        parent = propagation.current()
        shared = attributes.of_run(run)
        known = attributes.run_started(run, shared, self.settings.mode(run.capture))
        ids.wanted.trace_id = ids.of_execution(run)
        try:
            span = self.tracer.start_span(f"run {run.name}", parent, SpanKind.INTERNAL, known, links.of_run(run), run.started_ns)
        finally:
            ids.wanted.trace_id = 0
        run.memo = state = _RunState(with_span(span, parent), span, shared)
        return state

    def run_died(self, remains: Remains) -> None:
        """Give the spans that its process left open their end."""
        from holdfast.tracing.killed.heal import heal  # rarely needed

        heal(remains)

    def run_ended(self, run: RunFacts) -> None:
        """Close the run's span; ERROR only if the run raised."""
        state: _RunState | None = run.memo
        if state is None or state.token is None:
            return
        under_way.end(run)
        otel_context.detach(state.token)
        if state.span.is_recording():
            body: _CallState | None = None if state.body is None else state.body.memo
            known = {} if body is None else body.attempt
            omitted = next(state.hits) - self.settings.max_hit_spans
            attributes.run_ended(known, run, state.body, omitted, self.settings.mode(run.capture))
            _close(state.span, run, known)
        state.failures.clear()
        state.body = None  # or run, state and call would be a circle

    def call_started(self, call: CallFacts) -> None:
        """Remember whose child the call is; its span comes with the first attempt or the end."""
        run_state = telling.run_state_of(call)
        is_attempt = self.settings.is_own_attempt(call.max_attempts)
        if run_state is None:
            if self._is_awake or self._wakes():
                inside = otel_context.Context() if call.is_behind else propagation.current()
                call.memo = _CallState(inside, None, is_attempt=is_attempt)
        elif call.is_body:
            if isinstance(run_state, _RunState):  # else it is a light run, and the observer has changed before its body began
                call.memo = state = _CallState(run_state.context, run_state.span, is_attempt=is_attempt)
                run_state.body = call
                call.trace_id, call.span_id = state.ids()
        else:
            call.memo = _CallState(otel_context.get_current(), None, is_attempt=is_attempt)

    def call_ended(self, call: CallFacts) -> None:
        """Close the call's span, or make and close it when no attempt was needed; ERROR only if the call raised."""
        state: _CallState | None = call.memo
        if state is None:
            return
        run_state = telling.run_state_of(call)
        if run_state is not None and call.error is not None:
            telling.remember_failure(run_state.failures, call.error)
        span = state.span
        if span is None:
            if run_state is None or not attributes.is_answered(call) or next(run_state.hits) < self.settings.max_hit_spans:
                self._open_and_close(call, state)
            else:
                call.memo = None  # nothing can follow it
            return
        telling.tell_exhausted(span, call)
        if not call.is_body and span.is_recording():
            if state.is_early and not call.attempts:
                telling.record(span, call, with_stack=False)
            for link in telling.links_of(call) if state.is_early else ():
                span.add_link(link.context, link.attributes)
            attributes.call_ended(state.attempt, call, self.settings.mode(call.capture))
            _close(span, call, state.attempt)

    def call_followed(self, call: CallFacts) -> None:
        """Make the call's span now, unless there is one, so that what follows can name it."""
        state: _CallState | None = call.memo
        if state is not None and state.span is None:
            state.is_early = True
            self._open(call, state, _NONE)

    def brief_started(self, called: Called, began_ns: int) -> Any:
        """Open the spans of a call and its first attempt, and make the attempt's current; None where one span is both, or much is captured."""
        if not self.settings.is_brief(called):
            return None
        if not (self._is_awake or self._wakes()):
            return _UNSEEN
        brief = telling.in_brief(called.name, called.function, called.kind, called.max_attempts)
        inside = propagation.current()
        # Samplers may write into what they are given, and these are all calls' own.
        call = self.tracer.start_span(called.name, inside, SpanKind.INTERNAL, brief.call.copy(), (), began_ns)
        name, kind = telling.name_of(called.name, 1), telling.kind_of(called)
        try:
            span = self.tracer.start_span(name, with_span(call, inside), kind, brief.attempt.copy(), (), began_ns)
        except BaseException:
            call.end(began_ns or None)  # it begins anew, with records
            raise
        return _Brief(brief, call, span, inside, otel_context.attach(with_span(span, otel_context.get_current())))

    def brief_passed(self, memo: Any, called: Called, ended_ns: int) -> bool:
        """Restore the context and close both spans."""
        if not self.settings.is_brief(called):
            return False
        if memo is not _UNSEEN:
            otel_context.detach(memo.token)
            try:
                _end(memo.attempt, memo.known.ended_attempt, ended_ns)
            finally:
                _end(memo.call, memo.known.ended_call, ended_ns)
        return True

    def brief_recorded(self, memo: Any, attempt: AttemptFacts) -> None:
        """Give the records their spans."""
        if memo is not _UNSEEN:
            attempt.call.memo = _CallState(memo.context, memo.call, is_attempt=False)
            attempt.memo = _AttemptState(memo.attempt, memo.token)

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """Make the attempt's span current: its own, or that of the call or run when there can be but one attempt."""
        call = attempt.call
        state: _CallState | None = call.memo
        if state is None:
            return
        span = state.span
        if not state.is_attempt and self.settings.attempt_spans != "failures":
            span = self._open_attempt(attempt, state)
        elif span is None:
            more: attributes.Attributes = {}
            if state.is_attempt:
                attributes.attempt_started(more, attempt)
            span = self._open(call, state, more, telling.kind_of(call))
        elif state.is_attempt:
            attributes.attempt_started(state.attempt, attempt)
        current = otel_context.get_current()
        is_current = current.get(SPAN_KEY) is span  # that of a run whose body can have one attempt only
        attempt.memo = _AttemptState(span, None if is_current else otel_context.attach(with_span(span, current)))

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """Restore the context; record the failure and the decision."""
        state: _AttemptState | None = attempt.memo
        call_state: _CallState | None = attempt.call.memo
        if state is None or call_state is None:
            return
        if state.token is not None:
            otel_context.detach(state.token)
        has_own = call_state.is_attempt or state.span is not call_state.span
        if not has_own and attributes.has_failed(attempt):  # attempt_spans="failures"
            state.span, has_own = self._open_attempt(attempt, call_state, SpanKind.INTERNAL), True
        span = state.span
        if has_own and span.is_recording():
            if attributes.has_failed(attempt):
                call_state.error_types = telling.record_failure(span, attempt, call_state.error_types)
            if call_state.is_attempt:
                attributes.attempt_ended(call_state.attempt, attempt)
            else:
                known: attributes.Attributes = {}
                attributes.attempt_ended(known, attempt)
                _close(span, attempt, known)
        if attempt.will_retry and call_state.span is not None:
            telling.tell_retry(call_state.span, attempt)

    def noted(self, note: Note) -> None:
        """Add the note as an event to the span of its call, else to the current span."""
        state: _CallState | None = None if note.call is None else note.call.memo
        now = clock.current.time_ns()
        if state is not None and state.span is None:
            state.notes = (*state.notes, (note, now))
            return
        span = trace.get_current_span() if state is None or state.span is None else state.span
        if span.is_recording():
            span.add_event(note.event, attributes.note(note), now)

    def _wakes(self) -> bool:
        """Whether a tracer provider has been set by now: before, nothing can be recorded, so that nothing is done."""
        self._is_awake = _has_provider()
        if self._is_awake and self._woken is not None:
            self._woken()
        return self._is_awake

    def _open_and_close(self, call: CallFacts, state: _CallState) -> None:
        known: attributes.Attributes = {}
        attributes.call_ended(known, call, self.settings.mode(call.capture))
        span = self._open(call, state, known)
        telling.record(span, call, with_stack=False)
        _close(span, call, _NONE)

    def _open(self, call: CallFacts, state: _CallState, more: attributes.Attributes, kind: SpanKind = SpanKind.INTERNAL) -> Span:
        known = attributes.call_started(call, telling.shared_of(call), self.settings.mode(call.capture), self.settings.salt)
        known.update(more)
        span = self.tracer.start_span(
            call.name, state.context, kind, known, () if state.is_early else telling.links_of(call), call.started_ns
        )
        state.span = span
        call.trace_id, call.span_id = _ids(span)
        for note, noted_ns in state.notes:
            span.add_event(note.event, attributes.note(note), noted_ns)
        return span

    def _open_attempt(self, attempt: AttemptFacts, state: _CallState, kind: SpanKind | None = None) -> Span:
        call = attempt.call
        above = self._open(call, state, _NONE) if state.span is None else state.span
        if state.context.get(SPAN_KEY) is not above:
            state.context = with_span(above, state.context)
        known = attributes.attempt_span(attempt, telling.shared_of(call))
        kind = telling.kind_of(call) if kind is None else kind
        return self.tracer.start_span(telling.name_of(call.name, attempt.number), state.context, kind, known, (), attempt.started_ns)


def _has_provider() -> bool:
    return getattr(trace, "_TRACER_PROVIDER", True) is not None  # the public getter reads the environment each time


def _close(span: Span, facts: RunFacts | CallFacts | AttemptFacts, known: attributes.Attributes) -> None:
    _set(span, known)
    telling.set_status(span, facts)
    span.end(facts.ended_ns or None)


def _end(span: Span, known: attributes.Attributes, ended_ns: int) -> None:
    """Unless it is not recorded, or the user has ended it."""
    if span.is_recording():
        _set(span, known)
        span.end(ended_ns or None)


def _set(span: Span, known: attributes.Attributes) -> None:
    if len(known) == 1:
        span.set_attribute(*next(iter(known.items())))  # 1 us less
    elif known:
        span.set_attributes(known)


def _ids(span: Span) -> tuple[str, str]:
    context = span.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else ("", "")
