"""configure: start observing and say where spans and lines go."""

from __future__ import annotations

import os
import sys
import threading
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from holdfast import events
from holdfast._frames import trims
from holdfast.errors import HoldfastError, PolicyError
from holdfast.events import INFO, WARNING
from holdfast.policies.duration import patience
from holdfast.tracing import _otlp, exporters, firewall
from holdfast.tracing import capture as capturing
from holdfast.tracing import redact as redacting
from holdfast.tracing.guard import Guarded
from holdfast.tracing.light import LightObserver
from holdfast.tracing.light_span import Outlet
from holdfast.tracing.lines import LEVELS, LineObserver
from holdfast.tracing.metrics import MetricObserver
from holdfast.tracing.settings import Settings, known_attempt_spans, usual_attempt_spans, usual_hit_spans
from holdfast.tracing.spans import SpanObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.sdk.trace import SpanProcessor

    from holdfast.events import Observer
    from holdfast.policies.duration import Duration

BACKENDS = ("local", "console", "jaeger", "otlp", "auto")
_SDK_SWITCHES = ("OTEL_SDK_DISABLED", "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED")
_OTLP_BACKENDS = ("otlp", "jaeger")

_lock = threading.RLock()


class _Session:
    """What is observed with, and where to: one per process.

    Attributes:
        settings: Changed in place, so that calls under way see changes too.
        lines: Writes lines.
        metrics: Measures, while the application has a meter provider.
        observer: Installed in `holdfast.events`; None while nothing is observed.
        previous: The observer it replaced.
        is_measuring: `measure` was called: without a backend, too, there is something to observe for.
        handles: The backends, by name and place.
        chosen: The options that were given, by name, since the first backend.
    """

    def __init__(self) -> None:
        self.settings = Settings()
        self.lines = LineObserver(WARNING)
        self.metrics = MetricObserver()
        self.observer: Guarded | None = None
        self.previous: Observer | None = None
        self.handles: dict[tuple[str, ...], Handle] = {}
        self.chosen: dict[str, Any] = {}
        self.is_measuring = False

    def adopt(self, **given: Any) -> None:
        """Take over the options that were given; of one that is None, what was chosen before stands."""
        self.chosen |= {name: value for name, value in given.items() if value is not None}
        self.settings.capture = self.chosen.get("capture") or _usual_capture()
        self.settings.attempt_spans = self.chosen.get("attempt_spans") or usual_attempt_spans()
        self.settings.max_hit_spans = self.chosen["max_hit_spans"] if "max_hit_spans" in self.chosen else usual_hit_spans()
        redacting.custom = self.chosen.get("redact")
        self.settings.salt = self.settings.salt or _key_salt()

    def start(self, level: int | None, *, with_lines: bool) -> None:
        """Observe, with lines from ``level`` on where the application has not configured structlog."""
        self.lines.level = level
        self.lines.is_on = with_lines
        self.lines.refresh()
        observer = Guarded(self._spans(), self.lines, self.metrics)
        previous = events.observe(observer)
        if previous is not self.observer:
            self.previous = previous
        self.observer = observer

    def restart(self) -> None:
        """Observe anew: how spans are best made has changed."""
        if self.observer is not None and events.observer is self.observer:
            self.start(self.lines.level, with_lines=self.lines.is_on)

    def _spans(self) -> Observer:
        provider = trace.get_tracer_provider()
        if isinstance(provider, _OwnProvider) and provider.is_ours_alone:
            return LightObserver(provider.outlet, self.settings)
        return SpanObserver(settings=self.settings)

    def stop(self) -> None:
        """Stop observing, unless somebody else has taken over."""
        if self.observer is not None and events.observer is self.observer:
            events.observe(self.previous)
        self.chosen.clear()
        redacting.custom = None
        self.observer = self.previous = None
        if self.is_measuring:
            self.start(WARNING, with_lines=True)


