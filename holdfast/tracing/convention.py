"""Every name holdfast puts on a span, event or link: one table, public and versioned with `SCHEMA_URL`.

Spans and lines use the constants; `docs/tracing.md` holds the same table, and a test compares the two. No name is a dotted prefix of
another, because some backends unfold the dots into nested objects, where ``a.b`` and ``a.b.c`` cannot both have a value.
"""

from __future__ import annotations

from typing import NamedTuple

SCOPE = "holdfast"
SCHEMA_URL = "holdfast/1"


class Attribute(NamedTuple):
    """One attribute of the convention.

    Attributes:
        name: Its dotted name.
        type: ``str``, ``int``, ``float`` or ``bool``.
        where: Letters: R on run spans, T on task spans, A on attempt spans, E on events, L on links.
        meaning: One sentence.
        example: A value as one would see it.
    """

    name: str
    type: str
    where: str
    meaning: str
    example: str


ATTRIBUTES: list[Attribute] = []


def _attribute(name: str, type_: str, where: str, meaning: str, example: str) -> str:
    ATTRIBUTES.append(Attribute(name, type_, where, meaning, example))
    return name


# What and whose
SPAN_TYPE = _attribute("holdfast.span.type", "str", "RTA", "`run`, `task` or `attempt`", "task")
RUN_ID = _attribute(
    "holdfast.run.id",
    "str",
    "RTA",
    "The run; also the id of the trace that it begins, see *Use it beside your own OpenTelemetry set-up*",
    "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10",
)
THREAD_ID = _attribute("holdfast.thread.id", "str", "RTA", "The thread the run belongs to", "trip-1")
SESSION_ID = _attribute("session.id", "str", "RTA", "The thread, under the name session views look for; only when one was given", "trip-1")
WORKFLOW_NAME = _attribute("holdfast.workflow.name", "str", "RTA", "Name of the entrypoint", "plan")
TASK_NAME = _attribute("holdfast.task.name", "str", "TA", "Name of the task", "forecast")
TASK_INDEX = _attribute("holdfast.task.index", "int", "TA", "Ordinal of the call within its run, from 1", "3")
TASK_KIND = _attribute(
    "holdfast.task.kind", "str", "T", "The task's `kind=`, unless `internal` or `client` (which the span kind shows)", "tool"
)
CODE_FUNCTION = _attribute("code.function.name", "str", "RT", "Module and qualified name of the function", "app.weather.forecast")

# How it ended
RUN_OUTCOME = _attribute(
    "holdfast.run.outcome", "str", "R", "`ok`, `error`, `cancelled`, `interrupted`, or `crashed`: its process died", "ok"
)
TASK_OUTCOME = _attribute(
    "holdfast.task.outcome", "str", "T", "`ok`, `error`, `timeout`, `cancelled`, `interrupted`, `replayed` or `crashed`", "ok"
)
ATTEMPT_OUTCOME = _attribute(
    "holdfast.attempt.outcome",
    "str",
    "A, and R or T that is its own attempt",
    "`ok`, `error`, `timeout`, `cancelled`, `interrupted` or `crashed`",
    "error",
)
ERROR_TYPE = _attribute(
    "error.type", "str", "RTAE", "Class of the failure, `timeout` or `crashed`; only on failures", "httpx.ConnectTimeout"
)
ERROR_LOCATION = _attribute(
    "holdfast.error.location",
    "str",
    "A, and R or T that is its own attempt",
    "Where it was raised, in your own code if the stack passes there",
    "weather.py:42 in get",
)
RUN_RESUMED = _attribute("holdfast.run.resumed", "bool", "R", "Finished steps were taken from a journal; only when true", "true")
RESUMED_FROM_TRACE_ID = _attribute(
    "holdfast.resumed_from.trace_id",
    "str",
    "R",
    "Trace of the execution that a resumed run goes on from; the span has a link to it as well",
    "01980d2c6d5e7c1b9a4e0c8f3c3f7a10",
)
RESUMED_FROM_SPAN_ID = _attribute("holdfast.resumed_from.span_id", "str", "R", "Its run span", "9a4e0c8f3c3f7a10")
RESUMED_FROM_RUN_ID = _attribute(
    "holdfast.resumed_from.run_id",
    "str",
    "R",
    "Its run: the same, or the one that was branched off",
    "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10",
)
RUN_CALLS = _attribute("holdfast.run.calls", "int", "R", "Calls the run made", "40")
RUN_REPLAYED = _attribute("holdfast.run.replayed", "int", "R", "Calls answered by the journal; only above 0", "12")
RUN_SPANS_OMITTED = _attribute(
    "holdfast.run.spans_omitted", "int", "R", "Hits and replayed calls beyond `max_hit_spans`, which got no span; only above 0", "900"
)

