"""Calls told in brief: what leaves is what leaves of calls with records."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextvars import copy_context
from logging import WARNING

import pytest
import structlog
import tenacity
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from holdfast import RetryPolicy, events, resilient
from holdfast._frames import PACKAGE
from holdfast.testing import FakeClock
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.metrics.observer import MetricObserver
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.guard import Guarded
from holdfast.tracing.setup._configure import configure
from holdfast.tracing.spans import ids
from holdfast.tracing.store.database import TraceStore
from tests.tracing.conftest import Counted, Recorder, literal


class Told:
    """Remembers which of the two ways a call was told in."""

    def __init__(self, *args):
        super().__init__(*args)
        self.ways = []

    def brief_passed(self, *args):
        is_told = super().brief_passed(*args)
        self.ways += ["brief"] * is_told
        return is_told

    def brief_recorded(self, memo, attempt):
        self.ways.append("records after all")
        super().brief_recorded(memo, attempt)

    def call_started(self, call):
        self.ways.append("records")
        super().call_started(call)


class ToldLight(Told, LightObserver):
    """Beside the SDK."""


class ToldSdk(Told, SpanObserver):
    """With the SDK."""


def told(recorder, settings):
    """An observer of either kind."""
    return ToldSdk(recorder.tracer, settings) if recorder.kind == "sdk" else ToldLight(recorder.outlet, settings)


class Nosy:
    """Wants to be told of everything, and does nothing with it."""

    def __getattribute__(self, name):
        if name.startswith(("run_", "call_", "attempt_", "noted")):
            return lambda _: None
        return object.__getattribute__(self, name)


@pytest.fixture(autouse=True)
def nobody_before():
    """Who observed before is not told of this."""
    before = events.observe(None)
    yield
    events.observe(before)


@pytest.fixture(params=["sdk", "light"])
def watched(request, monkeypatch, colour):
    """Says what the spans of a program are, in order, in which way its calls were told, and what it raised."""

    def watch(program, *others, capture="none", attempt_spans="auto"):
        monkeypatch.setattr(ids, "draw", Counted())
        recorder = Recorder(request.param)
        observer = told(recorder, Settings(salt=b"salt", capture=capture, attempt_spans=attempt_spans))
        events.observe(Guarded(observer, *others))
        raised = ""
        with FakeClock(start=1000.0, draw=1.0) as clock:
            try:
                program(colour, clock, recorder.tracer)
            except BaseException as error:
                raised = repr(error)
        events.observe(None)
        spans = [(span.name, span.context.trace_id, span.context.span_id, comparable(literal(span))) for span in recorder.spans()]
        return spans, observer.ways, raised

    watch.kind = request.param
    return watch


def comparable(span):
    """Without what differs in any case: the times of the SDK's own spans, and lines of ours in a stack."""
    if not span["attributes"]:
        del span["time"]
    for _, _, attributes in span.get("events", ()):
        if "exception.stacktrace" in attributes:
            lines = attributes["exception.stacktrace"].splitlines()
            attributes["exception.stacktrace"] = [line for line in lines if PACKAGE not in line]
    return span


def success(colour, clock, _):
    """One attempt that takes two seconds."""
    colour.run(resilient(name="forecast")(colour.define(lambda city: clock.advance(2) or city)), "Oslo")


def in_words_of_the_user(colour, clock, _):
    """The body says something of its span."""

    def forecast():
        span = trace.get_current_span()
        span.set_attribute("city", "Oslo")
        span.set_attribute("holdfast.attempt.number", 99)  # ours wins
        span.add_event("cloud", {"size": 3}, 7)
        span.set_status(StatusCode.OK)
        clock.advance(1)

    colour.run(resilient(name="forecast")(colour.define(forecast)))


def another_name_and_an_end(colour, clock, _):
    """Nothing that makes attributes."""

    def forecast():
        trace.get_current_span().update_name("weather")
        trace.get_current_span().end(5)
        clock.advance(1)

    colour.run(resilient(name="forecast")(colour.define(forecast)))


def one_in_another(colour, clock, tracer):
    """With a span of the user's in between, and inside."""

    async def inner_async():
        with tracer.start_as_current_span("GET"):
            clock.advance(1)

    def inner():
        with tracer.start_as_current_span("GET"):
            clock.advance(1)

    inside = resilient(name="inner")(inner_async if colour.is_async else inner)

    async def outer_async():
        with tracer.start_as_current_span("between"):
            await inside()

    def outer():
        with tracer.start_as_current_span("between"):
            inside()

    with tracer.start_as_current_span("around"):
        colour.run(resilient(name="outer")(outer_async if colour.is_async else outer))


