"""What each TTL would have served, and how much of it stale, counted by groups of keys and by blocks of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from holdfast.tuning._histories import History
from holdfast.tuning._mixture import Mixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.tuning._columns import Columns
    from holdfast.tuning._looks import Looks
    from holdfast.tuning._vector import Line, VectorIndex

    Counts = NDArray[np.float64]
    Numbers = NDArray[np.int64]
    Places = NDArray[np.intp]

HISTORIES = 10
"""How many histories of the source are drawn."""
BLOCKS = 10
"""Into so many parts of equal length the trace is cut."""
_GROUP_BITS = 10
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Served(NamedTuple):
    """What one TTL would have served.

    Attributes:
        hits: By cell: first the groups of keys, then the blocks of time.
        stale: Of each history (rows), by cell.
        certain: Hits that were stale in every history that there may have been.
        possible: Hits that were stale in some history that there may have been.
        ages: Microseconds since each hit's entry was ready.
    """

    hits: Counts
    stale: Counts
    certain: int
    possible: int
    ages: Numbers

    def __add__(self, other: Served) -> Served:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - no tuple's sum
        ages = np.concatenate([self.ages, other.ages])
        return Served(self.hits + other.hits, self.stale + other.stale, self.certain + other.certain, self.possible + other.possible, ages)


class Cells:
    """Where each access counts: in its key's group, and in its time's block.

    Attributes:
        span: Microseconds from the first access to the last, and one.
        gets: Accesses, by cell.
        groups: How many of the cells are groups.
    """

    def __init__(self, columns: Columns) -> None:
        self.span = columns.times[-1] - columns.times[0] + 1
        self.groups = 1 << _GROUP_BITS
        groups = self.of_keys(np.frombuffer(columns.keys, np.uint64))
        self.gets = self.counted(self.places(groups, self.of_times(np.frombuffer(columns.times, np.int64) - columns.times[0])))

    def of_keys(self, keys: NDArray[np.uint64]) -> Places:
        """Groups of keys."""
        return ((keys * _SPREAD) >> np.uint64(64 - _GROUP_BITS)).astype(np.intp)

    def of_times(self, times: Numbers) -> Places:
        """Blocks of times since the first access."""
        return (times.astype(float) * (BLOCKS / self.span)).astype(np.intp)

    def places(self, groups: Places, blocks: Places) -> NDArray[np.int32]:
        """Each pair of a group and a block as one number."""
        return (groups * BLOCKS + blocks).astype(np.int32)

    def counted(self, places: NDArray[np.int32]) -> Counts:
        """How many there are of each group, and of each block."""
        both = np.bincount(places, minlength=self.groups * BLOCKS).reshape(self.groups, BLOCKS)
        return np.concatenate([both.sum(axis=1), both.sum(axis=0)]).astype(float)


class Replay:
    """A trace played against histories of its source.

    Args:
        columns: The accesses.
        index: The same, laid out.
        looks: At the source.
        seed: Of the random numbers; the same seed gives the same answers.
    """

    def __init__(self, columns: Columns, index: VectorIndex, looks: Looks, *, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self.cells, self._index = Cells(columns), index
        self._mixture = Mixture(looks, chance) if looks.are_enough else None
        self._lines = [_Played(index, line, looks, self._mixture, self.cells, chance) for line in index.lines]

    def served(self, ttls: Sequence[int | None], *, is_sliding: bool) -> list[Served]:
        """What each TTL would have served, fixed or renewed by hits."""
        nothing = np.zeros(self.cells.groups + BLOCKS)
        empty = Served(nothing, np.zeros((HISTORIES if self._mixture else 0, len(nothing))), 0, 0, np.zeros(0, np.int64))
        found: list[Served] = []
        for ttl in map(self._index.layout.capped, ttls):
            total = empty
            for line in self._lines:
                total += line.served(ttl, is_sliding=is_sliding)
            found.append(total)
        return found


class _Played:
    """One line of a trace: the histories are drawn once, and serve for every TTL."""

    def __init__(
        self, index: VectorIndex, line: Line, looks: Looks, mixture: Mixture | None, cells: Cells, chance: np.random.Generator
    ) -> None:
        self._line, self._cells = line, cells
        starts = line.chain.starts
        ranks = starts // line.width
        self._places = cells.places(cells.of_keys(line.keys)[ranks], cells.of_times(starts - ranks * line.width))
        history = History(index, line, looks)
        drawn = [history.drawn(mixture, chance) for _ in range(HISTORIES)] if mixture else []
        self._changes = [np.searchsorted(changes, starts, "right").astype(np.int32) for changes in drawn]
        ended = np.searchsorted(history.until, starts, "right")
        self._sure_before = np.append(-line.width, history.sure)[ended]
        self._maybe_after = np.append(history.since, np.int64(1 << 62))[ended]
        self._is_early, self._is_late = starts < history.first[ranks], starts > history.last[ranks]

    def served(self, ttl: int, *, is_sliding: bool) -> Served:
        """What a TTL would have served on this line."""
        line, starts = self._line, self._line.chain.starts
        owners = line.served(line.sliding_fills(ttl) if is_sliding else line.chain.fills(ttl))
        ready = line.chain.ready[owners]
        hits = np.flatnonzero((starts >= ready) & (owners != np.arange(len(starts))))
        fills = owners[hits]
        certain, possible = self._bounds(hits, fills)
        places = self._places[hits]
        stale = [self._cells.counted(places[changes[hits] > changes[fills]]) for changes in self._changes]
        counts = self._cells.counted(places)
        return Served(counts, np.array(stale).reshape(-1, len(counts)), certain, possible, starts[hits] - ready[hits])

    def _bounds(self, hits: Places, fills: Places) -> tuple[int, int]:
        """Hits between whose call and themselves a change certainly was, and may have been: without any model of the source."""
        starts = self._line.chain.starts
        certain = self._sure_before[hits] >= starts[fills]
        possible = self._is_late[hits] | self._is_early[fills] | (self._maybe_after[fills] < starts[hits])
        return int(np.count_nonzero(certain)), int(np.count_nonzero(possible))
