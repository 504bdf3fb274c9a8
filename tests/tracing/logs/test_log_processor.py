"""OTelLogProcessor: lines as log records of a real SDK, in the span they are about."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from holdfast import RetryPolicy, events, resilient
from holdfast.errors import HoldfastError, PolicyError
from holdfast.testing import FakeClock, scripted
from holdfast.tracing import OTelLogProcessor, convention
from holdfast.tracing.logs import log_processor
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.guard import Guarded

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
except ImportError:  # its name until 1.39
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogRecordExporter


@pytest.fixture
def forwarded():
    """A processor, and the records that its provider gets."""
    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    return OTelLogProcessor(provider), lambda: [each.log_record for each in exporter.get_finished_logs()]


def logger_with(processor, text):
    """A structlog logger that forwards and then writes JSON."""
    processors = [structlog.processors.add_log_level, processor, structlog.processors.JSONRenderer()]
    return structlog.wrap_logger(structlog.PrintLogger(text), processors=processors)


@pytest.fixture
def lines(forwarded):
    """Observes with spans and lines; the text that the application's own renderer writes."""
    text = io.StringIO()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("holdfast")
    previous = events.observe(Guarded(SpanObserver(tracer), LineObserver(logger=logger_with(forwarded[0], text))))
    yield text
    events.observe(previous)


def test_a_line_becomes_a_record_with_the_names_of_its_span(forwarded, lines):
    """Name, severity, attributes and span; what is behind the processor writes the line as ever."""
    with FakeClock():
        resilient(name="fetch", retry_policy=RetryPolicy(initial_interval=2, jitter=False))(scripted([ConnectionError("reset"), 1]))()
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    (retry,) = [record for record in forwarded[1]() if record.event_name == "holdfast.retry.scheduled"]
    (line,) = [line for line in written if line["event"] == "holdfast.retry.scheduled"]

    assert ("WARN", 13, "holdfast.retry.scheduled") == (retry.severity_text, retry.severity_number.value, retry.body)
    assert (line["trace_id"], line["span_id"]) == (f"{retry.trace_id:032x}", f"{retry.span_id:016x}")
    assert {
        "holdfast.task.name": "fetch",
        "holdfast.attempt.number": 1,
        "holdfast.attempt.max": 3,
        "holdfast.retry.wait_s": 2.0,
        "holdfast.retry.reason": "transient",
        "error.type": "ConnectionError",
        "holdfast.line.error": "reset",
        "holdfast.line.duration_s": 0.0,
    } == dict(retry.attributes)
    assert len(written) == len(forwarded[1]())


def test_a_line_of_the_application(forwarded):
    """Its own names, its text as the body, and the current span."""
    logger = logger_with(forwarded[0], io.StringIO())
    span = TracerProvider(shutdown_on_exit=False).get_tracer("app").start_span("work")
    with trace.use_span(span):
        logger.error("boiler is hot", degrees=98, place={"room": 1}, trace_id="mine")

    (record,) = forwarded[1]()
    assert ("boiler is hot", None, "ERROR") == (record.body, record.event_name, record.severity_text)
    assert {"degrees": 98, "place": "{'room': 1}"} == dict(record.attributes)
    assert (span.context.trace_id, span.context.span_id) == (record.trace_id, record.span_id)


@pytest.mark.parametrize(
    ("method", "severity"), [("debug", "DEBUG"), ("info", "INFO"), ("warning", "WARN"), ("error", "ERROR"), ("critical", "FATAL")]
)
def test_severities(forwarded, method, severity):
    """By the method that was called."""
    getattr(logger_with(forwarded[0], io.StringIO()), method)("x")

    assert [severity] == [record.severity_text for record in forwarded[1]()]


def test_behind_the_renderer_it_says_where_it_belongs(forwarded):
    """A line of text is nothing to forward."""
    processors = [structlog.processors.JSONRenderer(), forwarded[0]]
    logger = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()), processors=processors)

    with pytest.raises(PolicyError, match="OTelLogProcessor was given str instead of a line's fields: put it before the renderer"):
        logger.info("x")


def test_what_cannot_be_forwarded_harms_nobody(forwarded, monkeypatch):
    """It is said once; the line is written."""

    class Unprintable:
        def __str__(self):
            raise RuntimeError("no text")

    said = []
    monkeypatch.setattr(firewall, "stderr", said.append)
    line = {"event": "x", "what": Unprintable()}

    assert [line, line] == [forwarded[0](None, "info", line) for _ in range(2)]
    assert 1 == len(said)
    assert "lines cannot be forwarded to OpenTelemetry" in said[0]


def test_the_attributes_are_those_of_spans():
    """Each of them is in the convention's table."""
    assert set(log_processor.ATTRIBUTES.values()) <= {attribute.name for attribute in convention.ATTRIBUTES}


def test_an_old_opentelemetry_is_refused(monkeypatch):
    """It has no named records."""
    monkeypatch.setattr(log_processor, "can_tell", lambda: False)

    with pytest.raises(HoldfastError, match=r"OTelLogProcessor needs opentelemetry-api 1\.35"):
        OTelLogProcessor()


STANDARD = """
import holdfast
from holdfast import RetryPolicy, entrypoint, task
from holdfast.testing import flaky

fetch = task(name="fetch", retry_policy=RetryPolicy(initial_interval=0.001))(flaky(1, result=1))

@entrypoint(name="plan")
def plan():
    return fetch().result()

plan.invoke(run_id="r1")
holdfast.flush(60)
"""


def test_the_recipe_for_the_standard_librarys_logging():
    """As docs/tracing.md has it: the lines come out of logging's handler, filtered by its level, with their fields."""
    page = (Path(__file__).parents[3] / "docs" / "tracing.md").read_text(encoding="utf-8")
    recipe = re.search(r"\*\*With the standard.*?```python\n(.*?)```", page, re.DOTALL)[1]
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST", "OTEL"))}
    done = subprocess.run([sys.executable, "-c", recipe + STANDARD], env=known, capture_output=True, text=True, timeout=60, check=True)

    assert ["WARNING holdfast holdfast.retry.scheduled r1", "INFO holdfast holdfast.run.completed r1"] == done.stderr.splitlines()
