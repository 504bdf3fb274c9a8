"""SpanObserver: OpenTelemetry spans from facts.

    run plan                        current while the run's body runs
    |-- forecast                    the task: lookup, attempts, waits
    |   |-- forecast attempt 1      current while the body runs, so that the user's own spans nest here
    |   `-- forecast attempt 2
    `-- summarize                   a task that can have one attempt only is its own attempt

A task's span is created at its first attempt, or at its end when it needed none: facts carry the times, so nothing is lost, all
attributes known by then go in with one dict, and a cache hit costs one short span or, past `max_hit_spans`, none.

Costs decide the calls used here (per span, with the SDK's batch export): ``start_span`` with attributes and ``end`` 25 us, the context
manager 10 us more, ``record_exception`` 32 to 120 us more (ours: 2 to 6).
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from holdfast import clock
from holdfast.tracing import attributes, stack
from holdfast.tracing import convention as names
from holdfast.tracing.redact import message

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from holdfast.events import AttemptFacts, CallFacts, Note, RunFacts

_NUMBERED_ATTEMPTS = 10
_REMEMBERED_FAILURES = 16
_TRACE_ID_DIGITS = 32
_HEX = frozenset("0123456789abcdef")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NO_MORE: attributes.Attributes = {}
_pending = threading.local()


class Settings(msgspec.Struct):
    """What may change while observing.

    Attributes:
        capture: ``none``, ``shape`` or ``values``, for tasks and runs that leave it open.
        attempt_spans: ``auto``: a call that can have one attempt only is its own attempt; ``always``: every attempt has its own span.
        max_hit_spans: Spans per run for calls answered by cache or journal; the others are only counted.
        salt: Keys the hash of cache keys, at most 64 bytes.
    """

    capture: str = "none"
    attempt_spans: str = "auto"
    max_hit_spans: int = 100
    salt: bytes = b""

    def mode(self, wanted: str) -> str:
        """What may be captured where ``wanted`` is the task's or run's own choice, ``""`` when it made none."""
        return wanted or self.capture


class _State:
    """What is remembered of a run, call or attempt between its start and its end (their ``memo``)."""

    __slots__ = ("context", "span")

    def __init__(self, context: Context, span: Span | None = None) -> None:
        self.context = context
        self.span = span

    def ids(self) -> tuple[str, str]:
        """Trace and span id in hex; empty without a span."""
        return ("", "") if self.span is None else _ids(self.span)


class _RunState(_State):
    __slots__ = ("body", "failures", "hits", "shared", "token")

    def __init__(self, context: Context, span: Span, token: Token[Context], shared: attributes.Attributes) -> None:
        super().__init__(context, span)
        self.token = token
        self.shared = shared
        self.body: CallFacts | None = None
        self.hits = itertools.count()
        self.failures: deque[BaseException] = deque(maxlen=_REMEMBERED_FAILURES)


class _CallState(_State):
    __slots__ = ("error_types", "is_attempt", "notes")

    def __init__(self, context: Context, span: Span | None = None) -> None:
        super().__init__(context, span)  # the parent's context until there is a span
        self.is_attempt = False
        self.error_types: set[str] = set()
        self.notes: list[tuple[Note, int]] = []


class _AttemptState(_State):
    __slots__ = ("token",)

    def __init__(self, context: Context, span: Span, token: Token[Context]) -> None:
        super().__init__(context, span)
        self.token = token


class SpanObserver:
    """Makes spans from facts; see the module.

    Args:
        tracer: Where spans are made; None for the one of the global tracer provider.
        settings: Options; None for the defaults.
    """

    def __init__(self, tracer: Tracer | None = None, settings: Settings | None = None) -> None:
        self.tracer = tracer if tracer is not None else trace.get_tracer(names.SCOPE, schema_url=names.SCHEMA_URL)
        self.settings = settings if settings is not None else Settings()

    def run_started(self, run: RunFacts) -> None:
        """Open the run's span and make it current."""
        parent = otel_context.get_current()
        shared = attributes.of_run(run)
        known = attributes.run_started(run, shared, self.settings.mode(run.capture))
        _pending.trace_id = _trace_id(run.run_id)
        try:
            span = self.tracer.start_span(f"run {run.name}", parent, attributes=known, start_time=run.started_ns)
        finally:
            _pending.trace_id = 0
        context = set_span_in_context(span, parent)
        run.memo = _RunState(context, span, otel_context.attach(context), shared)

    def run_ended(self, run: RunFacts) -> None:
        """Close the run's span; ERROR only if the run raised."""
        state: _RunState | None = run.memo
        if state is None or state.span is None:
            return
        otel_context.detach(state.token)
        omitted = max(0, next(state.hits) - self.settings.max_hit_spans)
        known = attributes.run_ended(run, state.body, omitted, self.settings.mode(run.capture))
        if attributes.has_failed(run):
            known[names.ERROR_TYPE] = attributes.error_type(run)
        _close(state.span, run, known)
        state.failures.clear()

    def call_started(self, call: CallFacts) -> None:
        """Remember whose child the call is; its span comes with the first attempt or the end."""
        run_state = _run_state(call)
        if call.is_body and run_state is not None:
            state = _CallState(run_state.context, run_state.span)
            run_state.body = call
            call.trace_id, call.span_id = state.ids()
        else:
            state = _CallState(otel_context.get_current())
        state.is_attempt = call.max_attempts == 1 and self.settings.attempt_spans == "auto"
        call.memo = state

    def call_ended(self, call: CallFacts) -> None:
        """Close the call's span, or make and close it when no attempt was needed; ERROR only if the call raised."""
        state: _CallState | None = call.memo
        if state is None:
            return
        run_state = _run_state(call)
        if run_state is not None and call.error is not None:
            run_state.failures.append(call.error)
        if call.is_body and state.span is not None:
            _exhausted(state.span, call)
        elif state.span is not None:
            _exhausted(state.span, call)
            _close(state.span, call, attributes.call_ended(call, self.settings.mode(call.capture)))
        elif run_state is None or not attributes.is_answered(call) or next(run_state.hits) < self.settings.max_hit_spans:
            span = self._open(call, state, attributes.call_ended(call, self.settings.mode(call.capture)))
            _record(span, call, with_stack=False)
            _close(span, call, {})

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """Make the attempt's span current: its own, or that of the call or run when there can be but one attempt."""
        call = attempt.call
        state: _CallState | None = call.memo
        if state is None:
            return
        if not state.is_attempt:
            span = self._open_attempt(attempt, state)
        elif state.span is None:
            span = self._open(call, state, attributes.attempt_started(attempt), _kind(call))
        else:
            span = state.span
            span.set_attributes(attributes.attempt_started(attempt))
        context = set_span_in_context(span)
        attempt.memo = _AttemptState(context, span, otel_context.attach(context))

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """Restore the context; record the failure and the decision."""
        state: _AttemptState | None = attempt.memo
        call_state: _CallState | None = attempt.call.memo
        if state is None or state.span is None or call_state is None:
            return
        otel_context.detach(state.token)
        if attributes.has_failed(attempt):
            _record_failure(state.span, attempt, call_state)
        if call_state.is_attempt:
            state.span.set_attributes(attributes.attempt_ended(attempt))
        else:
            _close(state.span, attempt, attributes.attempt_ended(attempt))
        if attempt.will_retry and call_state.span is not None:
            call_state.span.add_event(names.EVENT_RETRY_SCHEDULED, attributes.retry_scheduled(attempt), attempt.ended_ns or None)

    def noted(self, note: Note) -> None:
        """Add the note as an event to the span of its call, else to the current span."""
        state: _CallState | None = None if note.call is None else note.call.memo
        now = clock.current.time_ns()
        if state is not None and state.span is None:
            state.notes.append((note, now))
            return
        span = trace.get_current_span() if state is None or state.span is None else state.span
        if span.is_recording():
            span.add_event(note.event, attributes.note(note), now)

    def _open(self, call: CallFacts, state: _CallState, more: attributes.Attributes, kind: SpanKind = SpanKind.INTERNAL) -> Span:
        known = attributes.call_started(call, _shared(call), self.settings.mode(call.capture), self.settings.salt)
        known.update(more)
        span = self.tracer.start_span(call.name, state.context, kind, known, _links(call), call.started_ns)
        state.span = span
        call.trace_id, call.span_id = state.ids()
        for note, noted_ns in state.notes:
            span.add_event(note.event, attributes.note(note), noted_ns)
        return span

    def _open_attempt(self, attempt: AttemptFacts, state: _CallState) -> Span:
        if state.span is None:
            state.context = set_span_in_context(self._open(attempt.call, state, _NO_MORE), state.context)
        known = attributes.attempt_span(attempt, _shared(attempt.call))
        return self.tracer.start_span(_attempt_name(attempt), state.context, _kind(attempt.call), known, start_time=attempt.started_ns)


