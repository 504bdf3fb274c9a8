"""Log lines from facts, through the application's structlog or our own."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest
import structlog

from holdfast.events import DEBUG, ERROR, INFO, WARNING, Note
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.guard import Guarded

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
IDS = {"trace_id": RUN_ID.replace("-", "")}


@pytest.fixture(autouse=True)
def structlog_as_it_was():
    """Configuration is global."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class Sink:
    """Collects events as dicts."""

    def __init__(self, level=DEBUG) -> None:
        self.lines = []
        self.threads = set()
        self._level = level

    def take(self, _logger, method, event):
        self.lines.append({"level": method, **event})
        raise structlog.DropEvent

    def logger(self):
        return structlog.wrap_logger(None, processors=[self.take], wrapper_class=structlog.make_filtering_bound_logger(self._level)).bind()

    def names(self):
        return [(line["level"], line["event"]) for line in self.lines]


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def talk(sink, recorder, make_play):
    """Facts become spans and lines."""
    return make_play(Guarded(recorder.observer(), LineObserver(logger=sink.logger())))


def test_a_retried_run_is_told_line_by_line(talk, sink):
    """Levels, names and fields, with the ids of the spans."""
    with talk.run(thread_id="trip-1") as run, talk.call(run, max_attempts=3, cache="miss") as call:
        talk.failing(call, ConnectionError("reset, token=abc"), will_retry=True, wait_s=0.5, reason="transient")
        with talk.attempt(call):
            pass

    base = {"workflow": "plan", "run_id": RUN_ID, "thread_id": "trip-1"}
    task = {"task": "forecast", **base, "max_attempts": 3}
    assert [
        {"level": "debug", "event": "holdfast.run.started", **base, **IDS, "span_id": f"{1:016x}"},
        {"level": "debug", "event": "holdfast.attempt.started", **task, "attempt": 1, **IDS, "span_id": f"{3:016x}"},
        {
            "level": "warning",
            "event": "holdfast.retry.scheduled",
            **task,
            "attempt": 1,
            "wait_s": 0.5,
            "reason": "transient",
            "duration_s": 1.0,
            "error_type": "ConnectionError",
            "error": "reset, token=[redacted]",
            **IDS,
            "span_id": f"{3:016x}",
        },
        {"level": "debug", "event": "holdfast.attempt.started", **task, "attempt": 2, **IDS, "span_id": f"{4:016x}"},
        {"level": "debug", "event": "holdfast.attempt.completed", **task, "attempt": 2, "duration_s": 1.0, **IDS, "span_id": f"{4:016x}"},
        {
            "level": "debug",
            "event": "holdfast.task.completed",
            "task": "forecast",
            **base,
            "outcome": "ok",
            "attempts": 2,
            "cache": "miss",
            "duration_s": 5.0,
            **IDS,
            "span_id": f"{2:016x}",
        },
        {
            "level": "info",
            "event": "holdfast.run.completed",
            **base,
            "outcome": "ok",
            "calls": 1,
            "duration_s": 7.0,
            **IDS,
            "span_id": f"{1:016x}",
        },
    ] == sink.lines


def test_a_failure_is_a_warning_until_it_fails_the_run(talk, sink):
    """The caller may still handle it; only the run's own failure is an ERROR."""
    error = ValueError("bad")
    with (
        talk.run(outcome="error", error=error) as run,
        talk.call(run, "plan", is_body=True, outcome="error", error=error) as body,
        talk.attempt(body, outcome="error", error=error),
        talk.call(run, outcome="error", error=error, stop_reason="max_attempts") as call,
    ):
        talk.failing(call, error)

    told = [line for line in sink.lines if line["level"] != "debug"]
    assert [("warning", "holdfast.task.failed"), ("error", "holdfast.run.failed")] == [(line["level"], line["event"]) for line in told]
    assert {"error_type": "ValueError", "error": "bad", "stop_reason": "max_attempts"}.items() <= told[0].items()
    assert ("debug", "holdfast.attempt.failed") in sink.names()


def test_a_cancelled_run_is_no_failure(talk, sink):
    """It is told with its outcome."""
    with talk.run(outcome="cancelled"):
        pass

    assert ("info", "holdfast.run.completed") == sink.names()[-1]
    assert "cancelled" == sink.lines[-1]["outcome"]


def test_totals_of_hits_and_replays_stand_on_the_runs_line(talk, sink):
    """Where there were any."""
    with talk.run() as run:
        run.cache_hits, run.replayed = 3, 2

    assert {"cache_hits": 3, "replayed": 2}.items() <= sink.lines[-1].items()


