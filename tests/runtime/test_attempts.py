"""What the record of an attempt, and of the call around it, says about retries; and the line that a person gets when nobody observes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from holdfast import RetryPolicy, events, resilient
from holdfast.testing import FakeClock, recorded

FIRST = RetryPolicy(max_attempts=5, retry_on=ConnectionError, initial_interval=1, jitter=False)
SECOND = RetryPolicy(
    max_attempts=9, retry_on=TimeoutError, retry_on_result=lambda result: result == "bad", initial_interval=2, jitter=False
)
TWICE = RetryPolicy(max_attempts=2, initial_interval=1, jitter=False)


def ending(colour: Any, outcomes: list[Any], **options: Any) -> Any:
    """A call whose attempts end so, one after the other."""

    @resilient(**options)
    @colour.define
    def call() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


def facts_of(colour: Any, outcomes: list[Any], retry_policy: Any) -> list[dict[str, Any]]:
    """Make such a call; return what was recorded."""
    call = ending(colour, outcomes, name="call", capture="values", retry_policy=retry_policy)
    with FakeClock(), recorded() as recording, contextlib.suppress(KeyError, ConnectionError):
        colour.run(call)
    return [{name: value for name, value in fact.items() if name not in {"name", "arguments"}} for fact in recording.facts]


def test_a_sequence_of_policies_says_which_decided(colour: Any) -> None:
    """With the wait it chose, and why."""
    outcomes = [ConnectionError("a"), TimeoutError("b"), "bad", "good"]

    first = {"will_retry": True, "wait_s": 1.0, "reason": "retry_on", "policy": "RetryPolicy 1 of 2"}
    second = {"will_retry": True, "wait_s": 2.0, "reason": "retry_on", "policy": "RetryPolicy 2 of 2"}
    third = {"will_retry": True, "wait_s": 4.0, "reason": "retry_on_result", "policy": "RetryPolicy 2 of 2"}
    assert [
        {"kind": "attempt", "number": 1, "outcome": "error", "error": "ConnectionError: a", **first},
        {"kind": "attempt", "number": 2, "outcome": "error", "error": "TimeoutError: b", **second},
        {"kind": "attempt", "number": 3, "outcome": "error", **third},
        {"kind": "attempt", "number": 4, "outcome": "ok"},
        {"kind": "call", "outcome": "ok", "result": "good", "attempts": 4, "waited_s": 7.0},
    ] == facts_of(colour, outcomes, [FIRST, SECOND])


def test_a_single_policy_has_no_number(colour: Any) -> None:
    """There is nothing to tell apart; the last attempt and the call say why it stopped."""
    outcomes = [ConnectionError("a"), ConnectionError("b")]

    assert [
        {
            "kind": "attempt",
            "number": 1,
            "outcome": "error",
            "error": "ConnectionError: a",
            "will_retry": True,
            "wait_s": 1.0,
            "reason": "transient",
        },
        {"kind": "attempt", "number": 2, "outcome": "error", "error": "ConnectionError: b", "reason": "max_attempts"},
        {
            "kind": "call",
            "outcome": "error",
            "error": "ConnectionError: b",
            "attempts": 2,
            "waited_s": 1.0,
            "stop_reason": "max_attempts",
        },
    ] == facts_of(colour, outcomes, TWICE)


def test_without_a_policy_that_is_the_reason(colour: Any) -> None:
    """A failure of a call that may have one attempt only."""
    assert [
        {"kind": "attempt", "number": 1, "outcome": "error", "error": "KeyError: 'x'", "reason": "no_retry_policy"},
        {"kind": "call", "outcome": "error", "error": "KeyError: 'x'", "attempts": 1, "stop_reason": "no_retry_policy"},
    ] == facts_of(colour, [KeyError("x")], ())


def test_a_result_that_is_disliked_to_the_end_is_the_callers(colour: Any) -> None:
    """The call ends well, and says why there was no further attempt."""
    policy = TWICE.replace(retry_on_result=lambda result: result == "bad")

    assert [
        {"kind": "attempt", "number": 1, "outcome": "error", "will_retry": True, "wait_s": 1.0, "reason": "retry_on_result"},
        {"kind": "attempt", "number": 2, "outcome": "ok", "reason": "max_attempts"},
        {"kind": "call", "outcome": "ok", "result": "bad", "attempts": 2, "waited_s": 1.0, "stop_reason": "max_attempts"},
    ] == facts_of(colour, ["bad", "bad"], policy)


def test_a_person_is_told_of_each_retry_while_nobody_observes(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence: the task, the attempt, what went wrong, and when it goes on."""
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(events, "observer", None)
    monkeypatch.setattr(events, "fallback", lambda note: told.append((note.level, note.text)))
    policy = SECOND.replace(retry_on=ConnectionError)
    fetch = ending(colour, [ConnectionError("no answer"), "bad", "good"], name="fetch", retry_policy=policy)

    with FakeClock():
        assert "good" == colour.run(fetch)
    assert [
        (events.WARNING, "fetch attempt 1 failed (ConnectionError: no answer), next in 2 s"),
        (events.WARNING, "fetch attempt 2 failed (result 'bad'), next in 4 s"),
    ] == told
