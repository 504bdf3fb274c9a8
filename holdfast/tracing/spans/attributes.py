"""From facts to span attributes. Pure, and free of any tracing library."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names
from holdfast.tracing.safety.redact import scrub
from holdfast.tracing.spans import capture, carrier
from holdfast.tracing.spans.stack import location, type_name

if TYPE_CHECKING:
    from holdfast.events import AttemptFacts, CallFacts, Note, RunFacts

Attributes = dict[str, Any]

_QUEUE_WAIT_FROM_NS = 1_000_000  # below a millisecond it is the machinery, not a queue
_HIT_RESULTS = frozenset({"hit", "negative", "coalesced", "stale", "stale_if_error"})
_SPAN_KINDS = frozenset({"internal", "client"})


def of_run(run: RunFacts) -> Attributes:
    """What every span of the run carries."""
    return shared(run.run_id, run.thread_id, run.name)


def shared(run_id: str, thread_id: str, name: str) -> Attributes:
    """The same of a run that is known by these alone."""
    attributes: Attributes = {names.RUN_ID: run_id, names.THREAD_ID: thread_id, names.WORKFLOW_NAME: name}
    if thread_id != run_id:
        attributes[names.SESSION_ID] = thread_id
    return attributes


def run_started(run: RunFacts, shared: Attributes, mode: str) -> Attributes:
    """What is known when a run begins; ``shared`` is what `of_run` said."""
    attributes: Attributes = {names.SPAN_TYPE: "run", **shared, names.CODE_FUNCTION: run.function}
    if run.origin is not None:
        attributes.update(resumed_from(carrier.origin(run)))
    if mode != "none" and run.names:
        _captured(attributes, names.INPUT, capture.arguments(run.names, run.arguments, mode))
    return attributes


def resumed_from(origin: tuple[str, str, str] | None) -> Attributes:
    """The execution that a run went on from, as `carrier.origin` tells; for backends that lose links."""
    if origin is None:
        return {}
    run_id, trace_id, span_id = origin
    traced = {names.RESUMED_FROM_TRACE_ID: trace_id, names.RESUMED_FROM_SPAN_ID: span_id} if trace_id else {}
    return {names.RESUMED_FROM_RUN_ID: run_id, **traced}


def run_ended(attributes: Attributes, run: RunFacts, body: CallFacts | None, omitted: int, mode: str) -> None:
    """Add what is known when it has ended; ``body`` is the call of its own body."""
    attributes[names.RUN_OUTCOME] = run.outcome
    attributes[names.RUN_CALLS] = run.calls
    if run.resumed:
        attributes[names.RUN_RESUMED] = True
    if run.cache_hits:
        attributes[names.CACHE_HITS] = run.cache_hits
    if run.replayed:
        attributes[names.RUN_REPLAYED] = run.replayed
    if omitted > 0:
        attributes[names.RUN_SPANS_OMITTED] = omitted
    if body is not None:
        _retries(attributes, body)
    if mode != "none" and run.outcome == "ok":
        _captured(attributes, names.OUTPUT, capture.result(run.output, mode))
    if run.outcome != "ok" and has_failed(run):
        attributes[names.ERROR_TYPE] = error_type(run)


def call_started(call: CallFacts, shared: Attributes, mode: str, salt: bytes) -> Attributes:
    """What is known when a call's span is opened: at its first attempt, or at its end when it needed none."""
    attributes: Attributes = {
        names.SPAN_TYPE: "task",
        **shared,
        names.TASK_NAME: call.name,
        names.TASK_INDEX: call.index,
        names.CODE_FUNCTION: call.function,
    }
    if call.max_attempts is not None:
        attributes[names.ATTEMPT_MAX] = call.max_attempts
    if call.kind not in _SPAN_KINDS:
        attributes[names.TASK_KIND] = call.kind
    queue_wait(attributes, call.started_ns, call.begun_ns)
    if call.cache:
        attributes[names.CACHE_RESULT] = call.cache
        _key(attributes, call, salt)
    if mode != "none" and call.names:
        _captured(attributes, names.INPUT, capture.arguments(call.names, call.arguments, mode))
    return attributes


def queue_wait(attributes: Attributes, made_ns: int, begun_ns: int) -> None:
    """Add how long a call stood in line, if it did."""
    if begun_ns - made_ns >= _QUEUE_WAIT_FROM_NS and made_ns:
        attributes[names.QUEUE_WAIT_S] = _seconds(begun_ns - made_ns)


def call_ended(attributes: Attributes, call: CallFacts, mode: str) -> None:
    """Add what is known when a call has its outcome."""
    attributes[names.TASK_OUTCOME] = call.outcome
    _retries(attributes, call)
    if call.cache:
        _cache(attributes, call)
    if call.outcome != "ok" and has_failed(call):
        attributes[names.ERROR_TYPE] = error_type(call)
    elif mode != "none" and call.outcome in {"ok", "replayed"}:
        _captured(attributes, names.OUTPUT, capture.result(call.result, mode))


def attempt_span(attempt: AttemptFacts, shared: Attributes) -> Attributes:
    """What is known when an attempt with a span of its own begins."""
    call = attempt.call
    attributes: Attributes = {
        names.SPAN_TYPE: "attempt",
        **shared,
        names.TASK_NAME: call.name,
        names.TASK_INDEX: call.index,
        names.ATTEMPT_NUMBER: attempt.number,
    }
    if call.max_attempts is not None:
        attributes[names.ATTEMPT_MAX] = call.max_attempts
    if attempt.number > 1 or attempt.timeout_s is not None or attempt.deadline_s is not None:
        attempt_started(attributes, attempt)
    return attributes