class _OwnProvider(TracerProvider):
    """Set by holdfast: to `holdfast.tracing.detect` no sign that the application traces.

    Attributes:
        outlet: Takes holdfast's light spans past the SDK.
        is_ours_alone: False where somebody wants what only the SDK does: processors of their own, or, by environment, other samplers or
            limits. Then all spans that begin are the SDK's.
    """

    is_of_holdfast = True

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource=resource, id_generator=exporters.RunIdGenerator(), shutdown_on_exit=False)
        self.outlet = Outlet(self)
        self.is_ours_alone = self.sampler is DEFAULT_ON and not _asks_for_the_sdk()

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add ours, or somebody else's: from then on all spans are the SDK's."""
        super().add_span_processor(span_processor)
        if isinstance(span_processor, exporters.LaneProcessor):
            self.outlet.lanes = (*self.outlet.lanes, span_processor.lane)
        elif self.is_ours_alone:
            self.is_ours_alone = False
            _session.restart()

    def drop(self, processor: exporters.LaneProcessor) -> None:
        """Send no more light spans to ours that is about to be shut down; the SDK has no such thing."""
        self.outlet.lanes = tuple(lane for lane in self.outlet.lanes if lane is not processor.lane)

    def shutdown(self) -> None:
        """Shut down all processors; what ends afterwards goes nowhere."""
        self.outlet.lanes = ()
        super().shutdown()


class Handle:
    """What `configure` returns. As a context manager it shuts down at the end of the block."""

    def __init__(self, backend: str, processor: exporters.LaneProcessor, key: tuple[str, ...]) -> None:
        """Hold on to a backend that was added."""
        self.backend = backend
        self._processor = processor
        self._key = key

    def flush(self, timeout: Duration = firewall.EXIT_TIMEOUT) -> bool:
        """Wait until all spans ended so far have left for this backend.

        Args:
            timeout: The most to wait: seconds, a timedelta or text like ``"1.5s"``.

        Returns:
            False when that was not enough, or when spans were lost since the last flush.

        Raises:
            PolicyError: ``timeout`` is no duration.
        """
        return self._processor.lane.flush(patience(timeout, what="timeout"))

    def shutdown(self) -> None:
        """Flush, for at most two seconds, and stop this backend. With the last one, observing ends."""
        with _lock:
            if _session.handles.get(self._key) is not self:
                return
            del _session.handles[self._key]
            if not _session.handles:
                _session.stop()
        provider = trace.get_tracer_provider()
        if isinstance(provider, _OwnProvider):
            provider.drop(self._processor)
        self._processor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<tracing to {self.backend}: {', '.join(redacting.scrub(part) for part in self._key if part)}>"


_session = _Session()


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
    _check_options(capture, attempt_spans, max_hit_spans, lines)
    if redact is not None and not callable(redact):
        raise PolicyError(f"redact={redact!r} cannot be called: give a function that takes a text and returns what may leave of it")
    with _lock:
        provider = _provider(service_name)
        key = (backend, str(path or "")) if target is None else (backend, target.protocol, target.endpoint or "")
        handle = _session.handles.get(key)
        if handle is None:
            processor = exporters.otlp(target) if target is not None else _processor(backend, path)
            provider.add_span_processor(processor)
            handle = _session.handles[key] = Handle(backend, processor, key)
        _session.adopt(capture=capture, attempt_spans=attempt_spans, max_hit_spans=max_hit_spans, redact=redact, lines=lines)
        wanted = _session.chosen.get("lines", True)
        _session.start(_level(wanted), with_lines=wanted is not False)
    return handle


def observe() -> Observer | None:
    """Start observing without a backend of our own: for an application with its own tracer provider or structlog configuration."""
    with _lock:
        if _session.observer is None:
            _session.adopt()
            _session.start(WARNING, with_lines=True)
        return _session.observer


def measure() -> None:
    """Measure every run, call and attempt from now on, with the instruments of docs/metrics.md, through the application's meter provider.

    Only an application that has neither a backend (`configure`), nor a tracer provider, nor a structlog configuration needs to say so: what
    is observed for any of these is measured anyway. The meter provider, ``opentelemetry.metrics.set_meter_provider``, may be set before or
    after; until then nothing is measured. ``HOLDFAST_TRACING=metrics`` in the environment does the same.
    """
    with _lock:
        _session.is_measuring = True
        observe()


def _provider(service_name: str | None) -> Any:
    """The application's tracer provider, or one of ours when it has none."""
    current = trace.get_tracer_provider()
    if isinstance(current, trace.ProxyTracerProvider):
        current = _OwnProvider(Resource.create(_resource(service_name)))
        trace.set_tracer_provider(current)
    elif not hasattr(current, "add_span_processor"):
        kind = f"{type(current).__module__}.{type(current).__qualname__}"
        raise HoldfastError(f"the application's tracer provider, a {kind}, takes no span processors: set one of opentelemetry.sdk.trace")
    elif service_name is not None and _name_of(current) != service_name:
        raise PolicyError(
            f"service_name={service_name!r} comes too late: a tracer provider is set, with service.name={_name_of(current)!r}; "
            "name the service there, or where configure is called first"
        )
    return current


