"""OTLP in JSON says the same as the protocol's own encoder."""

from __future__ import annotations

import base64
import json

from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from holdfast.tracing.export import otlp_json
from holdfast.tracing.spans.readable import readable
from holdfast.tracing.spans.records import SpanRow

TRACE = "0198c0de7d3a7c1b9a4e0c8f3c3f7a10"
OURS = SpanRow(
    TRACE,
    "00000000000000a1",
    "00000000000000a0",
    "forecast",
    1_700_000_000_000_000_001,
    1_700_000_001_000_000_002,
    "error",
    "boom \u00e9",
    {"holdfast.span.type": "task", "n": 2**40, "share": 0.5, "is": True, "list": ["a", "b"], "numbers": [1, 2], "void": ""},
    [("exception", 1_700_000_000_500_000_000, {"exception.type": "ValueError"})],
    [("f" * 32, "e" * 16, {"holdfast.link.type": "cached_from"})],
    kind="client",
    service="weather",
)
ROOT = SpanRow(TRACE, "00000000000000a0", "", "GET /", 1, 2, service="weather")
OF_ANOTHER_PROGRAM = SpanRow("1" * 32, "00000000000000a2", "", "job", 1, 2, "ok")


def as_protobuf(line):
    """What a reader of OTLP in JSON gets: ids are hexadecimal there, base64 in protobuf's own JSON."""

    def mend(value):
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode() if key in ("traceId", "spanId", "parentSpanId") else mend(item)
                for key, item in value.items()
            }
        return [mend(item) for item in value] if isinstance(value, list) else value

    return json_format.ParseDict(mend(json.loads(line)), ExportTraceServiceRequest())


def spans_of(request):
    """Each span with its resource and scope, by id; flags, which the store does not keep, left out."""
    found = {}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.flags = 0
                for link in span.links:
                    link.flags = 0
                service = {each.key: each.value.string_value for each in resource.resource.attributes}.get("service.name")
                found[span.span_id.hex()] = (service, scope.scope.name, scope.schema_url, span)
    return found


def test_the_same_as_the_encoder_of_the_sdk():
    """Ids, times, kinds, parents, attributes of each type, events, links, status, scope, resource."""
    rows = [OURS, ROOT, OF_ANOTHER_PROGRAM]
    expected = encode_spans([readable(row, Resource({"service.name": row.service} if row.service else {})) for row in rows])

    line = otlp_json.request(rows)

    assert spans_of(expected) == spans_of(as_protobuf(line))
    assert ("weather", "holdfast", "holdfast/1") == spans_of(as_protobuf(line))["00000000000000a1"][:3]
    assert b"\n" not in line


def test_what_json_has_no_number_for():
    """As protobuf writes it; bytes as base64."""
    row = SpanRow(TRACE, "a" * 16, "", "x", 1, 2, attributes={"big": float("inf"), "less": -float("inf"), "bytes": b"\x00\xff"})
    (span,) = as_protobuf(otlp_json.request([row])).resource_spans[0].scope_spans[0].spans

    assert [float("inf"), -float("inf")] == [each.value.double_value for each in span.attributes[:2]]
    assert b"\x00\xff" == span.attributes[2].value.bytes_value
