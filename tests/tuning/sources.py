"""Sources that change by themselves, asked through a cache: traffic, sightings, and the truth that the cache never sees."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass

from holdfast.tuning import Access, Sighting, Sightings, Trace


@dataclass
class World:
    """What was recorded of a cache with one live TTL, and when the source really changed.

    Attributes:
        accesses: To the cache.
        seen: Real calls of the source.
        changes: Of each key, the moments at which its value changed.
    """

    accesses: list[Access]
    seen: list[Sighting]
    changes: dict[int, list[float]]

    @property
    def trace(self):
        """The accesses, to be asked."""
        return Trace(self.accesses)

    @property
    def sightings(self):
        """The calls."""
        return Sightings(self.seen)

    def stale(self, ttl, *, is_sliding=False):
        """The true share of stale answers at a TTL, by one dictionary."""
        filled, used, stale = {}, {}, 0
        for access in self.accesses:
            key, now = access.key, access.time
            if key in filled and now - (used[key] if is_sliding else filled[key]) < ttl:
                stale += bisect_right(self.changes[key], now) > bisect_right(self.changes[key], filled[key])
            else:
                filled[key] = now
            used[key] = now
        return stale / len(self.accesses)


def poisson(chance, rate, span):
    """Moments of a Poisson process, in microseconds' steps."""
    moments, now = [], 0.0
    while rate and (now := now + chance.expovariate(rate)) < span:
        moments.append(round(now, 6))
    return moments


def world(*, keys=60, traffic=1 / 20, rate=lambda chance: 1 / 300, span=12_000, live=120, probes=0.0, changes=None, seed=1):
    """Poisson traffic to each key of a source, through a cache of one TTL.

    Args:
        keys: How many.
        traffic: Accesses to each in a second.
        rate: Of the changes of a key.
        span: Seconds.
        live: The TTL while it was recorded.
        probes: Share of hits that are probed.
        changes: Makes a key's moments of change; by default they are Poisson at ``rate``.
        seed: Of all chance.
    """
    chance, accesses, seen, history = random.Random(seed), [], [], {}
    for key in range(1, keys + 1):
        history[key] = poisson(chance, rate(chance), span) if changes is None else changes(chance, span)
        filled = None
        for now in poisson(chance, traffic, span):
            accesses.append(Access(key, now))
            value = 1 + bisect_right(history[key], now)
            if filled is None or now - filled >= live:
                filled = now
                seen.append(Sighting(key, now, fingerprint=value))
            elif chance.random() < probes:
                seen.append(Sighting(key, now, fingerprint=value, kind="probe"))
    accesses.sort(key=lambda access: access.time)
    return World(accesses, seen, history)
