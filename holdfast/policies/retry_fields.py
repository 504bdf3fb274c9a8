"""What each field of a RetryPolicy may be; whatever else is refused when the policy is built, with the fix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, TypeAlias

from holdfast.errors import PolicyError
from holdfast.policies.callables import name_of, plain_function

RetryOn: TypeAlias = type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool]
"""An exception class, a sequence of them, or a predicate on the exception."""

_EXAMPLE = "retry_on=(ConnectionError, TimeoutError)"


class DefaultAttempts(int):
    """The default of ``max_attempts``: 3, told apart from a 3 that was given, because ``stop=`` replaces only the default."""


def attempts(value: Any, *, is_bounded: bool) -> int | None:
    """Check ``max_attempts``; None only when something else ends the retries."""
    if value is None and not is_bounded:
        raise PolicyError("max_attempts=None would retry for ever: give a deadline too, for example deadline='1m', or a stop= strategy")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise PolicyError(
            f"max_attempts={value!r} is not a whole number: it counts attempts, the first included, for example max_attempts=3"
        )
    if value < 1:
        raise PolicyError(f"max_attempts={value} would never run anything: use 1 for a single attempt")
    return value


def factor(value: Any) -> float:
    """Check ``backoff_factor``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 1:
        raise PolicyError(f"backoff_factor={value!r} is not a number of at least 1: 2 doubles each interval, 1 keeps it constant")
    return float(value)


def jitter(value: Any) -> bool:
    """Check ``jitter``."""
    if not isinstance(value, bool):
        raise PolicyError(
            f"jitter={value!r} is neither True nor False: True waits a random part of each interval; its length is set by initial_interval"
        )
    return value


def retry_on(value: Any) -> Any:
    """Check ``retry_on``; sequences become tuples."""
    if isinstance(value, type):
        return _exception_class(value, whole=value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        classes: tuple[Any, ...] = tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if not classes:
            raise PolicyError("retry_on=() would never retry: use max_attempts=1, or leave retry_on out for the default")
        return tuple(_exception_class(each, whole=value) for each in classes)
    if isinstance(value, BaseException):
        raise PolicyError(f"retry_on={value!r} is an exception, not a class: give retry_on={type(value).__name__}")
    if isinstance(value, str):
        raise PolicyError(f"retry_on={value!r} is text: give the class itself, for example {_EXAMPLE}")
    plain_function(value, what="retry_on", example=f"ConnectionError, {_EXAMPLE} or retry_on=lambda error: 'busy' in str(error)")
    return value


def _exception_class(value: Any, *, whole: Any) -> type[Exception]:
    if not isinstance(value, type) or not issubclass(value, BaseException):
        hint = f"{value!r} is text" if isinstance(value, str) else f"{name_of(value)} is no exception class"
        raise PolicyError(f"retry_on={whole!r}: {hint}: give classes, for example {_EXAMPLE}")
    if not issubclass(value, Exception):
        raise PolicyError(
            f"retry_on={whole!r}: {value.__name__} means that somebody wants to stop, and is never retried: give Exception or below"
        )
    return value


def strategy(value: Any, *, what: str, example: str, rival: str) -> None:
    """Check a tenacity strategy."""
    if value is None:
        return
    if isinstance(value, Real):
        raise PolicyError(f"{what}={value!r} is a number, not a strategy: give {rival}={value!r}, or {what}=tenacity.{example}")
    if isinstance(value, type):
        name = value.__name__
        if issubclass(value, BaseException):
            raise PolicyError(f"{what}={name} is an exception class, not a strategy: give retry_on={name}")
        raise PolicyError(f"{what}={name} is the class of a strategy: call it, for example {what}=tenacity.{example}")
    plain_function(value, what=what, example=f"tenacity.{example}")


def is_endless(stop: Any) -> bool:
    """True for no ``stop=`` at all and for ``tenacity.stop_never``."""
    return stop is None or type(stop).__name__ == "_stop_never"