# Attempts and retries
ATTEMPT_NUMBER = _attribute("holdfast.attempt.number", "int", "AE, and R or T that is its own attempt", "From 1", "2")
ATTEMPT_MAX = _attribute("holdfast.attempt.max", "int", "TA", "Most attempts the policies allow; absent when unbounded", "5")
ATTEMPT_COUNT = _attribute("holdfast.attempt.count", "int", "RTE", "Attempts made; on a run, those of its body", "3")
ATTEMPT_ABANDONED = _attribute(
    "holdfast.attempt.abandoned",
    "bool",
    "A, and R or T that is its own attempt",
    "The body was still running on its thread when its time was up; only when true",
    "true",
)
RETRY_COUNT = _attribute("holdfast.retry.count", "int", "RTA", "Retries so far; only above 0", "2")
RETRY_SCHEDULED = _attribute("holdfast.retry.scheduled", "bool", "A", "Another attempt follows; only when true", "true")
RETRY_WAIT_S = _attribute("holdfast.retry.wait_s", "float", "AE", "Seconds until the next attempt", "0.4")
RETRY_REASON = _attribute("holdfast.retry.reason", "str", "AE", "Why it is retried", "transient")
RETRY_POLICY = _attribute("holdfast.retry.policy", "str", "AE", "Which policy of a sequence decided", "RetryPolicy 2 of 3")
RETRY_WAITED_S = _attribute("holdfast.retry.waited_s", "float", "RT", "Seconds spent waiting between attempts; only above 0", "1.2")
RETRY_STOP_REASON = _attribute(
    "holdfast.retry.stop_reason", "str", "RTAE", "Why no further attempt was made after a failure", "max_attempts"
)
TIMEOUT_LIMIT_S = _attribute(
    "holdfast.timeout.limit_s", "float", "AE, and R or T that is its own attempt", "Limit of the attempt in seconds", "5.0"
)
TIMEOUT_DEADLINE_S = _attribute(
    "holdfast.timeout.deadline_remaining_s",
    "float",
    "A, and R or T that is its own attempt",
    "Seconds left of the deadline when the attempt started",
    "12.5",
)
QUEUE_WAIT_S = _attribute("holdfast.queue.wait_s", "float", "T", "Seconds between the call and the start of work on it; from 1 ms", "0.8")

# Cache
CACHE_RESULT = _attribute(
    "holdfast.cache.result",
    "str",
    "T",
    "`hit`, `miss`, `coalesced` (an equal call was waited for), `negative` (a remembered failure), `stale` (an old value, while a new one is "
    "computed), `stale_if_error` (an old value, because computing failed), `refresh` (computed although there was a value), "
    "`probe` (computed behind a hit only to see whether that was stale), `bypass` (not looked into) or `error`",
    "hit",
)
CACHE_NAMESPACE = _attribute(
    "holdfast.cache.namespace", "str", "T", "Whose values: task and version or code fingerprint", "app.weather.forecast@9f2c41d0a7b3e865"
)
CACHE_KEY_HASH = _attribute(
    "holdfast.cache.key_hash", "str", "T", "12 hex digits that tell keys apart: a salted hash, never the key", "5be1d0a93c77"
)
CACHE_ORDINAL = _attribute(
    "holdfast.cache.ordinal",
    "str",
    "T",
    "Which of its process's calls of the task that asked the cache it is: a token of the process, and a number from 1. Where one is missing, its span is",
    "5be1d0a9-17",
)
CACHE_MISS_CAUSE = _attribute(
    "holdfast.cache.miss_cause",
    "str",
    "T",
    "Why nothing was found, of a disk cache: `cold` (not stored, as far as is remembered), `expired`, `evicted`, `invalidated`, `version` (stored by other "
    "code) or `error` (could not be read)",
    "expired",
)
CACHE_TIER = _attribute("holdfast.cache.tier", "str", "T", "`memory` or `disk`, on a hit", "memory")
CACHE_AGE_S = _attribute("holdfast.cache.age_s", "float", "T", "Age of the entry, on a hit, an old value included", "312.5")
CACHE_TTL_S = _attribute("holdfast.cache.ttl_s", "float", "T", "Time to live in force; absent when entries never expire", "3600.0")
CACHE_TTL_REMAINING_S = _attribute(
    "holdfast.cache.ttl_remaining_s", "float", "T", "What is left of it, on a hit; below 0 for an old value", "3287.5"
)
CACHE_SIZE_BYTES = _attribute("holdfast.cache.size_bytes", "int", "T", "Bytes read or stored", "482")
CACHE_STORED = _attribute("holdfast.cache.stored", "bool", "T", "The result was stored; only when true", "true")
CACHE_ORIGIN_TRACE_ID = _attribute(
    "holdfast.cache.origin.trace_id",
    "str",
    "T",
    "Trace that produced the value; the span has a link to it as well",
    "01980d2c6d5e7c1b9a4e0c8f3c3f7a10",
)
CACHE_ORIGIN_SPAN_ID = _attribute("holdfast.cache.origin.span_id", "str", "T", "Span that produced the value", "9a4e0c8f3c3f7a10")
CACHE_HITS = _attribute("holdfast.cache.hits", "int", "R", "Calls answered by the cache; only above 0", "38")
LINK_TYPE = _attribute(
    "holdfast.link.type",
    "str",
    "L",
    "`cached_from`: the linked span produced the stored value; `coalesced_with`: it was producing it, and this call waited for it; "
    "`resumed_from`: the run went on from there; `behind`: this call computes behind the linked one's back",
    "cached_from",
)

