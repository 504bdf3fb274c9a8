"""Sends spans of the local store to a backend, after the fact."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.errors import HoldfastError
from holdfast.tracing import _otlp
from holdfast.tracing import convention as names
from holdfast.tracing._translation import translated
from holdfast.tracing.light_span import SCOPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tracing._backends import Destination
    from holdfast.tracing.records import SpanRow

_BATCH = 512
_SOMEBODYS = InstrumentationScope("")  # the store does not know which library's they are


def send(rows: Sequence[SpanRow], destination: Destination) -> None:
    """Send spans with the ids and times they have; wait until they have been taken.

    Args:
        rows: Of any number of traces. One that has not ended ends when it was last seen.
        destination: Where to.

    Raises:
        HoldfastError: They were not taken, with what the backend or the exporter said; or the extra for the protocol is not installed.
    """
    made = _otlp.exporter(destination)
    resources = {service: Resource({SERVICE_NAME: service} if service else {}) for service in {row.service for row in rows}}
    said: list[str] = []
    listener = _Listener(said)
    log = logging.getLogger(made.logger)
    log.addFilter(listener)
    try:
        for start in range(0, len(rows), _BATCH):
            batch = [translated(readable(row, resources[row.service]), destination.speech) for row in rows[start : start + _BATCH]]
            is_sent = made.exporter.export(batch) is SpanExportResult.SUCCESS
            if not is_sent or (made.session is not None and made.session.take_refused()):
                reason = (made.session.reason if made.session is not None else "") or (said[0] if said else "no reason is known")
                raise HoldfastError(f"{made.where} did not take the spans: {reason}")
    finally:
        log.removeFilter(listener)
        made.exporter.shutdown()


def readable(row: SpanRow, resource: Resource) -> ReadableSpan:
    """A row as exporters of the OpenTelemetry SDK take it."""
    return ReadableSpan(
        row.name,
        _context(row.trace_id, row.span_id),
        _context(row.trace_id, row.parent_id) if row.parent_id else None,
        resource,
        row.attributes,
        [Event(name, attributes, time) for name, time, attributes in row.events],
        [Link(_context(trace_id, span_id), attributes) for trace_id, span_id, attributes in row.links],
        SpanKind[row.kind.upper()],
        status=Status(StatusCode[row.status.upper()], row.status_text or None),
        start_time=row.start_ns,
        end_time=row.end_ns,
        instrumentation_scope=SCOPE if names.SPAN_TYPE in row.attributes else _SOMEBODYS,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Listener(logging.Filter):
    """Keeps what an exporter logs, for our own error."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the text; let nothing through."""
        self._said.append(record.getMessage())
        return False
