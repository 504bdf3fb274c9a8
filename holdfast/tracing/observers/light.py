"""LightObserver: light spans from facts, where nobody looks at a span before it has ended.

It makes the same spans as `holdfast.tracing.observers.spans.SpanObserver`, where the tree is explained; the same tests run against both. What
differs is the cost, so that a `LightSpan` is all there is: it is the ``memo`` of its facts, the current span, and what the backends get.
A call's span is made when work on the call begins, and left out if nobody wants it. Attributes are put into a dict at the end, or, for a
good call that captures nothing, on the backend's thread; only what may change until then, captured arguments, is at the start.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, TraceFlags

from holdfast import clock
from holdfast.tracing.killed import under_way
from holdfast.tracing.observers import telling
from holdfast.tracing.spans import attributes, carrier, ids, links, propagation
from holdfast.tracing.spans.light_span import NONE, SPAN_KEY, LightSpan, with_span
from holdfast.tracing.spans.outlet import FLAGS, Trace

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from holdfast.events import AttemptFacts, Called, CallFacts, InBrief, Note, Remains, RunFacts
    from holdfast.tracing.observers.settings import Settings
    from holdfast.tracing.spans.light_span import Deferred
    from holdfast.tracing.spans.outlet import Outlet

_INTERNAL = SpanKind.INTERNAL


class LightRun(LightSpan):
    """The span of a run, and what its calls share, under the names that `SpanObserver` reads too."""

    __slots__ = ("body", "failures", "hits", "of_body", "shared", "token")

    def __init__(self, name: str, trace_: Trace, above: LightSpan | SpanContext | None, start_time: int) -> None:
        super().__init__(name, trace_, above, _INTERNAL, start_time)
        self.token: Token[Context] | None = None
        self.body: CallFacts | None = None
        self.of_body: attributes.Attributes = NONE
        self.shared: attributes.Attributes = NONE
        self.hits = itertools.count()
        self.failures: list[BaseException] = []


_NOWHERE = otel_context.Context()
"""Where a call behind another one's back is: inside nothing."""
_OURS = frozenset({LightSpan, LightRun})


