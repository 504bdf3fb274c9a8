"""Accepts tenacity's strategies: ``wait=``, ``stop=`` and ``retry=`` of a RetryPolicy. Imported when a policy that has one first decides.

A strategy is a function of a retry state. The state given here is made for one question and thrown away, so that nothing is shared between
calls (in tenacity, concurrent callers share attempt counts: jd/tenacity#93, #701). tenacity itself is not imported: whoever made the
strategy has done that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.decision import AttemptState


class Outcome:
    """What an attempt came to, with the part of `tenacity.Future` that strategies read."""

    __slots__ = ("_error", "_result", "attempt_number")

    def __init__(self, attempt_number: int, error: Exception | None, result: Any) -> None:
        """Hold an error, or else a result."""
        self.attempt_number = attempt_number
        self._error = error
        self._result = result

    @property
    def failed(self) -> bool:
        """True when the attempt raised."""
        return self._error is not None

    def exception(self) -> Exception | None:
        """What the attempt raised, or None."""
        return self._error

    def result(self) -> Any:
        """What the attempt returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class RetryState:
    """What strategies read of `tenacity.RetryCallState`, for one failed attempt.

    Attributes:
        attempt_number: Number of the attempt that ended, from 1.
        outcome: What it came to.
        seconds_since_start: Seconds since the call began.
        start_time: 0.0, where the call began.
        outcome_timestamp: ``seconds_since_start`` on the same scale.
        idle_for: Seconds spent waiting so far.
        upcoming_sleep: Seconds until the next attempt; 0.0 while ``wait=`` is asked.
        next_action: None, as it is while tenacity asks its strategies.
        retry_object: None: there is no Retrying object.
        fn: None: a policy does not know the function.
        args: Empty, see ``fn``.
        kwargs: Empty, see ``fn``.
    """

    retry_object = None
    next_action = None
    fn = None
    args: tuple[Any, ...] = ()
    start_time = 0.0

    def __init__(self, state: AttemptState, *, upcoming_sleep: float = 0.0) -> None:
        """Describe an attempt to a strategy."""
        self.attempt_number = state.attempt
        self.outcome = Outcome(state.attempt, state.error, state.result)
        self.seconds_since_start = self.outcome_timestamp = state.elapsed
        self.idle_for = state.waited
        self.upcoming_sleep = upcoming_sleep
        self.kwargs: dict[str, Any] = {}


def should_retry(retry: Callable[[Any], Any], state: AttemptState) -> Any:
    """Ask a ``retry_*`` strategy whether the outcome counts as a failure worth another attempt."""
    return retry(RetryState(state))


def delay(wait: Callable[[Any], Any], state: AttemptState) -> Any:
    """Ask a ``wait_*`` strategy for the seconds until the next attempt."""
    return wait(RetryState(state))


def should_stop(stop: Callable[[Any], Any], state: AttemptState, *, upcoming_sleep: float) -> Any:
    """Ask a ``stop_*`` strategy whether there is to be no further attempt."""
    return stop(RetryState(state, upcoming_sleep=upcoming_sleep))