# Captured values (off unless asked for)
INPUT = _attribute(
    "holdfast.input", "str", "RT", 'Arguments as JSON: types with `capture="shape"`, values with `capture="values"`', '{"city":"Oslo"}'
)
OUTPUT = _attribute("holdfast.output", "str", "RT", "The result, in the same way", '{"temp":3}')
CAPTURE_TRUNCATED = _attribute("holdfast.capture.truncated", "bool", "RT", "Input or output was cut to its limit; only when true", "true")

# On events
EXCEPTION_TYPE = _attribute("exception.type", "str", "E", "Class of the exception", "httpx.ConnectTimeout")
EXCEPTION_MESSAGE = _attribute("exception.message", "str", "E", "Its text, at most 500 characters, obvious secrets masked", "timed out")
EXCEPTION_STACKTRACE = _attribute(
    "exception.stacktrace",
    "str",
    "E",
    "The stack: on the last attempt and on the first of each error type",
    'File "weather.py", line 42, in get',
)
NOTE_TEXT = _attribute("holdfast.note.text", "str", "E", "One sentence for a person", "the cache could not be read")
NOTE_FIELDS = _attribute("holdfast.note.fields", "str", "E", "Details as JSON", '{"path":"cache.db"}')

# Span events
EVENT_EXCEPTION = "exception"
EVENT_RETRY_SCHEDULED = "holdfast.retry.scheduled"
EVENT_RETRY_EXHAUSTED = "holdfast.retry.exhausted"
EVENT_TASK_TIMEOUT = "holdfast.task.timeout"

# Lines only
LINE_RUN_STARTED = "holdfast.run.started"
LINE_RUN_COMPLETED = "holdfast.run.completed"
LINE_RUN_FAILED = "holdfast.run.failed"
LINE_TASK_COMPLETED = "holdfast.task.completed"
LINE_TASK_FAILED = "holdfast.task.failed"
LINE_ATTEMPT_STARTED = "holdfast.attempt.started"
LINE_ATTEMPT_COMPLETED = "holdfast.attempt.completed"
LINE_ATTEMPT_FAILED = "holdfast.attempt.failed"

LINK_CACHED_FROM = "cached_from"
LINK_COALESCED_WITH = "coalesced_with"
LINK_RESUMED_FROM = "resumed_from"
LINK_BEHIND = "behind"
CRASHED = "crashed"
"""Outcome, and type of error, of what a process that died had under way."""


def markdown() -> str:
    """Render the attribute table as it stands in the documentation."""
    head = "| attribute | type | on | meaning | example |\n|---|---|---|---|---|"
    rows = (f"| `{a.name}` | {a.type} | {a.where} | {a.meaning} | `{a.example}` |" for a in ATTRIBUTES)
    return "\n".join((head, *rows))
