"""How sure the shares of stale answers are: keys and blocks of time drawn again, histories of the source, and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.tuning._looks import Looks, Probes
    from holdfast.tuning._replay import Cells, Served

    Numbers = NDArray[np.float64]

_DRAWS = 400
_BAND = (0.05, 0.95)
UPPER = 0.975
"""The quantile a budget is held against: 0.95 was seen to be kept in 80 to 95 of 100 cases only."""
_UNSEEN = 0.45
"""By how much of itself a share may be off though all draws agree, as with values that change in bursts: the most that was measured."""
NOTHING = (0.5, 0.5)
"""What nothing is worth, in stale probes and others: the prior of Jeffreys."""
FEW = 30
"""With fewer changes than this seen, drawing keys again cannot show how unsure their number is."""


class Share(NamedTuple):
    """A share of all accesses, with its 90 % band.

    Attributes:
        point: The estimate.
        low: 5 % quantile.
        high: 95 % quantile.
        upper: 97.5 % quantile.
    """

    point: float
    low: float
    high: float
    upper: float

    def within(self, least: float, most: float) -> Share:
        """The same, where more is known for certain."""
        return Share(*(min(max(value, least), most) for value in self))


class Draws(NamedTuple):
    """Shares, of the whole trace and of what was drawn again: a row for each draw, a column for each TTL."""

    point: Numbers
    again: tuple[Numbers, Numbers]

    def shares(self) -> list[Share]:
        """The wider one of the two bands: over keys, and over blocks of time."""
        levels = (*_BAND, UPPER)
        keys, blocks = (np.quantile(part, levels, axis=0) for part in self.again)
        low, *above = np.minimum(keys[0], blocks[0]), np.maximum(keys[1], blocks[1]), np.maximum(keys[2], blocks[2])
        rows = [self.point, np.minimum(low, self.point), *(np.maximum(each, self.point) for each in above)]
        return [Share(*column) for column in np.stack(rows, axis=1).tolist()]


class Bands:
    """Shares of hits and of stale answers, for several TTLs at once.

    Args:
        served: What each TTL would have served.
        cells: How it was counted.
        seed: Of the random numbers.
    """

    def __init__(self, served: Sequence[Served], cells: Cells, *, seed: int) -> None:
        self._served, self._cells = served, cells
        self._chance = np.random.default_rng(seed)
        parts = slice(0, cells.groups), slice(cells.groups, None)
        self._weights = [(part, self._drawn(cells.gets[part] > 0)) for part in parts]

    def _drawn(self, used: NDArray[np.bool_]) -> Numbers:
        """How often each cell is drawn, of those in which anything is."""
        weights = np.zeros((_DRAWS, len(used)))
        weights[:, used] = self._chance.multinomial(int(used.sum()), np.full(int(used.sum()), 1 / used.sum()), _DRAWS)
        return weights

    def hits(self) -> Draws:
        """Shares of accesses that hit."""
        return self._draws([each.hits[np.newaxis] for each in self._served])

    def stale(self) -> Draws:
        """Shares of accesses that got a stale value, averaged over the histories; in the draws each history stands for some."""
        return self._draws([each.stale for each in self._served])

    def _draws(self, counts: list[Numbers]) -> Draws:
        """From counts with a row for each history."""
        gets, groups = self._cells.gets, self._cells.groups
        point = np.array([each[:, :groups].sum(axis=1).mean() for each in counts]) / gets[:groups].sum()
        histories = np.arange(_DRAWS) % len(counts[0])
        again: list[Numbers] = []
        for part, weights in self._weights:
            sums = [(weights @ each[:, part].T)[np.arange(_DRAWS), histories] for each in counts]
            again.append(np.stack(sums, axis=1) / (weights @ gets[part])[:, np.newaxis])
        return Draws(point, (again[0], again[1]))

    def met(self, stale: Draws, hits: Draws, probes: Probes, live: int, ttls: Numbers, worth: tuple[float, float]) -> list[Share]:
        """Shares shifted on the logit scale, so that the one at the live TTL is what probes have found, beside what calls are worth.

        For a longer TTL the shift fades in the estimate, but not in the bounds where it would narrow them.

        Args:
            stale: From histories.
            hits: Of the same draws.
            probes: Of hits at the live TTL; at least one.
            live: Which of the TTLs that is.
            ttls: All of them, seconds.
            worth: How many stale probes, and how many others, all that calls saw is worth: see `worth`.
        """
        found_stale, found_fresh = probes.stale + worth[0], probes.asked - probes.stale + worth[1]
        ratio = found_stale / (found_stale + found_fresh)
        fade = np.minimum(1, ttls[live] / ttls)
        point = self._shifted(stale.point[np.newaxis], ratio * hits.point[live], live)
        lower: list[Numbers] = []
        upper: list[Numbers] = []
        middle = self._faded(stale.point, point[0], fade)
        for counted, hit in zip(stale.again, hits.again, strict=True):
            found = self._chance.beta(found_stale, found_fresh, _DRAWS)
            full = self._shifted(counted, (found * hit[:, live])[:, np.newaxis], live)
            faded = self._faded(counted, full, fade)
            lower.append(np.minimum(full, faded))
            upper.append(np.maximum(full, faded))
        lows = Draws(middle, (lower[0], lower[1])).shares()
        highs = Draws(middle, (upper[0], upper[1])).shares()
        return [Share(high.point, low.low, high.high, high.upper) for low, high in zip(lows, highs, strict=True)]

    def _shifted(self, shares: Numbers, target: Numbers | float, live: int) -> Numbers:
        return _expit(self._logit(shares) + self._logit(np.asarray(target)) - self._logit(shares[:, [live]]))

    def _faded(self, before: Numbers, after: Numbers, fade: Numbers) -> Numbers:
        start = self._logit(before)
        return _expit(start + (self._logit(after) - start) * fade)

    def _logit(self, shares: Numbers) -> Numbers:
        """Of shares kept half an access away from none and from all."""
        edge = 0.5 / self._cells.gets[: self._cells.groups].sum()
        kept = np.clip(shares, edge, 1 - edge)
        return np.log(kept / (1 - kept))


def worth(stale: Draws, hits: Draws, live: int) -> tuple[float, float]:
    """How many stale probes, and how many others, would say of hits at the live TTL what calls saw of them: the prior of a binomial share.

    It has the share's spread from draw to draw, and beside that what no draw shows (`_UNSEEN`): so the stale ones are five at the most, and probes soon
    say more. Without it the first two or three would be all that is known, whatever thousands of calls saw.
    """
    if not hits.point[live]:
        return NOTHING
    mean = float(stale.point[live] / hits.point[live])
    shares = [
        counted[:, live] / np.maximum(hit[:, live], hits.point[live] / 2) for counted, hit in zip(stale.again, hits.again, strict=True)
    ]
    spread = max(float(np.var(each)) for each in shares) + (_UNSEEN * mean) ** 2
    number = mean * (1 - mean) / spread - 1 if spread else 0.0
    return max(NOTHING[0], mean * number), max(NOTHING[1], (1 - mean) * number)


def _expit(values: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-values))


def few_changes(looks: Looks, served: Served, gets: int) -> float:
    """An upper bound of the stale share where hardly any change was seen: every key changing at the highest rate that so few allow.

    The rate is the 97.5 % bound of a Poisson mean by Byar's formula; with no change at all 3.7 divided by the exposure.
    """
    more = looks.changes + 1
    rate = more * (1 - 1 / (9 * more) + 1.96 / (3 * more**0.5)) ** 3 / max(1, looks.exposure)
    return float(-np.expm1(-rate * served.ages).sum()) / gets