class LightObserver:
    """Makes light spans from facts; see the module.

    Args:
        outlet: Where they go.
        settings: Options.
    """

    def __init__(self, outlet: Outlet, settings: Settings) -> None:
        self.outlet = outlet
        self.settings = settings

    def run_started(self, run: RunFacts) -> None:
        """Open the run's span, unless it is open by now, and make it current."""
        current = otel_context.get_current()
        span = run.memo if type(run.memo) is LightRun else self._open_run(run, current)
        span.shared = attributes.of_run(run)
        mode = run.capture or self.settings.capture
        if mode != "none":
            span.opening = attributes.run_started(run, span.shared, mode)
        span.token = otel_context.attach(with_span(span, current))
        under_way.begin(run)

    def run_opened(self, run: RunFacts) -> None:
        """Open the run's span, so that the record can name it."""
        run.trace = carrier.of_span(run, self._open_run(run, otel_context.get_current()))

    def run_died(self, remains: Remains) -> None:
        """Give the spans that its process left open their end."""
        from holdfast.tracing.killed.heal import heal  # rarely needed

        heal(remains)

    def run_ended(self, run: RunFacts) -> None:
        """Close the run's span; ERROR only if the run raised."""
        span: LightRun | None = run.memo
        if span is None or span.token is None:
            return
        under_way.end(run)
        otel_context.detach(span.token)
        span.token = None  # it holds the context of before, and with it values of the user's, as long as a child is in a queue
        omitted = next(span.hits) - self.settings.max_hit_spans
        if run.origin is not None:
            span.links = (*links.of_run(run), *span.links)
        _close(span, run, self._closing_of_run(span, run, omitted))
        span.body = None  # or run, span and call would be a circle
        span.failures.clear()

    def call_started(self, call: CallFacts) -> None:
        """Open the call's span; a run's own body has the run's."""
        run_span: LightRun | None = None if call.run is None else call.run.memo
        span: LightSpan
        if call.is_body and run_span is not None:
            run_span.body = call
            span = run_span
        else:
            trace_, above = self._place(_NOWHERE if call.is_behind else otel_context.get_current(), 0)
            span = LightSpan(call.name, trace_, above, _INTERNAL, call.started_ns)
        call.memo = span
        if call.cache and not attributes.is_answered(call):  # whoever stores the result tells where it came from
            call.trace_id, call.span_id = span.ids()

    def call_ended(self, call: CallFacts) -> None:
        """Close the call's span, unless it is one hit too many; ERROR only if the call raised."""
        span: LightSpan | None = call.memo
        if span is None:
            return
        run_span: LightRun | None = None if call.run is None else call.run.memo
        if call.error is not None:
            if run_span is not None:
                telling.remember_failure(run_span.failures, call.error)
            telling.tell_exhausted(span, call)
        if span is run_span:
            return
        if not call.attempts:
            if run_span is not None and attributes.is_answered(call) and next(run_span.hits) >= self.settings.max_hit_spans:
                call.memo = None
                return
            telling.record(span, call, with_stack=False)
        if call.origin_trace_id:
            span.links = (*telling.links_of(call), *span.links)
        _close(span, call, self._closing(span, call))

    def call_followed(self, call: CallFacts) -> None:
        """Have what follows know the call's span."""
        span: LightSpan | None = call.memo
        if span is not None:
            call.trace_id, call.span_id = span.ids()

    def brief_started(self, called: Called, began_ns: int) -> LightSpan | None:
        """Open the spans of a call and its first attempt, and make the attempt's current; None where one span is both, or much is captured."""
        if not self.settings.is_brief(called):
            return None
        current = otel_context.get_current()
        trace_, above = self._place(current, 0)
        call = LightSpan(called.name, trace_, above, _INTERNAL, began_ns)
        kind = _INTERNAL if called.kind == "internal" else telling.kind_of(called)
        span = LightSpan(telling.name_of(called.name, 1), trace_, call, kind, began_ns)
        span.attempt_token = otel_context.attach(with_span(span, current))
        return span

    def brief_passed(self, span: LightSpan, called: Called, ended_ns: int) -> bool:
        """Restore the context and close both spans; what they carry is worked out later. Not where the user has added to it."""
        if span.added is not None or not self.settings.is_brief(called):
            return False
        if span.attempt_token is not None:
            otel_context.detach(span.attempt_token)
            span.attempt_token = None
        named = called.name, called.function, called.kind, called.max_attempts  # and no more: its function may hold what is large
        span.close((_of_first_attempt, named), ended_ns)
        cast("LightSpan", span.above).close((_of_call_at_once, named), ended_ns)
        return True

    def brief_recorded(self, span: LightSpan, attempt: AttemptFacts) -> None:
        """Give the records their spans."""
        attempt.memo = span
        attempt.call.memo = span.above

    def step_started(self, called: Called, brief: InBrief) -> tuple[LightSpan, LightSpan] | None:
        """Open the spans of a call in a run and of its first attempt, and make the attempt's current; both may be one, that of a body is the run's."""
        run_span: Any = brief.run.memo
        if type(run_span) is not LightRun or not self.settings.is_brief_in_run(called):
            return None
        is_own_attempt = called.max_attempts == 1 and self.settings.attempt_spans != "always"
        if brief.is_body and is_own_attempt:
            return run_span, run_span  # which is current by now
        current = otel_context.get_current()
        kind = _INTERNAL if called.kind == "internal" else telling.kind_of(called)
        if brief.is_body:
            call: LightSpan = run_span
        else:
            trace_, above = self._place(current, 0)
            call = LightSpan(called.name, trace_, above, kind if is_own_attempt else _INTERNAL, brief.made_ns)
        span = call if is_own_attempt else LightSpan(telling.name_of(called.name, 1), call.trace, call, kind, brief.begun_ns)
        span.attempt_token = otel_context.attach(with_span(span, current))
        return call, span

    def step_passed(self, called: Called, brief: InBrief, ended_ns: int) -> bool:
        """Restore the context and close both spans; what they carry is worked out later. Not where the user has added to one."""
        if not self.settings.is_brief_in_run(called):
            return False
        run_span: LightRun = brief.run.memo
        memos: Any = brief.memos
        call, span = memos
        if span is run_span:
            run_span.of_body = telling.BODY_AND_ATTEMPT
            return True
        if span.added is not None or (call.added is not None and call is not run_span):
            return False
        if span.attempt_token is not None:
            otel_context.detach(span.attempt_token)
            span.attempt_token = None
        known = (called.name, called.function, called.kind, called.max_attempts), run_span.shared, brief.index
        if span is not call:
            span.close((telling.attempt_in_run, known), ended_ns)
        if call is run_span:
            run_span.of_body = telling.BODY
        else:
            tell = telling.step_in_run if span is call else telling.call_in_run
            call.close((tell, (*known, brief.made_ns, brief.begun_ns)), ended_ns)
        return True

    def step_recorded(self, brief: InBrief, attempt: AttemptFacts) -> None:
        """What its spans remember of the records."""
        memos: Any = brief.memos
        call, span = memos
        if span is call:
            span.attempt = attempt
        if brief.is_body:
            brief.run.memo.body = attempt.call

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """Make the attempt's span current: its own, or that of the call or run when there can be but one attempt."""
        call = attempt.call
        above: LightSpan | None = call.memo
        if above is None:
            return
        if above.opening is NONE and (call.capture or self.settings.capture) != "none":
            above.opening = self._opening(call)  # before the body can change its arguments
        kind = _INTERNAL if call.kind == "internal" else telling.kind_of(call)
        if call.max_attempts == 1 and self.settings.attempt_spans != "always":
            span, above.attempt = above, attempt
            if not call.is_body:
                above.kind = kind
        elif self.settings.attempt_spans == "failures":
            span = above
            if not call.is_body:
                above.kind = kind
        else:
            span = LightSpan(telling.name_of(call.name, attempt.number), above.trace, above, kind, attempt.started_ns)
        attempt.memo = span
        current = otel_context.get_current()
        if current.get(SPAN_KEY) is not span:
            span.attempt_token = otel_context.attach(with_span(span, current))

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """Restore the context; record the failure and the decision."""
        span: LightSpan | None = attempt.memo
        call = attempt.call
        above: LightSpan | None = call.memo
        if span is None or above is None:
            return
        if span.attempt_token is not None:
            otel_context.detach(span.attempt_token)
            span.attempt_token = None
        if attempt.outcome != "ok":
            if attributes.has_failed(attempt):
                if span is above and above.attempt is None:  # attempt_spans="failures"
                    name = telling.name_of(call.name, attempt.number)
                    span = attempt.memo = LightSpan(name, above.trace, above, _INTERNAL, attempt.started_ns)
                if span.is_recording():
                    above.error_types = telling.record_failure(span, attempt, above.error_types)
            if attempt.will_retry:
                telling.tell_retry(above, attempt)
        if span is not above:
            known = span.closing_of(attributes.attempt_span(attempt, NONE if call.run is None else telling.shared_of(call)))
            attributes.attempt_ended(known, attempt)
            _close(span, attempt, known)

    def noted(self, note: Note) -> None:
        """Add the note as an event to the span of its call, else to the current span."""
        span: trace.Span | None = None if note.call is None else note.call.memo
        if span is None:
            span = trace.get_current_span()
        if span.is_recording():
            span.add_event(note.event, attributes.note(note), clock.current.time_ns())

    def _open_run(self, run: RunFacts, current: Context) -> LightRun:
        trace_, above = self._place(current, ids.of_execution(run))
        run.memo = span = LightRun(f"run {run.name}", trace_, above, run.started_ns)
        return span

    def _place(self, current: Context, trace_id: int) -> tuple[Trace, LightSpan | SpanContext | None]:
        """The trace and the parent of a span that begins where ``current`` is; a new trace has this id, 0 leaves it to chance."""
        above: Any = current.get(SPAN_KEY)
        if type(above) in _OURS:  # isinstance asks the abstract base class, which takes 0.3 us
            return above.trace, above
        self.outlet.look()
        if above is None and propagation.inherited() is None:
            return Trace(self.outlet, trace_id or ids.draw(128) or 1), None
        around = trace.get_current_span(current)
        own = around.get_span_context()
        parent = own if own.is_valid else propagation.inherited()
        if parent is not None:
            return Trace(self.outlet, parent.trace_id, TraceFlags(parent.trace_flags & FLAGS), parent.trace_state, around), parent
        return Trace(self.outlet, trace_id or ids.draw(128) or 1), None

    def _opening(self, call: CallFacts) -> attributes.Attributes:
        """What is known when a call begins."""
        shared = NONE if call.run is None else telling.shared_of(call)
        return attributes.call_started(call, shared, call.capture or self.settings.capture, self.settings.salt)

    def _closing_of_run(self, span: LightRun, run: RunFacts, omitted: int) -> attributes.Attributes | Deferred:
        """What is known when a run has ended; worked out later where it succeeded, its body was told in brief, and nobody has added anything."""
        mode = run.capture or self.settings.capture
        is_brief = span.of_body is not NONE and span.added is None and span.opening is NONE
        if is_brief and mode == "none" and run.outcome == "ok" and run.origin is None:
            named = run.run_id, run.thread_id, run.name, run.function
            return telling.run_in_brief, (named, run.calls, run.cache_hits, run.replayed, omitted, span.shared, span.of_body)
        known = span.closing_of(attributes.run_started(run, span.shared, "none") if span.opening is NONE else span.opening)
        attributes.run_ended(known, run, span.body, omitted, mode)
        known.update(span.of_body)
        return known

    def _closing(self, span: LightSpan, call: CallFacts) -> attributes.Attributes | Deferred:
        """What is known when a call has ended; worked out later if that keeps nothing of the user's alive."""
        mode = call.capture or self.settings.capture
        attempt = span.attempt
        if mode == "none" and call.error is None and span.added is None and (attempt is None or attempt.error is None):
            shared = NONE if call.run is None else telling.shared_of(call)
            return _of_good_call, (_bare(call), None if attempt is None else _bare_attempt(attempt), shared, self.settings.salt)
        known = span.closing_of(self._opening(call) if span.opening is NONE else span.opening)
        attributes.call_ended(known, call, mode)
        return known


