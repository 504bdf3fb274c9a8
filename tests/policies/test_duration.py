"""Durations as people write them."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PolicyError
from holdfast.policies.duration import patience, positive_seconds, seconds, spoken


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (90, 90.0),
        (0, 0.0),
        (0.25, 0.25),
        (Fraction(1, 4), 0.25),
        (np.int64(5), 5.0),
        (np.float32(0.5), 0.5),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        (" 1h 30m ", 5400.0),
        ("250ms", 0.25),
        ("700ms", 0.7),
        ("1s700ms", 1.7),
        ("1.1h", 3960.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("1e-3s", 0.001),
    ],
)
def test_reads_what_people_write(value, expected):
    """Numbers are seconds; text has units."""
    assert expected == seconds(value, what="ttl")


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        "",
        "90",
        "1h1h",
        "h",
        "1 hour",
        "-1s",
        "1h-30m",
        "1x",
        "\uff11s",
        b"90s",
        [1],
        math.nan,
        math.inf,
        -1,
        -0.5,
        timedelta(-1),
        10**400,
    ],
)
def test_refuses_what_is_no_duration(value):
    """The error names the parameter and the value, and shows the accepted forms."""
    with pytest.raises(PolicyError) as caught:
        seconds(value, what="ttl")

    assert str(caught.value).startswith(f"ttl={value!r} is ")
    assert 'give seconds (90), a timedelta, or text such as "90s", "1h30m", "250ms"' in str(caught.value)


def test_a_number_beyond_float_is_as_endless_as_infinity():
    """It is a number, only none that can be waited for."""
    with pytest.raises(PolicyError, match=r"^ttl=1000+ is not finite: "):
        seconds(10**400, what="ttl")


def test_zero_can_be_refused():
    """Where no time makes no sense, the error says what to write instead."""
    with pytest.raises(PolicyError, match=r"^ttl='0s' is no time at all: leave it out$"):
        positive_seconds("0s", what="ttl", instead="leave it out")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0s"),
        (0.5, "0.5s"),
        (45, "45s"),
        (60.0, "1m"),
        (5400, "1h30m"),
        (90061, "1d1h1m1s"),
        (604_800, "7d"),
        (61.5, "61.5s"),
        (2.0**53, "9007199254740992s"),
    ],
)
def test_speaks_plainly(value, expected):
    """The text is the shortest that loses nothing."""
    assert expected == spoken(value)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**53).map(float))
def test_what_is_spoken_is_read_back(value):
    """No second is lost between `spoken` and `seconds`."""
    assert value == seconds(spoken(value), what="any")


@given(st.dictionaries(st.sampled_from(["ms", "s", "m", "h", "d", "w"]), st.integers(0, 10_000), min_size=1))
def test_units_add_up(parts):
    """Independent oracle: `timedelta` adds the same units."""
    names = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    text = "".join(f"{count}{unit}" for unit, count in parts.items())

    assert timedelta(**{names[unit]: count for unit, count in parts.items()}).total_seconds() == seconds(text, what="any")


@pytest.mark.parametrize(
    ("value", "expected"), [(2, 2.0), (0.5, 0.5), (-1, -1.0), (math.inf, math.inf), ("1.5s", 1.5), (timedelta(minutes=1), 60.0)]
)
def test_how_long_to_wait_may_be_over_already_or_without_end(value, expected):
    """As a number; text and a timedelta are durations like any other."""
    assert expected == patience(value, what="timeout")


@pytest.mark.parametrize("value", [True, "-1s", timedelta(seconds=-1)])
def test_what_is_no_duration_is_no_time_to_wait(value):
    """Nor is a flag a second."""
    with pytest.raises(PolicyError, match=r"^timeout="):
        patience(value, what="timeout")
