"""Decisions: which failures are retried, when, and why not any more."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policies import AttemptState, Retry, RetryPolicy, Stop, StopReason
from holdfast.policies.retry import decide, explain

DAY = 86_400


class Flake(ConnectionError):
    """A failure that may carry a server's hint."""

    def __init__(self, retry_after=None):
        super().__init__("flaky")
        self.headers = {} if retry_after is None else {"Retry-After": retry_after}


def after(attempt=1, error=None, *, result=None, elapsed=0.0, remaining=None, now=0.0):
    """An attempt that ended; it raised a Flake unless told otherwise."""
    raised = error if error is not None or result is not None else Flake()
    return AttemptState(attempt, raised, result, elapsed, now, draw=0.5, remaining=remaining)


def attempts_of(policies, errors):
    """Attempts made when the body raises ``errors`` one after the other, and how it ended."""
    counts = [0] * len(policies)
    for attempt, error in enumerate(errors, 1):
        decision, _ = decide(policies, counts, after(attempt, error))
        if isinstance(decision, Stop):
            return attempt, decision.reason
    return None


def test_the_first_failures_are_retried_and_the_last_is_not():
    """max_attempts counts the first attempt."""
    decisions = [RetryPolicy(max_attempts=3, jitter=False).decide(after(attempt)) for attempt in (1, 2, 3)]

    assert [
        Retry(0.5, "transient", "a connection that failed or broke"),
        Retry(1.0, "transient", "a connection that failed or broke"),
        Stop(StopReason.MAX_ATTEMPTS, "max_attempts=3"),
    ] == decisions


def test_an_error_that_stays_is_not_retried():
    """The reason is in the detail."""
    assert Stop(StopReason.NOT_RETRYABLE, "KeyError: a programming error is not retried") == RetryPolicy().decide(after(1, KeyError("x")))


@pytest.mark.parametrize("retry_on", [LookupError, (ValueError, LookupError), [KeyError], lambda error: "city" in str(error)])
def test_retry_on_says_what_is_retried(retry_on):
    """A class, a sequence of classes or a predicate replaces the classification."""
    policy = RetryPolicy(retry_on=retry_on, jitter=False)

    assert (0.5, "retry_on") == policy.decide(after(1, KeyError("city")))[:2]
    assert StopReason.NOT_RETRYABLE is policy.decide(after(1, ConnectionError())).reason


def test_what_retry_on_leaves_out_is_named():
    """The note tells the reader what to add."""
    assert "retry_on=(ValueError,) leaves out KeyError" == RetryPolicy(retry_on=[ValueError]).decide(after(1, KeyError())).detail


def test_a_result_can_count_as_a_failure():
    """``retry_on_result`` is asked about each result; what it accepts needs no retry."""
    policy = RetryPolicy(retry_on_result=lambda result: result == "pending", jitter=False)

    assert (0.5, "retry_on_result") == policy.decide(after(1, result="pending"))[:2]
    assert StopReason.OK is policy.decide(after(1, result="done")).reason
    assert StopReason.MAX_ATTEMPTS is policy.decide(after(3, result="pending")).reason


def test_a_result_is_fine_when_nobody_asks():
    """Without ``retry_on_result`` every result is."""
    assert (False, StopReason.OK) == (RetryPolicy().checks_result, RetryPolicy().decide(after(1, result="anything")).reason)


@pytest.mark.parametrize(("hint", "delay"), [("7", 7.0), ("0.25", 0.25), ("600", 600.0), (formatdate(1030, usegmt=True), 30.0)])
def test_the_server_may_say_when(hint, delay):
    """Exactly the hint is waited: it is not capped by max_interval, and jitter adds nothing."""
    decision = RetryPolicy(max_interval=20).decide(after(1, Flake(hint), now=1000.0))

    assert (delay, "retry_after") == decision[:2]


def test_the_hint_replaces_one_delay_only():
    """The next interval is that of its attempt number."""
    policy = RetryPolicy(jitter=False)

    assert [7.0, 1.0] == [policy.decide(after(1, Flake("7"))).delay, policy.decide(after(2, Flake())).delay]


@pytest.mark.parametrize("hint", ["0", "-5", "soon", "", formatdate(10, usegmt=True)])
def test_a_hint_that_says_nothing_leaves_the_computed_delay(hint):
    """0 and a date that has passed mean "again": an eager server is not hammered."""
    assert (0.5, "transient") == RetryPolicy(jitter=False).decide(after(1, Flake(hint), now=1000.0))[:2]