def _bare(call: CallFacts) -> CallFacts:
    """A copy that nobody changes, and that holds no values of the user's: they may be large, and a queue is long."""
    return replace(call, run=None, memo=None, result=None, arguments=())


def _bare_attempt(attempt: AttemptFacts) -> AttemptFacts:
    return replace(attempt, call=None, memo=None)  # its own call is next to it


def _of_first_attempt(*named: Any) -> attributes.Attributes:
    brief = telling.in_brief(*named)
    return brief.attempt | brief.ended_attempt


def _of_call_at_once(*named: Any) -> attributes.Attributes:
    brief = telling.in_brief(*named)
    return brief.call | brief.ended_call


def _of_good_call(call: CallFacts, attempt: AttemptFacts | None, shared: attributes.Attributes, salt: bytes) -> attributes.Attributes:
    known = attributes.call_started(call, shared, "none", salt)
    if attempt is not None:
        attributes.attempt_started(known, attempt)
        attributes.attempt_ended(known, attempt)
    attributes.call_ended(known, call, "none")
    return known


def _close(span: LightSpan, facts: RunFacts | CallFacts | AttemptFacts, known: attributes.Attributes | Deferred) -> None:
    if facts.outcome != "ok" and span.end_time is None:
        telling.set_status(span, facts)
    span.close(known, facts.ended_ns)