def not_sampled(colour, clock, _):
    """In a trace that nobody keeps."""
    parent = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(0)))
    with trace.use_span(parent):
        success(colour, clock, None)


def a_client(colour, clock, _):
    """The attempt is the client, not the call."""
    colour.run(resilient(name="forecast", kind="client")(colour.define(lambda: clock.advance(1))))


def a_kind_of_its_own(colour, clock, _):
    """Which OpenTelemetry does not know."""
    policy = RetryPolicy(stop=tenacity.stop_after_attempt(4))
    colour.run(resilient(name="forecast", kind="tool", retry_policy=policy)(colour.define(lambda: clock.advance(1))))


def raising(*errors):
    """A program whose attempts raise these in turn."""

    def program(colour, clock, _):
        left = [type(error)(*error.args) for error in errors]

        def forecast():
            clock.advance(1)
            if left:
                raise left.pop(0)
            return "sun"

        colour.run(resilient(name="forecast", retry_policy=RetryPolicy(max_attempts=3))(colour.define(forecast)))

    return program


def a_coroutine(colour, clock, _):
    """The body has not run."""

    async def later():
        """Never awaited."""

    colour.run(resilient(name="forecast")(colour.define(lambda: clock.advance(1) or later())))


PROGRAMS = {
    "success": (success, ["brief"], ""),
    "words": (in_words_of_the_user, ["records after all"], ""),
    "name and end": (another_name_and_an_end, ["brief"], ""),
    "nested": (one_in_another, ["brief", "brief"], ""),
    "not sampled": (not_sampled, ["brief"], ""),
    "client": (a_client, ["brief"], ""),
    "tool": (a_kind_of_its_own, ["brief"], ""),
    "retried": (raising(ConnectionError("a"), TimeoutError("b")), ["records after all"], ""),
    "exhausted": (raising(*[ConnectionError("a") for _ in range(3)]), ["records after all"], "ConnectionError('a')"),
    "permanent": (raising(ValueError("no")), ["records after all"], "ValueError('no')"),
    "Ctrl-C": (raising(KeyboardInterrupt()), ["records after all"], "KeyboardInterrupt()"),
    "cancelled": (raising(asyncio.CancelledError()), ["records after all"], "CancelledError()"),
    "coroutine": (a_coroutine, ["records after all"], "TypeError("),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_leaves_is_the_same(watched, name):
    """Names, ids, times, kinds, status, attributes, events and their order."""
    program, ways, error = PROGRAMS[name]

    brief, taken, raised = watched(program)
    recorded, otherwise, expected = watched(program, Nosy())

    assert (ways if name != "words" or watched.kind == "light" else ["brief"]) == taken  # the SDK keeps what users add by itself
    assert {"records"} == set(otherwise)
    assert recorded == brief
    assert (error, expected) == (expected[: len(error)], raised)
    assert bool(error) == bool(raised)
    assert (name == "not sampled") == (not recorded)


def test_a_success_is_two_spans(watched):
    """Literally."""
    spans, _, _ = watched(success)

    function = {"holdfast.span.type": "task", "code.function.name": spans[1][3]["attributes"].pop("code.function.name")}
    assert function["code.function.name"].endswith("success.<locals>.<lambda>")
    task = {"holdfast.task.name": "forecast", "holdfast.task.index": 0, "holdfast.attempt.max": 3}
    assert [
        (
            "forecast attempt 1",
            1,
            2,
            {
                "parent": 1,
                "time": (1000 * 10**9, 1002 * 10**9),
                "attributes": {**task, "holdfast.span.type": "attempt", "holdfast.attempt.number": 1, "holdfast.attempt.outcome": "ok"},
            },
        ),
        (
            "forecast",
            1,
            1,
            {
                "parent": None,
                "time": (1000 * 10**9, 1002 * 10**9),
                "attributes": {**task, "holdfast.span.type": "task", "holdfast.task.outcome": "ok", "holdfast.attempt.count": 1},
            },
        ),
    ] == spans


@pytest.mark.parametrize("name", ["retried", "exhausted", "permanent"])
def test_so_are_lines(watched, name, capsys):
    """Of a failure; for successes nobody asked."""
    program, ways, _ = PROGRAMS[name]
    _, taken, _ = watched(program, LineObserver(events.WARNING))
    firewall.flush(60)
    brief = capsys.readouterr().err
    watched(program, LineObserver(events.WARNING), Nosy())
    firewall.flush(60)

    assert ways == taken
    assert brief
    assert capsys.readouterr().err == brief


more = pytest.mark.parametrize(
    "how",
    [
        {"capture": "values"},
        {"attempt_spans": "failures"},
        {"with": LineObserver(events.DEBUG)},
        {"with": MetricObserver(NoOpMeterProvider())},
    ],
)
"""Who wants more of a success than its spans, or other ones."""


@more
def test_who_wants_more_gets_records(watched, how):
    """Arguments, other spans, a line for each success, a count of each."""
    options = dict(how)
    others = [options.pop("with")] if "with" in how else []

    assert ["records"] == watched(success, *others, **options)[1]


def test_so_does_a_call_of_one_attempt(watched):
    """It has one span."""

    def once(colour, _clock, _tracer):
        colour.run(resilient(retry_policy=())(colour.define(lambda: None)))

    assert ["records"] == watched(once)[1]


def test_a_task_may_ask_for_more_than_the_process(watched):
    """And for less."""

    def asking(capture):
        return lambda colour, _clock, _tracer: colour.run(resilient(capture=capture)(colour.define(lambda: None)))

    assert ["records"] == watched(asking("values"))[1]
    assert ["brief"] == watched(asking("none"), capture="values")[1]


@pytest.mark.parametrize("added", [False, True], ids=["brief", "records"])
def test_nothing_of_the_users_is_kept_for_the_backend(added):
    """A queue is long, and arguments, results and what a function closes over may be large."""

    class Large:
        """Somebody's."""

        def answer(self, _):
            if added:
                trace.get_current_span().set_attribute("city", "Oslo")
            return Large()

    def closing(large):
        return resilient(lambda argument: (large, argument) and Large())

    recorder = Recorder("light")
    kept = []
    recorder.send = kept.append
    recorder.outlet.takers = (recorder,)
    events.observe(Guarded(LightObserver(recorder.outlet, Settings())))
    resilient(Large().answer)(Large())
    closing(Large())(Large())
    events.observe(None)

    assert 4 == len(kept)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Large]
    assert ["attempt", "task"] * 2 == [span.attributes["holdfast.span.type"] for span in kept]


