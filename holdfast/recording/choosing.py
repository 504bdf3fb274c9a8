"""Which hits of a task have their source asked behind them: chosen at random, and only while there is a permit (`Recorder`), one for each.

A hit that is not chosen counts down a number that was drawn for the permit; so all hits are chosen alike, and a hit pays a comparison.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from holdfast import clock

if TYPE_CHECKING:
    from holdfast.policies.probe import Probe

NOTHING = -1
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
        self._left = NOTHING
        self._permits: list[None] = []

    def passes(self, probe: Probe) -> bool:
        """Whether a hit is not chosen, and so is over."""
        left = self._left
        if left == 0:
            return False
        if left > 0:
            self._left = left - 1
        else:
            self.probe = probe
        return True

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
            self._left = hits_before(self.probe.share, clock.current.draw())


def hits_before(share: float, draw: float) -> int:
    """How many hits pass before one that each is with this chance: a geometric number, from a draw in [0, 1).

    >>> hits_before(0.5, 0.0), hits_before(0.5, 0.8), hits_before(1.0, 0.9)
    (0, 2, 0)
    """
    return 0 if share >= 1 else int(math.log1p(-min(draw, _LAST)) / math.log1p(-share))
