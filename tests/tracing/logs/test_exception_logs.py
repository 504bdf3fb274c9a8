"""Exceptions as log records, where the environment asks for them."""

from __future__ import annotations

import pytest
from opentelemetry import _logs
from opentelemetry._logs import _internal
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.util._once import Once

from holdfast.tracing.logs import exception_logs
from holdfast.tracing.logs.exception_logs import Signals
from holdfast.tracing.safety import firewall

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
except ImportError:  # its name until 1.39
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogRecordExporter

S = 1_000_000_000


@pytest.fixture
def no_provider(monkeypatch):
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER", None)
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def logs(no_provider):
    """What an application's logger provider gets."""
    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    _logs.set_logger_provider(provider)
    return exporter


def fail_twice(play, *, is_body=False):
    with play.run(outcome="error") as run, play.call(run, max_attempts=2, outcome="error", is_body=is_body) as call:
        play.failing(call, OSError("one"), will_retry=True)
        call.error = run.error = play.failing(call, OSError("two")).error


def records(exporter):
    return [
        (
            (record := each.log_record).event_name,
            record.severity_text,
            record.timestamp,
            record.span_id,
            record.attributes["exception.message"],
            each.instrumentation_scope.schema_url,
        )
        for each in exporter.get_finished_logs()
    ]


def events_of(recorder):
    return [event.name for span in recorder.spans() for event in span.events if event.name == "exception"]


@pytest.mark.parametrize(("asked", "events"), [("logs", 0), ("logs/dup", 2), (" LOGS/dup , other", 2), ("logs,logs/dup", 2)])
def test_an_attempts_exception_is_a_record(play, recorder, logs, monkeypatch, asked, events):
    """On its span, at its time, as a warning, instead of the event or beside it."""
    monkeypatch.setenv(exception_logs.VARIABLE, asked)
    fail_twice(play)

    spans = {span.name: span.context.span_id for span in recorder.spans()}
    assert [
        ("holdfast.attempt.exception", "WARN", 4 * S, spans["forecast attempt 1"], "one", "holdfast/1"),
        ("holdfast.attempt.exception", "WARN", 6 * S, spans["forecast attempt 2"], "two", "holdfast/1"),
    ] == records(logs)
    assert events == len(events_of(recorder))
    assert "OSError: two" in logs.get_finished_logs()[1].log_record.attributes["exception.stacktrace"]


def test_what_a_runs_own_body_gave_up_with_is_an_error(play, logs, monkeypatch):
    """Nothing of ours is left to handle it; its earlier attempts were handled, by the retry."""
    monkeypatch.setenv(exception_logs.VARIABLE, "logs")
    fail_twice(play, is_body=True)

    assert ["WARN", "ERROR"] == [level for _, level, *_ in records(logs)]


def test_a_failure_without_an_attempt_is_the_tasks(play, logs, monkeypatch):
    """The cache remembered it."""
    monkeypatch.setenv(exception_logs.VARIABLE, "logs")
    with play.run() as run, play.call(run, outcome="error", error=OSError("known"), cache="negative"):
        pass

    assert [("holdfast.task.exception", "known")] == [(name, text) for name, _, _, _, text, _ in records(logs)]


@pytest.mark.parametrize("asked", ["", "log", "none"])
def test_without_being_asked_there_are_events_only(play, recorder, logs, monkeypatch, asked):
    """As it was."""
    monkeypatch.setenv(exception_logs.VARIABLE, asked)
    fail_twice(play)

    assert [] == records(logs)
    assert 2 == len(events_of(recorder))


def test_without_a_logger_provider_events_stay(play, recorder, no_provider, monkeypatch):
    """Nobody would hear of an exception otherwise."""
    monkeypatch.setenv(exception_logs.VARIABLE, "logs")
    fail_twice(play)

    assert 2 == len(events_of(recorder))


def clear():
    """What is known of the API, as if nobody had asked yet."""
    exception_logs.can_tell.cache_clear()
    exception_logs._can_tell_exceptions.cache_clear()


def test_an_api_without_named_records_is_told_once(logs, monkeypatch, capsys, inline):
    """Then events stay, too."""
    clear()
    monkeypatch.setenv(exception_logs.VARIABLE, "logs")
    monkeypatch.setattr(_logs, "LogRecord", lambda *, attributes: None)
    found = [exception_logs.signals(), exception_logs.signals()]
    clear()
    firewall.flush(30.0)

    assert [Signals(events=True, logs=False)] * 2 == found
    expected = "holdfast: OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN needs opentelemetry-api 1.35: exceptions stay events on spans\n"
    assert expected == capsys.readouterr().err
