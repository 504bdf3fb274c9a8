"""What policies answer: the words that spans and notes show."""

from __future__ import annotations

import pytest

from holdfast.policies.decision import AttemptState, Retry, StopReason, rounded


def test_the_reasons_are_one_word_each():
    """They stand in traces that were written before: no word may change."""
    assert [
        "max_attempts",
        "deadline",
        "not_retryable",
        "retry_after_too_long",
        "stop_condition",
        "predicate_failed",
        "no_retry_policy",
        "cancelled",
        "ok",
    ] == [str(reason) for reason in StopReason]


def test_what_need_not_be_given():
    """No limit, no wait yet, nothing to add."""
    state = AttemptState(attempt=1, error=None, result=None, elapsed=0.0, now=0.0, draw=0.0)

    assert (None, 0.0, "") == (state.remaining, state.waited, Retry(0.5, "transient").detail)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 s"),
        (0.0009, "less than 1 ms"),
        (0.001, "0.001 s"),
        (1.7, "1.7 s"),
        (59.9, "59.9 s"),
        (60.0, "1m"),
        (60.4, "1m"),
        (125.4, "2m5s"),
    ],
)
def test_figures_for_a_sentence(seconds, expected):
    """Three figures below a minute, whole seconds above."""
    assert expected == rounded(seconds)
