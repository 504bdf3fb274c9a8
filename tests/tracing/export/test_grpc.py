"""What a collector answers over gRPC, on a real socket, is one line that says what to do."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, add_TraceServiceServicer_to_server

from holdfast import events
from holdfast.tracing import configure
from holdfast.tracing.safety import firewall
from tests.tracing.export.test_otlp import closed_port, http_collector, lanes_end
from tests.waiting import until


@pytest.fixture(autouse=True)
def _loopback(monkeypatch, fresh):
    """No proxy between us."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextlib.contextmanager
def collector(answer):
    """Answers each export with what ``answer(context)`` returns; gives its address."""

    class Service(TraceServiceServicer):
        def Export(self, request, context):  # noqa: N802 - gRPC's own name
            return answer(context)

    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        add_TraceServiceServicer_to_server(Service(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


def heard(make_play, endpoint, capsys, *, is_lost=True, protocol="grpc"):
    """What is said first of the export of one span, without where to."""
    handle = configure("otlp", endpoint=endpoint, protocol=protocol, lines=False)
    with make_play(events.observer).run():
        pass
    if is_lost:
        assert not handle.flush(60)
        assert 1 == handle._processor.lane.failed
    said = ""

    def is_said():
        nonlocal said
        said += capsys.readouterr().err
        return "\n" in said

    until(is_said)
    lanes_end(handle._processor)  # not waiting for what is tried again
    handle.shutdown()
    until(lambda: not handle._processor.lane.writing.locked())  # what is given up is told by then
    return said.splitlines()[0].removeprefix(f"holdfast: the export of spans to {endpoint} does not work, calls go on without it: ")


PLACE, KEYS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
SAMPLE = "sample, with OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, or raise its limit"


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("UNAUTHENTICATED", "no such key", f"UNAUTHENTICATED: check {KEYS}; it says: no such key"),
        ("PERMISSION_DENIED", "", f"PERMISSION_DENIED: check {KEYS}"),
        ("UNIMPLEMENTED", "", "UNIMPLEMENTED: nothing takes spans at {place}: check " + PLACE),
        ("INVALID_ARGUMENT", "a span\nhas no id", "INVALID_ARGUMENT: it does not take these spans; it says: a span has no id"),
        ("INTERNAL", "", "INTERNAL: the trouble is at its end: see its log"),
    ],
)
def test_a_refusal_says_what_to_do(make_play, capsys, code, text, reason):
    """Instead of the SDK's own words for it, which name a code."""
    with collector(lambda context: context.abort(grpc.StatusCode[code], text)) as endpoint:
        assert reason.replace("{place}", endpoint.removeprefix("http://")) == heard(make_play, endpoint, capsys)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("UNAVAILABLE", f"UNAVAILABLE: it takes nothing at the moment: check {PLACE}, and its log; it says: later"),
        (
            "RESOURCE_EXHAUSTED",
            f"RESOURCE_EXHAUSTED: it wants less: {SAMPLE}; or make the batches smaller: set OTEL_BSP_MAX_EXPORT_BATCH_SIZE below 512, or capture less; it says: later",
        ),
        (
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED: no answer in time: see its log, or set OTEL_EXPORTER_OTLP_TIMEOUT above 10 seconds; it says: later",
        ),
    ],
)
def test_what_is_tried_again_is_told_at_once(make_play, capsys, code, reason):
    """The exporter goes on for ten seconds."""
    with collector(lambda context: context.abort(grpc.StatusCode[code], "later")) as endpoint:
        assert reason == heard(make_play, endpoint, capsys, is_lost=False)


def test_spans_refused_within_an_answer_are_told_and_counted(make_play, capsys):
    """The exporter of the SDK takes such an answer for success."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 1
    answer.partial_success.error_message = "too old"
    with collector(lambda _: answer) as endpoint:
        assert "1 spans were refused: too old" == heard(make_play, endpoint, capsys)


def test_nobody_is_there(make_play, capsys):
    """In the words of the system, as over HTTP."""
    with closed_port() as endpoint:
        said = heard(make_play, endpoint, capsys, is_lost=False)

    place = endpoint.removeprefix("http://")
    assert f"no connection to {place}: Connection refused: is it running? check {PLACE}" == said


def test_the_port_for_http_is_no_port_for_grpc(make_play, capsys):
    """4318 in the place of 4317 is the likeliest mistake, and gRPC only says that it failed to connect."""
    with http_collector() as (url, _):
        endpoint = url.removesuffix("/v1/traces")
        said = heard(make_play, endpoint, capsys, is_lost=False)

    place = endpoint.removeprefix("http://")
    assert f"what answers at {place} speaks HTTP: use protocol='http/protobuf', or its port for gRPC, which is often 4317" == said


def test_the_port_for_grpc_is_no_port_for_http(make_play, capsys):
    """The same mistake the other way round: the collector is running, and it is no help to be asked whether it is."""
    with collector(lambda _: ExportTraceServiceResponse()) as endpoint:
        said = heard(make_play, endpoint, capsys, is_lost=False, protocol="http/protobuf")

    assert (
        f"holdfast: the export of spans to {endpoint}/v1/traces does not work, calls go on without it: what answers at {endpoint}/v1/traces "
        f"does not speak HTTP: use its port for HTTP, which is often 4318, or protocol='grpc' where that can be chosen; check {PLACE}"
    ) == said


def test_the_exporter_itself_says_nothing_even_at_the_end(make_play, capsys, caplog):
    """What it gives up is counted and said by us; its own line would be a second one."""
    with closed_port() as endpoint:
        heard(make_play, endpoint, capsys, is_lost=False)
    firewall.flush(30.0)

    rest = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("holdfast: ")]
    assert ([], []) == (rest, caplog.messages)
