"""When the source may have changed: histories that agree with every look at it, drawn at random, on the line of `holdfast.tuning._chain`.

Between two looks that found the same, nothing changed. Between two that differ the source changed at least once: a Poisson number of times that is
not zero, at any moments alike; where the source says when it last changed, the last one was then. Before the first look at a key, after the
last, and for keys nobody looked at, a Poisson number of times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.tuning._looks import Looks
    from holdfast.tuning._mixture import Mixture
    from holdfast.tuning._vector import Line, VectorIndex

    Numbers = NDArray[np.int64]
    Places = NDArray[np.intp]

_MOST_CHANGES = 256
"""Of one interval. More would not make an entry of any useful age staler."""
_NEAR = 50_000
"""Microseconds: a look that comes so soon after an access to its key was that access's call."""
_FAR = np.int64(1 << 62)


class History:
    """What is known of the source on one line of accesses, and what it may have been.

    Attributes:
        first: For each of the line's keys, where on the line it was first looked at; beyond everything when never.
        last: And where last; before everything when never.
        since: Of the pairs of looks that differ, the earlier one.
        sure: Since when a change is certain: the earlier look, or just before the moment the source names.
        until: The end of the interval: the later look, or that moment.
    """

    def __init__(self, index: VectorIndex, line: Line, looks: Looks) -> None:
        self._line, self._index = line, index
        ranks = np.searchsorted(line.keys, looks.keys)
        ranks = np.where((ranks < len(line.keys)) & (line.keys[np.minimum(ranks, len(line.keys) - 1)] == looks.keys), ranks, -1)
        seen = np.flatnonzero(ranks >= 0)
        self._places = np.full(len(line.keys), -1, np.intp)
        self._places[ranks[seen]] = seen
        self.first, self.last = np.full(len(line.keys), _FAR), np.full(len(line.keys), -_FAR)
        self.first[ranks[seen]] = self._placed(looks.firsts[seen], ranks[seen])
        self.last[ranks[seen]] = self._placed(looks.lasts[seen], ranks[seen])
        differ = np.flatnonzero(looks.changed & (ranks[looks.owners] >= 0))
        self._owners = owners = ranks[looks.owners[differ]]
        self.since, later = self._placed(looks.since[differ], owners), self._placed(looks.until[differ], owners)
        named = self._placed(looks.modified[differ], owners, is_look=False)
        self._is_named = is_named = (looks.modified[differ] > looks.since[differ]) & (looks.modified[differ] <= looks.until[differ])
        self.until = np.where(is_named, np.minimum(named, later), later)
        self.sure = np.where(is_named, self.until - 1, self.since)

    def _placed(self, times: Numbers, ranks: Places, *, is_look: bool = True) -> Numbers:
        """Where times of these keys stand on the line; a look where its access does."""
        span = self._index.layout.reach - 1
        placed = np.clip(times - self._index.origin, -span - 1, 2 * span + 2) + ranks * self._line.width
        if not is_look:
            return placed
        before = self._line.chain.starts[np.maximum(np.searchsorted(self._line.chain.starts, placed, "right") - 1, 0)]
        return np.where((before <= placed) & (placed - before <= min(_NEAR, span)), before, placed)

    def drawn(self, mixture: Mixture, chance: np.random.Generator) -> Numbers:
        """Moments of change on the line, in order: one history that may have been."""
        rates = mixture.drawn(self._places, chance)
        parts = [self._between(rates, chance), *(_scattered(*gap, rates, chance) for gap in self._unseen())]
        return np.sort(np.concatenate(parts))

    def _between(self, rates: NDArray[np.float64], chance: np.random.Generator) -> Numbers:
        """Changes between looks that differ."""
        means = rates[self._owners] * (self.until - self.since)
        arrival = -np.log1p(chance.random(len(means)) * np.expm1(-means))  # of the first change, given that there is one
        others = chance.poisson(np.where(self._is_named, means, np.maximum(means - arrival, 0)))
        counts = np.minimum(others + ~self._is_named, _MOST_CHANGES)
        return np.append(_uniform(self.since, self.until, counts, chance), self.until[self._is_named])

    def _unseen(self) -> list[tuple[Numbers, Numbers, Places]]:
        """Where nobody looked: from, until, and whose."""
        starts, ranks = self._line.chain.starts, np.arange(len(self._places))
        firsts = np.searchsorted(starts, ranks * self._line.width)
        begin, end = starts[firsts], starts[np.append(firsts[1:], len(starts)) - 1]
        never = self._places < 0
        gaps = [
            (begin, np.minimum(self.first, end), ~never & (self.first > begin)),
            (np.maximum(self.last, begin), end, ~never & (self.last < end)),
            (begin, end, never),
        ]
        return [(since[which], until[which], ranks[which]) for since, until, which in gaps]


def _scattered(since: Numbers, until: Numbers, owners: Places, rates: NDArray[np.float64], chance: np.random.Generator) -> Numbers:
    """A Poisson number of changes in each interval."""
    means = np.minimum(rates[owners] * (until - since), _MOST_CHANGES)
    return _uniform(since, until, np.minimum(chance.poisson(means), _MOST_CHANGES), chance)


def _uniform(since: Numbers, until: Numbers, counts: Places, chance: np.random.Generator) -> Numbers:
    """So many moments in each interval, after its begin and at its end at the latest."""
    lengths = np.repeat(until - since, counts)
    return np.repeat(until, counts) - (chance.random(len(lengths)) * lengths).astype(np.int64)