@pytest.mark.parametrize(
    "change",
    [
        lambda settings, lines, metrics: setattr(settings, "capture", "values"),
        lambda settings, lines, metrics: setattr(settings, "attempt_spans", "failures"),
        lambda settings, lines, metrics: setattr(lines, "level", events.DEBUG) or lines.refresh(),
        lambda settings, lines, metrics: setattr(metrics, "_provider", NoOpMeterProvider()),
    ],
    ids=["capture", "attempt spans", "lines", "metrics"],
)
@pytest.mark.parametrize("kind", ["sdk", "light"])
def test_what_is_wanted_since_the_call_began_is_told(kind, colour, change, monkeypatch):
    """A decorated main that sets things up sees its own end."""
    recorder, settings = Recorder(kind), Settings()
    observer, lines, metrics = told(recorder, settings), LineObserver(events.WARNING), MetricObserver()
    ended = []
    for each in (lines, metrics):
        monkeypatch.setattr(each, "call_ended", lambda call: ended.append((call.outcome, call.result)))
    events.observe(Guarded(observer, lines, metrics))
    assert "good" == colour.run(resilient(colour.define(lambda: change(settings, lines, metrics) or "good")))
    events.observe(None)

    assert (["records after all"], [("ok", "good")] * 2) == (observer.ways, ended)
    assert 2 == len(recorder.spans())
    assert (settings.capture == "values") == ("holdfast.output" in recorder.spans()[-1].attributes)


def test_lines_that_are_not_written_want_no_records(watched):
    """An application whose structlog is at INFO has the brief way."""
    quiet = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(events.INFO))
    lines = LineObserver(logger=quiet)
    lines._is_enabled = lambda level: level >= events.INFO

    assert ["brief"] == watched(success, lines)[1]


class Second(Nosy):
    """Would make do without records, too."""

    heard = ()

    def brief_started(self, *_):
        return "memo"

    def brief_passed(self, *_):
        self.heard += ("passed",)
        return True

    def brief_recorded(self, *_):
        self.heard += ("recorded",)


def test_where_two_would_make_do_both_get_records(watched):
    """Each has something to remember of the call, and there is one place for it."""
    second = Second()

    assert ["records"] == watched(success, second)[1]
    assert () == second.heard


