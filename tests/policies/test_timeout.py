"""Limits of one attempt."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from holdfast.errors import PolicyError
from holdfast.policies.timeout import TimeoutPolicy, as_timeout


@pytest.mark.parametrize("value", [90, 90.0, timedelta(seconds=90), "1m30s", TimeoutPolicy(90), TimeoutPolicy(run_timeout="90s")])
def test_a_limit_may_be_written_in_any_form(value):
    """``timeout=`` takes seconds, timedelta, text and TimeoutPolicy."""
    assert TimeoutPolicy(90.0) == as_timeout(value)


def test_none_is_no_limit():
    """It stays None."""
    assert as_timeout(None) is None


@pytest.mark.parametrize("value", [0, -1, True, "soon", [1], float("nan"), float("inf"), object])
def test_what_is_no_limit_is_refused(value):
    """The error names the value."""
    with pytest.raises(PolicyError) as caught:
        as_timeout(value)

    assert str(caught.value).startswith(f"timeout={value!r} is ")
    with pytest.raises(PolicyError, match=r"^run_timeout="):
        TimeoutPolicy(value)


def test_reads_plainly_and_is_a_value():
    """Through repr and pickle."""
    policy = TimeoutPolicy(90)

    assert ("TimeoutPolicy(1m30s)", policy) == (repr(policy), pickle.loads(pickle.dumps(policy)))
