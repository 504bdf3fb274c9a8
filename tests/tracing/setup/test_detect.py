"""detect: who wants to watch although nobody said so to holdfast."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import timeit

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import events
from holdfast.tracing.safety import firewall
from holdfast.tracing.setup.detect import detect


@pytest.fixture(autouse=True)
def structlog_as_it_was(fresh):
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_nobody_is_found_where_nobody_is():
    """Neither library says anything, nor does the environment."""
    assert detect() is None
    assert events.observer is None


def test_a_provider_of_the_application_is_a_reason(make_play):
    """Its exporter gets our spans, without a word to holdfast."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    observer = detect()
    with make_play(observer).run():
        pass

    assert observer is events.observer
    assert ["run plan"] == [span.name for span in exporter.get_finished_spans()]


def test_a_configured_structlog_is_a_reason(make_play):
    """Lines go the application's way."""
    with structlog.testing.capture_logs() as lines:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
        with make_play(detect()).run():
            pass

    assert ["holdfast.run.started", "holdfast.run.completed"] == [line["event"] for line in lines]


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false"])
def test_off_is_off(monkeypatch, value):
    """Whatever the application has set up."""
    monkeypatch.setenv("HOLDFAST_TRACING", value)
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))

    assert detect() is None
    assert detect() is None
    assert events.observer is None


def test_the_environment_names_backends(monkeypatch, fresh, tmp_path):
    """One or several."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("HOLDFAST_TRACES", str(tmp_path / "t.db"))
    monkeypatch.setenv("HOLDFAST_TRACING", "console, local")

    assert events.observer is detect() or events.observer is not None
    assert {"console", "local"} == {handle.backend for handle in fresh.handles.values()}


def test_the_environment_counts_also_where_the_application_traces(monkeypatch, fresh):
    """Both get the spans."""
    monkeypatch.setenv("HOLDFAST_TRACING", "console")
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    detect()

    assert ["console"] == [handle.backend for handle in fresh.handles.values()]


def test_a_bad_name_in_the_environment_fails_no_call(monkeypatch, capsys):
    """It is said once, with the fix."""
    monkeypatch.setenv("HOLDFAST_TRACING", "jager")

    assert detect() is None
    assert detect() is None
    firewall.flush(30.0)
    assert [
        (
            "holdfast: tracing could not be set up, calls go on without it: PolicyError: HOLDFAST_TRACING='jager' is not known: "
            "use one of 'local', 'console', 'jaeger', 'otlp', 'langsmith', 'langfuse', 'phoenix', 'mlflow', 'auto'; did you mean 'jaeger'?"
        )
    ] == capsys.readouterr().err.splitlines()


def test_one_of_several_that_cannot_be_does_not_keep_the_others_from_it(monkeypatch, capsys, fresh):
    """It is left out, and said."""
    monkeypatch.setenv("HOLDFAST_TRACING", "langfuse,console")
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)

    assert detect() is events.observer is not None
    assert ["console"] == [handle.backend for handle in fresh.handles.values()]
    firewall.flush(30.0)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("holdfast: langfuse of HOLDFAST_TRACING could not be set up, and is left out: PolicyError: ")
    assert "LANGFUSE_" in said


def test_our_own_provider_is_no_reason():
    """It stays behind when tracing was shut down, because OpenTelemetry has no way to take it back."""
    from holdfast.tracing.setup._configure import configure

    configure("console", lines=False).shutdown()

    assert detect() is None


def test_looking_costs_next_to_nothing():
    """It happens at every call while nobody observes. Measured without either library: 0.1 us."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys, timeit
                from holdfast.tracing.setup.detect import detect
                assert detect() is None and "opentelemetry" not in sys.modules and "structlog" not in sys.modules
                empty = min(timeit.repeat("f()", "def f(): pass", number=100_000, repeat=7))
                print(min(timeit.repeat(detect, number=100_000, repeat=7)) / empty)
            """),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert float(done.stdout) < 12  # times an empty call


def test_looking_stays_cheap_with_both_libraries_loaded():
    """A web application has them; most of its calls may be unobserved."""
    detect()
    empty = min(timeit.repeat("f()", "def f(): pass", number=50_000, repeat=5))

    assert min(timeit.repeat(detect, number=50_000, repeat=5)) / empty < 30
