"""What a recommendation has to keep to: a budget of stale answers, prices, an age."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from holdfast.errors import PolicyError
from holdfast.policies.duration import positive_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.policies.duration import Duration

MOST_MOVE = 2.0
"""A TTL is at most doubled or halved at once: further away the figures have been seen to be wrong."""
_NICE = (
    *(0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75),
    *(1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45),
    *(60 * minutes for minutes in (1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 25, 30, 40, 45)),
    *(3600 * hours for hours in (1, 1.5, 2, 3, 4, 6, 8, 12, 18)),
    *(86400 * days for days in (1, 2, 3, 7, 14, 30)),
)
"""Seconds that people give as a TTL; none so short that the hundredth of a second to which hits are recorded would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What things cost, in one currency of your own.

    Attributes:
        call: Each call of the source. Default 0.
        latency: Each answer that somebody had to wait for. Default 0.
        stale: Each stale answer. Default 0: then the budget alone keeps staleness down.
    """

    call: float = 0.0
    latency: float = 0.0
    stale: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise PolicyError(f"price {field.name}={value!r} is not a number from 0 on")
        if not self.call + self.latency + self.stale:
            raise PolicyError("prices of nothing decide nothing: give call, latency or stale a price above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a report.

    Attributes:
        stale_budget: The largest share of answers that may be stale, from 0 to 1; None for no such limit.
        prices: What to make as cheap as possible; None for as few calls as the limits allow.
        max_age: Seconds that no answer may be older than; None for no such limit.
    """

    stale_budget: float | None = None
    prices: Prices | None = None
    max_age: float | None = None

    @classmethod
    def asked(cls, stale_budget: float | None, prices: Prices | Mapping[str, float] | None, max_age: Duration | None) -> Question:
        """From what a caller gives.

        Raises:
            PolicyError: It is none.
        """
        if stale_budget is not None and (
            isinstance(stale_budget, bool) or not isinstance(stale_budget, int | float) or not 0 <= stale_budget <= 1
        ):
            raise PolicyError(f"stale_budget={stale_budget!r} is not a share of answers from 0 to 1: 0.05 is one in twenty")
        if prices is not None and not isinstance(prices, Prices):
            names = [field.name for field in fields(Prices)]
            if unknown := sorted(set(prices) - set(names)):
                raise PolicyError(f"there is no price {unknown[0]!r}: those there are: {', '.join(names)}")
            prices = Prices(**prices)
        age = None if max_age is None else positive_seconds(max_age, what="max_age", instead="give the age that an answer may have")
        return cls(stale_budget=stale_budget, prices=prices, max_age=age)

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked that could be decided."""
        return self.stale_budget is None and self.prices is None and self.max_age is None

    @property
    def weighs_staleness(self) -> bool:
        """Whether the answer depends on how many answers are stale."""
        return self.stale_budget is not None or (self.prices is not None and self.prices.stale > 0)


def candidates(live: float, reach: float, ends: Sequence[float | None] = ()) -> list[float]:
    """The TTLs to look at around the live one: itself, what people write, and the ends of what the policy allows."""
    named = {float(ttl) for ttl in (*_NICE, *ends) if ttl is not None and live / reach <= ttl <= live * reach}
    return sorted({live, *named})


def overview(shortest: float, longest: float) -> list[float]:
    """At most ten TTLs over a whole range, where no TTL is live."""
    within = [float(ttl) for ttl in _NICE if shortest <= ttl <= longest] or [max(1.0, shortest)]
    step = max(1, math.ceil(len(within) / 10))
    return within[::step]
