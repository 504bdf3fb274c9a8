"""tenacity's own strategies inside a RetryPolicy."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import tenacity
from tenacity.asyncio import retry_if_exception as retry_if_exception_async

from holdfast.errors import PolicyError
from holdfast.policies import AttemptState, Retry, RetryPolicy, StopReason

SET = threading.Event()
SET.set()


def after(attempt=1, error=None, *, result=None, elapsed=0.0, remaining=None):
    """An attempt that ended; it raised a TimeoutError unless told otherwise."""
    raised = error if error is not None or result is not None else TimeoutError("slow")
    return AttemptState(attempt, raised, result, elapsed, 0.0, draw=0.5, remaining=remaining, waited=1.0)


def delays(wait, count=4):
    """What a policy with this strategy waits after its first failures."""
    policy = RetryPolicy(wait=wait, max_attempts=99)
    return [policy.decide(after(attempt)).delay for attempt in range(1, count + 1)]


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (tenacity.wait_none(), [0, 0, 0, 0]),
        (tenacity.wait_fixed(3), [3, 3, 3, 3]),
        (tenacity.wait_incrementing(start=1, increment=2), [1, 3, 5, 7]),
        (tenacity.wait_exponential(multiplier=1, max=5), [1, 2, 4, 5]),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(9)), [1, 9, 9, 9]),
        (tenacity.wait_fixed(1) + tenacity.wait_exponential(), [2, 3, 5, 9]),
        (lambda state: state.attempt_number + state.idle_for, [2, 3, 4, 5]),
    ],
)
def test_wait_strategies_set_the_delay(wait, expected):
    """They replace interval, factor, cap and jitter."""
    assert expected == delays(wait)


@pytest.mark.parametrize(
    "wait", [tenacity.wait_random(1, 2), tenacity.wait_random_exponential(max=2), tenacity.wait_exponential_jitter(max=2)]
)
def test_wait_strategies_may_draw_their_own_chance(wait):
    """Their bounds hold."""
    assert all(0 <= delay <= 2 for delay in delays(wait))


def test_the_server_goes_before_a_wait_strategy():
    """``Retry-After`` replaces the computed delay, whoever computes it."""
    error = TimeoutError()
    error.retry_after = 7

    assert Retry(7.0, "retry_after", "a timeout") == RetryPolicy(wait=tenacity.wait_fixed(1)).decide(after(1, error))


@pytest.mark.parametrize(
    ("stop", "state", "stops"),
    [
        (tenacity.stop_after_attempt(7), after(6), False),
        (tenacity.stop_after_attempt(7), after(7), True),
        (tenacity.stop_after_delay(10), after(elapsed=9.9), False),
        (tenacity.stop_after_delay(10), after(elapsed=10), True),
        (tenacity.stop_before_delay(10), after(elapsed=9.4), False),
        (tenacity.stop_before_delay(10), after(elapsed=9.5), True),
        (tenacity.stop_when_event_set(SET), after(), True),
        (tenacity.stop_when_event_set(threading.Event()), after(), False),
        (tenacity.stop_after_attempt(7) | tenacity.stop_after_delay(10), after(1, elapsed=11), True),
        (tenacity.stop_after_attempt(7) & tenacity.stop_after_delay(10), after(1, elapsed=11), False),
        (tenacity.stop_any(tenacity.stop_never, tenacity.stop_after_attempt(1)), after(), True),
        (lambda state: state.seconds_since_start > 1, after(elapsed=2), True),
    ],
)
def test_stop_strategies_end_the_retries(stop, state, stops):
    """They see the attempt, the time and the wait that would follow (here 0.5 s)."""
    decision = RetryPolicy(stop=stop, jitter=False).decide(state._replace(attempt=state.attempt))

    assert stops == (decision[0] is StopReason.STOP_CONDITION)


def test_the_stop_detail_names_the_strategy():
    """tenacity's strategies have no repr of their own."""
    assert "stop=stop_after_attempt(2)" == RetryPolicy(stop=tenacity.stop_after_attempt(2)).decide(after(2)).detail


