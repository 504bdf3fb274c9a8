"""Durations as people write them: seconds, timedelta, or text such as ``"1h30m"``."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from numbers import Real
from typing import TypeAlias

from holdfast.errors import PolicyError

Duration: TypeAlias = float | timedelta | str
"""Seconds, a timedelta, or text such as ``"90s"``, ``"1h30m"``, ``"250ms"``."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ms|[smhdw])"
_TEXT = re.compile(rf"(?:{_PART}\s*)+", re.ASCII)
_PARTS = re.compile(_PART, re.ASCII)
_FORMS = 'give seconds (90), a timedelta, or text such as "90s", "1h30m", "250ms" (units ms s m h d w)'
_EXACT = 2**53  # whole numbers up to here are exact as float


def seconds(value: object, *, what: str) -> float:
    """Read a duration.

    Args:
        value: Seconds as a number, a timedelta, or text: numbers with the units ms, s, m, h, d, w, each at most once.
        what: Name of the parameter, for the error.

    Returns:
        Seconds, finite and not negative.

    Raises:
        PolicyError: It is none of these, or negative, or not finite.

    >>> seconds("1h30m", what="ttl")
    5400.0
    """
    number = _number(value)
    if number is None:
        raise PolicyError(f"{what}={value!r} is not a duration: {_FORMS}")
    if not math.isfinite(number):
        raise PolicyError(f"{what}={value!r} is not finite: {_FORMS}")
    if number < 0:
        raise PolicyError(f"{what}={value!r} is negative: {_FORMS}")
    return number


def patience(value: object, *, what: str) -> float:
    """Read how long to wait: as `seconds`, and a number as it is: a time that is over already may be negative, or without end."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else seconds(value, what=what)


def positive_seconds(value: object, *, what: str, instead: str) -> float:
    """Read a duration above zero.

    Args:
        value: As for `seconds`.
        what: Name of the parameter, for the error.
        instead: What to write instead of 0, for the error.

    Returns:
        Seconds, finite and above zero.

    Raises:
        PolicyError: As for `seconds`, or it is zero.
    """
    number = seconds(value, what=what)
    if number == 0:
        raise PolicyError(f"{what}={value!r} is no time at all: {instead}")
    return number


def spoken(value: float) -> str:
    """Write seconds the way `seconds` reads them, so that nothing is lost.

    >>> spoken(5400), spoken(0.5), spoken(3 * 86400)
    ('1h30m', '0.5s', '3d')
    """
    if value != int(value) or not 60 <= value < _EXACT:  # noqa: PLR2004 - a minute
        return f"{value!r}s".replace(".0s", "s")
    rest, text = int(value), ""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_UNITS[unit]))
        text += f"{count}{unit}" if count else ""
    return text


def _number(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _parsed(text: str) -> float | None:
    if not _TEXT.fullmatch(text.strip()):
        return None
    parts = _PARTS.findall(text)
    units = [unit for _, unit in parts]
    if len(set(units)) != len(units):
        return None
    total = math.fsum(float(number) * _UNITS[unit] for number, unit in parts)
    return total if units == ["s"] else round(total, 9)  # to the nanosecond: 700 times 0.001 is not 0.7, and would be shown as it is