def attempt_started(attributes: Attributes, attempt: AttemptFacts) -> None:
    """Add what is known when the body is about to run, on whichever span is the attempt's."""
    attributes[names.ATTEMPT_NUMBER] = attempt.number
    if attempt.number > 1:
        attributes[names.RETRY_COUNT] = attempt.number - 1
    if attempt.timeout_s is not None:
        attributes[names.TIMEOUT_LIMIT_S] = attempt.timeout_s
    if attempt.deadline_s is not None:
        attributes[names.TIMEOUT_DEADLINE_S] = attempt.deadline_s


def attempt_ended(attributes: Attributes, attempt: AttemptFacts) -> None:
    """Add what is known when the body has returned or raised and the policy has decided."""
    attributes[names.ATTEMPT_OUTCOME] = attempt.outcome
    if attempt.outcome != "ok" and has_failed(attempt):
        attributes[names.ERROR_TYPE] = error_type(attempt)
        if attempt.error is not None:
            attributes[names.ERROR_LOCATION] = location(attempt.error)
    if attempt.will_retry:
        attributes[names.RETRY_SCHEDULED] = True
        _decision(attributes, attempt)
    elif attempt.reason:
        attributes[names.RETRY_STOP_REASON] = str(attempt.reason)
    if attempt.abandoned:
        attributes[names.ATTEMPT_ABANDONED] = True


def retry_scheduled(attempt: AttemptFacts) -> Attributes:
    """The event on the task's span that marks a wait."""
    attributes: Attributes = {names.ATTEMPT_NUMBER: attempt.number, names.ERROR_TYPE: error_type(attempt)}
    _decision(attributes, attempt)
    return attributes


def note(note_: Note) -> Attributes:
    """The event that a note becomes."""
    attributes: Attributes = {names.NOTE_TEXT: scrub(note_.text)}
    if note_.fields:
        attributes[names.NOTE_FIELDS] = capture.result(note_.fields, "values")[0]
    return attributes


def has_failed(facts: RunFacts | CallFacts | AttemptFacts) -> bool:
    """Whether it ended in a failure: cancellations and interrupts are none."""
    return facts.outcome in {"error", "timeout"} or (facts.outcome == "replayed" and facts.error is not None)


def is_exhausted(call: CallFacts) -> bool:
    """Whether the call failed although it was retried."""
    return call.attempts > 1 and bool(call.stop_reason) and has_failed(call)


def is_answered(call: CallFacts) -> bool:
    """Whether the call was answered without running the body: by the cache, another caller or the journal."""
    return call.attempts == 0 and (call.cache in _HIT_RESULTS or call.outcome == "replayed")


def error_type(facts: RunFacts | CallFacts | AttemptFacts) -> str:
    """``error.type`` of a failure: its class, or ``timeout``."""
    if facts.outcome == "timeout":
        return "timeout"
    return "_OTHER" if facts.error is None else type_name(facts.error)


def _retries(attributes: Attributes, call: CallFacts) -> None:
    if call.attempts:
        attributes[names.ATTEMPT_COUNT] = call.attempts
        if call.attempts > 1:
            attributes[names.RETRY_COUNT] = call.attempts - 1
    if call.waited_s > 0:
        attributes[names.RETRY_WAITED_S] = round(call.waited_s, 6)
    if call.stop_reason:
        attributes[names.RETRY_STOP_REASON] = str(call.stop_reason)


def _decision(attributes: Attributes, attempt: AttemptFacts) -> None:
    attributes[names.RETRY_WAIT_S] = round(attempt.wait_s, 6)
    if attempt.reason:
        attributes[names.RETRY_REASON] = str(attempt.reason)
    if attempt.policy:
        attributes[names.RETRY_POLICY] = attempt.policy


def _key(attributes: Attributes, call: CallFacts, salt: bytes) -> None:
    if call.cache_namespace:
        attributes[names.CACHE_NAMESPACE] = call.cache_namespace
    if call.cache_key:
        if call.cache_ordinal:
            attributes[names.CACHE_ORDINAL] = call.cache_ordinal
        attributes[names.CACHE_KEY_HASH] = blake2b(call.cache_key, key=salt, digest_size=6).hexdigest()


def _cache(attributes: Attributes, call: CallFacts) -> None:
    attributes[names.CACHE_RESULT] = call.cache
    if call.cache_ttl_s is not None:
        attributes[names.CACHE_TTL_S] = call.cache_ttl_s
    if call.cache_size:
        attributes[names.CACHE_SIZE_BYTES] = call.cache_size
    if call.cache_cause:
        attributes[names.CACHE_MISS_CAUSE] = call.cache_cause
    if call.cache_stored:
        attributes[names.CACHE_STORED] = True
    if call.cache not in _HIT_RESULTS:
        return
    attributes[names.CACHE_AGE_S] = round(call.cache_age_s, 6)
    if call.cache_ttl_s is not None:
        attributes[names.CACHE_TTL_REMAINING_S] = round(call.cache_ttl_s - call.cache_age_s, 6)
    if call.cache_tier:
        attributes[names.CACHE_TIER] = call.cache_tier
    if call.origin_trace_id:
        attributes[names.CACHE_ORIGIN_TRACE_ID] = call.origin_trace_id
        attributes[names.CACHE_ORIGIN_SPAN_ID] = call.origin_span_id


def _captured(attributes: Attributes, name: str, rendered: tuple[str, bool]) -> None:
    attributes[name], is_cut = rendered
    if is_cut:
        attributes[names.CAPTURE_TRUNCATED] = True


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 6)
