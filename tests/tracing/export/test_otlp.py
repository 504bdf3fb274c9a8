"""OTLP over HTTP and over gRPC: real bytes over a real socket, collectors that are gone, forks."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, add_TraceServiceServicer_to_server
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from holdfast.errors import HoldfastError, PolicyError
from holdfast.tracing import configure
from holdfast.tracing.export import _backends, _targets, exporters
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.spans import ids
from holdfast.tracing.spans.outlet import Outlet

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
TRACE_ID = RUN_ID.replace("-", "")
S = 1_000_000_000
MODULES = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


@contextlib.contextmanager
def http_collector():
    """An OTLP/HTTP collector on loopback that keeps what it gets."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def grpc_collector(metadata=None):
    """An OTLP/gRPC collector on loopback that keeps what it gets; what comes beside it is put into ``metadata``."""
    requests, metadata = [], [] if metadata is None else metadata

    class Service(TraceServiceServicer):
        def Export(self, request, context):  # noqa: N802 - gRPC's own name
            metadata.append(dict(context.invocation_metadata()))
            requests.append((None, request))
            return ExportTraceServiceResponse()

    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        add_TraceServiceServicer_to_server(Service(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}", requests
        finally:
            server.stop(grace=None).wait()


COLLECTORS = {"http/protobuf": http_collector, "grpc": grpc_collector}
PATHS = {"http/protobuf": "/v1/traces", "grpc": None}


@contextlib.contextmanager
def black_hole():
    """A port that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def closed_port():
    """A port on which nobody listens; it is kept, or another process might get it."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


NOWHERE = {"closed port": closed_port, "black hole": black_hole}


@pytest.fixture(params=list(COLLECTORS))
def protocol(request, monkeypatch):
    """Either, whatever this machine has in its environment."""
    for name in (*_targets.ENDPOINT_VARIABLES, *_targets.PROTOCOL_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return request.param


@pytest.fixture(params=["sdk", "light"])
def watching(request):
    """Makes an observer whose spans go to a processor, through the SDK or past it."""

    def watch(processor):
        made = TracerProvider(id_generator=exporters.RunIdGenerator(), resource=Resource({"service.name": "tests"}), shutdown_on_exit=False)
        made.add_span_processor(processor)
        if request.param == "sdk":
            return SpanObserver(made.get_tracer("holdfast", schema_url="holdfast/1"))
        outlet = Outlet(made)
        outlet.takers = (processor,)
        return LightObserver(outlet, Settings())

    return watch


def destination(endpoint, protocol):
    return _backends.destination("otlp", endpoint=endpoint, protocol=protocol, project=None, headers=None)


def values(attributes):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


def literal(span):
    """A span out of the bytes, as a dict without what it keeps of traceback and source line."""
    attributes = values(span.attributes)
    attributes.pop("holdfast.error.location", None)
    return {
        "ids": (span.trace_id.hex(), span.span_id.hex()[-2:], span.parent_span_id.hex()[-2:]),
        "time": (span.start_time_unix_nano, span.end_time_unix_nano),
        "status": (span.status.code, span.status.message),
        "kind": span.kind,
        "attributes": attributes,
        "events": [
            (event.name, event.time_unix_nano, {name: value for name, value in values(event.attributes).items() if "stack" not in name})
            for event in span.events
        ],
    }


SHARED = {"holdfast.run.id": RUN_ID, "holdfast.thread.id": RUN_ID, "holdfast.workflow.name": "plan"}
TASK = {**SHARED, "holdfast.task.name": "forecast", "holdfast.task.index": 1, "holdfast.attempt.max": 2}
ATTEMPT = {**TASK, "holdfast.span.type": "attempt"}
WAIT = {"error.type": "ConnectionError", "holdfast.attempt.number": 1, "holdfast.retry.reason": "transient", "holdfast.retry.wait_s": 0.5}
UNSET, INTERNAL, CLIENT = (0, ""), 1, 3
EXPECTED = {
    "run plan": {
        "ids": (TRACE_ID, "01", ""),
        "time": (1 * S, 8 * S),
        "status": UNSET,
        "kind": INTERNAL,
        "attributes": {
            **SHARED,
            "holdfast.span.type": "run",
            "code.function.name": "app.plan",
            "holdfast.run.calls": 1,
            "holdfast.run.outcome": "ok",
        },
        "events": [],
    },
    "forecast": {
        "ids": (TRACE_ID, "02", "01"),
        "time": (2 * S, 7 * S),
        "status": UNSET,
        "kind": INTERNAL,
        "attributes": {
            **TASK,
            "holdfast.span.type": "task",
            "code.function.name": "app.forecast",
            "holdfast.attempt.count": 2,
            "holdfast.retry.count": 1,
            "holdfast.task.outcome": "ok",
        },
        "events": [("holdfast.retry.scheduled", 4 * S, WAIT)],
    },
    "forecast attempt 1": {
        "ids": (TRACE_ID, "03", "02"),
        "time": (3 * S, 4 * S),
        "status": (2, "reset"),
        "kind": CLIENT,
        "attributes": {**ATTEMPT, **WAIT, "holdfast.attempt.outcome": "error", "holdfast.retry.scheduled": True},
        "events": [("exception", 4 * S, {"exception.type": "ConnectionError", "exception.message": "reset"})],
    },
    "forecast attempt 2": {
        "ids": (TRACE_ID, "04", "02"),
        "time": (5 * S, 6 * S),
        "status": UNSET,
        "kind": CLIENT,
        "attributes": {**ATTEMPT, "holdfast.attempt.number": 2, "holdfast.attempt.outcome": "ok", "holdfast.retry.count": 1},
        "events": [],
    },
}


def test_the_bytes_hold_the_trace(make_play, watching, protocol, monkeypatch):
    """Names, parents, ids, times, kinds, status, attributes and events; the run id is the trace id."""
    numbers = iter(range(1, 9))
    monkeypatch.setattr(ids, "draw", lambda _bits: next(numbers))
    with COLLECTORS[protocol]() as (endpoint, requests):
        processor = exporters.otlp(destination(endpoint, protocol))
        play = make_play(watching(processor))
        with play.run() as run, play.call(run, max_attempts=2, kind="client") as call:
            play.failing(call, ConnectionError("reset"), will_retry=True, wait_s=0.5, reason="transient")
            with play.attempt(call):
                pass
        assert processor.force_flush(30_000)
        processor.shutdown()

    resources = [resource for _, request in requests for resource in request.resource_spans]
    scopes = [scope for resource in resources for scope in resource.scope_spans]
    assert {PATHS[protocol]} == {path for path, _ in requests}
    assert [{"service.name": "tests"}] * len(resources) == [values(resource.resource.attributes) for resource in resources]
    assert {("holdfast", "holdfast/1")} == {(scope.scope.name, scope.schema_url) for scope in scopes}
    assert EXPECTED == {span.name: literal(span) for scope in scopes for span in scope.spans}


def test_a_file_whose_name_is_no_utf8_costs_no_batch(make_play, watching, protocol):
    """Its name stands in the message of the error, in the status and, if it is code, in the stack; an exporter can encode none of them."""
    with COLLECTORS[protocol]() as (endpoint, requests):
        processor = exporters.otlp(destination(endpoint, protocol))
        play = make_play(watching(processor))
        with play.run() as run, play.call(run, max_attempts=2) as call:
            play.failing(call, in_a_file("caf\udce9.py", FileNotFoundError(2, "gone", "caf\udce9.txt")))
        assert processor.force_flush(30_000)
        processor.shutdown()

    spans = [
        span for _, request in requests for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]
    (failed,) = [span for span in spans if span.status.code == 2 and span.events]
    said = values(failed.events[0].attributes)
    assert "[Errno 2] gone: 'caf\\udce9.txt'" == failed.status.message == said["exception.message"]
    assert "caf\\udce9.py:1 in fail" == values(failed.attributes)["holdfast.error.location"]
    assert "caf\\udce9.py" in said["exception.stacktrace"]


def in_a_file(name, error):
    """The error, raised in a function of the file."""
    there = {"error": error}
    exec(compile("def fail(): raise error", name, "exec"), there)
    with contextlib.suppress(type(error)):
        there["fail"]()
    return error


def test_headers_go_over_grpc_too(make_play, watching, monkeypatch):
    """As metadata, whose names are in lower case."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    metadata = []
    with grpc_collector(metadata) as (endpoint, _):
        made = _backends.destination("otlp", endpoint=endpoint, protocol="grpc", project=None, headers={"X-Team": "red"})
        processor = exporters.otlp(made)
        with make_play(watching(processor)).run():
            pass
        assert processor.force_flush(30_000)
        processor.shutdown()

    assert ["red"] == [sent["x-team"] for sent in metadata]


def lanes_end(processor):
    """Give up what is still queued, instead of waiting for it."""
    processor.is_on = False
    processor.lane.close(0.0)
    processor._close()


@pytest.mark.parametrize("where", NOWHERE)
def test_an_unreachable_collector_slows_no_call(make_play, watching, protocol, where):
    """Spans are queued; flushing gives up in time."""
    with NOWHERE[where]() as endpoint:
        processor = exporters.otlp(destination(endpoint, protocol))
        play = make_play(watching(processor))
        slowest = 0.0
        for _ in range(200):
            started = time.perf_counter()
            with play.run() as run, play.call(run) as call, play.attempt(call):
                pass
            slowest = max(slowest, time.perf_counter() - started)
        started = time.perf_counter()
        is_flushed = processor.force_flush(100)
        flushing = time.perf_counter() - started
        lanes_end(processor)

    assert not (is_flushed and where == "black hole")
    assert max(slowest, flushing) < 8.0  # an export to the black hole takes ten


def test_a_password_in_the_endpoint_is_told_nobody(fresh, capsys, protocol):
    """Neither where it is said that nobody answers there, nor by the handle."""
    with closed_port() as nowhere:
        endpoint = nowhere.replace("//", "//bob:hunter2@")
        handle = configure("otlp", endpoint=endpoint, protocol=protocol, lines=False)
        handle._processor.lane.complain(f"Failed to export to {endpoint}")
        handle._processor.lane.dropped = 1
        lanes_end(handle._processor)
        handle.shutdown()
        firewall.flush(30.0)

    said = capsys.readouterr().err
    assert "hunter2" not in said + repr(handle)
    assert "//[redacted]@127.0.0.1" in said


def python(program, **environment):
    """Run a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "HOLDFAST_SECRET": "a secret for tests, long enough", "no_proxy": "127.0.0.1", **environment},
    )


