"""configure: start observing and say where spans and lines go."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast._frames import trims
from holdfast.errors import PolicyError
from holdfast.events import WARNING
from holdfast.tracing.export import _backends, exporters
from holdfast.tracing.sampling import interesting as _sampling
from holdfast.tracing.setup import _options, _session
from holdfast.tracing.setup._provider import tracer_provider
from holdfast.tracing.setup._session import Handle, Handles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.events import Observer
    from holdfast.tracing.sampling.interesting import KeepInteresting


class _Place(NamedTuple):
    """A backend's key, what makes its processor, and the headers that it sends."""

    key: tuple[str, ...]
    make: Callable[[], exporters.LaneProcessor]
    headers: Mapping[str, str] = {}


BACKENDS = ("local", "console", "jaeger", "otlp", *_backends.BACKENDS, "auto")


@trims
def configure(  # noqa: PLR0913 - options, by name only
    backend: str = "local",
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    project: str | None = None,
    headers: Mapping[str, str] | None = None,
    service_name: str | None = None,
    capture: str | None = None,
    attempt_spans: str | None = None,
    max_hit_spans: int | None = None,
    redact: Callable[[str], str] | None = None,
    lines: bool | str | None = None,
    path: str | os.PathLike[str] | None = None,
    sampling: KeepInteresting | None = None,
) -> Handle:
    """Record every run, call and attempt from now on, and send the spans to ``backend``.

    Several calls add up: ``configure()`` and ``configure("jaeger")`` give both. The options ``capture``,
    ``attempt_spans``, ``max_hit_spans``, ``redact`` and ``lines`` hold for all backends: a call that gives one changes it, a call that leaves it out
    (None) keeps what an earlier call gave. They begin anew once the last backend is shut down. A tracer provider that the application has set is used and never replaced.

    Args:
        backend: ``local`` (the trace store that ``holdfast runs`` and ``holdfast show`` read), ``console`` (trees on stderr), ``jaeger``
            or ``otlp`` (any collector), ``langsmith``, ``langfuse``, ``phoenix``, ``mlflow``, or ``auto``: each of the last four whose own
            variables are set, in this order, then ``otlp`` when there is an ``OTEL_EXPORTER_OTLP_ENDPOINT``; with none of them ``local``.
        endpoint: Where to send to, with the path or without. None for what the backend's own variables say (``LANGSMITH_ENDPOINT``,
            ``LANGFUSE_BASE_URL``, ``PHOENIX_COLLECTOR_ENDPOINT``, ``MLFLOW_TRACKING_URI``), else its usual address; for ``jaeger`` and
            ``otlp`` what ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_ENDPOINT`` say, else
            ``http://localhost:4318/v1/traces``, over gRPC ``http://localhost:4317``.
        protocol: How ``jaeger`` and ``otlp`` send: ``http/protobuf`` (extra ``otlp``) or ``grpc`` (extra ``otlp-grpc``); None for what
            ``OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`` or ``OTEL_EXPORTER_OTLP_PROTOCOL`` say, else ``http/protobuf``. The others take HTTP.
        project: The project of ``langsmith`` and ``phoenix``, the experiment's id of ``mlflow``; None for what ``LANGSMITH_PROJECT``,
            ``PHOENIX_PROJECT`` or ``MLFLOW_EXPERIMENT_ID`` say, else the backend's default.
        headers: Sent with each request, beside those that the backend's variables make (its API key, say), and winning over them.
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
        sampling: What this backend is sent, decided on its own thread: see `holdfast.tracing.KeepInteresting`. None for everything that the
            tracer provider samples. ``local`` and ``console`` take none: they keep everything, also where ``auto`` falls back to it.

    Returns:
        A handle to flush or shut down this backend.

    Raises:
        PolicyError: An option that cannot work.
        StoreError: The file at ``path`` is something else than a trace store; it is left as it is.
        HoldfastError: A package is missing, or the application's tracer provider takes no span processors.
    """
    names = _resolved(backend)
    if backend == "auto":
        _refuse(backend, "it takes them from the environment", endpoint=endpoint, protocol=protocol, project=project, headers=headers)
    _check_path(names, path)
    _sampling.check(sampling)
    if backend in {"local", "console"}:
        _refuse(backend, "it keeps everything", sampling=sampling)
    places = [_place(name, path, sampling, endpoint=endpoint, protocol=protocol, project=project, headers=headers) for name in names]
    _options.check(capture, attempt_spans, max_hit_spans, lines)
    _options.check_others(service_name, redact)
    with _session.lock:
        for place in places:
            _refuse_other(place, sampling, headers)
        provider = tracer_provider(service_name, _restart)
        handles = tuple(_added(provider, place) for place in places)
        _session.current.adopt(capture=capture, attempt_spans=attempt_spans, max_hit_spans=max_hit_spans, redact=redact, lines=lines)
        wanted = _session.current.chosen.get("lines", True)
        _session.current.start(_options.level(wanted), with_lines=wanted is not False)
    return handles[0] if len(handles) == 1 else Handles(handles)


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


