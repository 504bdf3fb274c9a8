"""What spans of either kind say of facts: name, kind, links, status, and how a failure is told once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.trace import SpanKind, StatusCode

from holdfast.events import AttemptFacts, CallFacts, RunFacts
from holdfast.tracing import convention as names
from holdfast.tracing.logs import exception_logs
from holdfast.tracing.safety.redact import message
from holdfast.tracing.spans import attributes, links, stack

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span

    from holdfast.events import Called

_NUMBERED_ATTEMPTS = 10
_REMEMBERED_FAILURES = 16
_LINKS = {
    (False, "coalesced"): names.LINK_COALESCED_WITH,
    (True, "refresh"): names.LINK_BEHIND,
    (True, "probe"): names.LINK_BEHIND,
    (True, "miss"): names.LINK_BEHIND,
}
_NONE: attributes.Attributes = {}


def run_state_of(call: CallFacts) -> Any:
    """What is remembered of the call's run; None without one."""
    return None if call.run is None else call.run.memo


def shared_of(call: CallFacts) -> attributes.Attributes:
    """What all spans of the call's run carry."""
    state = run_state_of(call)
    if state is not None:
        return state.shared  # type: ignore[no-any-return]
    return _NONE if call.run is None else attributes.of_run(call.run)  # a run that somebody else conducts has no span of ours


def kind_of(call: CallFacts | Called) -> SpanKind:
    """Whose body talks to another service is a client, on the span that is the attempt: retries are not calls of their own."""
    return SpanKind.CLIENT if call.kind == "client" else SpanKind.INTERNAL


@lru_cache(maxsize=1024)
def name_of(task: str, number: int) -> str:
    """The name of an attempt's span; bounded in number, for backends that index names."""
    return f"{task} attempt {number}" if number <= _NUMBERED_ATTEMPTS else f"{task} attempt {_NUMBERED_ATTEMPTS}+"


def links_of(call: CallFacts) -> tuple[Link, ...]:
    """To the span that computed what the cache, or another call under way, answered with."""
    if not call.origin_trace_id:
        return ()
    return (links.link(call.origin_trace_id, call.origin_span_id, _LINKS.get((call.is_behind, call.cache), names.LINK_CACHED_FROM)),)


def set_status(span: Span, facts: RunFacts | CallFacts | AttemptFacts) -> None:
    """ERROR on a failure, else UNSET, which means fine (OK is for users to set)."""
    if attributes.has_failed(facts):
        span.set_status(StatusCode.ERROR, None if facts.error is None else message(facts.error))


class Brief(NamedTuple):
    """What the spans of a call told in brief, and of its attempt, carry from the begin on, and when it has succeeded. For reading only."""

    call: attributes.Attributes
    attempt: attributes.Attributes
    ended_call: attributes.Attributes
    ended_attempt: attributes.Attributes


@lru_cache(maxsize=1024)
def in_brief(name: str, function: str, kind: str, max_attempts: int | None) -> Brief:
    """The same for all calls of a task, of which these are known."""
    call = CallFacts(run=None, name=name, function=function, started_ns=0, kind=kind, max_attempts=max_attempts, attempts=1, outcome="ok")
    attempt = AttemptFacts(call=call, number=1, started_ns=0, outcome="ok")
    brief = Brief(attributes.call_started(call, _NONE, "none", b""), attributes.attempt_span(attempt, _NONE), {}, {})
    attributes.call_ended(brief.ended_call, call, "none")
    attributes.attempt_ended(brief.ended_attempt, attempt)
    return brief


BODY: attributes.Attributes = {names.ATTEMPT_COUNT: 1}
"""What a run's span carries of a body told in brief."""
BODY_AND_ATTEMPT: attributes.Attributes = {names.ATTEMPT_NUMBER: 1, names.ATTEMPT_OUTCOME: "ok", **BODY}
"""The same where it is that of the body's attempt, too."""

_Named = tuple[str, str, str, "int | None"]


def attempt_in_run(named: _Named, shared: attributes.Attributes, index: int) -> attributes.Attributes:
    """What the span of an attempt carries that was told in brief: `in_brief` has what its task says, ``shared`` what its run does."""
    brief = in_brief(*named)
    return {names.SPAN_TYPE: "attempt", **shared, **brief.attempt, names.TASK_INDEX: index, **brief.ended_attempt}


