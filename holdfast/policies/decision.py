"""What a retry policy is asked, and what it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from holdfast.policies.duration import spoken

_MINUTE = 60
_MILLISECOND = 0.001


class AttemptState(NamedTuple):
    """One attempt that ended, as a policy sees it: everything it decides by.

    Attributes:
        attempt: Number of the attempt that ended; the first is 1.
        error: What it raised; None when it returned.
        result: What it returned; None when it raised.
        elapsed: Seconds since the call began, attempts and waits together.
        now: Seconds since the epoch; a date in ``Retry-After`` is measured against it.
        draw: A random number in [0, 1), for jitter.
        remaining: Seconds left of the task's deadline; None without one.
        waited: Seconds of ``elapsed`` that were spent waiting.
    """

    attempt: int
    error: Exception | None
    result: Any
    elapsed: float
    now: float
    draw: float
    remaining: float | None = None
    waited: float = 0.0


class Retry(NamedTuple):
    """Make another attempt.

    Attributes:
        delay: Seconds to wait before it.
        reason: One word for spans: ``transient``, ``retry_on``, ``retry_on_result``, ``retry`` (a tenacity strategy) or ``retry_after``.
        detail: A few words for people: ``HTTP 503``.
    """

    delay: float
    reason: str
    detail: str = ""


class StopReason(StrEnum):
    """Why no further attempt is made."""

    MAX_ATTEMPTS = "max_attempts"
    """The policy's attempts are used up."""
    DEADLINE = "deadline"
    """The deadline has passed, or would pass during the next wait."""
    NOT_RETRYABLE = "not_retryable"
    """No policy applies to this error."""
    RETRY_AFTER_TOO_LONG = "retry_after_too_long"
    """The server asks for a longer wait than the deadline, or a day, leaves."""
    STOP_CONDITION = "stop_condition"
    """The policy's ``stop=`` strategy said so."""
    PREDICATE_FAILED = "predicate_failed"
    """A function of the policy raised, or gave an answer that is none."""
    NO_RETRY_POLICY = "no_retry_policy"
    """The task has no retry policy."""
    CANCELLED = "cancelled"
    """The run is ending."""
    OK = "ok"
    """The result is fine: there is nothing to retry."""


class Stop(NamedTuple):
    """Make no further attempt.

    The caller gets the error of the last attempt, or its result when that was the failure (``retry_on_result``).

    Attributes:
        reason: Why.
        detail: The figures behind it, for the note on the exception.
        failure: With ``predicate_failed``, what the policy's function raised, if it raised. When the attempt itself had raised, its error
            is the caller's, with the note; when the attempt had returned, there is no other error to raise than this one.
    """

    reason: StopReason
    detail: str
    failure: Exception | None = None


def explain(stop: Stop, *, attempts: int, elapsed: float) -> str:
    """Say in one sentence why a call was given up, for a note on its exception.

    Args:
        stop: The decision.
        attempts: Attempts made, under all policies.
        elapsed: Seconds since the call began.

    >>> explain(Stop(StopReason.MAX_ATTEMPTS, "max_attempts=3"), attempts=3, elapsed=1.7)
    'holdfast: gave up after 3 attempts in 1.7 s (max_attempts=3)'
    """
    plural = "" if attempts == 1 else "s"
    return f"holdfast: gave up after {attempts} attempt{plural} in {rounded(elapsed)} ({stop.detail or stop.reason})"


def rounded(seconds: float) -> str:
    """Write seconds for a sentence, in three figures: ``1.7 s``, ``2m5s``."""
    if 0 < seconds < _MILLISECOND:
        return "less than 1 ms"
    return f"{seconds:.3g} s" if seconds < _MINUTE else spoken(round(seconds))
