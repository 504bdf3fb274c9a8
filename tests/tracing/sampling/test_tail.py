"""KeepInteresting in use: for holdfast's own backends, and in front of a processor of the application's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from holdfast import RetryPolicy, entrypoint, task
from holdfast.errors import PolicyError
from holdfast.testing import Flake
from holdfast.tracing import KeepInteresting, configure
from holdfast.tracing.setup import _session
from holdfast.tracing.store.database import TraceStore

ALL = {"request", "run plan", "forecast", "forecast attempt 1", "lookup", "forecast attempt 2"}


@pytest.fixture(params=["light", "sdk"])
def kind(request, fresh, monkeypatch):
    """Holdfast's own spans are light, or the SDK's."""
    if request.param == "sdk":
        monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "100")
    return request.param


def work(failures=0):
    """A request to a service: spans of another library around a run, and inside an attempt."""
    tracer = trace.get_tracer("another.library")
    left = iter(range(failures))

    @task(retry_policy=RetryPolicy(initial_interval=0.001))
    def forecast():
        with tracer.start_as_current_span("lookup"):
            if next(left, None) is not None:
                raise Flake("not now")
        return 3

    @entrypoint()
    def plan(_):
        return forecast().result()

    with tracer.start_as_current_span("request"):
        assert 3 == plan.invoke(None)


def test_only_the_interesting_tree_is_sent_and_whole(kind, receiver):
    """Spans of holdfast and of other libraries are one tree, above and below."""
    with configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=0), lines=False) as handle:
        work()
        assert handle.flush(60)
        assert {} == receiver.spans()
        work(failures=1)
        work()
        assert handle.flush(60)
    found = [span for scope in receiver.scopes() for span in scope.spans]

    assert ALL == {span.name for span in found}
    assert len(ALL) + 1 == len(found)  # a lookup in each attempt
    assert 1 == len({span.trace_id for span in found})
    assert {span.parent_span_id for span in found} <= {b"", *(span.span_id for span in found)}


def test_a_slow_request_is_sent(kind, receiver):
    """The root tells, when all else has ended."""
    with configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=0, slower_than="1h"), lines=False) as handle:
        tracer = trace.get_tracer("another.library")
        root = tracer.start_span("request", start_time=1)
        with trace.use_span(root, end_on_exit=True):
            tracer.start_span("lookup").end()
        assert handle.flush(60)

    assert {"request", "lookup"} == set(receiver.spans())


def test_the_local_store_keeps_everything(kind, receiver, tmp_path):
    """What one backend is not sent another one may have."""
    tmp_path.chmod(0o700)
    with (
        configure(path=tmp_path / "t.db", lines=False) as handle,
        configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=0)),
    ):
        work()
        assert handle.flush(60)

    store = TraceStore(tmp_path / "t.db")
    (trace_id,) = {run.trace_id for run in store.runs()}
    assert ALL - {"forecast attempt 2"} == {row.name for row in store.spans(trace_id)}
    assert {} == receiver.spans()
    store.close()


def test_what_was_not_sampled_is_not_sent(kind, receiver):
    """The service that called decided so: not even a failure brings it back."""
    elsewhere = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(0)))
    with (
        configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=1), lines=False),
        trace.use_span(elsewhere),
    ):
        work(failures=1)

    assert {} == receiver.spans()


PROGRAM = """
    from opentelemetry import trace
    from holdfast.tracing import KeepInteresting, configure
    from holdfast.tracing.safety import firewall

    firewall.EXIT_TIMEOUT = 60.0  # the machine may be slow
    configure("otlp", endpoint={endpoint!r}, sampling=KeepInteresting(ratio={ratio}), lines=False)
    tracer = trace.get_tracer("x")
    for name in ("dull", "failing"):
        root = tracer.start_span("never ends")
        with trace.use_span(root):
            tracer.start_span(name + " before").end()
            inside = tracer.start_span(name)
            if name == "failing":
                inside.set_status(trace.StatusCode.ERROR)
            inside.end()
            tracer.start_span(name + " after").end()