def _restart() -> bool:
    return _session.current.restart(waits=True)


def check_backend(backend: str, *, where: str = "backend") -> None:
    """Refuse what names no backend.

    Args:
        backend: What was given.
        where: The parameter, or the variable in the environment, that says it.

    Raises:
        PolicyError: It is none of `BACKENDS`.
    """
    if backend in BACKENDS:
        return
    close = get_close_matches(str(backend).lower(), BACKENDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if "://" in str(backend):
        hint = f"; for an address write configure('otlp', endpoint={backend!r})"
    raise PolicyError(f"{where}={backend!r} is not known: use one of {', '.join(map(repr, BACKENDS))}{hint}")


def _resolved(backend: str) -> tuple[str, ...]:
    check_backend(backend)
    return _backends.named() if backend == "auto" else (backend,)


def _place(name: str, path: str | os.PathLike[str] | None, sampling: KeepInteresting | None, **given: Any) -> _Place:
    """Where a backend is; raises when something given, or in the environment, cannot work for it."""
    if name in _backends.NAMES:
        destination = _backends.destination(name, **given)
        target = destination.target
        key = name, target.protocol, target.endpoint or "", destination.project
        return _Place(key, lambda: exporters.otlp(destination, sampling), destination.headers)
    _refuse(name, "use 'otlp', 'jaeger' or another that takes OTLP", **given)
    if name == "console":
        return _Place((name, ""), exporters.to_console)
    exporters.refuse_foreign(path)
    return _Place((name, str(path or "")), lambda: exporters.local(path))


def _added(provider: Any, place: _Place) -> Handle:
    """The handle of the backend at this place; it is added unless it is there."""
    handle = _there(place)
    if handle is None:
        processor = place.make()
        provider.add_span_processor(processor)
        handle = _session.current.handles[place.key] = Handle(place.key[0], processor, place.key, place.headers)
    return handle


def _there(place: _Place) -> Handle | None:
    """The handle of the backend that is at this place; None also where the application has shut it down with its tracer provider."""
    handle = _session.current.handles.get(place.key)
    return handle if handle is not None and handle._processor.is_on else None  # noqa: SLF001 - its other half


def _refuse_other(place: _Place, sampling: KeepInteresting | None, headers: Mapping[str, str] | None) -> None:
    """Raise when a backend that is there already was to be sent something else, or in another way."""
    handle = _there(place)
    if handle is None:
        return
    if sampling is not None and place.key[0] in _backends.NAMES and handle.sampling != sampling:
        raise PolicyError(f"sampling={sampling!r} comes too late: {handle!r} has sampling={handle.sampling!r}; shut that down first")
    if headers is not None and handle.headers != place.headers:  # their values are secrets
        raise PolicyError(f"headers come too late: {handle!r} is there already, with others; shut that down first")


def _check_path(names: tuple[str, ...], path: str | os.PathLike[str] | None) -> None:
    if path is not None and "local" not in names:
        raise PolicyError(f"path={str(path)!r} means nothing to backend {', '.join(names)!r}: only 'local' keeps a file")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise PolicyError(f"path={path!r} is no path: write for example 'traces.db'")


def _refuse(backend: str, instead: str, **given: Any) -> None:
    """Raise for an option that means nothing to this backend; values of headers are secrets."""
    for name, value in given.items():
        if value is not None:
            what = name if name == "headers" else f"{name}={value!r}"
            raise PolicyError(f"{what} means nothing to backend {backend!r}: {instead}")
