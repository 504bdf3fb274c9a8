"""What a RetryPolicy may be built from, how it reads, and that it is a value."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
import pickle
from datetime import timedelta
from functools import partial

import pytest
import tenacity

from holdfast.errors import PolicyError
from holdfast.policies import RetryPolicy, is_transient


def is_busy(error):
    return "busy" in str(error)


async def is_busy_async(error):
    return is_busy(error)


def is_busy_generator(error):
    yield is_busy(error)


class AsyncCallable:
    async def __call__(self, error):
        return True


def test_the_defaults_are_langgraphs():
    """Names and values of the six that LangGraph users type."""
    policy = RetryPolicy()

    assert (0.5, 2.0, 128.0, 3, True, is_transient) == (
        policy.initial_interval,
        policy.backoff_factor,
        policy.max_interval,
        policy.max_attempts,
        policy.jitter,
        policy.retry_on,
    )


def test_durations_may_be_written_in_any_form():
    """Seconds, timedelta and text are one."""
    assert RetryPolicy(initial_interval=1, max_interval=60, deadline=90) == RetryPolicy(
        initial_interval=timedelta(seconds=1), max_interval="1m", deadline="1m30s"
    )


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_attempts": 0}, "max_attempts=0 would never run anything: use 1 for a single attempt"),
        ({"max_attempts": -1}, "max_attempts=-1 would never run anything: use 1"),
        ({"max_attempts": True}, "max_attempts=True is not a whole number"),
        ({"max_attempts": 2.0}, "max_attempts=2.0 is not a whole number"),
        ({"max_attempts": "3"}, "max_attempts='3' is not a whole number"),
        ({"max_attempts": None}, "max_attempts=None would retry for ever: give a deadline too"),
        ({"max_attempts": None, "stop": tenacity.stop_never}, "max_attempts=None would retry for ever"),
        ({"stop": tenacity.stop_never}, "max_attempts=None would retry for ever"),
        ({"initial_interval": 10, "max_interval": 5}, "initial_interval=10s is above max_interval=5s: raise max_interval to at least 10s"),
        ({"initial_interval": "soon"}, "initial_interval='soon' is not a duration"),
        ({"initial_interval": -1}, "initial_interval=-1 is negative"),
        ({"initial_interval": True}, "initial_interval=True is not a duration"),
        ({"max_interval": math.nan}, "max_interval=nan is not finite"),
        ({"max_interval": math.inf}, "max_interval=inf is not finite"),
        ({"backoff_factor": 0.5}, "backoff_factor=0.5 is not a number of at least 1"),
        ({"backoff_factor": math.nan}, "backoff_factor=nan is not a number of at least 1"),
        ({"backoff_factor": math.inf}, "backoff_factor=inf is not a number of at least 1"),
        ({"backoff_factor": True}, "backoff_factor=True is not a number of at least 1"),
        ({"backoff_factor": "2"}, "backoff_factor='2' is not a number of at least 1"),
        ({"jitter": 0.5}, "jitter=0.5 is neither True nor False"),
        ({"jitter": 1}, "jitter=1 is neither True nor False"),
        ({"respect_retry_after": 1}, "respect_retry_after=1 is neither True nor False"),
        ({"deadline": 0}, "deadline=0 is no time at all: leave it out for no limit"),
        ({"retry_on": "ValueError"}, "retry_on='ValueError' is text: give the class itself"),
        ({"retry_on": ["ValueError"]}, "retry_on=['ValueError']: 'ValueError' is text: give classes"),
        ({"retry_on": ()}, "retry_on=() would never retry: use max_attempts=1"),
        ({"retry_on": int}, "retry_on=<class 'int'>: int is no exception class"),
        ({"retry_on": 503}, "retry_on=503 is not a function: give for example retry_on=ConnectionError"),
        ({"retry_on": None}, "retry_on=None is not a function"),
        ({"retry_on": ValueError("x")}, "retry_on=ValueError('x') is an exception, not a class: give retry_on=ValueError"),
        ({"retry_on": KeyboardInterrupt}, "KeyboardInterrupt means that somebody wants to stop, and is never retried"),
        ({"retry_on": (OSError, asyncio.CancelledError)}, "CancelledError means that somebody wants to stop"),
        ({"retry_on": BaseException}, "give Exception or below"),
        ({"retry_on": is_busy_async}, "retry_on=is_busy_async is async or a generator: give a plain function"),
        ({"retry_on": partial(is_busy_async)}, "retry_on=partial(is_busy_async) is async or a generator"),
        ({"retry_on": AsyncCallable()}, "retry_on=AsyncCallable() is async or a generator"),
        ({"retry_on": is_busy_generator}, "retry_on=is_busy_generator is async or a generator"),
        ({"retry_on_result": is_busy_async}, "retry_on_result=is_busy_async is async or a generator"),
        ({"retry_on_result": True}, "retry_on_result=True is not a function"),
        ({"before_retry": is_busy_async}, "before_retry=is_busy_async is async or a generator"),
        ({"before_retry": 1}, "before_retry=1 is not a function"),
        ({"stop": 5}, "stop=5 is a number, not a strategy: give max_attempts=5, or stop=tenacity."),
        ({"wait": 2}, "wait=2 is a number, not a strategy: give initial_interval=2, or wait=tenacity."),
        ({"stop": tenacity.stop_after_attempt}, "stop=stop_after_attempt is the class of a strategy: call it, for example stop=tenacity."),
        ({"wait": tenacity.wait_fixed}, "wait=wait_fixed is the class of a strategy: call it, for example wait=tenacity."),
        ({"retry": tenacity.retry_if_result}, "retry=retry_if_result is the class of a strategy: call it, for example retry=tenacity."),
        ({"retry": OSError}, "retry=OSError is an exception class, not a strategy: give retry_on=OSError"),
        ({"retry": "always"}, "retry='always' is not a function: give for example retry=tenacity."),
        ({"wait": tenacity.wait_none(), "jitter": False, "max_interval": 9}, "wait= replaces max_interval, jitter: leave one of them out"),
        ({"retry": tenacity.retry_always, "retry_on": OSError}, "retry= replaces retry_on and retry_on_result"),
        ({"retry": tenacity.retry_always, "retry_on_result": is_busy}, "retry= replaces retry_on and retry_on_result"),
    ],
)
def test_what_cannot_work_is_refused_when_built(wrong, text):
    """The error names the parameter, its value and the fix."""
    with pytest.raises(PolicyError) as caught:
        RetryPolicy(**wrong)

    assert text in str(caught.value)


def test_the_least_that_is_accepted():
    """A factor of 1, and an interval that is the cap from the start: constant waits."""
    policy = RetryPolicy(initial_interval=5, backoff_factor=1, max_interval=5, max_attempts=1)

    assert (5.0, 1.0, 5.0, 1) == (policy.initial_interval, policy.backoff_factor, policy.max_interval, policy.max_attempts)


@pytest.mark.parametrize(
    ("field", "example"),
    [
        ("wait", "tenacity.wait_exponential(max=10)"),
        ("stop", "tenacity.stop_after_delay(30)"),
        ("retry", "tenacity.retry_if_exception_type(OSError)"),
    ],
)
def test_a_strategy_that_is_none_is_refused_with_one_that_works(field, example):
    """It can be pasted."""
    with pytest.raises(PolicyError) as caught:
        RetryPolicy(**{field: "x"})

    assert f"{field}='x' is not a function: give for example {field}={example}" == str(caught.value)
    assert callable(eval(example, {"tenacity": tenacity}))


@pytest.mark.parametrize("fine", [{"deadline": "1m"}, {"stop": tenacity.stop_after_delay(60)}])
def test_unbounded_attempts_need_another_end(fine):
    """A deadline or a stop strategy ends the retries."""
    assert RetryPolicy(max_attempts=None, **fine).max_attempts is None


def test_stop_replaces_only_the_default_of_max_attempts():
    """``stop_after_attempt(7)`` means seven, and a max_attempts that was given still holds."""
    stop = tenacity.stop_after_attempt(7)

    assert [None, 3] == [RetryPolicy(stop=stop).max_attempts, RetryPolicy(stop=stop, max_attempts=3).max_attempts]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(), "RetryPolicy()"),
        (RetryPolicy(max_attempts=3), "RetryPolicy()"),
        (
            RetryPolicy(initial_interval="100ms", max_interval="10s", max_attempts=5),
            "RetryPolicy(max_attempts=5, initial_interval=0.1s, max_interval=10s)",
        ),
        (RetryPolicy(jitter=False, deadline="1h30m"), "RetryPolicy(jitter=False, deadline=1h30m)"),
        (RetryPolicy(retry_on=OSError), "RetryPolicy(retry_on=OSError)"),
        (RetryPolicy(retry_on=[OSError]), "RetryPolicy(retry_on=(OSError,))"),
        (RetryPolicy(retry_on=[OSError, ValueError]), "RetryPolicy(retry_on=(OSError, ValueError))"),
        (RetryPolicy(retry_on=is_busy, retry_on_result=lambda _: False), "RetryPolicy(retry_on=is_busy, retry_on_result=<lambda>)"),
        (
            RetryPolicy(stop=tenacity.stop_after_attempt(7) | tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(1)),
            "RetryPolicy(max_attempts=None, wait=wait_fixed(1.0), stop=stop_any(stop_after_attempt(7), stop_after_delay(10.0)))",
        ),
    ],
)
def test_reads_as_what_differs_from_the_defaults(policy, expected):
    """A policy in a log line or a plan takes no more room than it needs."""
    assert expected == repr(policy)


def test_is_a_value():
    """Equal fields, equal policy: as a dict key, through pickle and through copies."""
    policy = RetryPolicy(max_attempts=5, retry_on=[OSError, KeyError], deadline="1m")
    same = RetryPolicy(max_attempts=5, retry_on=(OSError, KeyError), deadline=60)

    assert [policy] * 4 == [same, pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy), dataclasses.replace(policy)]
    assert {policy: 1} == {same: 1}
    assert policy != same.replace(max_attempts=4)


def test_is_frozen():
    """What decides for many callers at once cannot change under them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryPolicy().max_attempts = 5


def test_replace_keeps_the_rest_and_validates():
    """The copy is built like any other policy."""
    policy = RetryPolicy(initial_interval=0.1, deadline="1m")

    assert RetryPolicy(initial_interval=0.1, deadline="1m", max_attempts=9) == policy.replace(max_attempts=9)
    with pytest.raises(PolicyError, match="max_attempts=0"):
        policy.replace(max_attempts=0)


def test_replacing_the_default_attempts_by_a_stop_strategy_works_later_too():
    """``replace(stop=...)`` means what ``RetryPolicy(stop=...)`` means, also for a policy that was pickled."""
    policy = pickle.loads(pickle.dumps(RetryPolicy())).replace(stop=tenacity.stop_after_attempt(7))

    assert policy.max_attempts is None


def test_a_replaced_policy_can_lose_what_it_had():
    """None stands for the default of the fields that may be None."""
    assert RetryPolicy() == RetryPolicy(deadline="1m", retry_on_result=is_busy).replace(deadline=None, retry_on_result=None)