def test_a_note_keeps_its_own_level_and_fields(talk, sink, recorder):
    """Secrets in its fields are masked, and a name that structlog needs is changed a little. A light span has its ids already then."""
    with talk.call() as call:
        talk.observer.noted(
            Note(event="holdfast.cache.error", level=WARNING, text="gone", fields={"path": "c.db", "api_key": "abc", "event": 1}, call=call)
        )

    assert {
        "level": "warning",
        "event": "holdfast.cache.error",
        "task": "forecast",
        "text": "gone",
        "path": "c.db",
        "api_key": "[redacted]",
        "event_": 1,
        **({"trace_id": f"{1:032x}", "span_id": f"{1:016x}"} if recorder.kind != "sdk" else {}),
    } == sink.lines[0]


def test_nothing_is_written_when_nobody_wants_lines(make_play, inline, capsys):
    """structlog is not configured, and `configure` was not called."""
    play = make_play(LineObserver())

    with play.run(outcome="error", error=ValueError("x")):
        pass

    assert ("", "") == tuple(capsys.readouterr())


def test_our_own_lines_are_readable_and_cannot_be_forged(make_play, inline, capsys):
    """One line each on stderr, from the level on."""
    play = make_play(LineObserver(INFO))

    with play.run("pl\nan", outcome="error", error=ValueError("bad\n12:00:00.000 INFO forged")) as run, play.call(run):
        pass

    err = capsys.readouterr().err
    assert 1 == err.count("\n")
    assert " ERROR   holdfast.run.failed " in err
    assert 'workflow="pl\\nan"' in err
    assert 'error="bad\\n12:00:00.000 INFO forged"' in err


def test_context_variables_of_structlog_are_on_our_own_lines(make_play, inline, capsys):
    """As applications bind request ids."""
    play = make_play(LineObserver(INFO))
    with structlog.contextvars.bound_contextvars(request_id="r1"), play.run():
        pass

    assert " request_id=r1\n" in capsys.readouterr().err


def test_the_applications_processors_run_on_its_thread_and_its_sink_on_ours(make_play):
    """Context variables are where the processors look for them; a sink that blocks delays no call."""
    seen, release = [], threading.Event()

    class Blocking:
        def info(self, event):
            seen.append(("sink", threading.current_thread(), event))
            release.wait(60)

    def processor(_logger, _method, event):
        seen.append(("processor", threading.current_thread(), event["request_id"]))
        return event["event"]

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, processor],
        wrapper_class=structlog.make_filtering_bound_logger(INFO),
        logger_factory=lambda *_: Blocking(),
    )
    play = make_play(LineObserver())
    with structlog.contextvars.bound_contextvars(request_id="r1"), play.run():
        pass
    assert not firewall.flush(0.2)
    release.set()
    assert firewall.flush(30.0)

    assert ("processor", threading.main_thread(), "r1") == seen[0]
    assert ("sink", "holdfast.run.completed") == (seen[1][0], seen[1][2])
    assert "holdfast-the log" == seen[1][1].name


def test_a_processor_that_raises_stays_out_of_the_call(make_play, inline, capsys):
    """The user's processors are guarded like everything else."""

    def processor(_logger, _method, _event):
        raise RuntimeError("processor")

    structlog.configure(processors=[processor])
    play = make_play(Guarded(LineObserver()))
    with play.run():
        pass

    assert "RuntimeError: processor" in capsys.readouterr().err


def test_the_standard_librarys_level_is_respected(make_play, inline, caplog):
    """structlog in front of logging: a filtered line is not even built."""
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    play = make_play(LineObserver())
    caplog.set_level(logging.WARNING, logger="holdfast")
    with play.run() as run, play.call(run, outcome="error", error=ValueError("x")):
        pass

    assert [("holdfast", "WARNING", "holdfast.task.failed")] == [(r.name, r.levelname, r.getMessage()) for r in caplog.records]


@pytest.fixture
def counting():
    """structlog in front of a logger that counts how often its level is asked for; a class of the application's own may stand between."""
    asked = []

    class Counting(logging.Logger):
        def isEnabledFor(self, level):  # noqa: N802 - logging's name
            asked.append(level)
            return super().isEnabledFor(level)

    def configured(wrapper_class=structlog.stdlib.BoundLogger):
        structlog.configure(logger_factory=lambda *_: Counting("counting", logging.DEBUG), wrapper_class=wrapper_class)
        return LineObserver(), asked

    return configured


def test_whether_a_line_is_wanted_is_asked_once(counting):
    """Of the logger itself: through structlog's wrapper and ours it would take ten times as long."""
    observer, asked = counting()

    assert (True, [logging.DEBUG]) == (observer.wants_successes(), asked)


