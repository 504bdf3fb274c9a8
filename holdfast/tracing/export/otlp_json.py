"""Spans of the local store as OTLP in JSON, in which files are: one line that collectors, Jaeger's page and other tools read.

The encoding is the one of the OpenTelemetry protocol, https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hexadecimal,
64-bit numbers as text, enumerations as numbers. (The JSON that protobuf's own library writes has ids in base64, which OTLP does not take.)
"""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.tracing.spans.records import SpanRow

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUS = {"unset": 0, "ok": 1, "error": 2}


def request(rows: Sequence[SpanRow]) -> bytes:
    """An ``ExportTraceServiceRequest`` with these spans, without a line's end.

    Args:
        rows: Of any number of traces and programs. One that has not ended ends when it was last seen.
    """
    by_service: defaultdict[str, list[SpanRow]] = defaultdict(list)
    for row in rows:
        by_service[row.service].append(row)
    return msgspec.json.encode({"resourceSpans": [_resource_spans(service, group) for service, group in by_service.items()]})


def _resource_spans(service: str, rows: Sequence[SpanRow]) -> dict[str, Any]:
    ours = [row for row in rows if names.SPAN_TYPE in row.attributes]
    others = [row for row in rows if names.SPAN_TYPE not in row.attributes]
    scopes: list[dict[str, Any]] = []
    if ours:
        scopes.append({"scope": {"name": names.SCOPE}, "spans": [_span(row) for row in ours], "schemaUrl": names.SCHEMA_URL})
    if others:  # the store does not know which library's they are
        scopes.append({"spans": [_span(row) for row in others]})
    return {"resource": {"attributes": _attributes({"service.name": service} if service else {})}, "scopeSpans": scopes}


def _span(row: SpanRow) -> dict[str, Any]:
    span: dict[str, Any] = {
        "traceId": row.trace_id,
        "spanId": row.span_id,
        "name": row.name,
        "kind": KINDS.get(row.kind, 1),
        "startTimeUnixNano": str(row.start_ns),
        "endTimeUnixNano": str(row.end_ns),
        "attributes": _attributes(row.attributes),
        "events": [{"name": name, "timeUnixNano": str(time), "attributes": _attributes(known)} for name, time, known in row.events],
        "links": [{"traceId": trace, "spanId": span, "attributes": _attributes(known)} for trace, span, known in row.links],
        "status": {"code": _STATUS[row.status]} | ({"message": row.status_text} if row.status_text else {}),
    }
    return span | ({"parentSpanId": row.parent_id} if row.parent_id else {})


def _attributes(known: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in known.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value if value - value == 0 else str(value).replace("inf", "Infinity").replace("nan", "NaN")}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in value]}}  # pyright: ignore[reportUnknownVariableType] - a boundary
        case _:
            return {"stringValue": str(value)}
