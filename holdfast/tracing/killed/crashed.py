"""How a span is told that its process did not live to end. Pure: rows in, rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from holdfast.tracing.spans.records import SpanRow

REASON = "the process ended before this did"
LOST = "it failed, and what it raised was lost with the process"
_OUTCOMES = {"run": names.RUN_OUTCOME, "task": names.TASK_OUTCOME, "attempt": names.ATTEMPT_OUTCOME}


def crashed(row: SpanRow, seen_ns: int) -> SpanRow:
    """An open span as it is told when its process has died.

    Args:
        row: The span.
        seen_ns: When its process last gave a sign of life, nanoseconds since the epoch.
    """
    said = {names.ERROR_TYPE: names.CRASHED, **_outcome(row, names.CRASHED)}
    return _ended(row, max(seen_ns, row.end_ns), said, REASON)


def lost(row: SpanRow, kind: str, at_ns: int) -> SpanRow:
    """A span that had ended, and was lost with its process before it left.

    Args:
        row: The span, as it was seen open.
        kind: ``ok`` or ``error``.
        at_ns: When it ended, nanoseconds since the epoch.
    """
    if kind == "ok":
        return _ended(row, at_ns, _outcome(row, "ok"))
    return _ended(row, at_ns, {names.ERROR_TYPE: "_OTHER", **_outcome(row, "error")}, LOST)


def _ended(row: SpanRow, end_ns: int, said: dict[str, Any], error: str = "") -> SpanRow:
    return replace(
        row,
        end_ns=max(end_ns, row.start_ns),
        is_open=False,
        status="error" if error else row.status,
        status_text=error or row.status_text,
        attributes=row.attributes | said,
    )


def _outcome(row: SpanRow, outcome: str) -> dict[str, Any]:
    """Of what it is, and of the attempt, where it is its own."""
    kind = str(row.attributes.get(names.SPAN_TYPE, ""))
    said: dict[str, Any] = {_OUTCOMES[kind]: outcome} if kind in _OUTCOMES else {}
    return {**said, names.ATTEMPT_OUTCOME: outcome} if kind == "task" and names.ATTEMPT_NUMBER in row.attributes else said


def is_crashed(row: SpanRow) -> bool:
    """Whether it is told as `crashed` tells it."""
    return row.attributes.get(names.ERROR_TYPE) == names.CRASHED


def is_crashed_run(row: SpanRow) -> bool:
    """Whether it is the span of a run whose process died, with its end."""
    return row.attributes.get(names.RUN_OUTCOME) == names.CRASHED
