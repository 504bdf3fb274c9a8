"""What a collector's answers over gRPC mean, and what to do about them, in one line; those over HTTP stand in `_answers`.

The exporter of the SDK logs a code and takes an answer that says how many spans were refused for success. So its client is ours, and looks
at each answer. How it makes a client is no part of its interface: should a later SDK do it in another way, its own log is all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc import RpcError, StatusCode
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from holdfast.tracing.export import _advice

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    from holdfast.tracing.export._backends import Destination

_NOT_THERE = frozenset({StatusCode.UNIMPLEMENTED, StatusCode.NOT_FOUND})
_CREDENTIALS = frozenset({StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED})
_AT_ITS_END = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS, StatusCode.ABORTED})
_NO_CONNECTION = "failed to connect to all addresses"  # gRPC's own words for UNAVAILABLE before anybody has answered
_HTTP_INSTEAD = ("http1.x server", "Expected SETTINGS frame")  # the same, where a server speaks HTTP/1


class Exporter(OTLPSpanExporter):
    """Sends spans to one destination, and knows what its answers mean; see `holdfast.tracing.export._advice.Answers`.

    Args:
        destination: Where to.
    """

    def __init__(self, destination: Destination) -> None:
        self.reason = ""
        self.destination = destination
        self._refused = 0
        headers = tuple((name.lower(), value) for name, value in destination.headers.items())
        super().__init__(endpoint=destination.target.endpoint, headers=headers or None)

    def take_refused(self) -> int:
        """See `holdfast.tracing.export._advice.Answers`."""
        refused, self._refused = self._refused, 0
        return refused

    def hear(self, answer: ExportTraceServiceResponse) -> None:
        """An answer has come."""
        partial = answer.partial_success
        self._refused += partial.rejected_spans
        self.reason = _advice.refused(partial.rejected_spans, partial.error_message) if partial.rejected_spans else ""

    def fail(self, error: RpcError) -> None:
        """None has come, or one that says no."""
        code, details = _of(error)
        self.reason = self._meaning(code, details)

    def _meaning(self, code: StatusCode, details: str) -> str:
        where = str(self._endpoint)
        if code is StatusCode.UNAVAILABLE and any(words in details for words in _HTTP_INSTEAD):
            return f"what answers at {where} speaks HTTP: use protocol='http/protobuf', or its port for gRPC, which is often 4317"
        if code is StatusCode.UNAVAILABLE and _NO_CONNECTION in details:
            return _advice.on_no_connection(self.destination, where, details.rpartition(": ")[2])
        return f"{code.name}: {self._advice(code)}{_advice.said(details)}"

    def _advice(self, code: StatusCode) -> str:
        if code in _CREDENTIALS:
            return _advice.on_credentials(self.destination)
        if code in _NOT_THERE:
            return _advice.on_place(self.destination, str(self._endpoint))
        if code is StatusCode.UNAVAILABLE:
            return f"it takes nothing at the moment: check {self.destination.place}, and its log"
        if code is StatusCode.RESOURCE_EXHAUSTED:
            return f"it wants less: {_advice.SAMPLE}; or {_advice.SMALLER}"
        if code is StatusCode.DEADLINE_EXCEEDED:
            return "no answer in time: see its log, or set OTEL_EXPORTER_OTLP_TIMEOUT above 10 seconds"
        return _advice.AT_ITS_END if code in _AT_ITS_END else _advice.NOT_THESE

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        self._client: Any = _Client(self._client, self)


class _Client:
    """A client that tells what it is answered."""

    def __init__(self, client: Any, exporter: Exporter) -> None:
        self._client = client
        self._exporter = exporter

    def Export(self, **request: Any) -> ExportTraceServiceResponse:  # noqa: N802 - gRPC's own name
        """Send, and tell what came back."""
        try:
            answer: ExportTraceServiceResponse = self._client.Export(**request)
        except RpcError as error:
            self._exporter.fail(error)
            raise
        self._exporter.hear(answer)
        return answer


def _of(error: Any) -> tuple[StatusCode, str]:
    """Code and text of an error of a call, which is a `grpc.Call`, too."""
    return error.code(), error.details() or ""
