"""configure: start observing and say where spans and lines go."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING

from holdfast._frames import trims
from holdfast.errors import PolicyError
from holdfast.events import WARNING
from holdfast.tracing import _options, _otlp, _session, exporters
from holdfast.tracing._provider import tracer_provider
from holdfast.tracing._session import Handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.events import Observer

BACKENDS = ("local", "console", "jaeger", "otlp", "auto")
_OTLP_BACKENDS = ("otlp", "jaeger")


@trims
def configure(
    backend: str = "local",
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    service_name: str | None = None,
    capture: str | None = None,
    attempt_spans: str | None = None,
    max_hit_spans: int | None = None,
    redact: Callable[[str], str] | None = None,
    lines: bool | str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Handle:
    """Record every run, call and attempt from now on, and send the spans to ``backend``.

    Several calls add up: ``configure()`` and ``configure("jaeger")`` give both. The options ``capture``,
    ``attempt_spans``, ``max_hit_spans``, ``redact`` and ``lines`` hold for all backends: a call that gives one changes it, a call that leaves it out
    (None) keeps what an earlier call gave. They begin anew once the last backend is shut down. A tracer provider that the application has set is used and never replaced.

    Args:
        backend: ``local`` (the trace store that ``holdfast runs`` and ``holdfast show`` read), ``console`` (trees on stderr), ``jaeger``
            or ``otlp`` (OTLP), ``auto`` (``otlp`` when the environment has an OTLP endpoint, else ``local``).
        endpoint: Where ``jaeger`` and ``otlp`` send to; None for what ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or
            ``OTEL_EXPORTER_OTLP_ENDPOINT`` say, else ``http://localhost:4318/v1/traces``, over gRPC ``http://localhost:4317``.
        protocol: How they send: ``http/protobuf`` (extra ``otlp``) or ``grpc`` (extra ``otlp-grpc``); None for what
            ``OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`` or ``OTEL_EXPORTER_OTLP_PROTOCOL`` say, else ``http/protobuf``.
        service_name: Name of the program in traces; None for what ``OTEL_SERVICE_NAME`` or ``OTEL_RESOURCE_ATTRIBUTES`` say, else the
            script's name.
        capture: What spans may hold of arguments and results where a task does not say: ``none``, ``shape`` (types and sizes) or
            ``values``; where no call gives it, what ``HOLDFAST_CAPTURE`` says, else ``none``.
        attempt_spans: ``auto``: a task that can have one attempt only is its own attempt; ``always``: every attempt has its own span;
            ``failures``: only failed attempts have one, so that a call that succeeds at once is one span. Where no call gives it, what
            ``HOLDFAST_ATTEMPT_SPANS`` says, else ``auto``.
        max_hit_spans: At most so many spans per run for calls answered by cache or journal; the others are only counted. Where no call
            gives it, what ``HOLDFAST_HIT_SPANS`` says, else 100.
        redact: Given every text of yours that is about to leave (captured texts, messages of exceptions, notes), after holdfast's own masking;
            returns what may leave. Called on any thread, for each such text, so it should be quick; one that raises lets nothing through.
        lines: Whether to write log lines: through structlog as the application configured it, else to stderr from INFO on (so where no call
            gives it); ``"debug"``, ``"info"``, ``"warning"`` or ``"error"`` is the least level there. False writes none, apart from warnings about
            trouble beside the calls, such as a cache or trace store that cannot be written.
        path: Database of the ``local`` backend, made when missing; None for the user's own.

    Returns:
        A handle to flush or shut down this backend.

    Raises:
        PolicyError: An option that cannot work.
        StoreError: The file at ``path`` is something else than a trace store; it is left as it is.
        HoldfastError: A package is missing, or the application's tracer provider takes no span processors.
    """
    backend = _resolved(backend)
    _check_place(backend, endpoint, protocol, path)
    target = _otlp.target(endpoint, protocol) if backend in _OTLP_BACKENDS else None
    _options.check(capture, attempt_spans, max_hit_spans, lines)
    if redact is not None and not callable(redact):
        raise PolicyError(f"redact={redact!r} cannot be called: give a function that takes a text and returns what may leave of it")
    with _session.lock:
        provider = tracer_provider(service_name, _restart)
        key = (backend, str(path or "")) if target is None else (backend, target.protocol, target.endpoint or "")
        handle = _session.current.handles.get(key)
        if handle is None:
            processor = exporters.otlp(target) if target is not None else _processor(backend, path)
            provider.add_span_processor(processor)
            handle = _session.current.handles[key] = Handle(backend, processor, key)
        _session.current.adopt(capture=capture, attempt_spans=attempt_spans, max_hit_spans=max_hit_spans, redact=redact, lines=lines)
        wanted = _session.current.chosen.get("lines", True)
        _session.current.start(_options.level(wanted), with_lines=wanted is not False)
    return handle


def observe() -> Observer | None:
    """Start observing without a backend of our own: for an application with its own tracer provider or structlog configuration."""
    with _session.lock:
        if _session.current.observer is None:
            _session.current.adopt()
            _session.current.start(WARNING, with_lines=True)
        return _session.current.observer


def measure() -> None:
    """Measure every run, call and attempt from now on, with the instruments of docs/metrics.md, through the application's meter provider.

    Only an application that has neither a backend (`configure`), nor a tracer provider, nor a structlog configuration needs to say so: what
    is observed for any of these is measured anyway. The meter provider, ``opentelemetry.metrics.set_meter_provider``, may be set before or
    after; until then nothing is measured. ``HOLDFAST_TRACING=metrics`` in the environment does the same.
    """
    with _session.lock:
        _session.current.is_measuring = True
        observe()


def _processor(backend: str, path: str | os.PathLike[str] | None) -> exporters.LaneProcessor:
    return exporters.to_console() if backend == "console" else exporters.local(path)


def _restart() -> None:
    _session.current.restart()


def _resolved(backend: str) -> str:
    if backend not in BACKENDS:
        close = get_close_matches(str(backend).lower(), BACKENDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise PolicyError(f"backend={backend!r} is not known: use one of {', '.join(map(repr, BACKENDS))}{hint}")
    if backend != "auto":
        return backend
    return "otlp" if any(os.environ.get(name) for name in _otlp.ENDPOINT_VARIABLES) else "local"


def _check_place(backend: str, endpoint: str | None, protocol: str | None, path: str | os.PathLike[str] | None) -> None:
    """That what was given means something to this backend; what OTLP's mean is judged by `_otlp.target`."""
    if path is not None and backend != "local":
        raise PolicyError(f"path={str(path)!r} means nothing to backend {backend!r}: only 'local' keeps a file")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise PolicyError(f"path={path!r} is no path: write for example 'traces.db'")
    if backend == "local":
        exporters.refuse_foreign(path)
    for name, value in {"endpoint": endpoint, "protocol": protocol}.items():
        if value is not None and backend not in _OTLP_BACKENDS:
            raise PolicyError(f"{name}={value!r} means nothing to backend {backend!r}: use 'otlp' or 'jaeger'")
