"""Which hits of a task have their source asked behind them: chosen at random, and only while there is a permit (`Recorder`), one for each.

A hit that is not chosen takes something off a number that was drawn for the permit: as much as makes its chance what its policy's share says, whatever
the others' policies say. So all hits of one policy are chosen alike, and a hit pays a subtraction and a comparison.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from holdfast import clock

if TYPE_CHECKING:
    from holdfast.policies.probe import Probe

NOTHING = math.inf
_LAST = 1 - 2**-53


class Chooser:
    """Chooses hits of one task.

    Attributes:
        probe: What its policy asks for; None before there was a hit, and where it asks for none.
        rest_until: No further permit before, seconds since the epoch.
    """

    __slots__ = ("_left", "_permits", "probe", "rest_until")

    def __init__(self) -> None:
        self.probe: Probe | None = None
        self.rest_until = 0.0
        self._left: float = NOTHING
        self._permits: list[None] = []

    def passes(self, probe: Probe) -> bool:
        """Whether a hit is not chosen, and so is over."""
        left = self._left
        if left == NOTHING:
            self.probe = probe
            return True
        left -= probe._weight  # noqa: SLF001 - computed once, by one of our own
        self._left = left
        return left >= 0

    def take(self) -> bool:
        """Whether the chosen hit is the caller's: of several threads that came upon it one gets it."""
        try:
            self._permits.pop()
        except IndexError:
            return False
        self._left = NOTHING
        return True

    def is_due(self, now: float) -> bool:
        """Whether a permit may be asked for."""
        probe = self.probe
        return probe is not None and self._left == NOTHING and (now >= self.rest_until or now < self.rest_until - probe.interval)

    def permit(self) -> None:
        """One hit may be chosen: which one is drawn now."""
        if self.probe is not None:
            self._permits.append(None)
            self._left = -math.log1p(-min(clock.current.draw(), _LAST))  # exponential: a hit of weight w is chosen with chance 1 - exp(-w)