def test_the_hint_can_be_ignored():
    """``respect_retry_after=False`` keeps the computed delay."""
    assert 0.5 == RetryPolicy(jitter=False, respect_retry_after=False).decide(after(1, Flake("7"))).delay


def test_a_result_may_carry_the_hint():
    """A response that was not raised has headers too."""
    response = SimpleNamespace(headers={"retry-after": "7"})
    policy = RetryPolicy(retry_on_result=lambda _: True)

    assert (7.0, "retry_after") == policy.decide(after(1, result=response))[:2]


def test_a_hint_beyond_the_deadline_stops_at_once():
    """Waiting would be in vain, and the detail names both figures."""
    expected = Stop(StopReason.RETRY_AFTER_TOO_LONG, "the server asks to wait 2m, 30 s of the deadline are left")

    assert expected == RetryPolicy().decide(after(1, Flake("120"), remaining=30.0))


def test_a_hint_of_more_than_a_day_stops_at_once():
    """No process is held for that, deadline or not."""
    assert Stop(StopReason.RETRY_AFTER_TOO_LONG, "the server asks to wait 3d, and more than 1d is not waited") == RetryPolicy().decide(
        after(1, Flake(str(3 * DAY)))
    )


@pytest.mark.parametrize(("remaining", "expected"), [(0.51, Retry), (0.5, Stop), (0.1, Stop)])
def test_no_wait_begins_that_would_not_end_before_the_deadline(remaining, expected):
    """An attempt that starts at the deadline has no time."""
    assert isinstance(RetryPolicy(jitter=False).decide(after(remaining=remaining)), expected)


def test_the_deadline_detail_names_both_figures():
    """The note says by how much it did not fit."""
    assert Stop(StopReason.DEADLINE, "the next wait is 0.5 s, 0.1 s of the deadline are left") == RetryPolicy(jitter=False).decide(
        after(remaining=0.1)
    )


@pytest.mark.parametrize("remaining", [0.0, -1.0])
def test_after_the_deadline_nothing_is_retried(remaining):
    """Also when the next delay would be 0."""
    assert Stop(StopReason.DEADLINE, "the deadline has passed") == RetryPolicy(initial_interval=0).decide(after(remaining=remaining))


def test_a_policy_has_a_deadline_of_its_own():
    """It counts from the start of the call."""
    policy = RetryPolicy(deadline=10, max_attempts=None, jitter=False)

    assert [Retry, Stop, Stop] == [type(policy.decide(after(1, elapsed=elapsed))) for elapsed in (9.4, 9.6, 11.0)]


def test_the_tasks_deadline_wins():
    """What remains of it stands in the state."""
    assert isinstance(RetryPolicy(deadline=10, jitter=False).decide(after(1, elapsed=11.0, remaining=5.0)), Retry)


def broken(_):
    raise LookupError("no such key")


@pytest.mark.parametrize(
    ("policy", "state", "detail"),
    [
        (RetryPolicy(retry_on=broken), after(), "retry_on=broken raised LookupError: no such key"),
        (RetryPolicy(retry_on_result=broken), after(result=1), "retry_on_result=broken raised LookupError: no such key"),
    ],
)
def test_a_predicate_that_raises_ends_the_retries(policy, state, detail):
    """Its error is kept beside the reason, so that the user's own error can be raised with a note."""
    stop = policy.decide(state)

    assert (StopReason.PREDICATE_FAILED, detail, LookupError) == (stop.reason, stop.detail, type(stop.failure))


def test_an_awaitable_is_no_answer():
    """A lambda that calls an async predicate would otherwise always say yes."""

    async def is_busy(error):
        return False

    stop = RetryPolicy(retry_on=lambda error: is_busy(error)).decide(after())  # noqa: PLW0108 - the mistake that is meant

    assert (StopReason.PREDICATE_FAILED, None) == (stop.reason, stop.failure)
    assert "retry_on=<lambda> answered with an awaitable: it has to be a plain function" == stop.detail


def test_an_answer_without_truth_ends_the_retries():
    """Some objects refuse to be true or false."""

    class Neither:
        def __bool__(self):
            raise ValueError("ambiguous")

    assert StopReason.PREDICATE_FAILED is RetryPolicy(retry_on=lambda _: Neither()).decide(after()).reason


