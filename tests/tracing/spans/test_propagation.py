"""Across processes: subprocesses and pools of processes, forked, spawned and served, with a real receiver."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from holdfast import PolicyError, resilient
from holdfast.tracing import carried, child_env
from holdfast.tracing.spans import propagation

TRACEPARENT = "00-0000000000000000000000000000abcd-00000000000000ef-01"
SPAN = NonRecordingSpan(SpanContext(0xABCD, 0xEF, is_remote=True, trace_flags=TraceFlags(1)))


@pytest.fixture
def tracer():
    return TracerProvider(shutdown_on_exit=False).get_tracer("test")


def test_a_child_is_told_of_the_current_span():
    """In W3C's form, beside everything else the environment has."""
    with trace.use_span(SPAN):
        told = child_env()

    assert {**os.environ, "TRACEPARENT": TRACEPARENT} == told


def test_what_is_given_is_added_to():
    """And stays as it is; a state that belongs to another parent is left out."""
    base = {"A": "1", "TRACESTATE": "old=1", "TRACEPARENT": "old"}
    with trace.use_span(SPAN):
        told = child_env(base)

    assert {"A": "1", "TRACEPARENT": TRACEPARENT} == told
    assert {"A": "1", "TRACESTATE": "old=1", "TRACEPARENT": "old"} == base


def test_a_state_goes_along():
    """Other tracing systems' part."""
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_state=TraceState([("other", "x")])))
    with trace.use_span(span):
        assert "other=x" == child_env({})["TRACESTATE"]


def test_without_a_span_the_environment_stays_as_it_is():
    """So a grandchild belongs to whoever began."""
    assert {"TRACEPARENT": "kept"} == child_env({"TRACEPARENT": "kept"})


def current_ids():
    """Where the span that is current belongs."""
    found = trace.get_current_span().get_span_context()
    return found.trace_id, found.span_id


def test_a_carried_function_runs_where_it_was_made(tracer):
    """Though pickled, though another span is current when it is called, and only while it runs."""
    with trace.use_span(SPAN):
        job = pickle.loads(pickle.dumps(carried(divmod))), carried(current_ids)
    with tracer.start_as_current_span("other") as other:
        assert ((3, 1), (0xABCD, 0xEF)) == (job[0](7, 2), job[1]())
        assert other is trace.get_current_span()


@resilient
def doubled(number):
    """Found by its name where a pool unpickles it."""
    return 2 * number


def test_a_decorated_function_can_be_carried():
    """Decorators keep the bare function in theirs, which is not to be found by its name."""
    assert 14 == pickle.loads(pickle.dumps(carried(doubled)))(7)


def test_the_result_of_a_call_is_not_carried():
    """``carried(work(7))`` for ``carried(work), 7``: said here, not in the worker."""
    with pytest.raises(PolicyError, match=r"carried\(7\) cannot be called"):
        carried(7)


def test_a_function_carried_from_nowhere_is_inside_nothing(tracer):
    """Whatever its worker has inherited."""
    job = carried(current_ids)
    with tracer.start_as_current_span("other"):
        assert (0, 0) == job()


@pytest.mark.parametrize("text", ["", "nonsense", "00-00000000000000000000000000000000-00000000000000ef-01"])
def test_what_is_no_parent_is_none(monkeypatch, text):
    """Then spans begin traces of their own."""
    monkeypatch.setenv("TRACEPARENT", text)

    assert propagation._from_environment() is None


@pytest.mark.parametrize("is_inside", [False, True], ids=["outermost", "inside"])
def test_what_is_inside_nothing_belongs_to_the_inherited_span(play, recorder, monkeypatch, is_inside):
    """A run, and a call outside runs; a span of this process counts more."""
    monkeypatch.setattr(propagation, "_inherited", SPAN)
    with trace.use_span(
        NonRecordingSpan(SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(1))) if is_inside else trace.INVALID_SPAN
    ):
        with play.run() as run, play.call(run, "inner") as call, play.attempt(call):
            pass
        with play.call(name="outside") as call, play.attempt(call):
            pass

    spans = {span.name: span for span in recorder.spans()}
    expected = (7, 8) if is_inside else (0xABCD, 0xEF)
    assert expected == (spans["run plan"].context.trace_id, spans["run plan"].parent.span_id)
    assert expected == (spans["outside"].context.trace_id, spans["outside"].parent.span_id)
    assert spans["run plan"].context.span_id == spans["inner"].parent.span_id


def test_a_context_without_a_parent_is_left_alone(monkeypatch):
    """Nothing is made."""
    monkeypatch.setattr(propagation, "_inherited", None)

    assert Context() == propagation.current()


PROGRAM = """
import functools, multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
import holdfast, holdfast.tracing
from holdfast import RetryPolicy, entrypoint, resilient, task
from holdfast.tracing.safety import firewall
from opentelemetry import trace

firewall.EXIT_TIMEOUT = 60.0  # the machine may be slow
setup = functools.partial(holdfast.tracing.configure, "otlp", endpoint=os.environ["RECEIVER"], lines=False)

@resilient(name="worked", retry_policy=())
def work(n):
    with trace.get_tracer("mine").start_as_current_span(f"own {n}"):
        return n

@entrypoint(name="nested")
def nested(n):
    return n

def both(n):
    work(n)
    nested.invoke(n)
    return os.getpid()

@task(retry_policy=RetryPolicy(max_attempts=2))
def crunch(n):
    return pool.submit(holdfast.tracing.carried(both), n).result()

@task(retry_policy=RetryPolicy(max_attempts=2))
def start(n):
    subprocess.run([sys.executable, __file__, "child"], env=holdfast.tracing.child_env(), check=True)

@entrypoint(name="main")
def main():
    assert len({crunch(n).result() for n in (1, 2)} - {os.getpid()}) == 1
    start(3).result()

if __name__ == "__main__":
    setup()
    if sys.argv[1] == "child":
        both(3)
    else:
        with ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1]), initializer=setup) as pool:
            main.invoke()
"""


@pytest.mark.parametrize(("method", "limit"), [("fork", ""), ("spawn", ""), ("forkserver", ""), ("fork", "128"), ("spawn", "128")])
def test_spans_of_other_processes_belong_to_the_attempt_that_made_them(receiver, tmp_path, method, limit):
    """Of a pool's worker that serves two attempts, and of a subprocess; none is lost when they exit."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    more = {"OTEL_ATTRIBUTE_COUNT_LIMIT": limit} if limit else {}  # a limit makes the spans the SDK's
    done = subprocess.run(
        [sys.executable, program, method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "RECEIVER": receiver.endpoint, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore", **more},
    )

    assert (0, "") == (done.returncode, done.stderr)
    spans = [span for scope in receiver.scopes() for span in scope.spans]
    names = {span.span_id: span.name for span in spans}
    indices = {span.span_id: index_of(span) for span in spans}
    assert 1 == len({span.trace_id for span in spans})
    assert ["worked"] * 3 == [names[span.parent_span_id] for span in spans if span.name.startswith("own ")]
    for name in ("worked", "run nested"):
        above = sorted((indices[span.parent_span_id], names[span.parent_span_id]) for span in spans if span.name == name)
        assert [(1, "crunch attempt 1"), (2, "crunch attempt 1"), (3, "start attempt 1")] == above


def index_of(span):
    """Which call of its run a span is of."""
    return next((pair.value.int_value for pair in span.attributes if pair.key == "holdfast.task.index"), 0)
