"""What the record of an attempt, and of the call around it, says about retries; and the line that a person gets when nobody observes."""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import tenacity

from holdfast import NodeTimeoutError, RetryPolicy, events, resilient
from holdfast.events import AttemptFacts, CallFacts
from holdfast.runtime import _ports
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
    with FakeClock(), recorded() as recording, contextlib.suppress(KeyError, ConnectionError, NodeTimeoutError):
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


class Moments:
    """Keeps when calls and attempts begin and end, in seconds of a fake clock that starts at 0."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, ...]] = []

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        self.kept.append((attempt.started_ns / 1e9, attempt.ended_ns / 1e9))

    def call_ended(self, call: CallFacts) -> None:
        self.kept.append((call.begun_ns / 1e9, call.ended_ns / 1e9, call.waited_s))

    def __getattr__(self, name: str) -> Any:
        return lambda facts: None


def test_each_record_has_its_moments(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts of two seconds with a wait of one between them; the call is all three."""
    observer = Moments()
    monkeypatch.setattr(events, "observer", observer)
    outcomes = [ConnectionError("a"), "good"]

    with FakeClock(start=0.0) as clock:

        @resilient(retry_policy=TWICE)
        @colour.define
        def call() -> Any:
            clock.advance(2)
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        clock.advance(10)
        colour.run(call)

    assert [(10.0, 12.0), (13.0, 15.0), (10.0, 15.0, 1.0)] == observer.kept


