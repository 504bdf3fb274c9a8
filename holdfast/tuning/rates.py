"""How often a source changes, told from looking at it now and then.

Between two looks D apart only whether the value differs is known, not how often it changed: a source that changed five times in between looks as if
it had changed once. So changes divided by time is far too low where looks are rare. For a Poisson source of rate r a look finds a change with
probability ``1 - exp(-r * D)``, and the likeliest rate solves ``sum over changed D / (exp(r D) - 1) = sum over unchanged D``; it is too high for few
looks, and infinite when all found a change. Here half an interval is added at the right, Firth's correction to first order::

    sum over changed D / (exp(r D) - 1) = sum over unchanged D + D* / 2,
    D* = sum of D^3 / (exp(r D) - 1) / sum of D^2 / (exp(r D) - 1)

For equal intervals that is ``-log((n - X + 0.5) / (n + 0.5)) / D``, the estimator of Cho and Garcia-Molina, "Estimating frequency of change" (2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MOST_EXPONENT = 700.0
"""``exp`` of more is no float."""
_HALVINGS = 200
_DROP = 1.9207
"""Half the 95 % quantile of chi-square with one degree of freedom."""
_ZERO_CHANGES = 3.0
"""With no change in an exposure E, rates above ``3 / E`` had less than 5 % of a chance to show none."""


class Look(NamedTuple):
    """Two looks at a source, one after the other.

    Attributes:
        interval: Seconds between them, above zero.
        changed: Whether the second one found another value.
    """

    interval: float
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRate:
    """How often a source changes.

    Attributes:
        rate: Changes in a second, corrected for those nobody saw; 0 when none was seen.
        low: Lower end of the 95 % interval, by profile likelihood.
        high: Upper end of it; with no change seen, 3 divided by ``exposure``; infinite when every look found a change.
        looks: How many pairs of looks there were.
        changes: How many of them found another value.
        exposure: Seconds between looks, together.
    """

    rate: float
    low: float
    high: float
    looks: int
    changes: int
    exposure: float


def change_rate(looks: Iterable[Look]) -> ChangeRate:
    """Estimate how often a source changes, of which only looks at some moments are known.

    Args:
        looks: In any order, of one source or of several that change alike; or plain pairs of an interval and a truth.

    Returns:
        The rate, with its interval.

    Raises:
        TraceError: There is none, or an interval is no time above zero.

    >>> found = change_rate([Look(60.0, changed=True), *[Look(60.0, changed=False)] * 9])
    >>> round(found.rate * 3600, 2), round(found.low * 3600, 2), round(found.high * 3600, 2)
    (6.01, 0.36, 27.88)
    """
    changed, unchanged = _sorted(looks)
    count, still = len(changed) + len(unchanged), math.fsum(unchanged)
    exposure = still + math.fsum(changed)
    if not changed:
        return ChangeRate(rate=0.0, low=0.0, high=_ZERO_CHANGES / exposure, looks=count, changes=0, exposure=exposure)
    every = changed + unchanged
    rate = _root(lambda r: _decline(changed, r, 1) - still - 0.5 * _decline(every, r, 3) / _decline(every, r, 2), exposure)
    likeliest = _root(lambda r: _decline(changed, r, 1) - still, exposure) if unchanged else math.inf
    best = _likelihood(changed, still, likeliest)

    def above(r: float) -> float:
        return _likelihood(changed, still, r) - best + _DROP

    low = _root(lambda r: -above(r), exposure, high=likeliest)
    high = _root(above, exposure, low=likeliest) if unchanged else math.inf
    return ChangeRate(rate=rate, low=low, high=high, looks=count, changes=len(changed), exposure=exposure)


def _sorted(looks: Iterable[Look]) -> tuple[list[float], list[float]]:
    """The intervals that found a change, and those that did not."""
    intervals: tuple[list[float], list[float]] = [], []
    for number, (interval, changed) in enumerate(looks, 1):
        if not 0 < interval < math.inf:
            raise TraceError(f"look {number}: the interval {interval!r} is not a number of seconds above zero", where=f"look {number}")
        intervals[0 if changed else 1].append(interval)
    if not any(intervals):
        raise TraceError("nobody looked at the source twice, so nothing can be said of how often it changes")
    return intervals


def _decline(intervals: list[float], rate: float, power: int) -> float:
    """The sum of ``D ** power / (exp(rate * D) - 1)``; scaled by its largest exponential where that is no float."""
    return math.fsum(interval**power / math.expm1(min(rate * interval, _MOST_EXPONENT)) for interval in intervals)


def _likelihood(changed: list[float], still: float, rate: float) -> float:
    """The logarithm of how likely these looks are."""
    if rate == math.inf:
        return 0.0 if not still else -math.inf
    return math.fsum(math.log(-math.expm1(-rate * interval)) for interval in changed) - rate * still


def _root(falling: Callable[[float], float], exposure: float, *, low: float = 0.0, high: float = math.inf) -> float:
    """Where a function that falls as the rate grows crosses zero, between two rates, by halving on a logarithmic scale."""
    low = low or 1e-9 / exposure
    if high == math.inf:
        high = 2 * low
        while falling(high) > 0:
            low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return math.sqrt(low * high)