"""


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0, {"failing before", "failing", "failing after"}),
        (1, {"failing before", "failing", "failing after", "dull before", "dull", "dull after"}),
    ],
)
def test_what_is_undecided_at_exit_goes_by_what_is_known(receiver, ratio, expected):
    """A real process that ends before its roots do: what is interesting so far is sent, and the part by ratio."""
    program = textwrap.dedent(PROGRAM.format(endpoint=receiver.endpoint, ratio=ratio))
    told = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, timeout=60, check=False)

    assert ("", 0) == (done.stderr, done.returncode)
    assert expected == set(receiver.spans())


@pytest.mark.parametrize("backend", ["local", "console"])
def test_what_keeps_everything_takes_no_sampling(fresh, backend):
    """An option that would do nothing is refused."""
    with pytest.raises(PolicyError, match=f"means nothing to backend '{backend}': it keeps everything"):
        configure(backend, sampling=KeepInteresting())


def test_auto_takes_it_also_where_there_is_only_the_local_store(fresh, tmp_path, capsys):
    """So that the same program runs on a machine that knows no backend."""
    tmp_path.chmod(0o700)
    with configure("auto", path=tmp_path / "t.db", sampling=KeepInteresting(ratio=0), lines=False) as handle:
        work()

    assert ("local", None) == (handle.backend, handle.sampling)


def test_something_else_is_refused(fresh):
    """By its name, before anything is set up."""
    with pytest.raises(PolicyError, match=r"sampling=0.05 says not what to keep: write for example KeepInteresting\(ratio=0.05"):
        configure("otlp", sampling=0.05)
    assert {} == _session.current.handles


def test_another_policy_for_the_same_backend_comes_too_late(fresh, receiver):
    """An equal one, or none, is fine."""
    first = configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(), lines=False)

    assert first is configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=0.05))
    assert first is configure("otlp", endpoint=receiver.endpoint)
    with pytest.raises(PolicyError, match=r"sampling=KeepInteresting\(ratio=1.0\) comes too late: <tracing to otlp"):
        configure("otlp", endpoint=receiver.endpoint, sampling=KeepInteresting(ratio=1))


# -- in front of a processor of the application's -------------------------------------------------------------------------------------------


class Told(SimpleSpanProcessor):
    """Keeps what it is told."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.said = []
        super().__init__(self.exporter)

    def on_start(self, span, parent_context=None):
        self.said.append(span.name)

    def shutdown(self):
        self.said.append("shutdown")

    def force_flush(self, timeout_millis=30_000):
        self.said.append(timeout_millis)
        return False

    def names(self):
        return [span.name for span in self.exporter.get_finished_spans()]


@pytest.fixture
def told(fresh):
    return Told()


def provider(processor, sampler=ALWAYS_ON):
    made = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    made.add_span_processor(processor)
    return made


def test_an_application_keeps_its_interesting_trees(told):
    """With a provider and an exporter of its own, and nothing configured."""
    trace.set_tracer_provider(provider(KeepInteresting(ratio=0).wrap(told)))
    work()
    assert [] == told.names()
    work(failures=1)

    assert ALL == set(told.names())


def test_the_other_processor_is_told_the_rest(told):
    """Beginnings, flushes, the end; and what it says of a flush is handed on."""
    wrapped = KeepInteresting(ratio=0).wrap(told)
    provider(wrapped).get_tracer("x").start_span("s").end()

    assert wrapped.force_flush(7) is False
    wrapped.shutdown()
    assert ["s", 7, "shutdown"] == told.said


def test_after_shutdown_nothing_is_held(told):
    """What was held is gone."""
    wrapped = KeepInteresting(ratio=0).wrap(told)
    tracer = provider(wrapped).get_tracer("x")
    with tracer.start_as_current_span("root"):
        tracer.start_span("inside").end()
        assert 1 == wrapped._held.count
        wrapped.shutdown()

        assert 0 == wrapped._held.count


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF)])
def test_the_sampler_of_the_provider_is_respected(told, sampler):
    """What is not recorded is not brought back."""
    span = provider(KeepInteresting(ratio=1).wrap(told), sampler).get_tracer("x").start_span("s")
    span.set_status(StatusCode.ERROR)
    span.end()

    assert [] == told.names()


def test_it_wraps_processors_only():
    """An exporter, say, is none."""
    with pytest.raises(PolicyError, match="this is no span processor"):
        KeepInteresting().wrap(InMemorySpanExporter())
