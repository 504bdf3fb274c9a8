"""What may be done with a value of a certain age, against a few lines that say it in another way."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policies import CachePolicy
from holdfast.policies.freshness import CLOCK_SLACK, Freshness, judge, spread

KEY = b"0123456789abcdef"
durations = st.floats(0.01, 1e6)
policies = st.builds(
    CachePolicy,
    ttl=durations,
    negative_ttl=st.none() | durations,
    stale_while_revalidate=st.none() | durations,
    stale_if_error=st.none() | durations,
    refresh_ahead=st.none() | st.floats(0.01, 0.99),
    ttl_jitter=st.none() | st.floats(0.01, 0.99),
)


def expected(policy: CachePolicy, stored_at: float, now: float, *, negative: bool) -> Freshness:
    """The same from a line of moments: the last that is past says what holds."""
    ttl = policy.negative_ttl if negative else policy.ttl
    if ttl is None or now < stored_at - CLOCK_SLACK:
        return Freshness.EXPIRED
    share = 1.0 if policy.ttl_jitter is None else 1 - policy.ttl_jitter * spread(KEY, stored_at)
    over = ttl * share
    moments = {Freshness.FRESH: -CLOCK_SLACK}
    if policy.refresh_ahead is not None and not negative:
        moments[Freshness.AHEAD] = policy.refresh_ahead * over
    if policy.stale_while_revalidate is not None and not negative:
        moments[Freshness.STALE] = over
    stale_ends = over + (0.0 if negative else policy.stale_while_revalidate or 0.0)
    needed_ends = over + (0.0 if negative else policy.stale_if_error or 0.0)
    if needed_ends > stale_ends:
        moments[Freshness.IN_NEED] = stale_ends
    moments[Freshness.EXPIRED] = max(stale_ends, needed_ends)
    return [state for state, moment in moments.items() if now - stored_at >= moment][-1]


@given(policy=policies, age=st.floats(-120, 3e6), stored_at=st.floats(1e9, 2e9), negative=st.booleans())
def test_the_line_of_freshness(policy: CachePolicy, age: float, stored_at: float, *, negative: bool) -> None:
    """Whatever the policy, for a value and for a remembered failure."""
    now = stored_at + age

    assert expected(policy, stored_at, now, negative=negative) is judge(policy, KEY, stored_at, now, negative=negative)


@given(ttl=durations, age=st.floats(-120, 3e6), negative=st.booleans())
def test_a_simple_policy_agrees_with_is_fresh(ttl: float, age: float, *, negative: bool) -> None:
    """The quick path says the same in fewer words."""
    policy = CachePolicy(ttl=ttl, negative_ttl=ttl / 2)

    assert policy.is_simple
    assert policy.is_fresh(1e9, None, 1e9 + age, negative) == (judge(policy, KEY, 1e9, 1e9 + age, negative=negative) is Freshness.FRESH)


@pytest.mark.parametrize("field", ["stale_while_revalidate", "stale_if_error", "refresh_ahead", "ttl_jitter"])
def test_each_of_these_is_more_than_fresh_or_not(field: str) -> None:
    """The quick path must not be taken for it."""
    assert not CachePolicy(ttl=60, **{field: 0.5}).is_simple


@given(jitter=st.floats(0.01, 0.99), stored_at=st.floats(1e9, 2e9), digest=st.binary(min_size=16, max_size=16))
def test_jitter_never_makes_an_entry_live_longer(jitter: float, stored_at: float, digest: bytes) -> None:
    """It is past its ttl at the ttl, and fresh before the earliest moment."""
    policy = CachePolicy(ttl=1000, ttl_jitter=jitter)

    assert Freshness.EXPIRED is judge(policy, digest, stored_at, stored_at + 1000.001)
    assert Freshness.FRESH is judge(policy, digest, stored_at, stored_at + 1000 * (1 - jitter) - 0.001)


def test_jitter_spreads_what_was_stored_together() -> None:
    """Of 10,000 keys a tenth expires in each tenth of the time, give or take; and of one key's dates, too."""
    for shares in ([spread(n.to_bytes(16, "big"), 1e9) for n in range(10_000)], [spread(KEY, 1e9 + n / 7) for n in range(10_000)]):
        tenths = [sum(n / 10 <= share < (n + 1) / 10 for share in shares) for n in range(10)]
        assert all(850 < count < 1150 for count in tenths), tenths


def test_jitter_is_the_same_in_every_process() -> None:
    """Whatever its hash seed."""
    code = f"from holdfast.policies.freshness import spread; print(spread({KEY!r}, 1700000000.123))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})

    assert spread(KEY, 1700000000.123) == float(done.stdout)


def test_how_long_a_store_should_keep_it() -> None:
    """Until no window is open any more."""
    assert [None, 60.0, 70.0, 90.0] == [
        CachePolicy().longest(),
        CachePolicy(ttl=60).longest(),
        CachePolicy(ttl=60, stale_while_revalidate=10).longest(),
        CachePolicy(ttl=60, stale_while_revalidate=10, stale_if_error=30).longest(),
    ]


@pytest.mark.parametrize(("age", "expected"), [(-60.0, Freshness.FRESH), (-60.5, Freshness.EXPIRED), (0.0, Freshness.FRESH)])
def test_an_entry_may_come_from_a_minute_ahead_and_not_from_further(age: float, expected: Freshness) -> None:
    """Clocks differ; of what seems to be from next week nobody knows the age."""
    policy = CachePolicy(ttl=10, stale_if_error="1d")

    assert expected is judge(policy, KEY, 1e9, 1e9 + age)


def test_without_a_ttl_a_value_is_fresh_for_ever() -> None:
    """And one whose computation gave it a ttl is not."""
    policy = CachePolicy(ttl=None)

    assert Freshness.FRESH is judge(policy, KEY, 0.0, 4e9)
    assert Freshness.EXPIRED is judge(policy, KEY, 0.0, 4e9, own_ttl=60)
