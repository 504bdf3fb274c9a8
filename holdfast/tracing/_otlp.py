"""OTLP, the protocol of Jaeger and other collectors: where spans go, over HTTP or gRPC, and the exporter for it."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, PolicyError
from holdfast.tracing.redact import scrub

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from holdfast.tracing._answers import Session
    from holdfast.tracing._backends import Destination

HTTP = "http/protobuf"
GRPC = "grpc"
PROTOCOLS = (HTTP, GRPC)
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SESSION_VARIABLES = ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER")
EXAMPLES = {HTTP: "http://localhost:4318/v1/traces", GRPC: "http://localhost:4317"}
"""Where Jaeger listens on this machine; the exporters send there when they are told nothing else."""


class Target(NamedTuple):
    """Where spans go.

    Attributes:
        protocol: One of `PROTOCOLS`.
        endpoint: A whole URL; None for what the environment says, else one of `EXAMPLES`.
    """

    protocol: str
    endpoint: str | None


def target(endpoint: str | None, protocol: str | None) -> Target:
    """Judge what was given, and complete it.

    Args:
        endpoint: A URL; over HTTP one without a path gets the path that OTLP has by convention. None for the environment's.
        protocol: One of `PROTOCOLS`; None for what the first of `PROTOCOL_VARIABLES` that is set says, else ``http/protobuf``.

    Raises:
        PolicyError: One of them, or the variable, cannot work.
    """
    protocol = _protocol(protocol)
    if endpoint is None:
        return Target(protocol, None)
    if not isinstance(endpoint, str):
        raise PolicyError(f"endpoint={endpoint!r} is not a URL: write for example {EXAMPLES[protocol]!r}")
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise PolicyError(f"endpoint={endpoint!r} is not a URL: write for example {EXAMPLES[protocol]!r}")
    has_path = parts.path not in {"", "/"}
    if protocol == GRPC and has_path:
        raise PolicyError(f"endpoint={endpoint!r} has a path, and OTLP over gRPC has none: write for example {EXAMPLES[GRPC]!r}")
    if protocol == HTTP and not has_path:
        endpoint = endpoint.rstrip("/") + urlsplit(EXAMPLES[HTTP]).path
    return Target(protocol, endpoint)


def _protocol(given: str | None) -> str:
    if given is not None:
        return _known("protocol", given)
    name = next((name for name in PROTOCOL_VARIABLES if os.environ.get(name)), "")
    return _known(name, os.environ[name].strip().lower()) if name else HTTP


def _known(where: str, protocol: str) -> str:
    if protocol in PROTOCOLS:
        return protocol
    close = get_close_matches(str(protocol).lower(), PROTOCOLS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise PolicyError(f"{where}={protocol!r} is not supported: use {' or '.join(map(repr, PROTOCOLS))}{hint}")


class Exporter(NamedTuple):
    """The SDK's exporter, and what there is to know beside it.

    Attributes:
        exporter: What sends.
        where: Where to, for messages.
        logger: Name of its logger.
        session: What sees the answers; None when they are not to be seen.
    """

    exporter: SpanExporter
    where: str
    logger: str
    session: Session | None


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
    from holdfast.tracing._answers import Session

    # A session that the application provides for its collectors (an entry point of OpenTelemetry's) is left to them.
    is_provided = not destination.is_sealed and any(os.environ.get(name) for name in _SESSION_VARIABLES)
    session = None if is_provided else Session(destination)
    made = OTLPSpanExporter(endpoint=destination.target.endpoint, headers=destination.headers or None, session=session)
    return Exporter(made, scrub(destination.target.endpoint or _endpoint_of(made)), OTLPSpanExporter.__module__, session)


def _grpc(destination: Destination) -> Exporter:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.exporter import OTLPExporterMixin  # an extra with a C library of 18 MB
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise HoldfastError("sending spans over OTLP by gRPC needs an extra package: pip install 'holdfast[otlp-grpc]'") from None
    headers = tuple((name.lower(), value) for name, value in destination.headers.items())
    made = OTLPSpanExporter(endpoint=destination.target.endpoint, headers=headers or None)
    return Exporter(made, scrub(destination.target.endpoint or _endpoint_of(made)), OTLPExporterMixin.__module__, None)


def _endpoint_of(exporter: SpanExporter) -> str:
    return str(getattr(exporter, "_endpoint", "the OTLP endpoint"))
