"""Options of spans: whose attempts have one of their own, and what the environment says."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.errors import PolicyError
from holdfast.tracing import configure
from holdfast.tracing.observers.settings import Settings

S = 1_000_000_000


@pytest.fixture
def play_failures(play, settings):
    settings.attempt_spans = "failures"
    return play


def test_with_failures_a_call_that_succeeds_at_once_is_one_span(play_failures, recorder):
    """However many attempts it might have had; the user's own spans nest in it."""
    with (
        play_failures.run() as run,
        play_failures.call(run, max_attempts=3) as call,
        play_failures.attempt(call),
        recorder.tracer.start_as_current_span("GET"),
    ):
        pass

    spans = recorder.literals()
    assert {"GET", "forecast", "run plan"} == set(spans)
    assert 2 == spans["GET"]["parent"]
    assert 1 == spans["forecast"]["attributes"]["holdfast.attempt.count"]


def test_with_failures_a_failed_attempt_has_a_span(play_failures, recorder):
    """With its own times, its error and what follows; the good one after it has none."""
    with play_failures.run() as run, play_failures.call(run, max_attempts=3) as call:
        play_failures.failing(call, OSError("x"), will_retry=True, wait_s=1.0)
        with play_failures.attempt(call):
            pass

    spans = recorder.literals()
    failed = spans["forecast attempt 1"]
    assert {"forecast attempt 1", "forecast", "run plan"} == set(spans)
    assert ((3 * S, 4 * S), 2, ("ERROR", "x")) == (failed["time"], failed["parent"], failed["status"])
    assert {"holdfast.attempt.number": 1, "holdfast.retry.scheduled": True}.items() <= failed["attributes"].items()
    assert ["exception"] == [name for name, _, _ in failed["events"]]
    assert ["holdfast.retry.scheduled"] == [name for name, _, _ in spans["forecast"]["events"]]
    assert "status" not in spans["forecast"]


def test_with_failures_a_body_that_fails_has_its_attempts_below_the_run(play_failures, recorder):
    """As with spans for every attempt."""
    with play_failures.run() as run, play_failures.call(run, "plan", is_body=True, max_attempts=2) as body:
        play_failures.failing(body, OSError("x"), will_retry=True)
        with play_failures.attempt(body):
            pass

    assert {"plan attempt 1": 1, "run plan": None} == {name: span["parent"] for name, span in recorder.literals().items()}


def test_with_failures_what_was_cancelled_has_no_span(play_failures, recorder):
    """It did not fail."""
    error = asyncio.CancelledError()
    with (
        play_failures.run(outcome="cancelled", error=error) as run,
        play_failures.call(run, outcome="cancelled", error=error, max_attempts=2) as call,
        play_failures.attempt(call, outcome="cancelled", error=error),
    ):
        pass

    assert ["forecast", "run plan"] == [span.name for span in recorder.spans()]


def test_with_failures_a_single_attempt_is_in_the_span_of_its_call(play_failures, recorder):
    """That span says it is an attempt."""
    with play_failures.run() as run, play_failures.call(run, outcome="error") as call:
        call.error = play_failures.failing(call, OSError("x")).error

    assert ["forecast", "run plan"] == [span.name for span in recorder.spans()]
    assert "error" == recorder.attributes("forecast")["holdfast.attempt.outcome"]


def test_with_failures_the_client_is_the_span_its_bodies_run_in(play_failures, recorder):
    """Its failed attempts are no calls beside it."""
    with play_failures.run() as run, play_failures.call(run, kind="client", max_attempts=2) as call:
        play_failures.failing(call, OSError("x"), will_retry=True)
        with play_failures.attempt(call):
            pass

    kinds = {name: span.get("kind", "INTERNAL") for name, span in recorder.literals().items()}
    assert {"forecast attempt 1": "INTERNAL", "forecast": "CLIENT", "run plan": "INTERNAL"} == kinds


@pytest.mark.parametrize(("name", "value"), [("HOLDFAST_ATTEMPT_SPANS", "failures"), ("HOLDFAST_HIT_SPANS", "7")])
def test_the_environment_says_what_no_call_says(monkeypatch, fresh, name, value):
    """An operator can change it without the program."""
    monkeypatch.setenv(name, value)
    configure("console", lines=False)
    changed = Settings(salt=fresh.settings.salt, **{"HOLDFAST_ATTEMPT_SPANS": {"attempt_spans": value}}.get(name, {"max_hit_spans": 7}))

    assert changed == fresh.settings


def test_what_a_call_says_counts_more_than_the_environment(monkeypatch, fresh):
    """Zero hit spans included."""
    monkeypatch.setenv("HOLDFAST_ATTEMPT_SPANS", "failures")
    monkeypatch.setenv("HOLDFAST_HIT_SPANS", "7")
    configure("console", lines=False, attempt_spans="always", max_hit_spans=0)

    assert ("always", 0) == (fresh.settings.attempt_spans, fresh.settings.max_hit_spans)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HOLDFAST_ATTEMPT_SPANS", "some", "HOLDFAST_ATTEMPT_SPANS='some' is not known: use one of 'auto', 'always', 'failures'"),
        ("HOLDFAST_HIT_SPANS", "-1", "HOLDFAST_HIT_SPANS='-1' must be a whole number from 0"),
        ("HOLDFAST_HIT_SPANS", "many", "HOLDFAST_HIT_SPANS='many' must be a whole number from 0"),
    ],
)
def test_what_cannot_work_in_the_environment_is_refused(monkeypatch, fresh, name, value, message):
    """With the variable's name, and nothing is set up."""
    monkeypatch.setenv(name, value)
    with pytest.raises(PolicyError) as caught:
        configure("console")

    assert message == str(caught.value)
    assert {} == fresh.handles
