"""What came of a TTL while it was in force: hits and stale answers that were seen, not estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.recording.packing import unpack_answers, unpack_times
from holdfast.recording.store import ANSWERS, TIMES
from holdfast.recording.trial import probed

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.recording.store import Reader

ENOUGH = 200
"""Gets before anything is said."""
LONG_ENOUGH = 4
"""So many TTLs have to have passed: before that, entries are there that another TTL has left."""


class Outcome(NamedTuple):
    """What was seen of keys while a TTL was in force for them.

    Attributes:
        gets: How often they were asked for, of keys and times that are kept.
        hits: The share that did not wait for a call, from 0 to 1.
        probes: Hits whose source was asked.
        stale: The share of gets that were answered by a value that the source had changed since, as probes tell; None without any.
    """

    gets: int
    hits: float
    probes: int
    stale: float | None


class Aftermath:
    """What is recorded of a task, to be asked for spans of time.

    Args:
        reader: Of the recording.
        task: Module and qualified name.
        since: Seconds since the epoch; nothing before is asked for.
    """

    def __init__(self, reader: Reader, task: str, since: float) -> None:
        start = round(since * 1e6)
        times, answers = list(reader.segments(task, TIMES, start)), list(reader.segments(task, ANSWERS, 0))
        salt = times[-1].salt if times else 0  # another secret makes other hashes
        times, answers = [each for each in times if each.salt == salt], [each for each in answers if each.salt == salt]
        self._times = [each for one in times for each in unpack_times(one.data, one.number) if one.samples(each[0])]
        kept = [each for one in answers for each in unpack_answers(one.data, one.number) if one.samples(each.key)]
        self._answers = sorted(kept, key=lambda each: each.began)

    def between(self, start: float, end: float, ttl: float, covers: Callable[[int], bool]) -> Outcome | None:
        """What came of a TTL.

        Args:
            start: When it came into force, seconds since the epoch.
            end: When it ceased to be.
            ttl: Seconds.
            covers: Whether it was in force for a key, given by its hash.

        Returns:
            The outcome; None where too little was seen, or it was too short.
        """
        gets = sum(start * 1e6 <= time < end * 1e6 and covers(key) for key, time in self._times)
        if gets < ENOUGH or end - start < LONG_ENOUGH * ttl:
            return None
        seen = [each for each in self._answers if covers(each.key)]
        hits = 1 - sum(each.kind == "fill" and start <= each.began < end for each in seen) / gets
        probes = [is_stale for began, is_stale in probed(seen) if start <= began < end]
        return Outcome(gets, hits, len(probes), hits * sum(probes) / len(probes) if probes else None)
