"""How often a source changes: the closed form, simulated looks, and what cannot be said."""

from __future__ import annotations

import math
import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import TraceError
from holdfast.tuning import Look, change_rate


@given(st.integers(1, 200), st.data(), st.floats(1e-3, 1e6))
def test_equal_intervals_give_the_estimator_of_cho_and_garcia_molina(count, data, interval):
    """``-log((n - X + 0.5) / (n + 0.5)) / D``, however many of the looks found a change."""
    changes = data.draw(st.integers(0, count))
    found = change_rate([Look(interval, number < changes) for number in range(count)])

    assert pytest.approx(-math.log((count - changes + 0.5) / (count + 0.5)) / interval, rel=1e-9) == found.rate
    assert (count, changes) == (found.looks, found.changes)


@given(st.lists(st.tuples(st.floats(0.01, 1e4), st.booleans()), min_size=1, max_size=30))
def test_the_interval_holds_the_likeliest_rate(looks):
    """Both ends are where the likelihood has dropped as far as chi-square says, or where there is none."""
    found = change_rate(looks)
    changed, still = [interval for interval, z in looks if z], sum(interval for interval, z in looks if not z)

    def likelihood(rate):
        return sum(math.log(-math.expm1(-rate * interval)) for interval in changed) - rate * still

    assert 0 <= found.low < found.high
    assert math.inf == found.high or still
    assert pytest.approx(still + sum(changed)) == found.exposure
    if changed and still:
        assert pytest.approx(likelihood(found.low), abs=1e-4) == likelihood(found.high)
        best = max(likelihood(found.low * (found.high / found.low) ** (step / 500)) for step in range(501))
        assert pytest.approx(best - 1.9207, abs=0.01) == likelihood(found.low)


@pytest.mark.parametrize("count", [10, 20])
def test_irregular_looks_give_hardly_any_bias(count):
    """Where changes divided by time is a third too low, and the likeliest rate can be infinite."""
    chance, estimates, naive, held = random.Random(count), [], [], 0
    for _ in range(400):
        looks = [Look(interval := chance.expovariate(1), chance.random() < -math.expm1(-interval)) for _ in range(count)]
        found = change_rate(looks)
        estimates.append(found.rate)
        naive.append(found.changes / found.exposure)
        held += found.low <= 1 <= found.high

    assert pytest.approx(1, abs=0.08) == mean(estimates)
    assert mean(naive) < 0.75
    assert 0.9 < held / 400 <= 1


def test_without_a_change_only_an_upper_bound_is_known():
    """The rule of three."""
    found = change_rate([Look(60, changed=False)] * 10)

    assert (0.0, 0.0, 3 / 600) == (found.rate, found.low, found.high)


def test_when_every_look_found_a_change_the_rate_is_finite():
    """The likeliest one is not."""
    found = change_rate([Look(60, changed=True)] * 10)

    assert math.log(21) / 60 == pytest.approx(found.rate)
    assert found.low < found.rate < found.high == math.inf


@pytest.mark.parametrize("interval", [0, -1, math.inf, math.nan])
def test_an_interval_that_is_none_is_refused(interval):
    """Counted from 1."""
    with pytest.raises(TraceError, match="is not a number of seconds above zero") as caught:
        change_rate([Look(1, changed=True), Look(interval, changed=False)])

    assert "look 2" == caught.value.where


def test_one_look_says_nothing_of_changes():
    """Nor does none."""
    with pytest.raises(TraceError, match="nobody looked at the source twice"):
        change_rate([])
