"""The chain of `holdfast.tuning._chain` in plain Python."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from operator import sub
from typing import TYPE_CHECKING

from holdfast.tuning._chain import Layout, Refreshed, Totals, walked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.tuning._columns import Columns

_JUMP_COST = 3
"""What a jump to the next fill costs, in steps from one access to the next."""


class ScalarIndex:
    """A trace on one line, as lists; see `holdfast.tuning._chain` for the words."""

    def __init__(self, columns: Columns) -> None:
        self._layout = layout = Layout.of(columns.times[-1] - columns.times[0])
        computes = columns.assumed_computes()
        self._has_computes = computes is not None
        self._starts: list[int] = []
        self._computes: list[int] = []
        self._bounds: list[tuple[int, int]] = []
        self._alone = self._alone_compute = 0
        times, starts = columns.times, self._starts
        for places in _by_key(columns.keys):
            if len(places) == 1:
                self._alone += 1
                self._alone_compute += 0 if computes is None else computes[places[0]]
                continue
            offset = len(self._bounds) * layout.width - times[0]
            self._bounds.append((len(starts), len(starts) + len(places)))
            starts += [times[place] + offset for place in places]
            self._computes += [] if computes is None else [computes[place] for place in places]
        self._ready = starts
        self._slack = self._gaps = _behind(starts, starts, layout.width)
        self._waiting: list[int] = []
        if computes is not None:
            self._ready = [start + min(compute, layout.reach) for start, compute in zip(starts, self._computes, strict=True)]
            self._slack = _behind(list(accumulate(self._ready, max)), starts, layout.width)
            self._waiting = [bisect_left(starts, end, place + 1) - place - 1 for place, end in enumerate(self._ready)]

    def fixed(self, ttls: Sequence[int | None]) -> list[Totals]:
        """See `Index.fixed`."""
        totals: dict[int, Totals] = {}
        by_slack = sorted(self._slack)
        near: Iterable[int] = range(len(self._slack))
        fills = len(self._bounds)
        for ttl in sorted({self._layout.capped(ttl) for ttl in ttls}, reverse=True):
            if _JUMP_COST * fills < bisect_left(by_slack, ttl):
                totals[ttl] = self._totals(self._fills(ttl))
            else:  # near accesses of a shorter ttl are near for a longer one
                near = [place for place in near if self._slack[place] < ttl]
                totals[ttl] = self._totals_but(self._served(near, ttl))
            fills = totals[ttl].calls - self._alone
        return [totals[self._layout.capped(ttl)] for ttl in ttls]

    def sliding(self, ttls: Sequence[int | None]) -> list[Totals]:
        """See `Index.sliding`."""
        capped = [self._layout.capped(ttl) for ttl in ttls]
        if self._has_computes:
            return [self._totals(self._sliding_fills(ttl)) for ttl in capped]
        by_gap = sorted(self._gaps)
        return [Totals(len(by_gap) - bisect_left(by_gap, ttl) + self._alone, 0, 0) for ttl in capped]

    def refreshed(self, soft: int, hards: Sequence[int | None]) -> tuple[Totals, list[Refreshed]]:
        """See `Index.refreshed`."""
        fills = self._fills(self._layout.capped(soft))
        before = [-self._layout.width, *(self._ready[place] for place in fills)][: len(fills)]
        return self._totals(fills), [self._refreshed(fills, before, self._layout.capped(hard)) for hard in hards]

    def _refreshed(self, fills: list[int], before: list[int], hard: int) -> Refreshed:
        """``before`` says of each fill since when the entry before it was ready."""
        starts, ready = self._starts, self._ready
        behind = [(place, since) for place, since in zip(fills, before, strict=True) if starts[place] - since < hard]
        stale = len(behind)
        if self._has_computes:
            stale += sum(bisect_left(starts, min(ready[place], since + hard), place + 1) - place - 1 for place, since in behind)
        return Refreshed(len(fills) - len(behind) + self._alone, stale)

    def _fills(self, ttl: int) -> list[int]:
        """All fills, in order."""
        fills: list[int] = []
        starts, ready = self._starts, self._ready
        for first, end in self._bounds:
            fills.append(first)
            if starts[end - 1] - ready[first] >= ttl:
                fills += walked(starts, ready, first, end, ttl)
        return fills

    def _served(self, near: list[int], ttl: int) -> list[int]:
        """Of the accesses that are no certain fills, those that are none at all."""
        served: list[int] = []
        starts, ready, previous, expiry = self._starts, self._ready, -1, 0
        for place in near:
            if place != previous + 1:  # the one before is a certain fill
                expiry = ready[place - 1] + ttl
            previous = place
            if starts[place] < expiry:
                served.append(place)
            else:
                expiry = ready[place] + ttl
        return served

    def _sliding_fills(self, ttl: int) -> list[int]:
        fills: list[int] = []
        starts, ready, expiry = self._starts, self._ready, 0
        for place, gap in enumerate(self._gaps):
            if gap >= ttl and starts[place] >= expiry:
                fills.append(place)
                expiry = ready[place] + ttl
        return fills

    def _totals(self, fills: list[int]) -> Totals:
        calls = len(fills) + self._alone
        if not self._has_computes:
            return Totals(calls, 0, 0)
        compute = sum([self._computes[place] for place in fills])
        return Totals(calls, sum([self._waiting[place] for place in fills]), compute + self._alone_compute)

    def _totals_but(self, served: list[int]) -> Totals:
        """The totals when all but these are fills."""
        calls = len(self._starts) - len(served) + self._alone
        if not self._has_computes:
            return Totals(calls, 0, 0)
        compute = sum(self._computes) - sum([self._computes[place] for place in served])
        return Totals(calls, sum(self._waiting) - sum([self._waiting[place] for place in served]), compute + self._alone_compute)


def _by_key(keys: Iterable[int]) -> Iterable[list[int]]:
    """The places of each key, in order."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places.values()


def _behind(earlier: list[int], later: list[int], first: int) -> list[int]:
    """How far each of ``later`` is behind the one of ``earlier`` before it; the first one by ``first``."""
    return [first, *map(sub, later[1:], earlier)] if later else []
