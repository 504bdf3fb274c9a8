"""How often each key changes, learnt from all of them: a nonparametric mixture of rates, by empirical Bayes.

Few keys are looked at often enough for a rate of their own. So the rates of all keys are taken for draws from one distribution on a grid of rates,
which is fitted by expectation-maximisation; a key's own looks then weigh the grid (its *posterior*). A key never looked at twice has the distribution
itself. Rates are per microsecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.tuning._looks import AT_ONCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.tuning._looks import Looks

    Rates = NDArray[np.float64]

_POINTS = 48
_ROUNDS = 200
_MOST_KEYS = 20_000
"""So many keys, chosen at random, are enough to fit the distribution."""


class Mixture:
    """Rates at which the keys of a source change.

    Args:
        looks: With at least one pair that is not at once.
        chance: Where random numbers come from.
    """

    def __init__(self, looks: Looks, chance: np.random.Generator) -> None:
        used = looks.until - looks.since >= AT_ONCE
        intervals: Rates = (looks.until - looks.since)[used].astype(np.float64)
        owners, changed = looks.owners[used], looks.changed[used]
        self._rates = _grid(intervals, owners, len(looks.keys))
        chances = _chances(self._rates, intervals, owners, changed, len(looks.keys))
        known = np.unique(owners)
        fitted = chances[known if len(known) <= _MOST_KEYS else chance.choice(known, _MOST_KEYS, replace=False)]
        weights = np.full(len(self._rates), 1 / len(self._rates))
        for _ in range(_ROUNDS):
            weights = (fitted * (weights / (fitted @ weights)[:, np.newaxis])).mean(axis=0)
        self._prior = np.cumsum(weights)
        posterior = chances * weights
        self._posteriors = np.cumsum(posterior / posterior.sum(axis=1, keepdims=True), axis=1)

    def drawn(self, places: NDArray[np.intp], chance: np.random.Generator) -> Rates:
        """A rate for each of these keys, which are places among those looked at; -1 for a key that was not."""
        lots = chance.random(len(places))
        found = np.searchsorted(self._prior, lots)
        seen = np.flatnonzero(places >= 0)
        found[seen] = (self._posteriors[places[seen]] < lots[seen, np.newaxis]).sum(axis=1)
        return self._rates[np.minimum(found, len(self._rates) - 1)]


def _grid(intervals: Rates, owners: NDArray[np.intp], keys: int) -> Rates:
    """From never, and from hardly once in the longest time a key was watched, to many times in the shortest interval."""
    longest = float(np.bincount(owners, intervals, keys).max())
    shortest = float(np.quantile(intervals, 0.01))
    return np.concatenate([np.zeros(1), np.geomspace(0.05 / longest, 10 / shortest, _POINTS)])


def _chances(rates: Rates, intervals: Rates, owners: NDArray[np.intp], changed: NDArray[np.bool_], keys: int) -> Rates:
    """How likely each key's looks are at each rate, as a share of how likely they are at its best one."""
    still = np.bincount(owners[~changed], intervals[~changed], keys)
    logs = -still[:, np.newaxis] * rates
    owners, intervals = owners[changed], intervals[changed]
    for place, rate in enumerate(rates):
        if rate:
            logs[:, place] += np.bincount(owners, np.log(-np.expm1(-rate * intervals)), keys)
        else:
            logs[np.bincount(owners, minlength=keys) > 0, place] = -np.inf
    chances: Rates = np.exp(logs - logs.max(axis=1, keepdims=True))
    return chances
