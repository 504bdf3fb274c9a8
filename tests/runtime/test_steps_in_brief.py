"""What an observer is told that makes do without records of the calls in a run: `events.StepTracer`."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InMemorySaver, RetryPolicy, entrypoint, events, task
from holdfast.runtime import steps
from holdfast.runtime.dispatch import workers
from holdfast.testing import FakeClock

if TYPE_CHECKING:
    from holdfast.events import AttemptFacts, InBrief
    from holdfast.runtime.state import Call

TWICE = RetryPolicy(max_attempts=2, initial_interval=1, jitter=False)


class Steps:
    """Such an observer, in the order in which it is told of a task's calls."""

    def __init__(self, memos: Any = ("of call", "of attempt"), *, is_enough: bool = True) -> None:
        self.memos = memos
        self.is_enough = is_enough
        self.told: list[Any] = []

    def step_started(self, called: Any, brief: InBrief) -> Any:
        if not brief.is_body:
            self.told.append(("step_started", called.name, brief.index, brief.made_ns / 1e9, brief.begun_ns / 1e9))
        return self.memos

    def step_passed(self, called: Any, brief: InBrief, ended_ns: int) -> bool:
        if not brief.is_body:
            self.told.append(("step_passed", called.name, brief.memos, ended_ns / 1e9))
        return self.is_enough

    def step_recorded(self, brief: InBrief, attempt: AttemptFacts) -> None:
        call = attempt.call
        if not call.is_body:
            assert brief.run is call.run
            self.told.append(("step_recorded", call.memo, attempt.memo, attempt.number, attempt.started_ns / 1e9, call.started_ns / 1e9))

    def __getattr__(self, name: str) -> Any:
        return self._heard if name.startswith(("call_", "attempt_")) else lambda _: None

    def _heard(self, facts: Any) -> None:
        call = getattr(facts, "call", facts)
        if not call.is_body:
            self.told.append((type(facts).__name__, facts.outcome, call.attempts, call.index, call.arguments))


def told(colour: Any, observer: Any, monkeypatch: pytest.MonkeyPatch, *outcomes: Any, **options: Any) -> list[Any]:
    """What such an observer is told of one call whose attempts end so, each after two seconds."""
    monkeypatch.setattr(events, "observer", observer)
    left = list(outcomes)
    saver = options.pop("saver", None)
    with FakeClock(start=10.0) as clock:

        def fetch(city: str) -> str:
            clock.advance(2)
            if left:
                raise left.pop(0)
            return city

        asked = task(name="fetch", **options)(colour.define(fetch))

        def body(city: str) -> Any:
            return asked(city)

        assert "Oslo" == colour.invoke(entrypoint(saver)(colour.define(body)), "Oslo")
    return observer.told  # type: ignore[no-any-return]


