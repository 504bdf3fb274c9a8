"""Facts made by hand in the order of the rules of `holdfast.events`, and spans as plain literals."""

from __future__ import annotations

import http.server
import itertools
import os
import threading
import zlib
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from holdfast import events
from holdfast.events import AttemptFacts, CallFacts, RunFacts
from holdfast.tracing.export import exporters
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.setup import _joined, _session, detect
from holdfast.tracing.spans import ids
from holdfast.tracing.spans.outlet import Outlet

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
RESOURCE = Resource({"service.name": "tests"})


class Counted:
    """Trace ids 1, 2, ... for traces without a run, and span ids 1, 2, ..."""

    def __init__(self) -> None:
        self._ids = {128: itertools.count(1), 64: itertools.count(1)}

    def __call__(self, bits: int) -> int:
        return next(self._ids[bits])


def literal(span):
    """A span as a dict; what is empty is left out."""
    parts = {
        "parent": None if span.parent is None else span.parent.span_id,
        "time": (span.start_time, span.end_time),
        "status": span.status.status_code.name
        if span.status.description is None
        else (span.status.status_code.name, span.status.description),
        "kind": span.kind.name,
        "attributes": dict(span.attributes),
        "events": [(event.name, event.timestamp, dict(event.attributes)) for event in span.events],
        "links": [(link.context.trace_id, link.context.span_id, dict(link.attributes)) for link in span.links],
    }
    dull = {"status": "UNSET", "kind": "INTERNAL", "events": [], "links": []}
    return {name: part for name, part in parts.items() if name not in dull or dull[name] != part}


class Nosy(SpanProcessor):
    """A processor that might look at spans when they begin, so that all must be the SDK's; it writes their names down."""

    def __init__(self) -> None:
        self.begun, self.ended = [], []

    def on_start(self, span, parent_context=None):
        """Look at it."""
        self.begun.append(span.name)

    def on_end(self, span):
        """And here."""
        self.ended.append(span.name)


class Recorder:
    """A real SDK with an exporter in memory, and holdfast's spans made with it (``sdk``), beside it (``light``), or handed to it (``joined``)."""

    def __init__(self, kind) -> None:
        self.kind = kind
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(id_generator=exporters.RunIdGenerator(), resource=RESOURCE, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("holdfast", schema_url="holdfast/1")
        if kind == "joined":
            self.outlet = _joined.joined(self.provider, lambda: True)
        else:
            self.outlet = Outlet(self.provider)
            self.outlet.takers = (self,)
        self._light = []

    def send(self, span):
        """What a lane does."""
        self._light.append(span)
        self.exporter.export([span.readable()])

    def observer(self, settings=None):
        """Makes the spans."""
        if self.kind == "sdk":
            return SpanObserver(self.tracer, settings)
        return LightObserver(self.outlet, Settings() if settings is None else settings)

    @property
    def ended(self):
        """Holdfast's own spans as backends get them."""
        return self._light if self.kind == "light" else self.spans()

    def spans(self):
        """Ended spans, in the order of their ends."""
        return list(self.exporter.get_finished_spans())

    def literals(self):
        """The same by name, as dicts."""
        return {span.name: literal(span) for span in self.spans()}

    def attributes(self, name):
        """Attributes of the span of this name."""
        return self.literals()[name]["attributes"]


class Play:
    """Tells an observer what the runtime would tell it; time advances by 1 second at each boundary, from ``start`` on."""

    def __init__(self, observer, *, start=0) -> None:
        self.observer = observer
        self._seconds = itertools.count(start + 1)

    def now(self) -> int:
        return next(self._seconds) * 1_000_000_000

    @contextmanager
    def run(self, name="plan", *, outcome="ok", **more):
        facts = RunFacts(
            **{"run_id": RUN_ID, "thread_id": RUN_ID, "name": name, "function": f"app.{name}", "started_ns": self.now(), **more}
        )
        self.observer.run_started(facts)
        yield facts
        facts.ended_ns, facts.outcome = self.now(), facts.outcome or outcome
        self.observer.run_ended(facts)

    @contextmanager
    def call(self, run=None, name="forecast", *, outcome="ok", **more):
        if run is not None and not more.get("is_body"):
            run.calls += 1
        facts = CallFacts(
            **{
                "run": run,
                "name": name,
                "function": f"app.{name}",
                "started_ns": self.now(),
                "index": 0 if run is None else run.calls,
                **more,
            }
        )
        self.observer.call_started(facts)
        yield facts
        facts.ended_ns, facts.outcome = self.now(), facts.outcome or outcome
        self.observer.call_ended(facts)

    @contextmanager
    def attempt(self, call, *, outcome="ok", **more):
        call.attempts += 1
        facts = AttemptFacts(**{"call": call, "number": call.attempts, "started_ns": self.now(), **more})
        self.observer.attempt_started(facts)
        yield facts
        facts.ended_ns, facts.outcome = self.now(), facts.outcome or outcome
        self.observer.attempt_ended(facts)

    def failing(self, call, error, **more):
        """An attempt that raised ``error``."""
        with self.attempt(call) as attempt:
            attempt.outcome, attempt.error = "error", raised(error)
            for name, value in more.items():
                setattr(attempt, name, value)
        return attempt


class Receiver:
    """An OTLP/HTTP receiver on loopback.

    Attributes:
        endpoint: Its address.
        bodies: The raw bodies of what it was sent, in order.
    """

    def __init__(self) -> None:
        self.bodies = bodies = []

        class Keep(http.server.BaseHTTPRequestHandler):
            """Says yes to everything."""

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                bodies.append(zlib.decompress(data, 31) if self.headers["Content-Encoding"] == "gzip" else data)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keep)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def scopes(self):
        """What was received, scope by scope."""
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        return [scope for each in requests for one in each.resource_spans for scope in one.scope_spans]

    def spans(self):
        """What was received, by name."""
        return {span.name: span for scope in self.scopes() for span in scope.spans}