@pytest.mark.parametrize("where", NOWHERE)
def test_exit_is_bounded_when_the_collector_is_unreachable(protocol, where):
    """Within two seconds, with a word about what was lost, and the SDK's own complaints said once."""
    with NOWHERE[where]() as endpoint:
        target = _targets.target(endpoint, protocol)
        done = python(
            f"""
            import atexit, time
            atexit.register(lambda: print(time.perf_counter() - started))  # registered first, so called last
            import holdfast.tracing
            from holdfast.events import RunFacts
            from holdfast import events
            holdfast.tracing.configure("otlp", endpoint={target.endpoint!r}, lines=False)
            for n in range(700):
                run = RunFacts(run_id=str(n), thread_id="t", name="plan", function="f", started_ns=1)
                events.observer.run_started(run)
                run.outcome = "ok"
                events.observer.run_ended(run)
            started = time.perf_counter()
            """,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        )

    assert 0 == done.returncode
    assert float(done.stdout) < 8  # a single export to the black hole takes ten
    if where == "black hole":  # exporters older than 1.40 give a closed port up at once
        assert float(done.stdout) >= firewall.EXIT_TIMEOUT - firewall.LAST_WORDS
        assert f"700 items were still waiting for the export of spans to {target.endpoint} at the end; they are lost" in done.stderr
    assert done.stderr.count("does not work, calls go on without it") == (where == "closed port")
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_exports_its_own_spans(protocol):
    """Beside a parent that has exported before, in four children one after the other."""
    with COLLECTORS[protocol]() as (endpoint, requests):
        done = python(f"""
            import os, warnings
            import holdfast, holdfast.tracing
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            handle = holdfast.tracing.configure("otlp", endpoint={endpoint!r}, protocol={protocol!r}, lines=False)

            def watched(name):
                holdfast.resilient(name=name)(lambda: None)()
                return handle.flush(60)

            assert watched("parent before")
            for number in range(4):
                pid = os.fork()
                if pid == 0:
                    os._exit(0 if watched(f"child {{number}}") else 1)
                assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert watched("parent after")
        """)
    names = [
        values(span.attributes)["holdfast.task.name"]
        for _, request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        if values(span.attributes)["holdfast.span.type"] == "task"
    ]

    assert ("", 0) == (done.stderr, done.returncode)
    assert ["parent before", *(f"child {number}" for number in range(4)), "parent after"] == names


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({}, (None, None), ("http/protobuf", None)),
        ({}, ("http://h:4318", None), ("http/protobuf", "http://h:4318/v1/traces")),
        ({}, ("http://h:4318/", None), ("http/protobuf", "http://h:4318/v1/traces")),
        ({}, ("http://h/custom", None), ("http/protobuf", "http://h/custom")),
        ({}, ("https://h:4317", "grpc"), ("grpc", "https://h:4317")),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": " GRPC "}, ("http://h:4317/", None), ("grpc", "http://h:4317/")),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (None, "http/protobuf"), ("http/protobuf", None)),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ""}, (None, None), ("http/protobuf", None)),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            (None, None),
            ("grpc", None),
        ),
    ],
)
def test_targets_are_completed(fresh, monkeypatch, environment, given, expected):
    """What is given wins over the environment, the variable for traces over the one for all; HTTP has a path by convention."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert expected == _targets.target(*given)


@pytest.mark.parametrize(
    ("environment", "given", "message"),
    [
        ({}, (None, "http"), "protocol='http' is not supported: use 'http/protobuf' or 'grpc'"),
        ({}, (None, "gRPC"), "protocol='gRPC' is not supported: use 'http/protobuf' or 'grpc'; did you mean 'grpc'?"),
        ({}, (None, 7), "protocol=7 is not supported: use 'http/protobuf' or 'grpc'"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            (None, None),
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL='http/json' is not supported: use 'http/protobuf' or 'grpc'",
        ),
        ({}, ("h:4317", "grpc"), "endpoint='h:4317' is not a URL: write for example 'http://localhost:4317'"),
        (
            {},
            ("http://h:4318/v1/traces", "grpc"),
            "endpoint='http://h:4318/v1/traces' has a path, and OTLP over gRPC has none: write for example 'http://localhost:4317'",
        ),
    ],
)
def test_what_cannot_work_is_refused(fresh, monkeypatch, environment, given, message):
    """With the value, where it stands, and the fix."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(PolicyError) as caught:
        _targets.target(*given)

    assert message == str(caught.value)


@pytest.mark.parametrize("extra", [("http/protobuf", "otlp"), ("grpc", "otlp-grpc")])
def test_a_missing_extra_is_named(monkeypatch, extra):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, MODULES[extra[0]], None)
    monkeypatch.delitem(sys.modules, "holdfast.tracing.export._grpc", raising=False)

    with pytest.raises(HoldfastError, match=rf"pip install 'holdfast\[{extra[1]}\]'"):
        exporters.otlp(destination("http://localhost:4317", extra[0]))