def test_a_success_has_no_record(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its begin and its end are told."""
    assert [
        ("step_started", "fetch", 1, 10.0, 10.0),
        ("step_passed", "fetch", ("of call", "of attempt"), 12.0),
    ] == told(colour, Steps(), monkeypatch)


def test_a_failure_has_records_from_its_begin_on(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so have the attempts that follow."""
    assert [
        ("step_started", "fetch", 1, 10.0, 10.0),
        ("step_recorded", "of call", "of attempt", 1, 10.0, 10.0),
        ("AttemptFacts", "error", 1, 1, ("Oslo",)),
        ("AttemptFacts", "", 2, 1, ("Oslo",)),
        ("AttemptFacts", "ok", 2, 1, ("Oslo",)),
        ("CallFacts", "ok", 2, 1, ("Oslo",)),
    ] == told(colour, Steps(), monkeypatch, ConnectionError("a"), retry_policy=TWICE)


def test_who_wants_more_at_the_end_gets_records(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a success, too."""
    assert [
        ("step_started", "fetch", 1, 10.0, 10.0),
        ("step_passed", "fetch", ("of call", "of attempt"), 12.0),
        ("step_recorded", "of call", "of attempt", 1, 10.0, 10.0),
        ("AttemptFacts", "ok", 1, 1, ("Oslo",)),
        ("CallFacts", "ok", 1, 1, ("Oslo",)),
    ] == told(colour, Steps(is_enough=False), monkeypatch)


def test_who_wants_records_at_the_begin_gets_them(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told of everything, and of nothing in brief."""
    assert [
        ("step_started", "fetch", 1, 10.0, 10.0),
        ("CallFacts", "", 0, 1, ("Oslo",)),
        ("AttemptFacts", "", 1, 1, ("Oslo",)),
        ("AttemptFacts", "ok", 1, 1, ("Oslo",)),
        ("CallFacts", "ok", 1, 1, ("Oslo",)),
    ] == told(colour, Steps(None), monkeypatch)


@pytest.mark.parametrize(
    "options", [{"saver": InMemorySaver}, {"timeout": 60}, {"retry_policy": RetryPolicy(retry_on_result=lambda _: False)}]
)
def test_calls_that_need_more_than_their_function_have_records(colour: Any, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    """A journal, a limit, or a judgement of what it returns."""
    options = {name: value() if name == "saver" else value for name, value in options.items()}

    assert ("CallFacts", "", 0, 1, ("Oslo",)) == told(colour, Steps(), monkeypatch, **options)[0]


# -- what somebody sees who looks at a call from outside --------------------------------------------------------------------------------


def test_a_call_that_has_returned_has_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it leaves its run, which takes as long as the callbacks of its future do: nothing of it is under way."""
    observer, gate, runs, seen = Steps(), threading.Event(), list[Any](), list[Any]()
    observer.run_started = runs.append  # type: ignore[attr-defined]
    monkeypatch.setattr(events, "observer", observer)

    def look(_: object = None) -> None:
        seen.append([None if facts is None else facts.name for facts, _ in (call.records() for call in runs[0].open)])

    @task(name="fetch")
    def fetch(city: str) -> str:
        look()
        gate.wait(60)
        return city

    @entrypoint
    def body(city: str) -> str:
        future = fetch(city)
        future.add_done_callback(look)
        gate.set()
        return future.result()

    assert "Oslo" == body.invoke("Oslo")
    assert [["fetch"], [None]] == seen


def without_threads(monkeypatch: pytest.MonkeyPatch, observer: Any) -> None:
    """A run with a task that was called while the system allowed no thread, and at which nobody looks."""
    monkeypatch.setattr(events, "observer", observer)

    @task(name="fetch")
    def fetch(city: str) -> str:
        return city

    @entrypoint
    def body(city: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            patch.setattr(workers, "_idle", deque())  # so no thread of an earlier test takes it, either
            fetch(city)

    body.invoke("Oslo", run_id="order-42")


def no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_call_for_which_no_thread_could_be_had_is_told_with_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it never began, and nothing was told of it: the line says of which run it was, and what it was given."""
    observer, notes = Steps(), list[events.Note]()
    observer.noted = notes.append  # type: ignore[attr-defined]
    without_threads(monkeypatch, observer)

    calls = [note.call for note in notes]
    assert ["holdfast.task.uncollected_failure"] == [note.event for note in notes]
    assert [("fetch", "order-42", 1, ("Oslo",))] == [(c.name, c.run.run_id, c.index, c.arguments) for c in calls if c is not None and c.run]


def test_a_call_that_never_began_has_no_records_once_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may still have it, who looks at what is under way."""
    settle, ended = steps.settle, []

    def keep(call: Call, value: Any) -> None:
        ended.append(call)
        settle(call, value)

    monkeypatch.setattr(steps, "settle", keep)
    without_threads(monkeypatch, Steps())

    assert [("fetch", (None, None))] == [(call.name, call.records()) for call in ended]