def _asks_for_the_sdk() -> bool:
    """Whether the environment wants what light spans do not do: limits of its own, metrics of the SDK about itself, or nothing at all."""
    has_limits = any(name.startswith("OTEL_") and name.endswith("_LIMIT") for name in os.environ)
    return has_limits or any(os.environ.get(name, "").strip().lower() == "true" for name in _SDK_SWITCHES)


def _name_of(provider: Any) -> Any:
    resource = getattr(provider, "resource", None)
    return None if resource is None else resource.attributes.get(SERVICE_NAME)


def _resource(service_name: str | None) -> dict[str, Any]:
    """The service's name, unless the environment has one: what is given here would win over it."""
    if service_name is None:
        if os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            return {}
        service_name = PurePath(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else "holdfast"
    return {SERVICE_NAME: service_name}


def _processor(backend: str, path: str | os.PathLike[str] | None) -> exporters.LaneProcessor:
    return exporters.to_console() if backend == "console" else exporters.local(path)


def _key_salt() -> bytes:
    """From the user's secret, so that hashes of cache keys agree between this user's processes and tell nobody else anything."""
    from holdfast.values.secret import load_secret

    try:
        secret = load_secret()
    except (HoldfastError, OSError):  # no secret, then hashes agree within this process only
        secret = os.urandom(32)
    return blake2b(secret, person=b"holdfast.keyhash", digest_size=32).digest()


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


def _usual_capture() -> str:
    """What ``HOLDFAST_CAPTURE`` says, else ``none``."""
    return _known_capture("HOLDFAST_CAPTURE", os.environ.get("HOLDFAST_CAPTURE", "").strip().lower() or "none")


def _known_capture(where: str, choice: str) -> str:
    if choice not in capturing.CHOICES:
        raise PolicyError(f"{where}={choice!r} is not known: use one of {', '.join(map(repr, capturing.CHOICES))}")
    return choice


def _check_options(capture: str | None, attempt_spans: str | None, max_hit_spans: int | None, lines: bool | str | None) -> None:  # noqa: FBT001 - an option's own value
    """Before anything is set up; None is left to earlier calls."""
    if capture is None:
        _usual_capture()
    else:
        _known_capture("capture", capture)
    if attempt_spans is None:
        usual_attempt_spans()
    else:
        known_attempt_spans("attempt_spans", attempt_spans)
    number = usual_hit_spans() if max_hit_spans is None else max_hit_spans
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise PolicyError(f"max_hit_spans={number!r} must be a whole number from 0")
    if lines is not None:
        _level(lines)


def _level(lines: bool | str) -> int | None:  # noqa: FBT001 - it is the option's own value
    if isinstance(lines, bool):
        return INFO if lines else None
    if lines not in LEVELS:
        raise PolicyError(f"lines={lines!r} is not known: use True, False or one of {', '.join(map(repr, LEVELS))}")
    return LEVELS[lines]
