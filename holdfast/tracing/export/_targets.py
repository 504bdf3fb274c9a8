"""Where spans go over OTLP: the protocol and the endpoint, from what was given and what the environment says."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import NamedTuple
from urllib.parse import urlsplit

from holdfast.errors import PolicyError

HTTP = "http/protobuf"
GRPC = "grpc"
PROTOCOLS = (HTTP, GRPC)
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
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
