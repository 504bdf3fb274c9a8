"""A cache with little room, played access by access: what is evicted depends on everything before, so there is no chain to walk."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal, NamedTuple

from holdfast.errors import PolicyError, TraceError
from holdfast.tuning._chain import Totals

if TYPE_CHECKING:
    from holdfast.tuning._columns import Columns

Eviction = Literal["least-recently-used", "least-recently-stored"]
EVICTIONS: tuple[Eviction, ...] = ("least-recently-used", "least-recently-stored")
_LARGEST = 4
"""A value larger than this part of all bytes is not kept."""


class Room(NamedTuple):
    """How much a cache holds.

    Attributes:
        entries: At most so many entries; None for any number.
        bytes: At most so many bytes; None for any number.
        eviction: Which entry goes first.
    """

    entries: int | None
    bytes: int | None
    eviction: str

    @classmethod
    def checked(cls, entries: int | None, size: int | None, eviction: str) -> Room | None:
        """From what a caller gives; None for no limit.

        Raises:
            PolicyError: It is none.
        """
        for what, given in (("max_entries", entries), ("max_bytes", size)):
            if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
                raise PolicyError(f"{what}={given!r} is not a whole number from 1 on")
        if eviction not in EVICTIONS:
            raise PolicyError(f"evict={eviction!r} is neither of {', '.join(EVICTIONS)}")
        return None if entries is None and size is None else cls(entries, size, eviction)

    def is_enough(self, columns: Columns) -> bool:
        """Whether all that was ever asked for fits at once, so that nothing is evicted.

        Raises:
            TraceError: Bytes are limited, and the trace has no sizes.
        """
        if self.entries is not None and len(set(columns.keys)) > self.entries:
            return False
        if self.bytes is None:
            return True
        largest: dict[int, int] = {}
        for key, size in zip(columns.keys, _sizes(columns), strict=True):
            largest[key] = max(size, largest.get(key, 0))
        return sum(largest.values()) <= self.bytes and max(largest.values()) <= self.bytes // _LARGEST


class Limited:
    """A trace to be played.

    Args:
        columns: The accesses, not empty.
        room: What fits into the cache.
    """

    def __init__(self, columns: Columns, room: Room) -> None:
        self._room, self._keys, self._times = room, columns.keys, columns.times
        self._sizes = [0] * len(columns) if room.bytes is None else _sizes(columns)
        self._computes = columns.assumed_computes()

    def fixed(self, ttl: int | None) -> Totals:
        """What one TTL comes to. An entry that has expired takes room until another one takes its place, as in `InMemoryCache`."""
        held = _Held(self._room)
        under_way: dict[int, int] = {}
        ending: list[tuple[int, int, int, int]] = []
        calls = coalesced = compute = 0
        for number, (key, now, size) in enumerate(zip(self._keys, self._times, self._sizes, strict=True)):
            while ending and ending[0][0] <= now:
                ready, _, ended, stored = heappop(ending)
                del under_way[ended]
                held.put(ended, ready, stored)
            since = held.since(key)
            if since is not None and (ttl is None or now - since < ttl):
                continue
            if key in under_way:
                coalesced += 1
                continue
            takes = 0 if self._computes is None else self._computes[number]
            calls, compute = calls + 1, compute + takes
            if takes:
                under_way[key] = now + takes
                heappush(ending, (now + takes, number, key, size))
            else:
                held.put(key, now, size)
        return Totals(calls, coalesced, compute)


class _Held:
    """What the cache holds: key to when it was stored and its size, the next one to go first."""

    def __init__(self, room: Room) -> None:
        self._entries, self._bytes = room.entries, room.bytes
        self._moves = room.eviction == EVICTIONS[0]
        self._held: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._size = 0

    def since(self, key: int) -> int | None:
        """When the key's entry was stored; None when there is none. That counts as its use."""
        found = self._held.get(key)
        if found is None:
            return None
        if self._moves:
            self._held.move_to_end(key)
        return found[0]

    def put(self, key: int, now: int, size: int) -> None:
        """Store, and evict what has no room any more."""
        held, before = self._held, self._held.pop(key, None)
        self._size -= 0 if before is None else before[1]
        if self._bytes is not None and size > self._bytes // _LARGEST:
            return
        held[key] = now, size
        self._size += size
        while (self._entries is not None and len(held) > self._entries) or (self._bytes is not None and self._size > self._bytes):
            self._size -= held.popitem(last=False)[1][1]


def _sizes(columns: Columns) -> list[int]:
    sizes = columns.assumed_sizes()
    if sizes is None:
        raise TraceError("max_bytes needs sizes, and the trace has none: give max_entries, or accesses with a size")
    return list(sizes)
