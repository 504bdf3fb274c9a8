"""How the hits of many TTLs are found exactly, without replaying the trace once for each.

**The chain.** An entry stored at time s is fresh while ``now - s < ttl``. So of one key's accesses, the first is computed (a *fill*), and after a
fill at time t that took d, the next fill is the first access at or after ``t + d + ttl``. All between are hits; those before ``t + d`` came while
it was being computed and are *coalesced*: how many would wait for an access i, should it be a fill, is the same for every TTL.

**One line for all keys.** Keys accessed once are one fill each, and leave. Those of the others stand in ``ready`` one after another, time-ordered
within a key, each key moved so far behind the one before that no jump passes it: ``starts[i]`` is the access, ``ready[i] = starts[i] + d``.
Whole microseconds, since floats lose precision with many keys. A TTL beyond the trace's span never expires: `Layout.reach` stands for it.

**Certain fills.** An access at least ttl after everything before it could be ready (``slack[i] >= ttl``) is a fill whatever came before. Between
two of them lies a *burst*; a burst shorter than the ttl has one fill, and the others are walked from fill to fill by binary search. As the ttl
grows, certain fills get rare but so do fills; that is why a whole grid costs little more than a few of its TTLs.

**Sliding.** Where each hit renews an entry, an access is a fill when ``start - max(access before, ready of the last fill) >= ttl``. That is: it
comes at least ttl after the access before it, and at least ttl after the last fill was ready. So it is the same chain, over the accesses
with a gap of at least ttl before them; and where computing takes no time, each of those is a fill.

**Refreshing behind.** With a soft and a hard limit the fills are those of the soft one. A fill blocks its caller when the entry before is at least
``hard`` old; otherwise the caller, and whoever comes before the fill is ready and before the old entry is ``hard`` old, gets that one.

Each of these equals an event-by-event simulation in tests/tuning. Where computing always takes the same time, the chain is the greedy covering of
points by intervals of one length, so that fills never grow with the ttl: a hit curve is monotone.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Totals(NamedTuple):
    """What a TTL comes to: calls, accesses that waited for one of them, and the calls' microseconds together."""

    calls: int
    coalesced: int
    compute: int


class Refreshed(NamedTuple):
    """What a hard limit comes to beside a soft one: calls that block, and accesses served stale."""

    blocking: int
    stale: int


class Index(Protocol):
    """A trace laid out for the questions below. TTLs are microseconds above zero; None never expires."""

    def fixed(self, ttls: Sequence[int | None]) -> list[Totals]:
        """Entries live from when they are stored."""
        ...

    def sliding(self, ttls: Sequence[int | None]) -> list[Totals]:
        """Entries live from when they were last used."""
        ...

    def refreshed(self, soft: int, hards: Sequence[int | None]) -> tuple[Totals, list[Refreshed]]:
        """Entries are refreshed behind the caller from ``soft`` on, and served until ``hard``. The totals are those of ``fixed([soft])``."""
        ...


class Layout(NamedTuple):
    """How far keys stand apart on the one line.

    Attributes:
        reach: A TTL that nothing in the trace outlives; longer ones, and longer times of computing, count as this.
        width: From one key to the next: a span, a time of computing and a TTL fit in between, each up to ``reach``.
    """

    reach: int
    width: int

    @classmethod
    def of(cls, span: int) -> Layout:
        """For a trace of ``span`` microseconds."""
        return cls(span + 1, 3 * span + 4)

    def capped(self, ttl: int | None) -> int:
        """The TTL as it counts."""
        return self.reach if ttl is None else min(ttl, self.reach)


def walked(starts: list[int], ready: list[int], first: int, end: int, ttl: int) -> list[int]:
    """The fills after the one at ``first`` and before ``end``, by binary search, each near where the last jump suggests."""
    found: list[int] = []
    last, stride = starts[end - 1], 16
    while (target := ready[first] + ttl) <= last:
        high = first + stride
        if high >= end or starts[high] < target:
            high = end
        after = bisect_left(starts, target, first + 1, high)
        found.append(after)
        stride = 2 * (after - first) + 8
        first = after
    return found