@pytest.mark.parametrize("kind", ["sdk", "light"])
def test_faults_are_kept_from_the_call(kind, colour, capsys):
    """At its begin, at its end, and where records are wanted after all."""
    base = ToldSdk if kind == "sdk" else ToldLight

    class Broken(base):
        def brief_passed(self, *_):
            raise ZeroDivisionError("end")

        def brief_recorded(self, *_):
            raise ZeroDivisionError("records")

    class Unable(base):
        def brief_started(self, *_):
            raise ZeroDivisionError("begin")

    def outcomes(observer, *errors):
        recorder = Recorder(kind)
        guarded = Guarded(observer(recorder.tracer if kind == "sdk" else recorder.outlet, Settings()))
        events.observe(guarded)
        left = list(errors)

        def fetch():
            if left:
                raise left.pop()
            return "good"

        with FakeClock():
            value = copy_context().run(colour.run, resilient(colour.define(fetch)))  # nobody restores it
        events.observe(None)
        return value, guarded.failures

    assert ("good", 1) == outcomes(Broken)
    assert "good" == outcomes(Broken, ConnectionError())[0]
    assert ("good", 1) == outcomes(Unable)
    firewall.flush(60)
    assert capsys.readouterr().err.count("a fault in tracing was kept from your call") == 3


def test_while_there_is_no_provider_there_are_no_spans(colour, fresh):
    """Neither of a call told in brief, nor of one with records; nor is anything amiss."""
    observer = ToldSdk()
    guarded = Guarded(observer)
    events.observe(guarded)
    outcomes = ["good", ConnectionError(), "better"]

    def fetch():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with FakeClock():
        fetched = resilient(colour.define(fetch))
        assert ["good", "better"] == [colour.run(fetched), colour.run(fetched)]
    events.observe(None)

    assert (["brief", "records after all"], 0) == (observer.ways, guarded.failures)


def test_the_store_shows_a_call_before_its_attempt(fresh, tmp_path):
    """They begin at the same moment."""
    tmp_path.chmod(0o700)
    with configure(path=tmp_path / "t.db", lines=False) as handle:
        fetch = resilient(name="fetch")(lambda: None)
        for _ in range(20):
            fetch()
        assert handle.flush(60)
    store = TraceStore(tmp_path / "t.db")
    traces = [store.spans(run.trace_id) for run in store.runs(limit=50)]
    store.close()

    assert [["fetch", "fetch attempt 1"]] * 20 == [[row.name for row in rows] for rows in traces]
    assert all(rows[0].start_ns == rows[1].start_ns for rows in traces)


class Meddling(ParentBased):
    """A sampler that writes into the attributes it is given, and notes them."""

    def __init__(self):
        super().__init__(ALWAYS_ON)
        self.given = []

    def should_sample(self, context, trace_id, name, kind=None, attributes=None, *more, **options):
        self.given.append(dict(attributes))
        attributes["first"] = len(self.given) == 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)


def test_what_a_sampler_writes_is_of_one_span(colour):
    """The next call of the task begins with what is known of it alone."""
    sampler = Meddling()
    observer = SpanObserver(TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("x"))
    events.observe(Guarded(observer))
    fetch = resilient(name="meddled with")(colour.define(lambda: None))
    for _ in range(2):
        colour.run(fetch)
    events.observe(None)

    assert 4 == len(sampler.given)
    assert [[], []] == [[name for name in each if name == "first"] for each in sampler.given[2:]]
    assert sampler.given[2:] == sampler.given[:2]


class Faulty(SpanProcessor):
    """Raises for spans of attempts, at the begin or the end, and counts."""

    def __init__(self, where):
        self.where = where
        self.open = Counter()

    def on_start(self, span, parent_context=None):
        self.open[span.name] += 1
        if self.where == "start" and "attempt" in span.name:
            self.open[span.name] -= 1  # the SDK never gives it to anybody
            raise ZeroDivisionError

    def on_end(self, span):
        self.open[span.name] -= 1
        if self.where == "end" and "attempt" in span.name:
            raise ZeroDivisionError


@pytest.mark.parametrize("where", ["start", "end"])
def test_a_processor_that_raises_leaves_no_span_open(colour, where):
    """That of the call ends, whatever becomes of its attempt's."""
    provider, processor = TracerProvider(shutdown_on_exit=False), Faulty(where)
    provider.add_span_processor(processor)
    guarded = Guarded(SpanObserver(provider.get_tracer("x")))
    events.observe(guarded)
    assert "good" == colour.run(resilient(name="fetch")(colour.define(lambda: "good")))
    events.observe(None)

    assert guarded.failures > 0
    assert {"fetch", "fetch attempt 1"} == set(processor.open)
    assert {0} == set(processor.open.values())


def test_a_span_that_the_user_ended_is_ended_once(watched, caplog):
    """And nobody is warned of it."""
    spans, ways, _ = watched(another_name_and_an_end)

    assert (["brief"], []) == (ways, [record for record in caplog.records if record.levelno >= WARNING])
    assert 5 == spans[0][3]["time"][1]
