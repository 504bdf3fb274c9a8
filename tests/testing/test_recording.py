"""recorded: facts as literals, who called whom, the tree. Driven by facts made by hand here; `test_kit.py` uses real tasks."""

from __future__ import annotations

import contextvars
import threading

import pytest

from holdfast import events
from holdfast.events import AttemptFacts, CallFacts, RunFacts
from holdfast.testing import RecordingObserver, recorded


def make_run(name="plan", **fields):
    """A run that ended well unless told otherwise."""
    return RunFacts(run_id="r", thread_id="r", name=name, function=f"app.{name}", started_ns=1, **{"outcome": "ok", **fields})


def make_call(name, run=None, **fields):
    """A call that ended well after one attempt unless told otherwise."""
    return CallFacts(run=run, name=name, function=f"app.{name}", started_ns=1, **{"outcome": "ok", "attempts": 1, **fields})


def play_attempts(observer, call, attempts, inside=None):
    """Emit the attempts of a call; ``inside`` is done in the last one."""
    for number, fields in enumerate(attempts, 1):
        attempt = AttemptFacts(call=call, number=number, started_ns=1, **{"outcome": "ok", **fields})
        observer.attempt_started(attempt)
        if inside is not None and number == len(attempts):
            inside()
        observer.attempt_ended(attempt)


def play_call(observer, call, attempts=({},), inside=None):
    """Emit a whole call."""
    observer.call_started(call)
    play_attempts(observer, call, attempts, inside)
    observer.call_ended(call)


def play_run(observer, run, *bodies):
    """Emit a run whose body's only attempt does ``bodies``."""
    observer.run_started(run)
    play_call(observer, make_call(run.name, run, is_body=True), inside=lambda: [body() for body in bodies])
    observer.run_ended(run)


RETRIED = (
    {"outcome": "error", "error": ConnectionError("reset"), "will_retry": True, "wait_s": 0.5, "reason": "transient"},
    {},
)


def test_the_tree_reads_like_the_run():
    """Attempts are drawn where there were several; the entrypoint's own body is the run."""
    observer, run = RecordingObserver(), make_run()
    play_run(
        observer,
        run,
        lambda: play_call(observer, make_call("forecast", run, index=1, attempts=2, waited_s=0.5), RETRIED),
        lambda: play_call(observer, make_call("summarize", run, index=2, cache="hit", attempts=0), ()),
    )

    expected = """\
run plan ok
  forecast ok attempts=2 waited=0.5
    attempt 1 error ConnectionError -> retry in 0.5
    attempt 2 ok
  summarize ok cache=hit"""
    assert expected == observer.tree()


def test_a_final_failure_says_why_it_stopped():
    """On the call and on its last attempt."""
    observer, error = RecordingObserver(), ValueError("no")
    call = make_call("parse", outcome="error", error=error, attempts=2, waited_s=1.0, stop_reason="max_attempts")
    last = {"outcome": "error", "error": error, "reason": "max_attempts"}
    play_call(observer, call, (RETRIED[0], last))

    expected = """\
parse error ValueError attempts=2 waited=1 stop=max_attempts
  attempt 1 error ConnectionError -> retry in 0.5
  attempt 2 error ValueError -> max_attempts"""
    assert expected == observer.tree()


def test_nested_calls_stand_inside_the_attempt_that_made_them():
    """Under the call itself when it had only one."""
    observer, run = RecordingObserver(), make_run()

    def inner(index):
        return lambda: play_call(observer, make_call(f"inner{index}", run, index=index))

    play_run(
        observer,
        run,
        lambda: play_call(observer, make_call("once", run, index=1), inside=inner(2)),
        lambda: play_call(observer, make_call("twice", run, index=3, attempts=2), RETRIED, inside=inner(4)),
    )

    expected = """\
run plan ok
  once ok
    inner2 ok
  twice ok attempts=2
    attempt 1 error ConnectionError -> retry in 0.5
    attempt 2 ok
      inner4 ok"""
    assert expected == observer.tree()