def test_who_observes_an_attempt_sees_the_users_frames_only(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that is tried again, whose error no caller ever gets."""
    seen: list[list[str]] = []

    class Observer(Moments):
        def attempt_ended(self, attempt: AttemptFacts) -> None:
            if attempt.error is not None:
                seen.append([Path(frame.filename).name for frame in traceback.extract_tb(attempt.error.__traceback__)])

    monkeypatch.setattr(events, "observer", Observer())
    call = ending(colour, [ConnectionError("a"), "good"], retry_policy=TWICE)
    with FakeClock():
        assert "good" == colour.run(call)

    assert [["conftest.py", "test_attempts.py"] if colour.is_async else ["test_attempts.py"]] == seen


def test_without_a_policy_a_deadline_is_the_reason(colour: Any) -> None:
    """The call ran out of time, whoever's time it was; a limit of one attempt is no deadline."""
    reasons = [
        facts_of(colour, [NodeTimeoutError("call", 5.0, cause=cause)], ())[1]["stop_reason"]
        for cause in ("deadline", "timeout", "hard_timeout")
    ]

    assert ["deadline", "no_retry_policy", "no_retry_policy"] == reasons


def test_an_error_that_cannot_be_judged_is_the_callers(colour: Any) -> None:
    """It is not tried again, and a note says why."""

    class Awkward(type):
        def __instancecheck__(cls, _: object) -> bool:
            raise ValueError("do not ask")

    class Strange(Exception, metaclass=Awkward):
        pass

    call = ending(colour, [ConnectionError("a")], retry_policy=TWICE.replace(retry_on=Strange))
    with pytest.raises(ConnectionError) as caught:
        colour.run(call)

    [note] = caught.value.__notes__
    assert "it could not be judged: ValueError: do not ask" in note


class Brief:
    """An observer that makes do without records, in the order in which it is told."""

    def __init__(self, memo: Any, *, is_enough: bool = True) -> None:
        self.memo = memo
        self.is_enough = is_enough
        self.told: list[Any] = []

    def brief_started(self, called: Any, began_ns: int) -> Any:
        self.told.append(("brief_started", called.name, began_ns / 1e9))
        return self.memo

    def brief_passed(self, memo: Any, called: Any, ended_ns: int) -> bool:
        self.told.append(("brief_passed", memo, called.name, ended_ns / 1e9))
        return self.is_enough

    def brief_recorded(self, memo: Any, attempt: AttemptFacts) -> None:
        call = attempt.call
        self.told.append(("brief_recorded", memo, attempt.number, attempt.started_ns / 1e9, call.started_ns / 1e9, call.begun_ns / 1e9))

    def __getattr__(self, name: str) -> Any:
        return lambda facts: self.told.append((name, facts.outcome))


def test_a_call_that_succeeds_at_once_is_told_in_brief(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is made."""
    observer = Brief("memo")
    monkeypatch.setattr(events, "observer", observer)
    with FakeClock(start=10.0) as clock:
        fetch = resilient(name="fetch")(colour.define(lambda: clock.advance(2) or "good"))
        assert "good" == colour.run(fetch)

    assert [("brief_started", "fetch", 10.0), ("brief_passed", "memo", "fetch", 12.0)] == observer.told


def test_another_one_has_records_from_its_begin_on(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever observes in the meantime, it is told to who was told of its begin; its deadline and stops count from there."""
    observer, other = Brief("memo"), Brief("other")
    monkeypatch.setattr(events, "observer", observer)
    outcomes = [ConnectionError("a"), "good"]
    with FakeClock(start=10.0, draw=1.0) as clock:

        @resilient(name="fetch", retry_policy=TWICE)
        @colour.define
        def fetch() -> Any:
            clock.advance(2)
            monkeypatch.setattr(events, "observer", other)
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        assert "good" == colour.run(fetch)

    assert [
        ("brief_started", "fetch", 10.0),
        ("brief_recorded", "memo", 1, 10.0, 10.0, 10.0),
        ("attempt_ended", "error"),
        ("attempt_started", ""),
        ("attempt_ended", "ok"),
        ("call_ended", "ok"),
    ] == observer.told
    assert [] == other.told


def test_who_wants_records_of_a_success_gets_them(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After all, with the times of its begin, and with what it was called with and returned."""
    observer = Brief("memo", is_enough=False)
    results: list[Any] = []
    monkeypatch.setattr(events, "observer", observer)
    monkeypatch.setattr(
        observer, "call_ended", lambda call: results.append((call.arguments, call.result, call.ended_ns / 1e9)), raising=False
    )
    with FakeClock(start=10.0) as clock:
        assert "good" == colour.run(resilient(name="fetch")(colour.define(lambda city: clock.advance(2) or "good")), "Oslo")

    assert [("brief_recorded", "memo", 1, 10.0, 10.0, 10.0), ("attempt_ended", "ok")] == observer.told[2:]
    assert [(("Oslo",), "good", 12.0)] == results


@pytest.mark.parametrize("is_observed", [True, False])
def test_a_stop_counts_the_first_attempt(colour: Any, monkeypatch: pytest.MonkeyPatch, is_observed: bool) -> None:
    """Made outside the driver, observed or not: three seconds, a second's wait, three more, and five are over."""
    monkeypatch.setattr(events, "observer", Brief("memo") if is_observed else None)
    policy = RetryPolicy(stop=tenacity.stop_after_delay(5), initial_interval=1, jitter=False)
    attempts: list[int] = []
    with FakeClock() as clock:

        @resilient(retry_policy=policy)
        @colour.define
        def fetch() -> None:
            attempts.append(1)
            clock.advance(3)
            raise ConnectionError("no")

        with pytest.raises(ConnectionError) as caught:
            colour.run(fetch)

    assert 2 == len(attempts)
    assert "after 2 attempts in 7 s" in caught.value.__notes__[0]


@pytest.mark.parametrize("is_observed", [True, False])
def test_policies_are_asked_while_the_failure_is_handled(colour: Any, monkeypatch: pytest.MonkeyPatch, is_observed: bool) -> None:
    """At the first attempt as at others: `logging.exception` has something to say, and what they raise has a context."""
    monkeypatch.setattr(events, "observer", Brief("memo") if is_observed else None)
    handled: list[Any] = []

    def before(state: Any, retry: Any) -> None:
        handled.append(sys.exc_info()[0])

    policy = RetryPolicy(retry_on=ConnectionError, max_attempts=3, initial_interval=0, before_retry=before)
    with pytest.raises(ConnectionError):
        colour.run(ending(colour, [ConnectionError("a"), ConnectionError("b"), ConnectionError("c")], retry_policy=policy))

    assert [ConnectionError, ConnectionError] == handled


def test_who_hands_back_nothing_gets_records(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the begin of the call on."""
    observer = Brief(None)
    monkeypatch.setattr(events, "observer", observer)
    with FakeClock(start=10.0):
        colour.run(resilient(name="fetch")(colour.define(lambda: "good")))

    assert [
        ("brief_started", "fetch", 10.0),
        ("call_started", ""),
        ("attempt_started", ""),
        ("attempt_ended", "ok"),
        ("call_ended", "ok"),
    ] == observer.told


@pytest.mark.parametrize("options", [{"timeout": 60}, {"deadline": 60}, {"retry_policy": RetryPolicy(retry_on_result=lambda _: False)}])
def test_calls_that_need_more_than_their_function_have_records(colour: Any, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    """A limit, or a judgement of what it returns."""
    observer = Brief("memo")
    monkeypatch.setattr(events, "observer", observer)
    colour.run(resilient(**options)(colour.define(lambda: "good")))

    assert "call_started" == observer.told[0][0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["judging", "waiting"])
def test_what_ends_the_program_ends_the_call_too(
    colour: Any, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], where: str
) -> None:
    """Between the first attempt, told in brief, and a second: whoever observes is told how both came out."""
    observer = Brief("memo")
    monkeypatch.setattr(events, "observer", observer)

    def stop(*_: Any) -> Any:
        raise kind

    if where == "waiting":
        for name in ("pause_sync", "pause_async"):
            monkeypatch.setattr(_ports, name, stop)
    policy = RetryPolicy(retry_on=ConnectionError, initial_interval=1, before_retry=stop if where == "judging" else None)

    with FakeClock(start=10.0), pytest.raises(kind):
        colour.run(ending(colour, [ConnectionError("no")], retry_policy=policy))

    said = "cancelled" if kind is KeyboardInterrupt else "error"
    assert ["brief_started", "brief_recorded"] == [told[0] for told in observer.told[:2]]
    assert [("attempt_ended", said if where == "judging" else "error"), ("call_ended", said)] == observer.told[2:]


def test_what_is_raised_after_the_body_is_no_failure_of_it(colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm's handler, say, while the end is told: a body that has done its work does not do it again."""

    class Alarm(ConnectionError):
        """Looks as if one might try again."""

    def passed(*_: Any) -> bool:
        raise Alarm

    observer = Brief("memo")
    monkeypatch.setattr(observer, "brief_passed", passed)
    monkeypatch.setattr(events, "observer", observer)
    paid: list[int] = []
    with FakeClock(), pytest.raises(Alarm):
        colour.run(resilient(colour.define(lambda: paid.append(1))))

    assert [1] == paid


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_keeps_what_it_came_from(colour: Any, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]) -> None:
    """Whatever its caller is handling; nobody observes."""
    monkeypatch.setattr(events, "observer", None)

    def fetch() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise kind  # noqa: B904 - the context is the point

    with pytest.raises(kind) as caught:
        try:
            raise LookupError("outer")
        except LookupError:
            colour.run(resilient(retry_policy=())(colour.define(fetch)))

    assert "inner" in repr(caught.value.__context__)
