"""KeepInteresting: what it refuses, what it finds interesting, and which part of the rest it keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode

from holdfast.errors import PolicyError
from holdfast.tracing import KeepInteresting
from holdfast.tracing.spans import ids
from holdfast.values.ids import uuid7

S = 1_000_000_000
EMPTY = Resource.get_empty()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ratio": -0.1}, "ratio=-0.1 is no part"),
        ({"ratio": 1.1}, "ratio=1.1 is no part"),
        ({"ratio": True}, "ratio=True is no part"),
        ({"ratio": "5%"}, "ratio='5%' is no part"),
        ({"ratio": float("nan")}, "ratio=nan is no part"),
        ({"slower_than": 0}, "slower_than=0 is no time at all"),
        ({"slower_than": "soon"}, "slower_than='soon' is not a duration"),
        ({"max_traces": 0}, "max_traces=0 must be a whole number from 1"),
        ({"max_spans": 2.5}, "max_spans=2.5 must be a whole number from 1"),
        ({"max_spans": True}, "max_spans=True must be a whole number from 1"),
        ({"max_age": 0}, "max_age=0 is no time at all"),
    ],
)
def test_what_cannot_work_is_refused(options, text):
    """When the policy is made, by the option's name."""
    with pytest.raises(PolicyError, match=text):
        KeepInteresting(**options)


def test_it_says_what_it_is():
    """In the words it was made with; what is as ever is left out."""
    assert "KeepInteresting(ratio=0.05)" == repr(KeepInteresting())
    assert "KeepInteresting(ratio=0.5, slower_than='1m30s', max_traces=3, max_spans=4, max_age='5m')" == repr(
        KeepInteresting(ratio=0.5, slower_than=timedelta(seconds=90), max_traces=3, max_spans=4, max_age="5m")
    )


def test_it_is_a_value():
    """Frozen, and equal to one that says the same."""
    assert KeepInteresting(slower_than=2) == KeepInteresting(slower_than="2s")
    with pytest.raises(AttributeError):
        KeepInteresting().ratio = 1


def span(*, status=StatusCode.UNSET, lasted=1.0, **attributes):
    """An ended one."""
    said = {name.replace("__", "."): value for name, value in attributes.items()}
    return ReadableSpan("s", None, None, EMPTY, said, status=Status(status), start_time=S, end_time=S + int(lasted * S))


@pytest.mark.parametrize(
    ("is_interesting", "ended"),
    [
        (False, span()),
        (False, span(status=StatusCode.OK)),
        (True, span(status=StatusCode.ERROR)),
        (True, span(holdfast__retry__count=1)),
        (False, span(holdfast__cache__result="hit")),
        (False, span(holdfast__cache__result="miss")),
        (False, span(holdfast__cache__result="coalesced")),
        (True, span(holdfast__cache__result="negative")),
        (True, span(holdfast__cache__result="error")),
        (False, span(lasted=2.0)),
        (True, span(lasted=2.001)),
        (False, ReadableSpan("s", resource=EMPTY)),
    ],
)
def test_what_is_interesting(is_interesting, ended):
    """Failures, retries, what the cache rather would not serve, and slowness."""
    assert is_interesting == KeepInteresting(slower_than="2s").is_interesting(ended)


def test_without_a_limit_nothing_is_slow():
    """However long it takes."""
    assert not KeepInteresting().is_interesting(span(lasted=1e6))


@given(st.integers(1, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_part_holds_the_smaller(trace_id, one, other):
    """So that processes with different ratios agree as far as they can; none and all are just that."""
    less, more = sorted((one, other))

    assert KeepInteresting(ratio=less).is_by_ratio(trace_id) <= KeepInteresting(ratio=more).is_by_ratio(trace_id)
    assert not KeepInteresting(ratio=0).is_by_ratio(trace_id)
    assert KeepInteresting(ratio=1).is_by_ratio(trace_id)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**72 - 1))
def test_the_ratio_goes_by_the_last_56_bits(trace_id, other):
    """The ones that are random in every trace id, by W3C Trace Context level 2."""
    policy = KeepInteresting(ratio=0.5)

    assert policy.is_by_ratio(trace_id) == policy.is_by_ratio(other << 56 | trace_id % 2**56)


def test_the_ratio_holds_for_ids_of_runs():
    """They are UUIDv7, with time and fixed bits in front. Of 4,000, a tenth is 400; five standard deviations are 95."""
    policy = KeepInteresting(ratio=0.1)
    kept = sum(policy.is_by_ratio(ids.of_run(uuid7(S))) for _ in range(4_000))

    assert 305 < kept < 495