def _trace_id(run_id: str) -> int:
    """The run id as a trace id, so that one id names the run everywhere; 0 when it is no UUID."""
    digits = run_id.replace("-", "")
    return int(digits, 16) if len(digits) == _TRACE_ID_DIGITS and all(c in _HEX for c in digits) else 0


def pending_trace_id() -> int:
    """The trace id that the run being opened on this thread asks for; 0 when none is."""
    return getattr(_pending, "trace_id", 0)


def _run_state(call: CallFacts) -> _RunState | None:
    return None if call.run is None else call.run.memo


def _shared(call: CallFacts) -> attributes.Attributes:
    state = _run_state(call)
    return _NO_MORE if state is None else state.shared


def _ids(span: Span) -> tuple[str, str]:
    context = span.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else ("", "")


def _kind(call: CallFacts) -> SpanKind:
    """Whose body talks to another service is a client, on the span that is the attempt: retries are not calls of their own."""
    return SpanKind.CLIENT if call.kind == "client" else SpanKind.INTERNAL


def _attempt_name(attempt: AttemptFacts) -> str:
    """Bounded in number, for backends that index names."""
    number = str(attempt.number) if attempt.number <= _NUMBERED_ATTEMPTS else f"{_NUMBERED_ATTEMPTS}+"
    return f"{attempt.call.name} attempt {number}"


