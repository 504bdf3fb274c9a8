"""The chain of `holdfast.tuning._chain` with NumPy: the same answers, sooner."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from holdfast.tuning._chain import Layout, Refreshed, Totals, walked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from holdfast.tuning._columns import Columns

    Numbers = NDArray[np.int64]
    Places = NDArray[np.intp]

_CAPACITY = 1 << 62
_FEW = 32
"""So many bursts are walked together no quicker than one by one."""


class VectorIndex:
    """A trace on one line, or on several where one would leave 64 bits; see `holdfast.tuning._chain` for the words.

    Attributes:
        layout: How far keys stand apart.
        origin: The time of the first access, which is 0 on the lines.
        alone: How many keys were accessed once; they stand on no line.
        lines: The others, in the order of their keys.

    Args:
        columns: The trace, not empty.
        capacity: How long a line may be.
    """

    def __init__(self, columns: Columns, *, capacity: int = _CAPACITY) -> None:
        self.layout = layout = Layout.of(columns.times[-1] - columns.times[0])
        self.origin = columns.times[0]
        assumed = columns.assumed_computes()
        order, counts = _by_key(np.frombuffer(columns.keys, np.uint64))
        keys = np.frombuffer(columns.keys, np.uint64)[order[np.cumsum(counts) - counts]]
        times = np.frombuffer(columns.times, np.int64)[order] - columns.times[0]
        computes = None if assumed is None else np.frombuffer(assumed, np.int64)[order]
        again = np.repeat(counts > 1, counts)
        self.alone = int(np.count_nonzero(~again))
        self._alone_compute = 0 if computes is None else _sum(computes[~again])
        keys, counts, times, computes = keys[counts > 1], counts[counts > 1], times[again], None if computes is None else computes[again]
        ends, keys_in_line = np.append(0, np.cumsum(counts)), capacity // layout.width
        self.lines: list[Line] = []
        for key in range(0, len(counts), keys_in_line):
            ranks = np.repeat(np.arange(len(counts[key : key + keys_in_line])), counts[key : key + keys_in_line])
            part = slice(ends[key], ends[key] + len(ranks))
            starts = times[part] + ranks * layout.width
            taken = None if computes is None else computes[part]
            self.lines.append(Line.laid_out(keys[key : key + keys_in_line], starts, taken, layout))

    def fixed(self, ttls: Sequence[int | None]) -> list[Totals]:
        """See `Index.fixed`."""
        return [self._totals(line.totals(line.chain.fills(ttl)) for line in self.lines) for ttl in map(self.layout.capped, ttls)]

    def sliding(self, ttls: Sequence[int | None]) -> list[Totals]:
        """See `Index.sliding`."""
        return [self._totals(line.sliding(ttl) for line in self.lines) for ttl in map(self.layout.capped, ttls)]

    def refreshed(self, soft: int, hards: Sequence[int | None]) -> tuple[Totals, list[Refreshed]]:
        """See `Index.refreshed`."""
        fills = [np.sort(line.chain.fills(self.layout.capped(soft))) for line in self.lines]
        totals = self._totals(line.totals(places) for line, places in zip(self.lines, fills, strict=True))
        return totals, [self._refreshed(fills, self.layout.capped(hard)) for hard in hards]

    def _refreshed(self, fills: list[Places], hard: int) -> Refreshed:
        parts = [line.refreshed(places, hard) for line, places in zip(self.lines, fills, strict=True)]
        return Refreshed(sum(part.blocking for part in parts) + self.alone, sum(part.stale for part in parts))

    def _totals(self, parts: Iterator[Totals]) -> Totals:
        calls, coalesced, compute = self.alone, 0, self._alone_compute
        for part in parts:
            calls, coalesced, compute = calls + part.calls, coalesced + part.coalesced, compute + part.compute
        return Totals(calls, coalesced, compute)


class Chain:
    """Accesses with the fills among them; places are positions in its arrays."""

    def __init__(self, starts: Numbers, ready: Numbers, width: int) -> None:
        self.starts, self.ready = starts, ready
        self.slack = _behind(np.maximum.accumulate(ready), starts, width)

    def fills(self, ttl: int) -> Places:
        """All fills, in no order."""
        starts, ready = self.starts, self.ready
        places = np.flatnonzero(self.slack >= ttl)
        found = [places]
        ends = np.append(places[1:], len(starts))
        lasts = starts[ends - 1]
        while True:  # each round goes one fill further in all the bursts that have another
            on = lasts - ready[places] >= ttl
            places, ends, lasts = places[on], ends[on], lasts[on]
            if len(places) <= _FEW:
                break
            places = np.searchsorted(starts, ready[places] + ttl)
            found.append(places)
        rest = [fill for first, end in zip(places.tolist(), ends.tolist(), strict=True) for fill in walked(*self._lists, first, end, ttl)]
        return np.concatenate([*found, np.array(rest, np.intp)])

    @cached_property
    def _lists(self) -> tuple[list[int], list[int]]:
        """One access after another is quicker in lists."""
        starts = self.starts.tolist()
        return starts, starts if self.ready is self.starts else self.ready.tolist()


class Line(NamedTuple):
    """The accesses of some keys, one key after another.

    Attributes:
        keys: These keys, in order: the one at place r begins at ``r * width``.
        chain: What fixed TTLs look at.
        gaps: From the access before.
        computes: Microseconds; None when the trace has none.
        waiting: How many accesses wait for each, should it be a fill.
        width: From one key to the next.
    """

    keys: NDArray[np.uint64]
    chain: Chain
    gaps: Numbers
    computes: Numbers | None
    waiting: Numbers
    width: int

    @classmethod
    def laid_out(cls, keys: NDArray[np.uint64], starts: Numbers, computes: Numbers | None, layout: Layout) -> Line:
        """From when the accesses begin, and how long computing them would take."""
        ready = starts if computes is None else starts + np.minimum(computes, layout.reach)
        chain = Chain(starts, ready, layout.width)
        gaps = chain.slack if computes is None else _behind(starts, starts, layout.width)
        waiting = starts[:0] if computes is None else _between(starts, np.arange(len(starts)), ready)
        return cls(keys, chain, gaps, computes, waiting, layout.width)

    def totals(self, fills: Places) -> Totals:
        """What these fills come to."""
        if self.computes is None:
            return Totals(len(fills), 0, 0)
        return Totals(len(fills), int(self.waiting[fills].sum()), _sum(self.computes[fills]))

    def sliding(self, ttl: int) -> Totals:
        """What a TTL comes to when hits renew it."""
        return self.totals(self.sliding_fills(ttl))

    def sliding_fills(self, ttl: int) -> Places:
        """All fills of a TTL that hits renew, in no order."""
        places = np.flatnonzero(self.gaps >= ttl)
        if self.computes is None:
            return places
        chain = Chain(self.chain.starts[places], self.chain.ready[places], self.width)
        return places[chain.fills(ttl)]

    def served(self, fills: Places) -> Places:
        """Which fill each access is answered by; a fill by itself."""
        owners = np.zeros(len(self.chain.starts), np.intp)
        owners[fills] = fills
        return np.maximum.accumulate(owners)

    def refreshed(self, fills: Places, hard: int) -> Refreshed:
        """What a hard limit comes to, for all fills of the soft one in order."""
        starts, ready = self.chain.starts, self.chain.ready
        since = np.append(-self.width, ready[fills[:-1]])[: len(fills)]
        behind = starts[fills] - since < hard
        places, stale = fills[behind], int(np.count_nonzero(behind))
        if self.computes is not None:
            stale += int(_between(starts, places, np.minimum(ready[places], since[behind] + hard)).sum())
        return Refreshed(len(fills) - len(places), stale)


def _by_key(keys: NDArray[np.uint64]) -> tuple[Places, Places]:
    """The accesses' places, key by key and in order within a key, and how many there are of each key."""
    order = np.argsort(keys, kind="stable")
    firsts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    return order, np.diff(np.append(firsts, len(order)))


def _behind(earlier: Numbers, later: Numbers, first: int) -> Numbers:
    """How far each of ``later`` is behind the one of ``earlier`` before it; the first one by ``first``."""
    return np.append(first, later[1:] - earlier[:-1])[: len(later)]


def _between(starts: Numbers, places: Places, until: Numbers) -> Numbers:
    """How many accesses after each place start before a time."""
    return np.maximum(np.searchsorted(starts, until), places + 1) - places - 1


def _sum(values: Numbers) -> int:
    """The exact sum of what is not negative: of 64-bit numbers it may need more bits."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