def call_in_run(
    named: _Named, shared: attributes.Attributes, index: int, made_ns: int, begun_ns: int, *, is_own_attempt: bool = False
) -> attributes.Attributes:
    """The same of a call."""
    brief = in_brief(*named)
    known: attributes.Attributes = {names.SPAN_TYPE: "task", **shared, **brief.call, names.TASK_INDEX: index}
    attributes.queue_wait(known, made_ns, begun_ns)
    if is_own_attempt:
        known[names.ATTEMPT_NUMBER] = 1
        known.update(brief.ended_attempt)
    known.update(brief.ended_call)
    return known


def run_in_brief(
    named: tuple[str, str, str, str],
    calls: int,
    cache_hits: int,
    replayed: int,
    omitted: int,
    shared: attributes.Attributes,
    of_body: attributes.Attributes,
) -> attributes.Attributes:
    """What the span of a run carries that has succeeded, and whose body was told in brief."""
    run_id, thread_id, name, function = named
    run = RunFacts(run_id=run_id, thread_id=thread_id, name=name, function=function, started_ns=0, outcome="ok")
    run.calls, run.cache_hits, run.replayed = calls, cache_hits, replayed
    known = attributes.run_started(run, shared, "none")
    attributes.run_ended(known, run, None, omitted, "none")
    known.update(of_body)
    return known


def step_in_run(*known: Any) -> attributes.Attributes:
    """The same of one that is its own attempt."""
    return call_in_run(*known, is_own_attempt=True)


def remember_failure(failures: list[BaseException], error: BaseException) -> None:
    """So that whoever lets it through does not record it again."""
    failures.append(error)
    del failures[:-_REMEMBERED_FAILURES]


def record_failure(span: Span, attempt: AttemptFacts, error_types: tuple[str, ...]) -> tuple[str, ...]:
    """One exception event per failed attempt; none for an exception that a call inside has recorded already.

    Args:
        span: Of the attempt.
        attempt: What failed.
        error_types: Of the call's failures so far.

    Returns:
        The same with this one's: each type has its stack once, and on the last attempt.
    """
    if attempt.outcome == "timeout":
        limit = {} if attempt.timeout_s is None else {names.TIMEOUT_LIMIT_S: attempt.timeout_s}
        span.add_event(names.EVENT_TASK_TIMEOUT, limit, attempt.ended_ns or None)
    run_state = run_state_of(attempt.call)
    if run_state is not None and any(attempt.error is known for known in run_state.failures):
        return error_types
    kind = attributes.error_type(attempt)
    record(span, attempt, with_stack=not attempt.will_retry or kind not in error_types)
    return (*error_types, kind)


def record(span: Span, facts: CallFacts | AttemptFacts, *, with_stack: bool) -> None:
    """Tell of the exception, as an event (ours instead of ``record_exception`` because of its cost) or as a log record."""
    error = facts.error
    if error is None or not attributes.has_failed(facts):
        return
    known: attributes.Attributes = {names.EXCEPTION_TYPE: stack.type_name(error), names.EXCEPTION_MESSAGE: message(error)}
    if with_stack:
        known[names.EXCEPTION_STACKTRACE] = stack.render(error)
    wanted = exception_logs.signals()
    if wanted.events:
        span.add_event(names.EVENT_EXCEPTION, known, facts.ended_ns or None)
    if wanted.logs:
        _log(span, facts, known)


def _log(span: Span, facts: CallFacts | AttemptFacts, known: attributes.Attributes) -> None:
    when, event, is_unhandled = facts.ended_ns or None, exception_logs.OF_TASK, False
    if isinstance(facts, AttemptFacts):
        event, is_unhandled = exception_logs.OF_ATTEMPT, facts.call.is_body and not facts.will_retry
    exception_logs.emit(span, event, known, when, is_unhandled=is_unhandled)


def tell_retry(span: Span, attempt: AttemptFacts) -> None:
    """The event on the call's span that marks a wait."""
    if span.is_recording():
        span.add_event(names.EVENT_RETRY_SCHEDULED, attributes.retry_scheduled(attempt), attempt.ended_ns or None)


def tell_exhausted(span: Span, call: CallFacts) -> None:
    """The event that says that no attempt is left."""
    if attributes.is_exhausted(call) and span.is_recording():
        known: attributes.Attributes = {names.ATTEMPT_COUNT: call.attempts, names.RETRY_STOP_REASON: str(call.stop_reason)}
        span.add_event(names.EVENT_RETRY_EXHAUSTED, known, call.ended_ns or None)
