"""A busy task whose keys are asked for as Zipf's law has it, run through a real recorder, and what a cache would have done with all of it."""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate

from holdfast import CachePolicy
from holdfast.recording.hashes import Hasher
from holdfast.recording.recorder import Recorder
from holdfast.typing import CacheKey

LIVE = 300.0


def zipf(number, *, keys=5000, seconds=7200.0, seed=1):
    """Times and numbers of keys, the k-th of which comes as often as 1 / k."""
    chance = random.Random(seed)
    weights = list(accumulate(1 / (rank + 1) for rank in range(keys)))
    moments = sorted(chance.random() * seconds for _ in range(number))
    return [(moment, bisect(weights, chance.random() * weights[-1])) for moment in moments]


def fills(accesses, ttl):
    """How many of the accesses find nothing, by brute force."""
    stored, found = {}, 0
    for moment, key in accesses:
        if moment - stored.get(key, -1e18) >= ttl:
            stored[key] = moment
            found += 1
    return found


class Program:
    """Asks a cache in memory that is recorded, with a look of the recorder every ten seconds.

    Args:
        folder: Of the cache.
        clock: The time.
        secret: Decides which keys the sample has.
    """

    def __init__(self, folder, clock, secret):
        self.recorder, self.clock, self.start = Recorder(folder, Hasher(secret)), clock, clock.time()
        self._entries, self._looks = {}, 0

    def run(self, accesses, ttl=LIVE):
        """Seconds from now, and keys; a hit does what `holdfast.runtime.lookup` does."""
        for moment, number in accesses:
            now = self.start + moment
            if moment // 10 > self._looks:
                self._looks = moment // 10
                self.clock.advance(now - self.clock.time())
                self.recorder.flush()
            entry = self._entries.get(number)
            if entry is None or now - entry[0] >= ttl:
                self._fill(number, now)
            elif now < entry[1].until:
                entry[1].tally.gets += 1
            else:
                entry[1].keep(now)
        self.recorder.flush()
        return self

    def _fill(self, number, now):
        key = CacheKey("app.fetch@1", number.to_bytes(16))
        self._entries[number] = now, self.recorder.tap(key, b"value")
        self.recorder.computed(key, now, 0.0, ok=True, kind="fill", cause="", modified=None, policy=CachePolicy(ttl=LIVE))
