"""The arithmetic of waiting, against an oracle in exact integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policies import AttemptState, Retry, RetryPolicy

DRAWS = st.floats(0, 1, exclude_max=True)
SECONDS = st.floats(0, 1e6, allow_subnormal=False)
FACTORS = st.floats(1, 10)


def exact(initial, factor, cap, attempt):
    """Multiply one failure at a time, in fractions, and stop at the cap."""
    interval = Fraction(initial)
    for _ in range(attempt - 1):
        if interval >= cap:
            break
        interval *= Fraction(factor)
    return float(min(interval, Fraction(cap)))


@given(initial=SECONDS, factor=FACTORS, more=SECONDS, attempt=st.integers(1, 60))
def test_interval_is_the_exact_product_up_to_the_cap(initial, factor, more, attempt):
    """``initial * factor ** (attempt - 1)``, at most the cap."""
    policy = RetryPolicy(initial_interval=initial, backoff_factor=factor, max_interval=initial + more)

    assert pytest.approx(exact(initial, factor, initial + more, attempt), rel=1e-9) == policy.interval(attempt)


@given(initial=SECONDS, factor=FACTORS, more=SECONDS, attempt=st.integers(1, 10_000))
def test_intervals_never_fall_nor_pass_the_cap(initial, factor, more, attempt):
    """Also for attempt numbers whose power overflows a float."""
    policy = RetryPolicy(initial_interval=initial, backoff_factor=factor, max_interval=initial + more)

    assert policy.interval(attempt) <= policy.interval(attempt + 1) <= policy.max_interval


@given(initial=SECONDS, more=SECONDS, attempt=st.integers(1, 10_000), draw=DRAWS)
def test_jitter_stays_between_zero_and_the_interval(initial, more, attempt, draw):
    """The cap holds after jitter as well."""
    policy = RetryPolicy(initial_interval=initial, max_interval=initial + more, max_attempts=20_000)
    decision = policy.decide(AttemptState(attempt, TimeoutError(), None, 0.0, 0.0, draw))

    assert isinstance(decision, Retry)
    assert 0 <= decision.delay <= policy.interval(attempt) <= policy.max_interval


def test_known_intervals():
    """The defaults: half a second, doubled, up to 128 s."""
    assert [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 128, 128] == [RetryPolicy().interval(attempt) for attempt in [*range(1, 11), 10_000]]


def test_jitter_spreads_evenly():
    """Full jitter: the draw is the share of the interval."""
    policy = RetryPolicy(initial_interval=8, max_interval=8)
    delays = [policy.decide(AttemptState(1, TimeoutError(), None, 0, 0, draw)).delay for draw in (0.0, 0.25, 0.5)]

    assert [0.0, 2.0, 4.0] == delays


def test_without_jitter_the_interval_is_waited():
    """The draw does not count."""
    assert 0.5 == RetryPolicy(jitter=False).decide(AttemptState(1, TimeoutError(), None, 0, 0, 0.1)).delay


def test_zero_intervals_stay_zero():
    """No waiting is allowed, also where zero times infinity would be no number."""
    assert 0.0 == RetryPolicy(initial_interval=0, backoff_factor=10).interval(10_000)
