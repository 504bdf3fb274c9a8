"""Backends: what each gets on a real socket, with its own variables; and what its answers lead to."""

from __future__ import annotations

import contextlib
import gc
import gzip
import http.server
import threading
from http import HTTPStatus

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from holdfast import events
from holdfast.errors import PolicyError
from holdfast.tracing.export import _backends, exporters
from holdfast.tracing.safety import firewall
from holdfast.tracing.setup._configure import configure
from holdfast.tracing.spans import ids
from tests.tracing.conftest import Nosy

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
TRACE_ID = RUN_ID.replace("-", "")
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Collector:
    """Takes OTLP over HTTP on loopback, keeps what it gets, and answers as told: 200 and nothing else when nothing is left to say."""

    def __init__(self) -> None:
        self.requests = []
        self.answers = []
        self.url = ""

    @property
    def spans(self):
        return [span for _, _, message in self.requests for resource in message.resource_spans for span in scoped(resource)]


def scoped(resource):
    return [span for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with listening() as made:
        yield made


@contextlib.contextmanager
def listening():
    made = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.requests.append((self.path, headers, ExportTraceServiceRequest.FromString(body)))
            status, more, answer = made.answers.pop(0) if made.answers else (200, PROTOBUF, b"")
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _nothing_set(fresh):
    """No backend is named by this machine's environment; and nothing is said in the next test."""
    yield
    firewall.flush(30.0)


@pytest.fixture(params=["sdk", "light", "joined"])
def spans_of(request, monkeypatch):
    """Spans with counted ids, from the SDK of the application, of our own, or of our own on the application's provider."""
    numbers = iter(range(1, 99))
    monkeypatch.setattr(ids, "draw", lambda _bits: next(numbers))
    if request.param != "light":
        resource = Resource({"service.name": "shop"})
        provider = TracerProvider(id_generator=exporters.RunIdGenerator(), resource=resource, shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
        if request.param == "sdk":
            provider.add_span_processor(Nosy())
    return request.param


def values(attributes):
    return {pair.key: value_of(pair.value) for pair in attributes}


def value_of(value):
    kind = value.WhichOneof("value")
    return [value_of(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def tool_run(play):
    """A tool that works at the second attempt, and a hit, in a thread."""
    with play.run(thread_id="trip-1") as run:
        with play.call(run, max_attempts=2, kind="tool", capture="values", names=("city",), arguments=("Oslo",), result="sunny") as call:
            play.failing(call, ConnectionError("reset"), will_retry=True, wait_s=0.5, reason="transient")
            with play.attempt(call):
                pass
        with play.call(run, "cached", capture="values", cache="hit", result=4):
            pass


SHARED = {
    "holdfast.run.id": RUN_ID,
    "holdfast.thread.id": "trip-1",
    "holdfast.workflow.name": "plan",
    "session.id": "trip-1",
}
FORECAST = {**SHARED, "holdfast.task.name": "forecast", "holdfast.task.index": 1, "holdfast.attempt.max": 2}
ATTEMPT = {**FORECAST, "holdfast.span.type": "attempt"}
NEUTRAL = {
    "run plan": {
        **SHARED,
        "holdfast.span.type": "run",
        "code.function.name": "app.plan",
        "holdfast.run.calls": 2,
        "holdfast.run.outcome": "ok",
    },
    "forecast": {
        **FORECAST,
        "holdfast.span.type": "task",
        "holdfast.task.kind": "tool",
        "code.function.name": "app.forecast",
        "holdfast.attempt.count": 2,
        "holdfast.retry.count": 1,
        "holdfast.task.outcome": "ok",
        "holdfast.input": '{"city":"Oslo"}',
        "holdfast.output": '"sunny"',
    },
    "forecast attempt 1": {
        **ATTEMPT,
        "error.type": "ConnectionError",
        "holdfast.attempt.number": 1,
        "holdfast.attempt.outcome": "error",
        "holdfast.retry.reason": "transient",
        "holdfast.retry.scheduled": True,
        "holdfast.retry.wait_s": 0.5,
    },
    "forecast attempt 2": {**ATTEMPT, "holdfast.attempt.number": 2, "holdfast.attempt.outcome": "ok", "holdfast.retry.count": 1},
    "cached": {
        **SHARED,
        "holdfast.span.type": "task",
        "holdfast.task.name": "cached",
        "holdfast.task.index": 2,
        "holdfast.attempt.max": 1,
        "code.function.name": "app.cached",
        "holdfast.task.outcome": "ok",
        "holdfast.cache.result": "hit",
        "holdfast.cache.age_s": 0.0,
        "holdfast.output": "4",
    },
}
JSON = "application/json"
OPENINFERENCE = {
    "run plan": {"openinference.span.kind": "CHAIN"},
    "forecast": {
        "openinference.span.kind": "TOOL",
        "input.value": '{"city":"Oslo"}',
        "input.mime_type": JSON,
        "output.value": '"sunny"',
        "output.mime_type": JSON,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "forecast",
        "gen_ai.tool.call.arguments": '{"city":"Oslo"}',
        "gen_ai.tool.call.result": '"sunny"',
    },
    "forecast attempt 1": {"openinference.span.kind": "CHAIN"},
    "forecast attempt 2": {"openinference.span.kind": "CHAIN", "tag.tags": ["retry:attempt:2"]},
    "cached": {"openinference.span.kind": "CHAIN", "tag.tags": ["cache:hit"], "output.value": "4", "output.mime_type": JSON},
}
OWN = {
    "jaeger": {},
    "otlp": {},
    "phoenix": {name: {} for name in OPENINFERENCE},
    "langsmith": {
        "run plan": {"langsmith.span.kind": "chain", "langsmith.metadata.thread_id": "trip-1"},
        "forecast": {
            "langsmith.span.kind": "tool",
            "langsmith.metadata.thread_id": "trip-1",
            "langsmith.metadata.task": "forecast",
            "langsmith.metadata.attempts": 2,
        },
        "forecast attempt 1": {
            "langsmith.span.kind": "chain",
            "langsmith.metadata.thread_id": "trip-1",
            "langsmith.metadata.task": "forecast",
            "langsmith.metadata.attempt": 1,
            "langsmith.metadata.error_type": "ConnectionError",
        },
        "forecast attempt 2": {
            "langsmith.span.kind": "chain",
            "langsmith.span.tags": "retry:attempt:2",
            "langsmith.metadata.thread_id": "trip-1",
            "langsmith.metadata.task": "forecast",
            "langsmith.metadata.attempt": 2,
        },
        "cached": {
            "langsmith.span.kind": "chain",
            "langsmith.span.tags": "cache:hit",
            "langsmith.metadata.thread_id": "trip-1",
            "langsmith.metadata.task": "cached",
            "langsmith.metadata.cache": "hit",
        },
    },
    "langfuse": {
        "run plan": {"langfuse.observation.type": "chain"},
        "forecast": {
            "langfuse.observation.type": "tool",
            "langfuse.observation.input": '{"city":"Oslo"}',
            "langfuse.observation.output": '"sunny"',
        },
        "forecast attempt 1": {"langfuse.observation.type": "span", "langfuse.observation.level": "WARNING"},
        "forecast attempt 2": {"langfuse.observation.type": "span"},
        "cached": {"langfuse.observation.type": "span", "langfuse.observation.output": "4"},
    },
    "mlflow": {
        "run plan": {"mlflow.spanType": "WORKFLOW"},
        "forecast": {"mlflow.spanType": "TOOL"},
        "forecast attempt 1": {"mlflow.spanType": "TASK"},
        "forecast attempt 2": {"mlflow.spanType": "TASK"},
        "cached": {"mlflow.spanType": "TASK"},
    },
}
PLACES = {
    "jaeger": ({}, "/v1/traces", {}),
    "otlp": ({"OTEL_EXPORTER_OTLP_HEADERS": "x-team=red"}, "/v1/traces", {"x-team": "red"}),
    "langsmith": (
        {"LANGSMITH_API_KEY": "lsv2_pt_1", "LANGSMITH_PROJECT": "trips", "LANGSMITH_WORKSPACE_ID": "w-1"},
        "/otel/v1/traces",
        {"x-api-key": "lsv2_pt_1", "langsmith-project": "trips", "x-tenant-id": "w-1"},
    ),
    "langfuse": (
        {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-2"},
        "/api/public/otel/v1/traces",
        {"authorization": "Basic cGstbGYtMTpzay1sZi0y", "x-langfuse-ingestion-version": "4"},
    ),
    "phoenix": (
        {"PHOENIX_API_KEY": "px-1", "PHOENIX_PROJECT": "trips"},
        "/v1/traces",
        {"authorization": "Bearer px-1", "x-project-name": "trips"},
    ),
    "mlflow": (
        {"MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "pw"},
        "/v1/traces",
        {"x-mlflow-experiment-id": "7", "authorization": "Basic YW5uOnB3"},
    ),
}
CREDENTIALS = ("authorization", "x-api-key", "x-team", "x-tenant-id", "langsmith-project", "x-project-name", "x-mlflow-experiment-id")


RUN = "19700101T000001000000Z00000000-0000-0000-0000-000000000001"
CALL = f"{RUN}.19700101T000002000000Z00000000-0000-0000-0000-000000000002"
STANDING = {
    "run plan": (RUN, None),
    "forecast": (CALL, 1),
    "forecast attempt 1": (f"{CALL}.19700101T000003000000Z00000000-0000-0000-0000-000000000003", 2),
    "forecast attempt 2": (f"{CALL}.19700101T000005000000Z00000000-0000-0000-0000-000000000004", 2),
    "cached": (f"{RUN}.19700101T000008000000Z00000000-0000-0000-0000-000000000005", 1),
}


def place(order, parent):
    """What LangSmith is told of where a span of `tool_run` stands."""
    said = {"langsmith.trace.id": "00000000-0000-0000-0000-000000000001", "langsmith.span.dotted_order": order}
    return said if parent is None else {**said, "langsmith.span.parent_id": f"00000000-0000-0000-0000-00000000000{parent}"}


def expected_attributes(backend):
    added = OPENINFERENCE if OWN[backend] else {}
    places = {name: place(*where) for name, where in STANDING.items()} if backend == "langsmith" else {}
    spoken = {"gen_ai.conversation.id": "trip-1"} if OWN[backend] else {}
    return {
        name: {**neutral, **spoken, **added.get(name, {}), **OWN[backend].get(name, {}), **places.get(name, {})}
        for name, neutral in NEUTRAL.items()
    }


@pytest.mark.parametrize("backend", list(PLACES))
def test_each_backend_gets_its_own_bytes(make_play, monkeypatch, collector, spans_of, backend):
    """Path, headers, resource, ids, parents, status, and the attributes it reads beside all of ours."""
    variables, path, headers = PLACES[backend]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    named = "shop" if spans_of == "light" else None
    with configure(backend, endpoint=collector.url, service_name=named, lines=False) as handle:
        tool_run(make_play(events.observer))
        assert handle.flush(60)

    sent = collector.requests[0]
    attributes = {span.name: values(span.attributes) for span in collector.spans}
    for known in attributes.values():
        known.pop("holdfast.cache.key_hash", None)
        known.pop("holdfast.error.location", None)
    assert {path} == {request[0] for request in collector.requests}
    assert headers == {name: value for name, value in sent[1].items() if name in {*CREDENTIALS, *headers}}
    assert {"shop"} == {values(r.resource.attributes)["service.name"] for _, _, m in collector.requests for r in m.resource_spans}
    assert {TRACE_ID} == {span.trace_id.hex() for span in collector.spans}
    assert {
        "run plan": (1, 0, 0, ""),
        "forecast": (2, 1, 0, ""),
        "forecast attempt 1": (3, 2, 2, "reset"),
        "forecast attempt 2": (4, 2, 0, ""),
        "cached": (5, 1, 0, ""),
    } == {
        span.name: (
            int.from_bytes(span.span_id),
            int.from_bytes(span.parent_span_id),
            span.status.code,
            span.status.message,
        )
        for span in collector.spans
    }
    assert expected_attributes(backend) == attributes


@pytest.mark.parametrize(
    ("variables", "given", "endpoint", "headers"),
    [
        ({}, ("phoenix",), "http://localhost:6006/v1/traces", {}),
        ({}, ("mlflow",), "http://localhost:5000/v1/traces", {"x-mlflow-experiment-id": "0"}),
        ({"LANGSMITH_API_KEY": " 'k' "}, ("langsmith",), "https://api.smith.langchain.com/otel/v1/traces", {"x-api-key": "k"}),
        (
            {"LANGCHAIN_API_KEY": "old", "LANGCHAIN_ENDPOINT": "https://eu.api.smith.langchain.com/", "LANGCHAIN_PROJECT": "p"},
            ("langsmith",),
            "https://eu.api.smith.langchain.com/otel/v1/traces",
            {"x-api-key": "old", "Langsmith-Project": "p"},
        ),
        (
            {"LANGSMITH_API_KEY": "k", "LANGCHAIN_API_KEY": "old", "LANGSMITH_PROJECT": "p"},
            ("langsmith", "https://ls.example.com/api/v1", "q"),
            "https://ls.example.com/api/v1/otel/v1/traces",
            {"x-api-key": "k", "Langsmith-Project": "q"},
        ),
        (
            {"LANGSMITH_API_KEY": "k"},
            ("langsmith", "https://ls.example.com/api/v1/otel", None, {"X-API-Key": "mine"}),
            "https://ls.example.com/api/v1/otel/v1/traces",
            {"X-API-Key": "mine"},
        ),
        (
            {"LANGFUSE_PUBLIC_KEY": "p", "LANGFUSE_SECRET_KEY": "s", "LANGFUSE_HOST": "https://us.cloud.langfuse.com"},
            ("langfuse",),
            "https://us.cloud.langfuse.com/api/public/otel/v1/traces",
            {"Authorization": "Basic cDpz", "x-langfuse-ingestion-version": "4"},
        ),
        (
            {
                "LANGFUSE_PUBLIC_KEY": "p",
                "LANGFUSE_SECRET_KEY": "s",
                "LANGFUSE_BASE_URL": "http://lf/api/public",
                "LANGFUSE_HOST": "http://no",
            },
            ("langfuse",),
            "http://lf/api/public/otel/v1/traces",
            {"Authorization": "Basic cDpz", "x-langfuse-ingestion-version": "4"},
        ),
        (
            {"PHOENIX_COLLECTOR_ENDPOINT": "https://app.phoenix.arize.com/s/me", "PHOENIX_PROJECT_NAME": "n"},
            ("phoenix",),
            "https://app.phoenix.arize.com/s/me/v1/traces",
            {"x-project-name": "n"},
        ),
        (
            {"PHOENIX_CLIENT_HEADERS": "api_key=a%20b, Authorization=Bearer x", "PHOENIX_PROJECT": "n", "PHOENIX_PROJECT_NAME": "old"},
            ("phoenix", "http://px:6006/v1/traces"),
            "http://px:6006/v1/traces",
            {"api_key": "a b", "authorization": "Bearer x", "x-project-name": "n"},
        ),
        (
            {"MLFLOW_TRACKING_URI": "http://ml/base/", "MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_WORKSPACE": "w"},
            ("mlflow", None, "4"),
            "http://ml/base/v1/traces",
            {"x-mlflow-experiment-id": "4", "Authorization": "Bearer t", "X-MLFLOW-WORKSPACE": "w"},
        ),
    ],
)
def test_destinations_come_from_arguments_and_each_backends_own_variables(monkeypatch, variables, given, endpoint, headers):
    """What is given wins; an address may stop anywhere in the path."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    made = destination(*given)
    assert (endpoint, headers) == (made.target.endpoint, made.headers)


def destination(backend, endpoint=None, project=None, headers=None, protocol=None):
    return _backends.destination(backend, endpoint=endpoint, protocol=protocol, project=project, headers=headers)


@pytest.mark.parametrize(
    ("variables", "given", "message"),
    [
        (
            {},
            {"backend": "langsmith"},
            ("backend 'langsmith' takes nothing without credentials: set LANGSMITH_API_KEY (its Settings, API Keys), "
            "or give headers={'x-api-key': ...}"),
        ),
        (
            {"LANGFUSE_PUBLIC_KEY": "pk-lf-1"},
            {"backend": "langfuse"},
            ("backend 'langfuse' takes nothing without credentials: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY "
            "(its project's Settings, API Keys), or give headers={'authorization': ...}"),
        ),
        (
            {"MLFLOW_EXPERIMENT_NAME": "trips"},
            {"backend": "mlflow"},
            ("MLFLOW_EXPERIMENT_NAME='trips' is not enough, since MLflow takes spans by the experiment's id: "
            "set MLFLOW_EXPERIMENT_ID, or give project=; `mlflow experiments search` lists the ids"),
        ),
        (
            {"PHOENIX_COLLECTOR_ENDPOINT": "localhost:6006"},
            {"backend": "phoenix"},
            "PHOENIX_COLLECTOR_ENDPOINT='localhost:6006' is not a URL: write for example 'http://localhost:6006'",
        ),
        (
            {"MLFLOW_TRACKING_URI": "sqlite:///ml.db"},
            {"backend": "mlflow"},
            "MLFLOW_TRACKING_URI='sqlite:///ml.db' is not a URL: write for example 'http://localhost:5000'",
        ),
        ({}, {"backend": "phoenix", "endpoint": 6006}, "endpoint=6006 is not a URL: write for example 'http://localhost:6006'"),
        (
            {},
            {"backend": "phoenix", "protocol": "grpc"},
            "protocol='grpc' means nothing to backend 'phoenix', which takes spans over HTTP: leave it out",
        ),
        ({}, {"backend": "phoenix", "project": " "}, "project=' ' is no name: leave it out for what the environment says"),
        (
            {"LANGFUSE_PUBLIC_KEY": "p", "LANGFUSE_SECRET_KEY": "s"},
            {"backend": "langfuse", "project": "trips"},
            "project='trips' means nothing to backend 'langfuse': its keys are those of one project",
        ),
        ({}, {"backend": "jaeger", "project": "p"}, "project='p' means nothing to backend 'jaeger': use 'langsmith', 'phoenix' or 'mlflow'"),
        (
            {},
            {"backend": "otlp", "headers": {"x-key": "a\n"}},
            "headers: the one named 'x-key' is no text that can be sent: give printable strings, without line breaks",
        ),
        ({}, {"backend": "otlp", "headers": "x-key=a"}, "headers: give a dict of names and values, such as {'x-api-key': key}"),
        ({}, {"backend": "local", "headers": {"a": "b"}}, "headers means nothing to backend 'local': use 'otlp', 'jaeger' or another that takes OTLP"),
        ({}, {"backend": "auto", "project": "p"}, "project='p' means nothing to backend 'auto': it takes them from the environment"),
        (
            {"HOLDFAST_DIALECT": "langsmit"},
            {"backend": "otlp"},
            "HOLDFAST_DIALECT='langsmit' is not known: use one of 'langsmith', 'langfuse', 'phoenix', 'mlflow', 'gen_ai'; did you mean 'langsmith'?",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(monkeypatch, variables, given, message):
    """With the variable or the option, its value unless it is secret, and the fix; and nothing is set up."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(PolicyError) as caught:
        configure(**given)

    assert message == str(caught.value)
    assert events.observer is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("local",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ("otlp",)),
        ({"LANGSMITH_API_KEY": "k"}, ("langsmith",)),
        ({"LANGSMITH_TRACING": "true"}, ("langsmith",)),
        ({"LANGSMITH_API_KEY": "k", "LANGSMITH_TRACING": "false"}, ("local",)),
        ({"LANGFUSE_SECRET_KEY": "s"}, ("langfuse",)),
        ({"LANGFUSE_SECRET_KEY": "s", "LANGFUSE_PUBLIC_KEY": "p", "LANGFUSE_TRACING_ENABLED": "False"}, ("local",)),
        ({"PHOENIX_API_KEY": "k"}, ("local",)),
        ({"MLFLOW_TRACKING_URI": "sqlite:///ml.db"}, ("local",)),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces",
                "MLFLOW_TRACKING_URI": "https://ml",
                "PHOENIX_COLLECTOR_ENDPOINT": "http://px",
                "LANGFUSE_PUBLIC_KEY": "p",
                "LANGCHAIN_TRACING_V2": "true",
            },
            ("langsmith", "langfuse", "phoenix", "mlflow", "otlp"),
        ),
    ],
)
def test_auto_is_what_the_environment_names(monkeypatch, variables, expected):
    """Each backend by its own variables, in the documented order; a switch that is off counts."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == _backends.named()


def test_auto_sends_to_all_that_are_named(make_play, monkeypatch, collector):
    """Each in its own dialect, with its own headers; the handle stands for all of them."""
    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", collector.url + "/px")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", collector.url + "/ml")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    handle = configure("auto", lines=False)
    with make_play(events.observer).run():
        pass

    assert handle.flush(60)
    handle.shutdown()
    assert "phoenix, mlflow, otlp" == handle.backend
    assert {
        "/px/v1/traces": {"openinference.span.kind"},
        "/ml/v1/traces": {"openinference.span.kind", "mlflow.spanType"},
        "/v1/traces": set(),
    } == {
        path: {name for name in values(scoped(message.resource_spans[0])[0].attributes) if not name.startswith(("holdfast.", "code."))}
        for path, _, message in collector.requests
    }
    assert events.observer is None


def test_auto_sets_up_nothing_when_one_of_them_cannot_work(monkeypatch, fresh):
    """A key that is missing is told before any backend is there."""
    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", "http://localhost:6006")
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "p")

    with pytest.raises(PolicyError, match="LANGFUSE_SECRET_KEY"):
        configure("auto")

    assert {} == fresh.handles


def test_a_collectors_headers_and_logins_stay_with_it(make_play, monkeypatch, collector, tmp_path):
    """OTEL_EXPORTER_OTLP_HEADERS and ~/.netrc hold secrets of others; a backend gets its own only."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login bob password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret,x-honeycomb-team=secret")
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    with configure("langsmith", endpoint=collector.url, lines=False) as handle:
        with make_play(events.observer).run():
            pass
        assert handle.flush(60)

    _, headers, _ = collector.requests[0]
    assert ("k", None, None) == (headers["x-api-key"], headers.get("authorization"), headers.get("x-honeycomb-team"))


def test_neither_keys_nor_logins_are_shown(make_play, monkeypatch, collector, capsys):
    """Not in the handle's repr, not in what is said about trouble."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_pt_canary")
    collector.answers.append((401, {"Content-Type": JSON}, b'{"error":"token=canary is invalid"}'))
    handle = configure("langsmith", endpoint=collector.url.replace("//", "//ann:canary@") + "?api_key=canary", lines=False)
    with make_play(events.observer).run():
        pass
    handle.flush(60)
    shown = repr(handle)
    handle.shutdown()
    firewall.flush(30.0)

    said = capsys.readouterr().err
    assert "401" in said
    assert "canary" not in shown + said


def test_a_plain_collector_gets_the_dialects_that_are_asked_for(make_play, monkeypatch, collector):
    """By HOLDFAST_DIALECT, several at once; a parent elsewhere stays, since other backends may be behind it."""
    monkeypatch.setenv("HOLDFAST_DIALECT", "langsmith, langfuse")
    monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "production")
    monkeypatch.setenv("LANGFUSE_RELEASE", "v2")
    elsewhere = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with configure("otlp", endpoint=collector.url, lines=False) as handle:
        with trace.use_span(elsewhere), make_play(events.observer).run():
            pass
        assert handle.flush(60)

    (span,) = collector.spans
    added = {name: value for name, value in values(span.attributes).items() if name.startswith(("lang", "openinference"))}
    assert {
        "openinference.span.kind": "CHAIN",
        "langsmith.span.kind": "chain",
        "langfuse.observation.type": "chain",
        "langfuse.environment": "production",
        "langfuse.release": "v2",
    } == added
    assert 6 == int.from_bytes(span.parent_span_id)


@pytest.mark.parametrize(("backend", "parent", "metadata"), [("langsmith", 0, "0000000000000006"), ("phoenix", 6, None)])
def test_langsmith_gets_no_orphans(make_play, monkeypatch, collector, spans_of, backend, parent, metadata):
    """It drops a span whose parent never comes, with all below: one in another process is told as metadata instead."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    elsewhere = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with configure(backend, endpoint=collector.url, lines=False) as handle:
        play = make_play(events.observer)
        with trace.use_span(elsewhere), play.run() as run, play.call(run) as call, play.attempt(call):
            pass
        assert handle.flush(60)

    spans = {span.name: span for span in collector.spans}
    assert (parent, metadata) == (
        int.from_bytes(spans["run plan"].parent_span_id),
        values(spans["run plan"].attributes).get("langsmith.metadata.parent_span_id"),
    )
    assert spans["run plan"].span_id == spans["forecast"].parent_span_id
    assert backend == "phoenix" or {"run plan": "run plan", "forecast": "run plan > forecast"} == standing(collector)


def standing(collector):
    """The way to each span, by the names of the spans on it; ids that nothing has are left as they are."""
    names = {f"00000000-0000-0000-{s.span_id.hex()[:4]}-{s.span_id.hex()[4:]}": s.name for s in collector.spans}

    def ways():
        for span in collector.spans:
            known = values(span.attributes)
            ids_ = [step.partition("Z")[2] for step in known.get("langsmith.span.dotted_order", "").split(".")]
            assert known.get("langsmith.trace.id", "") == ids_[0]
            assert known.get("langsmith.span.parent_id", "") == ["", *ids_][len(ids_) - 1]
            yield span.name, " > ".join(names.get(each, each) for each in ids_)

    return dict(ways())


def test_langsmith_needs_no_parent_to_place_a_child(make_play, monkeypatch, collector, spans_of):
    """A call that ends hours before its run says where it stands, and so do spans of others, around it and inside."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    with configure("langsmith", endpoint=collector.url, lines=False) as handle:
        play, tracer = make_play(events.observer), trace.get_tracer("mine")
        with tracer.start_as_current_span("around"), play.run() as run:
            with play.call(run, max_attempts=2) as call, play.attempt(call), tracer.start_as_current_span("GET"):
                pass
            assert handle.flush(60)
            early = standing(collector)
        with play.run("other"):
            pass
        assert handle.flush(60)

    assert {"GET", "forecast", "forecast attempt 1"} == set(early)
    assert {
        "around": "around",
        "run plan": "around > run plan",
        "forecast": "around > run plan > forecast",
        "forecast attempt 1": "around > run plan > forecast > forecast attempt 1",
        "GET": "around > run plan > forecast > forecast attempt 1 > GET",
        "run other": "run other",
    } == standing(collector)


def test_langsmith_is_told_of_a_place_below_what_has_ended(make_play, monkeypatch, collector, spans_of):
    """All leave together, and the span around has long ended and been forgotten by then."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with configure("langsmith", endpoint=collector.url, lines=False) as handle:
        with trace.get_tracer("mine").start_as_current_span("around"), make_play(events.observer).run():
            pass
        gc.collect()
        assert handle.flush(60)

    assert {"around": "around", "run plan": "around > run plan"} == standing(collector)


def test_langsmith_is_told_nothing_of_a_place_that_nobody_knows(make_play, monkeypatch, collector, spans_of):
    """Below a span that began before anybody listened; LangSmith finds the place once all of them are there."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    early = NonRecordingSpan(SpanContext(5, 6, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with configure("langsmith", endpoint=collector.url, lines=False) as handle:
        with trace.use_span(early), make_play(events.observer).run():
            pass
        assert handle.flush(60)

    (span,) = collector.spans
    assert (6, {}) == (
        int.from_bytes(span.parent_span_id),
        {name: value for name, value in values(span.attributes).items() if name.startswith(("langsmith.span.d", "langsmith.trace"))},
    )


def test_what_users_set_stays_and_other_spans_are_left_alone(make_play, monkeypatch, collector, spans_of):
    """A dialect adds to our spans only, and replaces nothing."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    with configure("langsmith", endpoint=collector.url, lines=False) as handle:
        play = make_play(events.observer)
        with play.run() as run, play.call(run) as call, play.attempt(call):
            trace.get_current_span().set_attribute("langsmith.span.kind", "llm")
            trace.get_tracer("mine").start_span("GET").end()
        assert handle.flush(60)

    kinds = {span.name: values(span.attributes).get("langsmith.span.kind") for span in collector.spans}
    assert {"run plan": "chain", "forecast": "llm", "GET": None} == kinds


def test_what_was_lost_to_limits_is_still_counted(make_play, collector, spans_of):
    """The copy for a backend says how many attributes and events its original has lost."""
    with configure("phoenix", endpoint=collector.url, lines=False) as handle:
        with make_play(events.observer).run():
            for number in range(200):
                trace.get_current_span().add_event(str(number))
        assert handle.flush(60)

    assert [72] == [span.dropped_events_count for span in collector.spans]


PLAIN = {"Content-Type": "text/plain"}
WHERE = {"langsmith": "/otel/v1/traces", "mlflow": "/v1/traces"}


@pytest.mark.parametrize(
    ("backend", "answer", "reason"),
    [
        ("langsmith", (401, {}, b""), "401 Unauthorized: check LANGSMITH_API_KEY and, for a key of several workspaces, LANGSMITH_WORKSPACE_ID"),
        (
            "langsmith",
            (403, {"Content-Type": JSON}, b'{"error":\n"Forbidden"}'),
            ("403 Forbidden: check LANGSMITH_API_KEY and, for a key of several workspaces, LANGSMITH_WORKSPACE_ID"
            '; it says: {"error": "Forbidden"}'),
        ),
        ("mlflow", (404, PLAIN, b"no such experiment"), "404 Not Found: nothing takes spans at {url}: check MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID; it says: no such experiment"),
        ("mlflow", (405, {}, b""), "405 Method Not Allowed: nothing takes spans at {url}: check MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID"),
        (
            "langsmith",
            (413, {}, b""),
            f"413 {HTTPStatus(413).phrase}: make the batches smaller: set OTEL_BSP_MAX_EXPORT_BATCH_SIZE below 512, or capture less",
        ),
        (
            "langsmith",
            (429, {"Retry-After": "30"}, b""),
            "429 Too Many Requests: it wants less for 30 s: sample, with OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, or raise its limit",
        ),
        ("mlflow", (422, {}, b"\x00\xff"), f"422 {HTTPStatus(422).phrase}: it does not take these spans"),
        ("mlflow", (500, {"Content-Type": "text/html"}, b"<html>"), "500 Internal Server Error: the trouble is at its end: see its log"),
        (
            "mlflow",
            (301, {"Location": "https://ml/v1/traces"}, b""),
            "301 Moved Permanently, to 'https://ml/v1/traces': give the address that is meant, in MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID",
        ),
        ("mlflow", (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), "a web page answers at {url}: check MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID"),
        ("mlflow", (200, PROTOBUF, b"\x0a\xff"), "what answers at {url} does not speak OTLP: check MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_good_is_one_line_that_says_what_to_do(make_play, monkeypatch, collector, capsys, backend, answer, reason):
    """And the flush tells that spans were lost."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    collector.answers += [answer] * 10
    handle = configure(backend, endpoint=collector.url, lines=False)
    play = make_play(events.observer)
    for _ in range(20):
        with play.run() as run, play.call(run) as call, play.attempt(call):
            pass

    assert not handle.flush(60)
    firewall.flush(30.0)
    url = collector.url + WHERE[backend]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"holdfast: the export of spans to {url} does not work, calls go on without it: {reason.replace('{url}', url)}" == line
    handle.shutdown()


def test_a_refusal_within_an_answer_of_200_is_told_and_counted(make_play, collector, capsys):
    """OTLP says so in the body; the exporter of the SDK does not look at it."""
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 1
    partial.partial_success.error_message = "too old"
    collector.answers.append((200, PROTOBUF, partial.SerializeToString()))
    handle = configure("otlp", endpoint=collector.url, lines=False)
    with make_play(events.observer).run():
        pass

    assert [False, True] == [handle.flush(60), handle.flush(60)]
    assert 1 == handle._processor.lane.failed
    firewall.flush(30.0)
    assert capsys.readouterr().err.endswith("calls go on without it: 1 spans were refused: too old\n")
    handle.shutdown()


def test_spans_arrive_when_a_backend_has_recovered(make_play, collector, capsys):
    """A 503 that says when to come again delays the export, and nothing is lost."""
    collector.answers.append((503, {"Retry-After": "0"}, b""))
    with configure("otlp", endpoint=collector.url, lines=False) as handle:
        with make_play(events.observer).run():
            pass
        assert handle.flush(60)
    firewall.flush(30.0)

    assert ["run plan", "run plan"] == [span.name for span in collector.spans]
    assert 1 == len(capsys.readouterr().err.splitlines())
