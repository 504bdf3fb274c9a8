"""The exporters of OTLP, the protocol of Jaeger and other collectors: over HTTP, or gRPC."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import HoldfastError
from holdfast.tracing.export._targets import GRPC
from holdfast.tracing.safety.redact import scrub

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from holdfast.tracing.export._advice import Answers
    from holdfast.tracing.export._backends import Destination

_SESSION_VARIABLES = ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER")


class Exporter(NamedTuple):
    """The SDK's exporter, and what there is to know beside it.

    Attributes:
        exporter: What sends.
        where: Where to, for messages.
        logger: Name of its logger.
        answers: What sees the answers; None when they are not to be seen.
    """

    exporter: SpanExporter
    where: str
    logger: str
    answers: Answers | None


def exporter(destination: Destination) -> Exporter:
    """What sends to this destination.

    Raises:
        HoldfastError: The extra for its protocol is not installed.
    """
    return _grpc(destination) if destination.target.protocol == GRPC else _http(destination)


def _http(destination: Destination) -> Exporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # an extra, and 133 ms
    except ImportError:
        raise HoldfastError("sending spans over OTLP needs an extra package: pip install 'holdfast[otlp]'") from None
    from holdfast.tracing.export._answers import Session

    # A session that the application provides for its collectors (an entry point of OpenTelemetry's) is left to them.
    is_provided = not destination.is_sealed and any(os.environ.get(name) for name in _SESSION_VARIABLES)
    session = None if is_provided else Session(destination)
    made = OTLPSpanExporter(endpoint=destination.target.endpoint, headers=destination.headers or None, session=session)
    return Exporter(made, scrub(destination.target.endpoint or _endpoint_of(made)), OTLPSpanExporter.__module__, session)


def _grpc(destination: Destination) -> Exporter:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.exporter import OTLPExporterMixin  # an extra with a C library of 18 MB

        from holdfast.tracing.export._grpc import Exporter as GrpcExporter
    except ImportError:
        raise HoldfastError("sending spans over OTLP by gRPC needs an extra package: pip install 'holdfast[otlp-grpc]'") from None
    made = GrpcExporter(destination)
    return Exporter(made, scrub(destination.target.endpoint or _endpoint_of(made)), OTLPExporterMixin.__module__, made)


def _endpoint_of(exporter: SpanExporter) -> str:
    return str(getattr(exporter, "_endpoint", "the OTLP endpoint"))