def _links(call: CallFacts) -> tuple[Link, ...]:
    if not call.origin_trace_id:
        return ()
    origin = SpanContext(int(call.origin_trace_id, 16), int(call.origin_span_id, 16), is_remote=True, trace_flags=_SAMPLED)
    return (Link(origin, {names.LINK_TYPE: names.LINK_CACHED_FROM}),)


def _close(span: Span, facts: RunFacts | CallFacts | AttemptFacts, known: attributes.Attributes) -> None:
    """End the span; ERROR on a failure, else UNSET, which means fine (OK is for users to set)."""
    if known:
        span.set_attributes(known)
    if attributes.has_failed(facts):
        span.set_status(StatusCode.ERROR, None if facts.error is None else message(facts.error))
    span.end(facts.ended_ns or None)


def _record_failure(span: Span, attempt: AttemptFacts, state: _CallState) -> None:
    """One exception event per failed attempt; none for an exception that a call inside has recorded already."""
    run_state = _run_state(attempt.call)
    if attempt.outcome == "timeout":
        limit = {} if attempt.timeout_s is None else {names.TIMEOUT_LIMIT_S: attempt.timeout_s}
        span.add_event(names.EVENT_TASK_TIMEOUT, limit, attempt.ended_ns or None)
    if run_state is not None and any(attempt.error is known for known in run_state.failures):
        return
    kind = attributes.error_type(attempt)
    _record(span, attempt, with_stack=not attempt.will_retry or kind not in state.error_types)
    state.error_types.add(kind)


def _record(span: Span, facts: CallFacts | AttemptFacts, *, with_stack: bool) -> None:
    """Add the exception event; ours instead of ``record_exception`` because of its cost."""
    error = facts.error
    if error is None or not attributes.has_failed(facts):
        return
    known: attributes.Attributes = {names.EXCEPTION_TYPE: stack.type_name(error), names.EXCEPTION_MESSAGE: message(error)}
    if with_stack:
        known[names.EXCEPTION_STACKTRACE] = stack.render(error)
    span.add_event(names.EVENT_EXCEPTION, known, facts.ended_ns or None)


def _exhausted(span: Span, call: CallFacts) -> None:
    if call.attempts > 1 and call.stop_reason and attributes.has_failed(call):
        known: attributes.Attributes = {names.ATTEMPT_COUNT: call.attempts, names.RETRY_STOP_REASON: str(call.stop_reason)}
        span.add_event(names.EVENT_RETRY_EXHAUSTED, known, call.ended_ns or None)