def test_two_policies_with_alternating_errors_make_five_attempts():
    """One counter each: LangGraph's shared one allows three."""
    policies = (RetryPolicy(max_attempts=3, retry_on=KeyError), RetryPolicy(max_attempts=3, retry_on=OSError))

    assert (5, StopReason.MAX_ATTEMPTS) == attempts_of(policies, [KeyError(), OSError(), KeyError(), OSError(), KeyError(), OSError()])


def test_the_first_policy_that_applies_decides():
    """The second is not asked, not even when the first is used up."""
    policies = (RetryPolicy(max_attempts=1, retry_on=KeyError), RetryPolicy(max_attempts=9, retry_on=LookupError))

    assert (Stop(StopReason.MAX_ATTEMPTS, "max_attempts=1, RetryPolicy 1 of 2"), 0) == decide(policies, [0, 0], after(1, KeyError()))
    assert 1 == decide(policies, [0, 0], after(1, IndexError()))[1]


def test_each_policy_backs_off_by_its_own_count():
    """A fresh kind of failure starts with its first interval."""
    policies = (RetryPolicy(retry_on=KeyError, jitter=False), RetryPolicy(retry_on=OSError, jitter=False))
    counts = [0, 0]
    delays = [decide(policies, counts, after(n, error))[0].delay for n, error in enumerate([KeyError(), KeyError(), OSError()], 1)]

    assert ([0.5, 1.0, 0.5], [2, 1]) == (delays, counts)


def test_when_no_policy_applies_the_first_says_why():
    """The index -1 stands for none."""
    decision, index = decide((RetryPolicy(), RetryPolicy(retry_on=OSError)), [0, 0], after(1, KeyError()))

    assert (StopReason.NOT_RETRYABLE, -1) == (decision.reason, index)


def test_without_a_policy_nothing_is_retried():
    """An empty sequence says so."""
    assert (StopReason.NO_RETRY_POLICY, -1) == (decide((), [], after())[0].reason, decide((), [], after())[1])


def test_a_broken_predicate_of_an_earlier_policy_ends_the_retries():
    """A later policy must not paper over it."""
    decision, index = decide((RetryPolicy(retry_on=broken), RetryPolicy()), [0, 0], after())

    assert (StopReason.PREDICATE_FAILED, 0) == (decision.reason, index)


@given(
    limits=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    kinds=st.lists(st.integers(0, 4), max_size=40),
)
def test_a_sequence_counts_like_separate_counters(limits, kinds):
    """Independent oracle: a counter per kind of error, and a kind that nobody handles ends it."""
    classes = [type(f"Error{kind}", (Exception,), {}) for kind in range(5)]
    policies = [RetryPolicy(max_attempts=limit, retry_on=classes[kind]) for kind, limit in enumerate(limits)]
    left = dict(enumerate(limits))
    expected = None
    for attempt, kind in enumerate(kinds, 1):
        left[kind] = left.get(kind, 1) - 1
        if left[kind] <= 0:
            expected = attempt
            break
    ended = attempts_of(policies, [classes[kind]() for kind in kinds])

    assert expected == (None if ended is None else ended[0])


def test_two_hundred_callers_of_one_policy_each_get_their_attempts():
    """A policy holds nothing of a call: in tenacity, concurrent callers eat each other's attempts."""
    policies = (RetryPolicy(max_attempts=4),)
    together = threading.Barrier(20)
    interval = sys.getswitchinterval()

    def call(_):
        together.wait()
        return attempts_of(policies, [Flake()] * 10)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(20) as pool:
            ended = list(pool.map(call, range(200)))
    finally:
        sys.setswitchinterval(interval)

    assert [(4, StopReason.MAX_ATTEMPTS)] * 200 == ended


@pytest.mark.parametrize(
    ("stop", "attempts", "elapsed", "expected"),
    [
        (Stop(StopReason.MAX_ATTEMPTS, "max_attempts=3"), 3, 1.7, "holdfast: gave up after 3 attempts in 1.7 s (max_attempts=3)"),
        (Stop(StopReason.CANCELLED, ""), 1, 0.012345, "holdfast: gave up after 1 attempt in 0.0123 s (cancelled)"),
        (
            Stop(StopReason.DEADLINE, "the deadline has passed"),
            9,
            125.4,
            "holdfast: gave up after 9 attempts in 2m5s (the deadline has passed)",
        ),
    ],
)
def test_the_note_is_one_sentence(stop, attempts, elapsed, expected):
    """It says how often, how long, and why not any more."""
    assert expected == explain(stop, attempts=attempts, elapsed=elapsed)
