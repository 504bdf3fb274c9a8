"""Calls in runs that are told in brief, and the bodies of these runs: what leaves is what leaves of calls with records."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from holdfast import CachePolicy, InMemoryCache, InMemorySaver, RetryPolicy, entrypoint, events, task
from holdfast.runtime import behind
from holdfast.testing import FakeClock
from holdfast.tracing.export import exporters
from holdfast.tracing.killed import under_way
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.metrics.observer import MetricObserver
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.safety.guard import Guarded
from holdfast.tracing.spans import ids
from tests.tracing.conftest import Counted, Recorder
from tests.tracing.observers.test_brief import Nosy, comparable, literal, more, nobody_before
from tests.waiting import until

__all__ = ["nobody_before"]

TWICE = RetryPolicy(max_attempts=2, initial_interval=1, jitter=False)


class Told(LightObserver):
    """Remembers which of the two ways each call was told in."""

    def __init__(self, *args):
        super().__init__(*args)
        self.ways = []

    def step_passed(self, called, brief, ended_ns):
        is_told = super().step_passed(called, brief, ended_ns)
        self.ways += [f"{called.name.removesuffix('_async')} brief"] * is_told
        return is_told

    def step_recorded(self, brief, attempt):
        self.ways.append(f"{attempt.call.name.removesuffix('_async')} records after all")
        super().step_recorded(brief, attempt)

    def call_started(self, call):
        self.ways.append(f"{call.name.removesuffix('_async')} records")
        super().call_started(call)


@pytest.fixture
def watched(monkeypatch, colour):
    """Says what the spans of a program are, in order, in which way its calls were told, and what it raised."""

    def watch(program, *others, capture="none", attempt_spans="auto"):
        monkeypatch.setattr(ids, "draw", Counted())
        recorder = Recorder("light")
        observer = Told(recorder.outlet, Settings(salt=b"salt", capture=capture, attempt_spans=attempt_spans))
        guarded = Guarded(observer, *others)
        events.observe(guarded)
        raised = ""
        with FakeClock(start=1000.0, draw=1.0) as clock:
            try:
                program(colour, clock, recorder.tracer)
            except BaseException as error:
                raised = repr(error)
        events.observe(None)
        assert 0 == guarded.failures
        spans = [(span.name, span.context.trace_id, span.context.span_id, comparable(literal(span))) for span in recorder.spans()]
        return spans, observer.ways, raised

    return watch


def run(colour, body, *, settings=None, **options):
    """An entrypoint with this body, invoked; what its body returns is waited for, as with any."""
    return colour.invoke(entrypoint(**(settings or {}))(colour.define(body)), "Oslo", run_id="order-42", **options)


def calling(asked):
    """A body of one call."""

    def body(city):
        return asked(city)

    return body


def step(colour, clock, **options):
    """A task that takes two seconds."""
    return task(**{"name": "forecast", **options})(colour.define(lambda city: clock.advance(2) or city))


def one(**options):
    """A program of one such call."""

    def program(colour, clock, _):
        forecast = step(colour, clock, **options)
        run(colour, calling(forecast))

    return program


def a_body_that_is_tried_again(colour, clock, _):
    """Its attempts have spans of their own."""
    outcomes = [ConnectionError("a")]
    forecast = step(colour, clock)

    def body(city):
        if outcomes:
            raise outcomes.pop()
        return forecast(city)

    run(colour, body, settings={"retry_policy": TWICE})


def a_body_that_may_be(colour, clock, _):
    """And need not."""
    forecast = step(colour, clock)
    run(colour, calling(forecast), settings={"retry_policy": TWICE})


def a_body_that_fails(colour, clock, _):
    """After a call."""
    forecast = step(colour, clock)

    async def body_async(city):
        await forecast(city)
        raise ValueError("no")

    def body(city):
        forecast(city).result()
        raise ValueError("no")

    colour.invoke(entrypoint(body_async if colour.is_async else body), "Oslo", run_id="order-42")


def in_words_of_the_user(where):
    """A body says something of its span."""

    def said():
        span = trace.get_current_span()
        span.set_attribute("city", "Oslo")
        span.set_attribute("holdfast.attempt.number", 99)  # ours wins
        span.set_attribute("code.function.name", "mine")
        span.add_event("cloud", {"size": 3}, 7)
        span.set_status(StatusCode.OK)

    def program(colour, clock, _):
        forecast = task(name="forecast", retry_policy=TWICE if where == "attempt" else ())(
            colour.define(lambda city: clock.advance(1) or (where != "run" and said()))
        )

        def body(city):
            if where == "run":
                said()
            return forecast(city)

        run(colour, body)

    return program


def one_in_another(colour, clock, tracer):
    """With a span of the user's in between, and around."""
    inner = step(colour, clock, name="inner", retry_policy=())

    def outside(city):
        with tracer.start_as_current_span("between"):
            return inner(city)

    async def outside_async(city):
        with tracer.start_as_current_span("between"):
            return await inner(city)

    def outside_sync(city):
        return outside(city).result()

    outer = task(name="outer", retry_policy=TWICE)(outside_async if colour.is_async else outside_sync)
    with tracer.start_as_current_span("around"):
        run(colour, calling(outer))


