"""RetryPolicy: whether a call that failed is attempted again, and when. Pure: it never sleeps, reads a clock or draws chance.

Reading order: `RetryPolicy.decide` asks `_match` whether the failure is one to retry, then `_schedule` whether there is a next attempt and
after which delay. `decide` does the same for a sequence of policies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast._frames import trims
from holdfast.errors import PolicyError
from holdfast.policies import backoff, retry_fields
from holdfast.policies.attributes import type_name
from holdfast.policies.callables import name_of, plain_function
from holdfast.policies.classify import classify, is_transient
from holdfast.policies.decision import AttemptState, Retry, Stop, StopReason, explain, rounded
from holdfast.policies.duration import positive_seconds, seconds, spoken
from holdfast.policies.pushback import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.policies.duration import Duration
    from holdfast.policies.retry_fields import RetryOn

__all__ = ["AttemptState", "Retry", "RetryPolicy", "Stop", "StopReason", "decide", "explain"]

LONGEST_HINT = 86_400.0
"""Seconds: a server that asks for more than a day is not waited for."""

_DEFAULT_ATTEMPTS = retry_fields.DefaultAttempts(3)
_REPLACED_BY_WAIT = {"initial_interval": 0.5, "backoff_factor": 2.0, "max_interval": 128.0, "jitter": True}
_DURATIONS = {"initial_interval", "max_interval", "deadline"}
_OK = Stop(StopReason.OK, "")
_Match: TypeAlias = tuple[str, str]
"""Reason and detail of a failure that is one to retry; the delay is still open."""


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class RetryPolicy:
    """Decides about retries. Frozen, compared by its fields, shared freely: it holds nothing of any call.

    The first six fields have LangGraph's names and defaults. They are given by name only: LangGraph's order would make of the 3 in
    ``RetryPolicy(3)`` an interval, which is not what anybody means who writes it.

    Attributes:
        max_attempts: Attempts in all, the first included; None leaves the end to ``deadline`` or ``stop``.
        initial_interval: Seconds after the first failure, before jitter.
        backoff_factor: What each further failure multiplies the interval by.
        max_interval: The most an interval may be, in seconds.
        jitter: Whether each delay is drawn evenly from [0, interval].
        retry_on: What is retried: a class, a tuple of classes, or a predicate.
        retry_on_result: Says of a result whether it counts as a failure; None takes every result.
        deadline: Seconds for all attempts and waits together; None sets no limit.
        respect_retry_after: Whether a server's ``Retry-After`` replaces the delay.
        before_retry: Called before each wait; None calls nothing.
        wait: A tenacity ``wait_*`` strategy in place of the intervals.
        stop: A tenacity ``stop_*`` strategy.
        retry: A tenacity ``retry_*`` strategy in place of ``retry_on`` and ``retry_on_result``.

    >>> RetryPolicy(max_attempts=5, max_interval="10s")
    RetryPolicy(max_attempts=5, max_interval=10s)
    """

    max_attempts: int | None
    initial_interval: float
    backoff_factor: float
    max_interval: float
    jitter: bool
    retry_on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
    retry_on_result: Callable[[Any], bool] | None
    deadline: float | None
    respect_retry_after: bool
    before_retry: Callable[[AttemptState, Retry], object] | None
    wait: Callable[[Any], float] | None
    stop: Callable[[Any], bool] | None
    retry: Callable[[Any], bool] | None

    @trims
    def __init__(  # noqa: PLR0913 - options, by name only
        self,
        *,
        max_attempts: int | None = _DEFAULT_ATTEMPTS,
        initial_interval: Duration = 0.5,
        backoff_factor: float = 2.0,
        max_interval: Duration = 128.0,
        jitter: bool = True,
        retry_on: RetryOn = is_transient,
        retry_on_result: Callable[[Any], bool] | None = None,
        deadline: Duration | None = None,
        respect_retry_after: bool = True,
        before_retry: Callable[[AttemptState, Retry], object] | None = None,
        wait: Callable[[Any], float] | None = None,
        stop: Callable[[Any], bool] | None = None,
        retry: Callable[[Any], bool] | None = None,
    ) -> None:
        """Decide about retries. Durations are seconds, timedelta or text such as ``"1m30s"``.

        Args:
            max_attempts: Attempts in all, the first included. None needs a ``deadline`` or a ``stop``. A ``stop`` replaces the default of
                3; when both are given, whichever comes first ends the retries.
            initial_interval: The interval after the first failure.
            backoff_factor: What each further failure multiplies the interval by; 1 keeps it constant.
            max_interval: The most an interval may be; jitter stays below it as well.
            jitter: True draws each delay evenly from [0, interval]; False waits the interval.
            retry_on: An exception class, a sequence of them, or a predicate on the exception. The default retries what may well succeed a
                moment later: see docs/what-is-retried.md.
            retry_on_result: Called with each result; a true answer counts as a failure. When the attempts are used up, the last result is
                returned. None takes every result.
            deadline: For all attempts and waits together. No wait begins that would not end before it. None sets no limit.
            respect_retry_after: Wait as long as the server asks (``Retry-After``, ``retry-after-ms``) instead of the computed delay.
            before_retry: Called as ``before_retry(state, retry)`` before each wait, for example to refresh a token.
            wait: A tenacity ``wait_*`` strategy instead of interval, factor, cap and jitter.
            stop: A tenacity ``stop_*`` strategy.
            retry: A tenacity ``retry_*`` strategy instead of ``retry_on`` and ``retry_on_result``.

        Raises:
            PolicyError: A value that cannot work; the text names it and the fix.
        """
        retry_fields.strategy(wait, what="wait", example="wait_exponential(max=10)", rival="initial_interval")
        retry_fields.strategy(stop, what="stop", example="stop_after_delay(30)", rival="max_attempts")
        retry_fields.strategy(retry, what="retry", example="retry_if_exception_type(OSError)", rival="max_attempts")
        if isinstance(max_attempts, retry_fields.DefaultAttempts) and stop is not None:
            max_attempts = None
        is_bounded = deadline is not None or not retry_fields.is_endless(stop)
        values = {
            "max_attempts": retry_fields.attempts(max_attempts, is_bounded=is_bounded),
            "initial_interval": seconds(initial_interval, what="initial_interval"),
            "backoff_factor": retry_fields.factor(backoff_factor),
            "max_interval": seconds(max_interval, what="max_interval"),
            "jitter": retry_fields.jitter(jitter),
            "retry_on": retry_fields.retry_on(retry_on),
            "retry_on_result": retry_on_result,
            "deadline": None if deadline is None else positive_seconds(deadline, what="deadline", instead="leave it out for no limit"),
            "respect_retry_after": respect_retry_after,
            "before_retry": before_retry,
            "wait": wait,
            "stop": stop,
            "retry": retry,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_together()

    def _check_together(self) -> None:
        if self.retry_on_result is not None:
            plain_function(self.retry_on_result, what="retry_on_result", example="lambda result: result is None")
        if self.before_retry is not None:
            plain_function(self.before_retry, what="before_retry", example="lambda state, retry: client.refresh()")
        if not isinstance(self.respect_retry_after, bool):
            raise PolicyError(f"respect_retry_after={self.respect_retry_after!r} is neither True nor False")
        if self.initial_interval > self.max_interval:
            first, cap = spoken(self.initial_interval), spoken(self.max_interval)
            raise PolicyError(f"initial_interval={first} is above max_interval={cap}: raise max_interval to at least {first}")
        rivals = [name for name, default in _REPLACED_BY_WAIT.items() if getattr(self, name) != default]
        if self.wait is not None and rivals:
            raise PolicyError(f"wait= replaces {', '.join(rivals)}: leave one of them out")
        if self.retry is not None and (self.retry_on is not is_transient or self.retry_on_result is not None):
            raise PolicyError("retry= replaces retry_on and retry_on_result: leave one of them out")

    @property
    def checks_result(self) -> bool:
        """True when a returned value can also count as a failure."""
        return self.retry_on_result is not None or self.retry is not None

    @property
    def shows_errors(self) -> bool:
        """True when a function that came with the policy may look at failures: a predicate, ``before_retry``, a tenacity strategy."""
        has_predicate = self.retry_on is not is_transient and not isinstance(self.retry_on, type | tuple)
        functions = (self.before_retry, self.wait, self.stop, self.retry)
        return has_predicate or any(function is not None for function in functions)

    def interval(self, attempt: int) -> float:
        """The wait before attempt ``attempt + 1``, before jitter: ``initial_interval * backoff_factor ** (attempt - 1)``, capped.

        Args:
            attempt: Number of the attempt that failed; the first is 1.

        Returns:
            Seconds.

        >>> RetryPolicy(initial_interval=0.5, backoff_factor=2, max_interval=3).interval(4)
        3.0
        """
        return backoff.interval(attempt, self.initial_interval, self.backoff_factor, self.max_interval)

    def decide(self, state: AttemptState) -> Retry | Stop:
        """Decide what follows an attempt.

        Args:
            state: The attempt. One that returned is judged by ``retry_on_result``; `Stop` with reason ``ok`` means the result is fine.

        Returns:
            Another attempt after a delay, or why there is none.
        """
        match = self._match(state)
        return match if isinstance(match, Stop) else self._schedule(match, state)

    def replace(self, **changes: Any) -> RetryPolicy:
        """The same policy with some fields changed.

        Args:
            **changes: Fields by name, as for the class.

        Returns:
            Another policy; this one stays as it is.

        Raises:
            PolicyError: A value that cannot work, by itself or beside the others.

        >>> RetryPolicy(max_attempts=5).replace(jitter=False)
        RetryPolicy(max_attempts=5, jitter=False)
        """
        return RetryPolicy(**{field.name: getattr(self, field.name) for field in fields(self)} | changes)

    __replace__ = replace

    def _match(self, state: AttemptState) -> _Match | Stop:
        """Say whether this failure is one to retry."""
        if self.retry is not None:
            return self._match_strategy(self.retry, state)
        if state.error is None:
            return self._match_result(state.result)
        if self.retry_on is is_transient:
            verdict = classify(state.error)
            if verdict.is_transient:
                return ("transient", verdict.reason)
            return Stop(StopReason.NOT_RETRYABLE, f"{type_name(state.error)}: {verdict.reason} is not retried")
        classes: Any = self.retry_on
        if isinstance(classes, type | tuple):
            if isinstance(state.error, classes):
                return ("retry_on", type_name(state.error))
            return Stop(StopReason.NOT_RETRYABLE, f"retry_on={_shown(self.retry_on)} leaves out {type_name(state.error)}")
        name = name_of(self.retry_on)
        answer = _ask(f"retry_on={name}", classes, state.error)
        if isinstance(answer, Stop):
            return answer
        return ("retry_on", name) if answer else Stop(StopReason.NOT_RETRYABLE, f"retry_on={name} said no")

    def _match_result(self, result: Any) -> _Match | Stop:
        if self.retry_on_result is None:
            return _OK
        answer = _ask(f"retry_on_result={name_of(self.retry_on_result)}", self.retry_on_result, result)
        if isinstance(answer, Stop):
            return answer
        return ("retry_on_result", name_of(self.retry_on_result)) if answer else _OK

    def _match_strategy(self, retry: Callable[[Any], Any], state: AttemptState) -> _Match | Stop:
        from holdfast.policies import tenacity

        answer = _ask(f"retry={name_of(retry)}", tenacity.should_retry, retry, state)
        if isinstance(answer, Stop):
            return answer
        if answer:
            return ("retry", name_of(retry))
        return _OK if state.error is None else Stop(StopReason.NOT_RETRYABLE, f"retry={name_of(retry)} said no")

    def _schedule(self, match: _Match, state: AttemptState) -> Retry | Stop:
        """Say when the next attempt is, or why there is none."""
        if self.max_attempts is not None and state.attempt >= self.max_attempts:
            return Stop(StopReason.MAX_ATTEMPTS, f"max_attempts={self.max_attempts}")
        remaining = state.remaining
        if remaining is None and self.deadline is not None:  # the task's own deadline wins
            remaining = self.deadline - state.elapsed
        if remaining is not None and remaining <= 0:
            return Stop(StopReason.DEADLINE, "the deadline has passed")
        following = self._delayed(match, state)
        if isinstance(following, Stop):
            return following
        if self.stop is not None:
            stopped = self._ask_stop(self.stop, state, following.delay)
            if stopped is not None:
                return stopped
        if remaining is not None and following.delay >= remaining:
            return _too_late(following, remaining)
        return following

    def _delayed(self, match: _Match, state: AttemptState) -> Retry | Stop:
        if self.respect_retry_after:
            hint = retry_after(state.result if state.error is None else state.error, now=state.now)
            if hint is not None and hint > LONGEST_HINT:
                asked = spoken(round(hint))
                return Stop(
                    StopReason.RETRY_AFTER_TOO_LONG, f"the server asks to wait {asked}, and more than {spoken(LONGEST_HINT)} is not waited"
                )
            if hint:  # 0 says no more than "again": the computed delay keeps an eager server from being hammered
                return Retry(hint, "retry_after", match[1])
        if self.wait is not None:
            return self._ask_wait(self.wait, match, state)
        interval = self.interval(state.attempt)
        delay = backoff.full_jitter(interval, state.draw) if self.jitter else interval
        return Retry(delay, match[0], match[1])

    def _ask_wait(self, wait: Callable[[Any], Any], match: _Match, state: AttemptState) -> Retry | Stop:
        from holdfast.policies import tenacity

        what = f"wait={name_of(wait)}"
        delay = _call(what, tenacity.delay, wait, state)
        if isinstance(delay, Stop):
            return delay
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < math.inf:
            return Stop(StopReason.PREDICATE_FAILED, f"{what} answered {delay!r}, which is no number of seconds")
        return Retry(float(delay), *match)

    def _ask_stop(self, stop: Callable[[Any], Any], state: AttemptState, delay: float) -> Stop | None:
        from holdfast.policies import tenacity

        what = f"stop={name_of(stop)}"
        answer = _ask(what, tenacity.should_stop, stop, state, upcoming_sleep=delay)
        if isinstance(answer, Stop):
            return answer
        return Stop(StopReason.STOP_CONDITION, what) if answer else None

    def __repr__(self) -> str:
        names = [field.name for field in fields(self)]
        parts = [f"{name}={_shown(getattr(self, name), name)}" for name in names if getattr(self, name) != getattr(_DEFAULT, name)]
        return f"RetryPolicy({', '.join(parts)})"


_DEFAULT = RetryPolicy()


def decide(policies: Sequence[RetryPolicy], counts: list[int], state: AttemptState) -> tuple[Retry | Stop, int]:
    """Decide by a sequence of policies: the first that applies to the failure, by its own count of the failures it was asked about.

    Two policies of three attempts each thus allow five attempts when their errors alternate.

    Args:
        policies: In order.
        counts: The failures each policy has decided so far in this call, all 0 at first. The deciding policy's is incremented here;
            one policy alone counts by the attempt's number.
        state: The attempt, numbered over all policies.

    Returns:
        The decision, and the index of the policy that made it; -1 when none of several applies.
    """
    if len(policies) == 1:  # so it is for nearly every task
        return policies[0].decide(state), 0
    refusal: Stop | None = None
    for index, policy in enumerate(policies):
        match = policy._match(state)  # noqa: SLF001 - the same file
        if not isinstance(match, Stop):
            counts[index] += 1
            decision = policy._schedule(match, state._replace(attempt=counts[index]))  # noqa: SLF001 - the same file
            return _named(decision, index, len(policies)), index
        if match.reason is StopReason.PREDICATE_FAILED:
            return _named(match, index, len(policies)), index
        refusal = refusal or match
    return refusal or Stop(StopReason.NO_RETRY_POLICY, "no retry policy"), -1


def _named(decision: Retry | Stop, index: int, total: int) -> Retry | Stop:
    if isinstance(decision, Retry):
        return decision
    return decision._replace(detail=f"{decision.detail}, RetryPolicy {index + 1} of {total}")


def _too_late(following: Retry, remaining: float) -> Stop:
    left = f"{rounded(remaining)} of the deadline are left"
    if following.reason == "retry_after":
        return Stop(StopReason.RETRY_AFTER_TOO_LONG, f"the server asks to wait {rounded(following.delay)}, {left}")
    return Stop(StopReason.DEADLINE, f"the next wait is {rounded(following.delay)}, {left}")


def _call(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of the user's; what it raises becomes a Stop, so that it cannot hide the error that is being judged."""
    try:
        answer = function(*args, **kwargs)
    except Exception as failure:  # noqa: BLE001 - see above
        return Stop(StopReason.PREDICATE_FAILED, f"{what} raised {type_name(failure)}: {failure}", failure)
    if hasattr(answer, "__await__"):
        getattr(answer, "close", bool)()  # a coroutine would warn that it was never awaited
        return Stop(StopReason.PREDICATE_FAILED, f"{what} answered with an awaitable: it has to be a plain function")
    return answer


def _ask(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool | Stop:
    """Ask a function of the user's for yes or no."""
    answer = _call(what, function, *args, **kwargs)
    return answer if isinstance(answer, Stop) else _call(what, bool, answer)


def _shown(value: Any, name: str = "") -> str:
    if name in _DURATIONS:
        return spoken(value)
    if isinstance(value, tuple):
        names = [name_of(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - a tuple of classes
        return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
    return name_of(value) if callable(value) else repr(value)
