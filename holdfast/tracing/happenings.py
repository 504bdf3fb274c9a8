"""Every name of an event on a span, and of a log line: one table, versioned with the attributes (`holdfast.tracing.convention`)."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.tracing import convention as names

_ANY = "RTA"


class Happening(NamedTuple):
    """Something that happens, under the same name wherever it is told.

    Attributes:
        name: Its dotted name.
        where: Letters of the spans it is an event on, as in `convention.Attribute`; ``""`` when it is none.
        level: Of its line; ``""`` when it has none.
        meaning: One sentence.
    """

    name: str
    where: str
    level: str
    meaning: str


_OWN = [
    Happening(names.EVENT_EXCEPTION, "A, and R or T that is its own attempt", "", "An attempt raised"),
    Happening(names.EVENT_RETRY_SCHEDULED, "RT", "WARNING", "An attempt failed, and another follows"),
    Happening(names.EVENT_RETRY_EXHAUSTED, "RT", "", "The last of several attempts failed"),
    Happening(names.EVENT_TASK_TIMEOUT, "A, and R or T that is its own attempt", "", "The time of an attempt was up"),
    Happening(names.LINE_RUN_STARTED, "", "DEBUG", "A run begins"),
    Happening(names.LINE_RUN_COMPLETED, "", "INFO", "A run has ended: well, cancelled, or with a question"),
    Happening(names.LINE_RUN_FAILED, "", "ERROR", "A run has raised"),
    Happening(names.LINE_TASK_COMPLETED, "", "DEBUG", "A call has ended: well, cancelled, or with a question"),
    Happening(names.LINE_TASK_FAILED, "", "WARNING", "A call has raised, which its caller may still handle"),
    Happening(names.LINE_ATTEMPT_STARTED, "", "DEBUG", "A body is about to run"),
    Happening(names.LINE_ATTEMPT_COMPLETED, "", "DEBUG", "A body has returned, was cancelled, or has asked a question"),
    Happening(names.LINE_ATTEMPT_FAILED, "", "DEBUG", "The last attempt failed; its call says so, too"),
]
_NOTES = [
    ("cache.error", "WARNING", "The cache is in trouble; calls go on without it"),
    ("cache.evicted", "INFO", "Entries had to go, so that a cache stays below its limit"),
    ("cache.key_failed", "WARNING", "A key function failed; the call was computed and not cached; again within a minute: DEBUG"),
    ("cache.modified_unknown", "INFO", "A body said when its source last changed, and that is no date; it counts as unknown"),
    ("cache.not_serializable", "WARNING", "A result cannot be stored; it was returned and not cached; again within a minute: DEBUG"),
    ("cache.predicate_failed", "WARNING", "`cache_if` failed; the result was returned and not cached; again within a minute: DEBUG"),
    ("cache.private_key", "WARNING", "Only this process will find what is cached for a function"),
    ("cache.recursive", "WARNING", "A computation waited for itself on another thread, and was done once more"),
    (
        "cache.refresh_failed",
        "WARNING",
        "A refresh behind the callers' backs failed; the old value is served on; again within a minute: DEBUG",
    ),
    ("cache.soft_timeout", "INFO", "A new value took too long to wait for; the old one was served"),
    ("cache.stale_if_error", "WARNING", "A call failed, and was given an old value instead; again within a minute: DEBUG"),
    ("checkpoint.sqlite", "DEBUG", "What there is to know about this version of SQLite"),
    ("journal.code_changed", "WARNING", "The code of a task has changed since its result was recorded"),
    ("journal.divergence", "WARNING", "A resumed body asks for something else than it did; `on_divergence` says what follows"),
    ("journal.mixed_steps", "WARNING", "Calls differ in nothing that a journal can read"),
    ("journal.not_released", "WARNING", "A thread could not be given back"),
    ("journal.opaque_argument", "INFO", "An argument counts in the journal only by its type"),
    ("journal.unclaimed", "WARNING", "A resumed run has ended without asking for steps that were recorded"),
    ("override.changed", "INFO", "A task's time to live was changed, by an operator or by itself, or that has ended"),
    ("override.refused", "WARNING", "A time to live that the task's policy does not take; the policy stays as it is"),
    ("override.rolled_back", "WARNING", "An override was taken back, by its guard or because too many answers were stale"),
    ("override.unreadable", "WARNING", "The file of overrides cannot be read; those that were in force stay so"),
    ("recording.failed", "WARNING", "What is asked of a cache cannot be recorded for now; calls go on"),
    ("run.done_again", "WARNING", "A finished run is done again, from its checkpoint"),
    ("run.failed_beside_question", "WARNING", "A run that waits for an answer failed, too"),
    ("run.healed", "INFO", "The open spans of a run whose process died were given their end"),
    ("run.spans_not_kept", "DEBUG", "Open spans cannot be kept with their run, which has ended or whose store is broken"),
    ("stream.no_checkpoint", "WARNING", "A checkpoint of a stream could not be read back"),
    ("task.uncollected_failure", "ERROR", "A call failed and nobody looked at its future"),
    ("traces.damaged", "WARNING", "The local trace store was damaged and set aside"),
    ("traces.lost", "WARNING", "Spans could not be stored; told at DEBUG from the second time on"),
    ("traces.sqlite", "DEBUG", "What there is to know about this version of SQLite"),
    ("ttl.suggested", "INFO", "Another time to live would keep to a task's budget of stale answers, and is not taken by itself"),
    ("tuning.failed", "WARNING", "A time to live cannot be looked after for now"),
]
HAPPENINGS = [*_OWN, *(Happening(f"{names.SCOPE}.{name}", _ANY, level, meaning) for name, level, meaning in _NOTES)]
"""All of them. What has the letters of all spans is told on the span of its call, else on the current one."""


def markdown() -> str:
    """Render the table as it stands in the documentation."""
    head = "| name | event on | line | meaning |\n|---|---|---|---|"
    rows = (f"| `{each.name}` | {each.where} | {each.level} | {each.meaning} |" for each in HAPPENINGS)
    return "\n".join((head, *rows))