def test_a_retried_body_shows_its_attempts():
    """They are children of the run itself."""
    observer, run = RecordingObserver(), make_run()
    observer.run_started(run)
    play_call(observer, make_call("plan", run, is_body=True), RETRIED, lambda: play_call(observer, make_call("forecast", run, index=1)))
    observer.run_ended(run)

    expected = """\
run plan ok
  attempt 1 error ConnectionError -> retry in 0.5
  attempt 2 ok
    forecast ok"""
    assert expected == observer.tree()


def test_calls_stand_in_the_order_in_which_they_were_made():
    """Whatever the order in which threads began work on them; each thread has a copy of the caller's context, as in the runtime."""
    observer, run = RecordingObserver(), make_run()

    def fan_out():
        for index in (2, 3, 1):
            call = make_call(f"task{index}", run, index=index)
            thread = threading.Thread(target=contextvars.copy_context().run, args=(play_call, observer, call))
            thread.start()
            thread.join()

    play_run(observer, run, fan_out)

    assert "run plan ok\n  task1 ok\n  task2 ok\n  task3 ok" == observer.tree()


def test_after_a_run_calls_stand_on_their_own():
    """The context is restored by each end."""
    observer = RecordingObserver()
    play_run(observer, make_run())
    play_call(observer, make_call("alone"))

    assert "run plan ok\nalone ok" == observer.tree()


def test_facts_are_literals_that_compare_equal():
    """Only what differs from the default, no times, no ids; in the order of the ends."""
    observer, run = RecordingObserver(), make_run(calls=1)
    call = make_call("forecast", run, index=1, attempts=2, waited_s=0.5, names=("city",), arguments=("Oslo",), result={"temp": 3})
    play_run(observer, run, lambda: play_call(observer, call, RETRIED))

    expected = [
        {
            "kind": "attempt",
            "name": "forecast",
            "number": 1,
            "outcome": "error",
            "error": "ConnectionError: reset",
            "will_retry": True,
            "wait_s": 0.5,
            "reason": "transient",
        },
        {"kind": "attempt", "name": "forecast", "number": 2, "outcome": "ok"},
        {
            "kind": "call",
            "name": "forecast",
            "arguments": {"city": "Oslo"},
            "outcome": "ok",
            "result": {"temp": 3},
            "attempts": 2,
            "waited_s": 0.5,
        },
        {"kind": "attempt", "name": "plan", "number": 1, "outcome": "ok"},
        {"kind": "body", "name": "plan", "arguments": {}, "outcome": "ok", "attempts": 1},
        {"kind": "run", "name": "plan", "outcome": "ok", "calls": 1},
    ]
    assert expected == observer.facts


def test_notes_are_literals():
    """With the level as a word and the fields beside it."""
    with recorded() as seen:
        events.note("holdfast.cache.error", events.WARNING, "the disk is full", path="cache.db")

    assert [{"event": "holdfast.cache.error", "level": "warning", "text": "the disk is full", "path": "cache.db"}] == seen.notes


def test_recording_ends_with_the_block():
    """Nobody observes afterwards, if nobody did before."""
    before = events.observer
    with recorded() as seen:
        assert events.observer is not before
    events.note("later", events.WARNING, "too late")

    assert before is events.observer
    assert [] == seen.notes


def test_whoever_observed_before_still_does():
    """Recording is invisible to the rest of the program."""
    with recorded() as outer, recorded() as inner:
        events.note("n", events.INFO, "text")

    assert [{"event": "n", "level": "info", "text": "text"}] == outer.notes == inner.notes


def test_an_error_in_an_observer_is_the_tests_to_see():
    """A test kit hides nothing."""

    class Broken(RecordingObserver):
        def noted(self, note):
            raise ZeroDivisionError

    before = events.observe(Broken())
    try:
        with recorded(), pytest.raises(ZeroDivisionError):
            events.note("n", events.INFO, "text")
    finally:
        events.observe(before)


def test_clear_forgets():
    """For tests with a part to set up."""
    observer = RecordingObserver()
    play_run(observer, make_run())
    observer.clear()
    play_call(observer, make_call("alone"))

    assert "alone ok" == observer.tree()
    assert ["attempt", "call"] == [fact["kind"] for fact in observer.facts]