@pytest.mark.parametrize(
    ("retry", "state", "expected"),
    [
        (tenacity.retry_if_exception_type(OSError), after(), "retry"),
        (tenacity.retry_if_exception_type(KeyError), after(), StopReason.NOT_RETRYABLE),
        (tenacity.retry_if_not_exception_type(OSError), after(), StopReason.NOT_RETRYABLE),
        (tenacity.retry_if_exception(lambda error: "slow" in str(error)), after(), "retry"),
        (tenacity.retry_if_exception_message(match="slow"), after(), "retry"),
        (tenacity.retry_if_result(lambda result: result == "pending"), after(result="pending"), "retry"),
        (tenacity.retry_if_result(lambda result: result == "pending"), after(result="done"), StopReason.OK),
        (tenacity.retry_if_result(lambda result: result == "pending"), after(), StopReason.NOT_RETRYABLE),
        (tenacity.retry_if_exception_type() | tenacity.retry_if_result(lambda result: not result), after(result=[]), "retry"),
        (tenacity.retry_if_exception_type() & tenacity.retry_if_exception_message("fast"), after(), StopReason.NOT_RETRYABLE),
        (tenacity.retry_always, after(result="fine"), "retry"),
        (tenacity.retry_never, after(), StopReason.NOT_RETRYABLE),
    ],
)
def test_retry_strategies_judge_errors_and_results(retry, state, expected):
    """They replace ``retry_on`` and ``retry_on_result``."""
    policy = RetryPolicy(retry=retry)
    decision = policy.decide(state)

    assert policy.checks_result
    assert expected == (decision.reason if isinstance(decision, Retry) else decision[0])


def test_retry_if_exception_cause_type_sees_the_cause():
    """The outcome holds the very exception, with its cause."""
    error = RuntimeError()
    error.__cause__ = KeyError()

    assert isinstance(RetryPolicy(retry=tenacity.retry_if_exception_cause_type(KeyError)).decide(after(1, error)), Retry)


@pytest.mark.parametrize(
    ("field", "strategy", "detail"),
    [
        ("wait", lambda _: 1 / 0, "wait=<lambda> raised ZeroDivisionError: division by zero"),
        ("wait", lambda _: -1, "wait=<lambda> answered -1, which is no number of seconds"),
        ("wait", lambda _: float("nan"), "wait=<lambda> answered nan, which is no number of seconds"),
        ("wait", lambda _: float("inf"), "wait=<lambda> answered inf, which is no number of seconds"),
        ("wait", lambda _: None, "wait=<lambda> answered None, which is no number of seconds"),
        ("stop", lambda _: 1 / 0, "stop=<lambda> raised ZeroDivisionError: division by zero"),
        ("retry", lambda _: 1 / 0, "retry=<lambda> raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_strategy_that_fails_ends_the_retries(field, strategy, detail):
    """The user's own error is not lost to it."""
    stop = RetryPolicy(**{field: strategy}).decide(after())

    assert (StopReason.PREDICATE_FAILED, detail) == (stop.reason, stop.detail)


def test_async_strategies_are_refused():
    """Policies decide in plain functions."""
    with pytest.raises(PolicyError, match="is async or a generator"):
        RetryPolicy(retry=retry_if_exception_async(lambda _: True))


def test_strategies_read_the_result_as_they_do_in_tenacity():
    """The outcome gives what the attempt returned, or raises what it raised."""
    policy = RetryPolicy(wait=lambda state: state.outcome.result(), retry=tenacity.retry_always)

    assert 3 == policy.decide(after(result=3)).delay
    assert policy.decide(after()).detail.endswith("raised TimeoutError: slow")


def test_a_strategy_sees_one_attempt():
    """Its number, its times and no next wait yet, under tenacity's names; what a policy cannot know is empty."""
    seen = []
    RetryPolicy(wait=lambda state: seen.append(state) or 1, max_attempts=9).decide(after(2, elapsed=3.0))
    (state,) = seen

    assert (2, 2, 0.0, 3.0, 3.0, 1.0, 0.0) == (
        state.attempt_number,
        state.outcome.attempt_number,
        state.start_time,
        state.outcome_timestamp,
        state.seconds_since_start,
        state.idle_for,
        state.upcoming_sleep,
    )
    assert (None, None, None, (), {}) == (state.retry_object, state.next_action, state.fn, state.args, state.kwargs)


def test_tenacity_is_loaded_by_whoever_uses_it():
    """A policy without strategies loads neither tenacity nor the adapter."""
    code = "import sys; from holdfast.policies import *; RetryPolicy().decide(AttemptState(1, OSError(), None, 0, 0, 0)); print([m for m in sys.modules if 'tenacity' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