def in_line(colour, clock, _):
    """The second waits for the slot of the first."""
    forecast = step(colour, clock)
    asked = []

    async def body_async(city):
        asked.extend([forecast(city), forecast(city)])
        return [await each for each in asked]

    def body(city):
        asked.extend([forecast(city), forecast(city)])
        return [each.result() for each in asked]

    plan = entrypoint(max_concurrency=1)(body_async if colour.is_async else body)
    colour.invoke(plan, "Oslo", run_id="order-42")


def not_sampled(colour, clock, _):
    """In a trace that nobody keeps."""
    parent = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(0)))
    with trace.use_span(parent):
        one()(colour, clock, None)


def raising(*errors, retry_policy=TWICE):
    """A program whose attempts raise these in turn."""

    def program(colour, clock, _):
        left = [type(error)(*error.args) for error in errors]

        def forecast(city):
            clock.advance(1)
            if left:
                raise left.pop(0)
            return city

        asked = task(name="forecast", retry_policy=retry_policy)(colour.define(forecast))
        run(colour, calling(asked))

    return program


def a_coroutine(colour, clock, _):
    """The body has not run."""

    async def later():
        """Never awaited."""

    asked = task(name="forecast")(colour.define(lambda city: clock.advance(1) or later()))
    run(colour, calling(asked))


BOTH = ["body brief", "forecast brief"]
AFTER_ALL = ["forecast records after all"]
PROGRAMS = {
    "success": (one(), BOTH, ""),
    "one attempt": (one(retry_policy=()), BOTH, ""),
    "retries": (one(retry_policy=TWICE), BOTH, ""),
    "client": (one(retry_policy=TWICE, kind="client"), BOTH, ""),
    "client of one attempt": (one(retry_policy=(), kind="client"), BOTH, ""),
    "tool": (one(kind="tool"), BOTH, ""),
    "body may be retried": (a_body_that_may_be, BOTH, ""),
    "body is retried": (a_body_that_is_tried_again, ["body records after all", "forecast brief"], ""),
    "body fails": (a_body_that_fails, ["body records after all", "forecast brief"], "ValueError('no')"),
    "words of an attempt": (in_words_of_the_user("attempt"), ["body brief", *AFTER_ALL], ""),
    "words of a call": (in_words_of_the_user("call"), ["body brief", *AFTER_ALL], ""),
    "words of a run": (in_words_of_the_user("run"), ["body brief", "forecast brief"], ""),
    "nested": (one_in_another, ["body brief", "inner brief", "outer brief"], ""),
    "in line": (in_line, ["body brief", "forecast brief", "forecast brief"], ""),
    "not sampled": (not_sampled, BOTH, ""),
    "retried": (raising(ConnectionError("a")), ["body brief", *AFTER_ALL], ""),
    "exhausted": (
        raising(ConnectionError("a"), ConnectionError("b")),
        ["body records after all", *AFTER_ALL],
        "ConnectionError('b')",
    ),
    "permanent": (raising(ValueError("no")), ["body records after all", *AFTER_ALL], "ValueError('no')"),
    "no policy": (raising(ValueError("no"), retry_policy=()), ["body records after all", *AFTER_ALL], "ValueError('no')"),
    "cancelled": (raising(asyncio.CancelledError()), ["body records after all", *AFTER_ALL], "CancelledError()"),
    "coroutine": (a_coroutine, ["body records after all", *AFTER_ALL], "TypeError("),
}


