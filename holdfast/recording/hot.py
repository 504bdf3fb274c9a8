"""The keys of a task that are asked for most: found in bounded memory, and kept whatever their hash when the task is thinned.

A few keys may make most of a task's traffic. Whether these are among the keys that are kept would move every figure of the sample; so they are kept all,
and each stands for itself.
"""

from __future__ import annotations

import struct
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 64
"""Hot keys of a task."""
COUNTERS = 256
WINDOW = 200_000
"""Gets after which what was counted of a task's keys so far counts half: keys that were hot once make room."""
PERIOD = 20_000
"""Gets between two choices."""
LONGEST_PAUSE = 10.0
"""Seconds between two kept times of a hot key, at most; where that is still too much, there are fewer hot keys."""


class SpaceSaving:
    """The most frequent of many keys, by a bounded number of counters.

    Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, ICDT 2005. Of n counted, a key that came more than ``n / capacity`` times has a counter; a counter is never below the true number, and at most
    ``n / capacity`` above it. Many are counted at once: a new key begins with the least counter on top of its own number, and the largest stay. As
    for single ones, a step adds to all counters together no more than was counted, so the least is at most ``n / capacity``.

    Args:
        capacity: How many counters.

    Attributes:
        total: How many were counted.
    """

    __slots__ = ("_capacity", "_counters", "total")

    def __init__(self, capacity: int = COUNTERS) -> None:
        self._capacity = capacity
        self._counters: dict[int, int] = {}
        self.total = 0

    def __contains__(self, key: int) -> bool:
        return key in self._counters

    def add(self, counts: Mapping[int, int]) -> None:
        """Count each key so often."""
        if not counts:
            return
        counters = dict(self._counters)  # replaced as a whole: other threads look keys up
        least = min(counters.values()) if len(counters) >= self._capacity else 0
        for key, number in counts.items():
            counters[key] = counters.get(key, least) + number
            self.total += number
        self._counters = dict(nlargest(self._capacity, counters.items(), key=itemgetter(1)))

    def fade(self) -> None:
        """Let what was counted so far count half from now on."""
        self._counters = {key: number // 2 for key, number in self._counters.items()}
        self.total //= 2

    def ranked(self) -> list[tuple[int, int]]:
        """Keys with their counters, the largest first."""
        return sorted(self._counters.items(), key=itemgetter(1), reverse=True)


class HotKeys:
    """Which keys of a thinned task are kept beside the sample.

    A key is chosen in one look of the recorder, and said to be kept from the next one on: by then nothing waits of the time before.

    Attributes:
        kept: Those of which everything that waits to be written was kept.
        coming: Those chosen last.
        sketch: Which keys are asked for most.
        most: How many there may be.
    """

    __slots__ = ("_next", "coming", "kept", "most", "sketch")

    def __init__(self, kept: frozenset[int] = frozenset()) -> None:
        self.kept = self.coming = kept
        self.sketch = SpaceSaving()
        self.most = MOST
        self._next = PERIOD

    def __contains__(self, key: int) -> bool:
        return key in self.kept or key in self.coming

    def begin(self, limit: int) -> None:
        """The task is about to be thinned: of the keys asked for most, those of which all was kept so far stay.

        Args:
            limit: Keys whose hash is below were kept until now.
        """
        self.kept = self.coming = frozenset(key for key in self._hottest() if key < limit or key in self.kept)
        self._next = 0

    def settle(self) -> frozenset[int]:
        """What was written is from before the last choice, and what waits from after it: the choice holds. Returns those that are hot no more."""
        gone, self.kept = self.kept - self.coming, self.coming
        return gone

    def choose(self) -> frozenset[int]:
        """Choose anew, if it is time for it. Returns those that were not kept before."""
        sketch = self.sketch
        if sketch.total < self._next:
            return frozenset()
        self.coming = frozenset(self._hottest())
        if sketch.total > WINDOW:
            sketch.fade()
        self._next = sketch.total + PERIOD
        return self.coming - self.kept

    def _hottest(self) -> Sequence[int]:
        """Those asked for most. One that is kept stays while it is among twice as many: a span that is torn is worth little."""
        ranked = [key for key, _ in self.sketch.ranked()]
        if not ranked:
            return list(self.kept)[: self.most]
        stay = [key for key in ranked[: 2 * self.most] if key in self.kept][: self.most]
        new = [key for key in ranked if key not in self.kept]
        return [*stay, *new[: self.most - len(stay)]]


class HotNote(NamedTuple):
    """What a segment says of hot keys.

    Attributes:
        pause: Seconds between two kept times of one.
        keys: Those of which it holds everything, whatever their hash.
    """

    pause: float = 0.0
    keys: frozenset[int] = frozenset()

    def packed(self) -> bytes:
        """As bytes; empty without keys."""
        keys = sorted(self.keys)
        return struct.pack(f"<{len(keys) + 1}Q", round(self.pause * 1e6), *keys) if keys else b""

    @classmethod
    def unpacked(cls, data: object) -> HotNote:
        """The inverse; what is damaged names no key."""
        if not isinstance(data, bytes) or not data or len(data) % 8:
            return cls()
        pause, *keys = struct.unpack(f"<{len(data) // 8}Q", data)
        return cls(pause / 1e6, frozenset(keys))
