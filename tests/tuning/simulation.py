"""Caches played event by event: what the curves of holdfast.tuning are compared with. One dictionary, no cleverness."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from holdfast.tuning import Access


@dataclass
class Entry:
    """What a cache knows of a key: since when its value counts, and until when it is being computed."""

    since: float | None = None
    busy_until: float | None = None


def assumed(accesses):
    """Seconds that computing at each access would take, as documented on Trace: its own, else the last before, else the next, else 0."""
    found = [access.compute for access in accesses]
    for order in (range(len(found)), range(len(found) - 1, -1, -1)):
        known = {}
        for place in order:
            found[place] = known[accesses[place].key] = known.get(accesses[place].key) if found[place] is None else found[place]
    return [seconds or 0 for seconds in found]


def play(accesses, ttl, *, hard=None, is_sliding=False):
    """Count what happens: hit, stale, coalesced, call, blocking and the time all calls take; without ``hard`` nothing is ever served stale."""
    entries, counts = {}, Counter()
    for access, takes in zip(accesses, assumed(accesses), strict=True):
        now, entry = access.time, entries.setdefault(access.key, Entry())
        if entry.busy_until is not None and now >= entry.busy_until:
            entry.since, entry.busy_until = entry.busy_until, None
        age = float("inf") if entry.since is None else now - entry.since
        may_be_stale = hard is not None and age < hard
        if entry.busy_until is not None:
            counts["stale" if may_be_stale else "coalesced"] += 1
        elif age < ttl:
            counts["hit"] += 1
            entry.since = now if is_sliding else entry.since
        else:
            counts["call"] += 1
            counts["compute"] += takes
            counts["stale" if may_be_stale else "blocking"] += 1
            entry.busy_until = now + takes
    return counts


def accesses(count, keys, *, seed, compute=None):
    """Random accesses at whole seconds, many at once; some know how long computing took."""
    chance = random.Random(seed)
    now, made = 0, []
    for _ in range(count):
        now += chance.choice((0, 0, 1, 1, 2, 5, 20))
        takes = chance.choice((None, *compute)) if compute else None
        made.append(Access(chance.randrange(1, keys + 1), now, compute=takes))
    return made
