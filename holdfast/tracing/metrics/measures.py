"""Every metric of holdfast: one table, public and versioned with `holdfast.tracing.convention.SCHEMA_URL`.

`holdfast.tracing.metrics.observer` makes the instruments from it, `docs/metrics.md` holds the same table, and a test compares the two. Attributes are
names of tasks, entrypoints, outcomes and error classes: nothing that grows with traffic, no ids, keys, arguments or threads.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.tracing import convention as names

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_AGES = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
OUTCOME = "holdfast.outcome"


class Measure(NamedTuple):
    """One metric.

    Attributes:
        name: Its dotted name; Prometheus has underscores, and the unit or ``_total`` at its end.
        instrument: ``histogram``, ``counter`` or ``updowncounter``; the latter two are observable ones: read when metrics are collected.
        unit: In UCUM, as OpenTelemetry wants it.
        attributes: Names of its attributes.
        meaning: One sentence.
        buckets: Advised bounds, for a histogram.
    """

    name: str
    instrument: str
    unit: str
    attributes: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


RUN_DURATION = Measure(
    "holdfast.run.duration",
    "histogram",
    "s",
    (names.WORKFLOW_NAME, OUTCOME, names.ERROR_TYPE),
    "How long a run took",
    _DURATIONS,
)
TASK_DURATION = Measure(
    "holdfast.task.duration",
    "histogram",
    "s",
    (names.TASK_NAME, OUTCOME, names.ERROR_TYPE),
    "How long a call took that was executed, all attempts and waits included; what cache or journal answered is not in it",
    _DURATIONS,
)
ATTEMPT_DURATION = Measure(
    "holdfast.attempt.duration",
    "histogram",
    "s",
    (names.TASK_NAME, OUTCOME, names.ERROR_TYPE),
    "How long one execution of the body took",
    _DURATIONS,
)
RETRY_WAIT = Measure("holdfast.retry.wait", "histogram", "s", (names.TASK_NAME,), "How long is waited until the next attempt", _WAITS)
RETRIES = Measure("holdfast.retries", "counter", "{retry}", (names.TASK_NAME, names.ERROR_TYPE), "Retries, by the failure they follow")
RETRIES_EXHAUSTED = Measure(
    "holdfast.retries.exhausted", "counter", "{call}", (names.TASK_NAME, names.ERROR_TYPE), "Calls that failed although they were retried"
)
CACHE_REQUESTS = Measure(
    "holdfast.cache.requests", "counter", "{request}", (names.TASK_NAME, names.CACHE_RESULT), "Calls of tasks with a cache, by its answer"
)
CACHE_HIT_AGE = Measure(
    "holdfast.cache.hit.age",
    "histogram",
    "s",
    (names.TASK_NAME,),
    "How old the value was that a hit gave: beside the ttl, what to tune it by",
    _AGES,
)
TASKS_ACTIVE = Measure("holdfast.tasks.active", "updowncounter", "{call}", (names.TASK_NAME,), "Calls under way")

MEASURES = (
    RUN_DURATION,
    TASK_DURATION,
    ATTEMPT_DURATION,
    RETRY_WAIT,
    RETRIES,
    RETRIES_EXHAUSTED,
    CACHE_REQUESTS,
    CACHE_HIT_AGE,
    TASKS_ACTIVE,
)


def markdown() -> str:
    """Render the table as it stands in the documentation."""
    head = "| metric | instrument | unit | attributes | meaning |\n|---|---|---|---|---|"
    rows = (f"| `{m.name}` | {m.instrument} | {m.unit} | {', '.join(f'`{a}`' for a in m.attributes)} | {m.meaning} |" for m in MEASURES)
    return "\n".join((head, *rows))
