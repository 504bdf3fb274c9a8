"""How stale a TTL would have been: what is known of the source, beside the accesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.tuning._bands import FEW, NOTHING, Bands, Share, few_changes, worth
from holdfast.tuning._looks import Looks
from holdfast.tuning._replay import Replay
from holdfast.tuning.outcomes import Staleness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tuning._columns import Columns
    from holdfast.tuning._replay import Served
    from holdfast.tuning._vector import VectorIndex
    from holdfast.tuning.outcomes import Grade
    from holdfast.tuning.sightings import SightingColumns

PROBES_WANTED = 250
STALE_WANTED = 20
REACH = 2.0
"""How far from the live TTL, as a factor, figures without probes have been seen to hold."""


class Source:
    """A trace beside the sightings of its source: what `Trace.stale` and the report ask.

    Args:
        columns: The accesses, at least one.
        index: The same, laid out.
        sightings: Of the source.
        seed: Of the random numbers.

    Attributes:
        looks: What the sightings say.
    """

    def __init__(self, columns: Columns, index: VectorIndex, sightings: SightingColumns, *, seed: int) -> None:
        self.looks = Looks.of(sightings)
        self._gets, self._seed = len(columns), seed
        self._replay = Replay(columns, index, self.looks, seed=seed)

    def staleness(self, ttls: Sequence[float | None], live: float | None, *, is_sliding: bool = False) -> list[Staleness]:
        """Each TTL's, in the order given; ``live`` is the TTL at which the probes were made."""
        asked = [*ttls, live]
        served = self._replay.served([None if ttl is None else max(1, round(ttl * 1e6)) for ttl in asked], is_sliding=is_sliding)
        hits = Bands(served, self._replay.cells, seed=self._seed).hits().shares()
        found = self._shares(asked, served)
        return [self._one(ttl, live, *parts) for ttl, parts in zip(ttls, zip(served, hits, found, strict=True), strict=False)]

    def _shares(self, ttls: Sequence[float | None], served: list[Served]) -> list[Share] | list[None]:
        """The last TTL is the live one."""
        if not self.looks.are_enough:
            return [None] * len(ttls)
        bands, live = Bands(served, self._replay.cells, seed=self._seed), len(ttls) - 1
        shares = bands.stale()
        if not self.looks.probes.asked or ttls[live] is None:
            found = shares.shares()
        else:
            longest = float(self._replay.cells.span) / 1e6
            seconds = np.array([longest if ttl is None else ttl for ttl in ttls])
            hits = bands.hits()
            known = worth(shares, hits, live) if self.looks.changes >= FEW else NOTHING
            found = bands.met(shares, hits, self.looks.probes, live, seconds, known)
        if self.looks.changes >= FEW:
            return found
        least = [few_changes(self.looks, each, self._gets) for each in served]
        return [share._replace(high=max(share.high, most), upper=max(share.upper, most)) for share, most in zip(found, least, strict=True)]

    def _one(self, ttl: float | None, live: float | None, served: Served, hits: Share, share: Share | None) -> Staleness:
        certain, possible = served.certain / self._gets, served.possible / self._gets
        share = share and share.within(certain, possible)
        return Staleness(
            ttl=ttl,
            hits=hits.point,
            hits_low=hits.low,
            hits_high=hits.high,
            stale=share and share.point,
            low=share and share.low,
            high=share and share.high,
            upper=share and share.upper,
            certain=certain,
            possible=possible,
            age_p95=float(np.quantile(served.ages, 0.95)) / 1e6 if len(served.ages) else None,
            oldest=int(served.ages.max()) / 1e6 if len(served.ages) else None,
            grade=self._grade(ttl, live),
        )

    def _grade(self, ttl: float | None, live: float | None) -> Grade:
        asked, stale = self.looks.probes
        if not self.looks.are_enough:
            return "D"
        if live and asked >= PROBES_WANTED and (stale >= STALE_WANTED or not stale):
            return "A"
        is_near = ttl is not None and live is not None and live / REACH <= ttl <= live * REACH
        return "B" if self.looks.changes >= FEW and is_near else "C"
