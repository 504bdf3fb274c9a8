"""What is under way is told before it ends: runs while they last, calls once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from holdfast import RetryPolicy, entrypoint, events, task
from holdfast.runtime.state import Call
from holdfast.tracing.export import exporters
from holdfast.tracing.killed import under_way
from holdfast.tracing.killed.under_way import Watch

SECOND = 10**9


@pytest.fixture
def told():
    """Rows that were told, one list for each beat."""
    return []


@pytest.fixture
def watch(told, monkeypatch):
    """Tells them, in a process in which nothing is under way, and nobody else is told."""
    monkeypatch.setattr(under_way, "_runs", {})
    monkeypatch.setattr(under_way, "_wakers", [])
    return Watch(lambda rows: told.append(list(rows)), exporters.row)


@pytest.fixture
def started(clock, make_play, recorder, settings):
    """Facts whose times begin with the clock's."""
    return make_play(recorder.observer(settings), start=int(clock.time()))


class Open:
    """One of the runtime's calls, as far as it is looked at."""

    brief = None
    records = Call.records

    def __init__(self, facts, attempt=None):
        self.facts = facts
        self.attempt = attempt
        self.step = None


def under(*calls):
    """What the runtime has as its open calls."""
    return {Open(call) for call in calls}


def test_a_run_and_its_calls_are_told_while_they_last(clock, started, watch, told):
    """Each call once, the run with each beat: under their own ids, with the time at which they were seen."""
    with started.run(thread_id="trip-1") as run, started.call(run) as call, started.attempt(call):
        run.open = under(call)
        clock.advance(10)
        watch.beat()
        clock.advance(1)
        watch.beat()
        now = clock.time_ns()
    (of_run, of_call), (again,) = told

    assert [now - SECOND, now - SECOND, now] == [row.end_ns for row in (of_run, of_call, again)]
    assert [True] * 3 == [row.is_open for row in (of_run, of_call, again)]
    assert (of_run.span_id, of_run.trace_id) == (of_call.parent_id, of_call.trace_id)
    assert ("run", "plan", "trip-1") == tuple(of_run.attributes[f"holdfast.{name}"] for name in ("span.type", "workflow.name", "thread.id"))
    assert ("task", "forecast", 1) == tuple(of_call.attributes[f"holdfast.{name}"] for name in ("span.type", "task.name", "task.index"))


def test_the_ended_spans_have_the_same_ids(clock, started, watch, told, recorder):
    """So they take the place of what was told."""
    with started.run() as run, started.call(run) as call, started.attempt(call):
        run.open = under(call)
        clock.advance(10)
        watch.beat()

    ended = {(row.span_id, row.parent_id, row.name, row.start_ns) for row in map(exporters.row, recorder.ended)}
    assert ended == {(row.span_id, row.parent_id, row.name, row.start_ns) for row in told[0]}


def test_arguments_are_told_where_they_are_captured(clock, started, watch, told):
    """What hangs is then known by what it was given."""
    with started.run() as run, started.call(run, capture="values", names=("city",), arguments=("Oslo",)) as call, started.attempt(call):
        run.open = under(call)
        clock.advance(10)
        watch.beat()

    assert '{"city":"Oslo"}' == told[0][1].attributes["holdfast.input"]


def test_what_has_just_begun_is_not_told(clock, started, watch, told):
    """Most ends within the second; it costs nothing then."""
    with started.run():
        watch.beat()

    assert [[]] == told


def test_calls_without_a_span_are_not_told(clock, started, watch, told):
    """One that waits for a slot has none, one that has ended has sent it; a run's body has the run's."""
    with started.run() as run:
        with started.call(run) as ended, started.attempt(ended):
            pass
        with started.call(run, is_body=True) as body, started.attempt(body):
            queued = SimpleNamespace(memo=None, ended_ns=0, is_body=False, index=9, started_ns=run.started_ns)
            run.open = under(ended, body, queued, None)
            clock.advance(10)
            watch.beat()

    assert ["run plan"] == [row.name for row in told[0]]


def test_nothing_is_needed_when_nothing_is_under_way(started, watch):
    """Then nobody looks at the clock."""
    before = watch.is_needed()
    with started.run():
        during = watch.is_needed()

    assert (False, True, False) == (before, during, watch.is_needed())


def test_wakes_when_a_run_begins(started, watch):
    """Until it is stopped."""
    woken = []
    watch.start(lambda: woken.append(1))
    with started.run():
        pass
    watch.stop()
    with started.run():
        pass

    assert [1] == woken
    assert [] == under_way._wakers


def test_calls_of_a_run_are_told_where_an_ended_run_stood(clock, started, watch, told, monkeypatch):
    """The place in memory of a run that has ended is the next one's, often: what was told of the one says nothing about the other."""
    monkeypatch.setattr(under_way, "id", lambda _: 1, raising=False)
    for _ in range(2):
        with started.run() as run, started.call(run) as call, started.attempt(call):
            run.open = under(call)
            clock.advance(10)
            call.index, call.started_ns, run.started_ns = 1, 1, 1
            watch.beat()

    assert [2, 2] == [len(rows) for rows in told]


def test_a_call_that_ends_while_it_is_looked_at_is_passed_over(clock, started, watch, told):
    """It lets go of its record on another thread, between two looks at it."""

    class Ending:
        attempt = brief = None
        records = Call.records

        def __init__(self, facts):
            self.looks = iter([facts, None])

        @property
        def facts(self):
            return next(self.looks)

    with started.run() as run, started.call(run) as call, started.attempt(call):
        run.open = {Ending(call)}
        clock.advance(10)
        watch.beat()

    assert [2] == [len(rows) for rows in told]


def test_a_call_that_stands_in_line_is_looked_at_like_any_other(clock, recorder, settings, watch, told, monkeypatch):
    """It has no spans yet, and no records either, as it is told in brief: there is nothing to tell of it."""
    monkeypatch.setattr(events, "observer", recorder.observer(settings))
    seen = []

    @task(retry_policy=RetryPolicy())
    def first():
        clock.advance(10)
        watch.beat()
        seen.extend(row.name for row in told[-1])

    @task
    def second():
        return None

    @entrypoint(max_concurrency=1)
    def plan(_):
        for future in [first(), second()]:
            future.result()

    plan.invoke(None)

    assert ["run plan", "first", "first attempt 1"] == seen
