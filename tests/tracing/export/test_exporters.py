"""Spans that leave: through any exporter, to the local store, to the console."""

from __future__ import annotations

import logging
import time

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from holdfast.tracing.export import exporters
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.spans.outlet import Outlet
from holdfast.tracing.spans.records import SpanRow

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"


def provider(processor):
    made = TracerProvider(id_generator=exporters.RunIdGenerator(), shutdown_on_exit=False)
    made.add_span_processor(processor)
    return made


@pytest.fixture(params=["sdk", "light"])
def watching(request):
    """Makes an observer whose spans go to a processor, through the SDK or past it, and a tracer for the user's own spans."""

    def watch(processor):
        made = provider(processor)
        tracer = made.get_tracer("holdfast", schema_url="holdfast/1")
        if request.param == "sdk":
            return SpanObserver(tracer), tracer
        outlet = Outlet(made)
        outlet.takers = (processor,)
        return LightObserver(outlet, Settings()), tracer

    return watch


class Scripted(SpanExporter):
    """Exports as told."""

    def __init__(self, outcome=SpanExportResult.SUCCESS, logger="") -> None:
        self.outcome, self.batches, self.logger, self.contexts, self.is_shut = outcome, [], logger, [], False

    def export(self, spans):
        self.batches.append([span.name for span in spans])
        self.contexts.append(dict(otel_context.get_current()))
        if self.logger:
            logging.getLogger(self.logger).warning("cannot reach it")
        return self.outcome

    def shutdown(self):
        self.is_shut = True


def end_spans(processor, number):
    tracer = provider(processor).get_tracer("x")
    for index in range(number):
        tracer.start_span(str(index)).end()


def test_batches_follow_the_environment(monkeypatch):
    """The variables of the SDK's batch processor mean the same here."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "7")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    exporter = Scripted()
    processor = exporters.exporting(exporter, "a test")
    processor.lane._say = lambda _text: None

    end_spans(processor, 10)
    processor.force_flush()

    assert [["0", "1", "2"], ["3", "4", "5"], ["6"]] == exporter.batches
    assert 3 == processor.lane.dropped
    processor.shutdown()


def test_its_own_requests_are_not_traced():
    """Or each export would make a span that is exported in turn."""
    exporter = Scripted()
    processor = exporters.exporting(exporter, "a test")
    end_spans(processor, 1)
    processor.shutdown()

    assert [True] == [value for name, value in exporter.contexts[0].items() if name.startswith("suppress_instrumentation")]


def test_what_an_exporter_repeats_is_said_once(caplog, inline):
    """And only what it says while it works for us."""
    exporter = Scripted(SpanExportResult.FAILURE, "some.exporter")
    processor = exporters.exporting(exporter, "a test", logger="some.exporter")
    said = []
    processor.lane._say = said.append
    end_spans(processor, 3)
    logging.getLogger("some.exporter").warning("for somebody else")
    processor.shutdown()

    assert ["for somebody else"] == caplog.messages
    assert [
        "holdfast: the export of spans to a test does not work, calls go on without it: cannot reach it",
        "holdfast: 3 items for the export of spans to a test were lost on the way",
    ] == said
    assert 3 == processor.lane.failed


def test_shutdown_flushes_and_closes(inline):
    """And takes no more spans."""
    exporter = Scripted()
    processor = exporters.exporting(exporter, "a test")
    end_spans(processor, 1)
    processor.shutdown()
    end_spans(processor, 1)
    processor.shutdown()

    assert ([["0"]], True) == (exporter.batches, exporter.is_shut)


def test_unsampled_spans_stay_here(inline):
    """The application's sampler decides."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    exporter = Scripted()
    processor = exporters.exporting(exporter, "a test")
    made = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    made.add_span_processor(processor)
    made.get_tracer("x").start_span("s").end()
    processor.shutdown()

    assert [] == exporter.batches


def test_a_span_becomes_a_row(play, recorder):
    """Everything the local store keeps."""
    with play.run() as run, play.call(run, max_attempts=2, outcome="error") as call:
        call.origin_trace_id, call.origin_span_id = "ab", "cd"
        call.error = play.failing(call, ValueError("bad")).error
    attempt, task, _ = (exporters.row(span) for span in recorder.ended)

    assert (
        SpanRow(
            trace_id=RUN_ID.replace("-", ""),
            span_id=f"{2:016x}",
            parent_id=f"{1:016x}",
            name="forecast",
            start_ns=2_000_000_000,
            end_ns=5_000_000_000,
            status="error",
            status_text="bad",
            attributes=task.attributes,
            events=[],
            links=[("0" * 30 + "ab", "0" * 14 + "cd", {"holdfast.link.type": "cached_from"})],
            kind="internal",
            service="tests",
        )
        == task
    )
    assert ("exception", 4_000_000_000) == attempt.events[0][:2]
    assert "" == exporters.row(recorder.ended[-1]).parent_id


def test_the_kind_of_a_row(play, recorder):
    """As OpenTelemetry names it."""
    with play.run() as run, play.call(run, kind="client") as call, play.attempt(call):
        pass
    task, run_span = (exporters.row(span) for span in recorder.ended)

    assert ("client", "internal") == (task.kind, run_span.kind)


def test_the_local_store_gets_every_span(make_play, watching, tmp_path):
    """The user's own as well, since they nest in the attempts."""
    from holdfast.tracing.store.database import TraceStore

    path = tmp_path / "traces.db"
    tmp_path.chmod(0o700)
    processor = exporters.local(path)
    observer, tracer = watching(processor)
    play = make_play(observer, start=int(time.time()))  # the store forgets what is old
    with play.run() as run, play.call(run) as call, play.attempt(call), tracer.start_as_current_span("GET"):
        pass
    assert processor.force_flush(30_000)
    processor.shutdown()

    stored = TraceStore(path)
    spans = {row.name: row for row in stored.spans(RUN_ID.replace("-", ""))}
    assert {"run plan", "forecast", "GET"} == set(spans)
    assert spans["forecast"].span_id == spans["GET"].parent_id
    stored.close()


def test_a_flush_tells_of_rows_that_the_store_could_not_take(watching, make_play, tmp_path):
    """The store says why by itself; here it shows in the answer."""
    path = tmp_path / "state" / "traces.db"
    processor = exporters.local(path)
    path.mkdir(parents=True)
    observer, _ = watching(processor)
    with make_play(observer).run():
        pass

    assert [False, True] == [processor.force_flush(30_000), processor.force_flush(30_000)]
    processor.shutdown()


def test_the_console_shows_the_tree(make_play, watching, inline, capsys):
    """On stderr, when the run has ended."""
    play = make_play(watching(exporters.to_console())[0])
    with play.run() as run, play.call(run) as call, play.attempt(call):
        assert "" == capsys.readouterr().err

    assert ["run plan", "  forecast"] == [line[:12].rstrip() for line in capsys.readouterr().err.splitlines()]


def test_an_id_that_is_no_uuid_makes_a_random_trace(make_play):
    """Callers may name runs as they like."""
    ended = []
    processor = exporters.LaneProcessor(firewall.Lane("test", ended.extend))
    play = make_play(SpanObserver(provider(processor).get_tracer("holdfast")))
    with play.run(run_id="order-42"):
        pass
    processor.shutdown()

    assert ended[0].context.is_valid
