"""A stored span as exporters and processors of the OpenTelemetry SDK take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.tracing import convention as names
from holdfast.tracing.spans.light_span import SCOPE

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from holdfast.tracing.spans.records import SpanRow

_SOMEBODYS = InstrumentationScope("")  # the store does not know which library's they are
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def readable(row: SpanRow, resource: Resource) -> ReadableSpan:
    """With its own ids and times.

    Args:
        row: The span; one that has not ended ends when it was last seen.
        resource: What it is of.
    """
    is_run = row.attributes.get(names.SPAN_TYPE) == "run"
    return ReadableSpan(
        row.name,
        _context(row.trace_id, row.span_id),
        _context(row.trace_id, row.parent_id, is_remote=is_run) if row.parent_id else None,
        resource,
        row.attributes,
        [Event(name, attributes, time) for name, time, attributes in row.events],
        [Link(_context(trace_id, span_id, is_remote=True), attributes) for trace_id, span_id, attributes in row.links],
        SpanKind[row.kind.upper()],
        status=Status(StatusCode[row.status.upper()], row.status_text or None),
        start_time=row.start_ns,
        end_time=row.end_ns,
        instrumentation_scope=SCOPE if names.SPAN_TYPE in row.attributes else _SOMEBODYS,
    )


def _context(trace_id: str, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=_SAMPLED)