@pytest.mark.parametrize("attempt_spans", ["auto", "always"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_leaves_is_the_same(watched, name, attempt_spans):
    """Names, ids, times, kinds, status, attributes, events and their order."""
    program, ways, error = PROGRAMS[name]

    brief, taken, raised = watched(program, attempt_spans=attempt_spans)
    recorded, otherwise, expected = watched(program, Nosy(), attempt_spans=attempt_spans)

    assert {(way.partition(" ")[0], "records") for way in ways} == {tuple(way.split(" ", 1)) for way in otherwise}
    assert recorded == brief
    assert (error, expected) == (expected[: len(error)], raised)
    assert bool(error) == bool(raised)
    assert (name == "not sampled") == (not recorded)
    if (name, attempt_spans) != ("words of a run", "always"):  # they are an attempt's then
        assert sorted(ways) == sorted(taken)


def test_what_stands_in_line_has_begun_when_it_was_called(watched):
    """And says how long it stood there; the run's span has what its body's attempt says."""
    spans, _, _ = watched(in_line)
    of_calls = [span for name, _, _, span in spans if name == "forecast"]
    of_run = spans[-1][3]

    assert [(1000 * 10**9, 1002 * 10**9), (1000 * 10**9, 1004 * 10**9)] == sorted(span["time"] for span in of_calls)
    assert [2.0] == [span["attributes"]["holdfast.queue.wait_s"] for span in of_calls if "holdfast.queue.wait_s" in span["attributes"]]
    assert {1, 2} == {span["attributes"]["holdfast.task.index"] for span in of_calls}
    assert {"ok", 1} == {of_run["attributes"][f"holdfast.attempt.{name}"] for name in ("outcome", "number", "count")}
    assert {"order-42"} == {span["attributes"]["holdfast.run.id"] for *_, span in spans}
    assert 2 == of_run["attributes"]["holdfast.run.calls"]


@more
def test_who_wants_more_gets_records(watched, how):
    """Arguments, other spans, a line for each success, a count of each."""
    options = dict(how)
    others = [options.pop("with")] if "with" in how else []

    spans, ways, _ = watched(one(), *others, **options)

    assert ["body records", "forecast records"] == ways
    assert ("capture" in how) == ("holdfast.input" in spans[-1][3]["attributes"])


@pytest.mark.parametrize("options", [{"settings": {"checkpointer": InMemorySaver}}, {"timeout": 60}, {"deadline": 60}])
def test_calls_that_need_more_have_records(watched, options):
    """What is kept, and what has a limit."""

    def program(colour, clock, _):
        forecast = step(colour, clock, **{name: limit for name, limit in options.items() if name != "settings"})
        run(colour, calling(forecast), settings={name: make() for name, make in options.get("settings", {}).items()})

    assert "forecast records" in watched(program)[1]


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
def test_what_is_wanted_since_the_call_began_is_told(colour, change, monkeypatch):
    """A run that sets things up sees its own end, and the end of the call that did."""
    recorder, settings = Recorder("light"), Settings()
    observer, lines, metrics = Told(recorder.outlet, settings), LineObserver(events.WARNING), MetricObserver()
    ended = []
    for each in (lines, metrics):
        monkeypatch.setattr(each, "call_ended", lambda call: ended.append((call.name, call.outcome, call.result)))
    events.observe(Guarded(observer, lines, metrics))
    forecast = task(name="forecast")(colour.define(lambda city: change(settings, lines, metrics) or city))
    assert "Oslo" == run(colour, calling(forecast))
    events.observe(None)

    assert {"body records after all", "forecast records after all"} == set(observer.ways)
    assert {("forecast", "ok", "Oslo"), ("body", "ok", "Oslo")} == set(ended)
    by_name = {span.name: span for span in recorder.spans()}
    assert {"run body", "forecast"} == set(by_name)
    assert (settings.capture == "values") == ("holdfast.output" in by_name["forecast"].attributes)


def test_a_call_that_hangs_is_told_of(monkeypatch):
    """It has no record, and is shown as if it had: under its own ids, with what its ended span will say."""
    rows = []
    monkeypatch.setattr(under_way, "_runs", {})
    watch = under_way.Watch(rows.extend, exporters.row)
    recorder = Recorder("light")
    events.observe(Guarded(Told(recorder.outlet, Settings())))
    with FakeClock() as clock:

        def look(city):
            clock.advance(10)
            watch.beat()
            return city

        inner = task(name="inner", retry_policy=())(look)
        outer = task(name="outer", retry_policy=TWICE)(lambda city: inner(city).result())
        entrypoint()(calling(outer)).invoke("Oslo", run_id="order-42")
    events.observe(None)

    ended = {row.span_id: row for row in map(exporters.row, recorder.ended)}
    assert {"run body", "outer", "outer attempt 1", "inner"} == {row.name for row in rows}
    for row in rows:
        whole = ended[row.span_id]
        assert row.is_open
        assert (whole.name, whole.parent_id, whole.start_ns) == (row.name, row.parent_id, row.start_ns)
        assert row.attributes.items() <= whole.attributes.items()


def test_nothing_of_the_users_is_kept_for_the_backend():
    """A queue is long, and arguments, results and what a function closes over may be large."""

    class Large:
        """Somebody's."""

        def answer(self, _):
            return Large()

    recorder = Recorder("light")
    kept = []
    recorder.send = kept.append
    events.observe(Guarded(LightObserver(recorder.outlet, Settings())))
    forecast = task(name="forecast", retry_policy=TWICE)(Large().answer)
    entrypoint()(calling(forecast)).invoke(Large())
    events.observe(None)
    del forecast

    assert 3 == len(kept)
    # A worker may come for the call yet, which holds the function until then.
    until(lambda: gc.collect() is not None and not any(type(each) is Large for each in gc.get_objects()))
    assert ["attempt", "task", "run"] == [span.attributes["holdfast.span.type"] for span in kept]


@pytest.mark.parametrize("where", ["step_started", "step_passed", "step_recorded"])
def test_a_fault_of_the_observer_is_kept_from_the_call(colour, where):
    """And counted."""

    def broken(*_):
        raise RuntimeError("broken")

    recorder = Recorder("light")
    observer = LightObserver(recorder.outlet, Settings())
    setattr(observer, where, broken)
    guarded = Guarded(observer)
    events.observe(guarded)
    outcomes = [ConnectionError("a")] if where == "step_recorded" else []

    def fetch(city):
        if outcomes:
            raise outcomes.pop()
        return city

    with FakeClock():
        fetched = task(name="fetch", retry_policy=TWICE)(colour.define(fetch))
        assert "Oslo" == run(colour, calling(fetched))
    events.observe(None)

    assert guarded.failures


def test_what_fails_when_it_is_told_is_not_told_again(colour):
    """Half of it may have left: the call goes on without a record, as after any other fault."""

    class Broken(Told):
        def step_passed(self, called, brief, ended_ns):
            super().step_passed(called, brief, ended_ns)
            raise RuntimeError("broken")

    recorder = Recorder("light")
    observer = Broken(recorder.outlet, Settings())
    guarded = Guarded(observer)
    events.observe(guarded)
    with FakeClock() as clock:
        assert "Oslo" == run(colour, calling(step(colour, clock, retry_policy=TWICE)))
    events.observe(None)

    assert (["forecast brief", "body brief"], 2) == (observer.ways, guarded.failures)
    assert ["forecast attempt 1", "forecast", "run body"] == [span.name for span in recorder.spans()]


def test_a_run_that_is_not_told_has_calls_with_records(colour):
    """Somebody began to observe in the middle of it."""
    recorder = Recorder("light")
    observer = Told(recorder.outlet, Settings())

    def body(city):
        events.observe(observer)
        return forecast(city)

    with FakeClock() as clock:
        forecast = step(colour, clock)
        run(colour, body)
    events.observe(None)

    assert ["forecast records"] == observer.ways
    assert {"order-42"} == {span.attributes["holdfast.run.id"] for span in recorder.spans()}


def test_what_is_called_behind_a_call_is_in_no_run():
    """The run that it is made in is told to no observer: nobody would find it."""
    recorder = Recorder("light")
    events.observe(Guarded(LightObserver(recorder.outlet, Settings())))

    @task(retry_policy=())
    def look_up(item):
        return item

    @task(cache_policy=CachePolicy(ttl=60, version=1, stale_while_revalidate=60), retry_policy=())
    def price(item):
        return look_up(item).result()

    order = entrypoint(cache=InMemoryCache())(calling(price))
    with FakeClock() as clock:
        order.invoke("tea", run_id="order-1")
        clock.advance(61)
        order.invoke("tea", run_id="order-2")
        until(lambda: not behind._under_way)
    events.observe(None)

    *_, renewal = (span for span in recorder.spans() if span.name == "price")
    first, second = (span for span in recorder.spans() if span.name == "look_up")
    assert "order-1" == first.attributes["holdfast.run.id"]
    assert not {"holdfast.run.id", "holdfast.thread.id", "holdfast.workflow.name"} & set(second.attributes)
    assert (renewal.context.trace_id, renewal.context.span_id) == (second.context.trace_id, second.parent.span_id)


def test_a_failure_that_nobody_looked_at_is_told_with_its_call(monkeypatch):
    """As ever: the line names the call."""
    notes = []
    recorder = Recorder("light")
    observer = LightObserver(recorder.outlet, Settings())
    monkeypatch.setattr(observer, "noted", notes.append)
    events.observe(Guarded(observer))

    @task(retry_policy=())
    def fetch(_):
        raise ValueError("no")

    def body(city):
        failed = fetch(city)
        with suppress(ValueError):
            failed.exception()
        failed.is_collected = False

    entrypoint()(body).invoke("Oslo")
    events.observe(None)

    assert [("holdfast.task.uncollected_failure", "fetch", "error")] == [(each.event, each.call.name, each.call.outcome) for each in notes]