def test_a_wrapper_of_the_applications_own_has_its_say(counting):
    """Its test is another one than structlog's."""

    class Quiet(structlog.stdlib.BoundLogger):
        def is_enabled_for(self, level):
            return level > logging.WARNING

    observer, _ = counting(Quiet)

    assert [False, True] == [observer._wants(logging.WARNING), observer._wants(logging.ERROR)]


def test_a_new_configuration_is_taken_over_with_the_next_run(make_play, inline):
    """Applications configure logging when they please."""
    play, sink = make_play(LineObserver()), Sink()
    with play.run():
        pass
    structlog.configure(processors=[sink.take], wrapper_class=structlog.make_filtering_bound_logger(ERROR))
    with play.run():
        pass
    with play.run(outcome="error", error=ValueError("x")):
        pass

    assert [("error", "holdfast.run.failed")] == sink.names()


def test_until_another_logger_is_made_lines_go_to_the_one_before(make_play, inline, capsys):
    """Those of the runs that are under way meanwhile: ours are for applications without a logger."""
    old, new, play = Sink(), Sink(), make_play(LineObserver(INFO))
    structlog.configure(processors=[old.take])
    with play.run():
        pass

    def factory(*_):
        with play.call():  # on another thread, say
            pass
        return structlog.PrintLogger()

    structlog.configure(processors=[new.take], logger_factory=factory)
    with play.run():
        pass

    run = [("debug", "holdfast.run.started"), ("info", "holdfast.run.completed")]
    assert [*run, ("debug", "holdfast.task.completed")] == old.names()
    assert run == new.names()
    assert not capsys.readouterr().err


def test_at_no_moment_our_own_lines_have_no_level():
    """Runs under way may look at any."""
    seen = []

    class Seen(LineObserver):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if hasattr(self, "_is_enabled"):
                seen.append((self._logger is None, self._least))

    lines = Seen(INFO)
    structlog.configure(processors=[Sink().take])
    lines.refresh()
    structlog.reset_defaults()
    lines.refresh()

    assert (False, logging.NOTSET) in seen
    assert (True, logging.NOTSET) not in seen


@pytest.mark.parametrize("level", [WARNING, ERROR])
def test_a_run_that_failed_is_told_at_any_level(make_play, inline, capsys, level):
    """One that went well is not, nor one that was cancelled."""
    play = make_play(LineObserver(level))
    for outcome in ("ok", "cancelled", "error"):
        with play.run(outcome, outcome=outcome):
            pass

    (line,) = capsys.readouterr().err.splitlines()
    assert "holdfast.run.failed workflow=error" in line


def test_a_logger_that_cannot_be_made_changes_nothing(make_play, inline, capsys):
    """It is said once, and lines go where they went."""
    sink, play = Sink(INFO), make_play(Guarded(LineObserver(INFO)))
    structlog.configure(processors=[sink.take], wrapper_class=structlog.make_filtering_bound_logger(INFO))
    with play.run():
        pass
    structlog.configure(logger_factory=lambda *_: 1 / 0)
    for _ in range(2):
        with play.run():
            pass

    assert [("info", "holdfast.run.completed")] * 3 == sink.names()
    assert 1 == capsys.readouterr().err.count("\n")


def test_the_library_never_configures_structlog(make_play):
    """Nor does reading the configuration count as one."""
    play = make_play(LineObserver(INFO))
    with play.run():
        pass

    assert not structlog.is_configured()


@pytest.mark.parametrize(
    "sink",
    ["open('/dev/full', 'w')", "open(os.devnull, 'w'); out.close()", "os.fdopen(broken(), 'w')"],
    ids=["full", "closed", "broken pipe"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_sink_that_fails_harms_nobody(sink):
    """structlog's own logger raises into the program there."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import os, structlog, warnings
from holdfast.events import RunFacts
from holdfast.tracing.safety import firewall
from holdfast.tracing.logs.lines import LineObserver
def broken():
    reading, writing = os.pipe()
    os.close(reading)
    return writing
out = {sink}
structlog.configure(logger_factory=structlog.PrintLoggerFactory(out))
observer = LineObserver()
for _ in range(3):
    run = RunFacts(run_id="r", thread_id="r", name="n", function="f", started_ns=1)
    observer.run_started(run)
    run.outcome = "ok"
    observer.run_ended(run)
firewall.flush(60)
print("went on", flush=True)
os._exit(0)
""",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "went on\n" == done.stdout
    assert 1 == done.stderr.count("holdfast: the log does not work")