@pytest.fixture
def receiver(monkeypatch):
    """Takes what is sent to it by this process and its children."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Receiver()
    yield made
    made.close()


def raised(error):
    """The error with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.fixture(params=["sdk", "light", "joined"])
def recorder(request, monkeypatch):
    monkeypatch.setattr(ids, "draw", Counted())
    return Recorder(request.param)


@pytest.fixture
def settings():
    return Settings(salt=b"salt")


@pytest.fixture
def play(recorder, settings):
    return Play(recorder.observer(settings))


@pytest.fixture
def make_play():
    return Play


@pytest.fixture
def with_traceback():
    return raised


@pytest.fixture(autouse=True)
def _nothing_is_left_to_say():
    """What the end of an earlier test says, behind its back, is not heard in this one."""
    firewall.flush(30.0)


@pytest.fixture
def inline():
    """Everything that leaves is written on the caller's thread."""
    previous = firewall.synchronous(True)
    yield
    firewall.synchronous(previous)


OTHERS = ("LANGSMITH_", "LANGCHAIN_", "LANGFUSE_", "PHOENIX_", "MLFLOW_", "OTEL_EXPORTER_OTLP_", "HOLDFAST_DIALECT")


@pytest.fixture
def fresh(monkeypatch):
    """A process in which nobody has set up tracing: no provider, no observer, nothing configured."""
    for name in [name for name in os.environ if name.startswith(OTHERS)]:
        monkeypatch.delenv(name)
    for name in (
        *("HOLDFAST_TRACING", "HOLDFAST_CAPTURE", "HOLDFAST_ATTEMPT_SPANS", "HOLDFAST_HIT_SPANS"),
        *("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDFAST_SECRET", "a secret for tests, long enough")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(events, "observer", None)
    monkeypatch.setattr(detect, "_has_read_environment", False)
    monkeypatch.setattr(detect, "_is_off", False)
    session = _session.Session()
    monkeypatch.setattr(_session, "current", session)
    yield session
    for handle in list(session.handles.values()):
        handle.shutdown()
