"""Probe: how often a source may be asked only to see whether a hit was stale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from holdfast._frames import trims
from holdfast.errors import PolicyError

MOST_PER_HOUR = 3600


@dataclass(frozen=True, slots=True, init=False)
class Probe:
    """Asks the source behind some hits, and compares: the one way to measure how stale a cache's answers are. Frozen; compared by its fields.

    It is a call of the function that nobody asked for, so give it to functions that only read, or that may be called once more at any time.

    Attributes:
        share: Of hits whose source is asked, above 0 to 1: one in two hundred, if nothing else is given. They are chosen at random.
        max_per_hour: The most probes of the task in an hour, of all processes that share the cache together, up to 3600. They are at least as far
            apart as that says: 60 an hour is one a minute.

    Raises:
        PolicyError: A number that cannot be.

    >>> Probe(max_per_hour=10)
    Probe(share=0.005, max_per_hour=10)
    """

    share: float
    max_per_hour: float
    _weight: float = field(init=False, repr=False, compare=False)  # of a hit: minus the logarithm of the chance that it is not chosen

    @trims
    def __init__(self, *, share: float = 0.005, max_per_hour: float = 60) -> None:
        """See the class; the options are its fields."""
        if not _is_number(share) or not 0 < share <= 1:
            raise PolicyError(f"share={share!r} of hits: give a number above 0 and at most 1, for example 0.005")
        if not _is_number(max_per_hour) or not 0 < max_per_hour <= MOST_PER_HOUR:
            raise PolicyError(
                f"max_per_hour={max_per_hour!r}: give a number above 0 and at most {MOST_PER_HOUR}, or leave probe out for none"
            )
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "max_per_hour", max_per_hour)
        object.__setattr__(self, "_weight", -math.log1p(-share) if share < 1 else math.inf)

    @property
    def interval(self) -> float:
        """Seconds between two probes, at least."""
        return 3600 / self.max_per_hour

    def doubled(self) -> Probe:
        """Twice the share of hits, all of them at most, and no more in an hour: what holds for the keys of a canary."""
        return Probe(share=min(1.0, 2 * self.share), max_per_hour=self.max_per_hour)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
