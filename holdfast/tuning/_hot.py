"""The part of a recording in which hot keys stand for themselves, and the rest, which stands for all other keys.

A hot key is one that was kept whatever its hash (`holdfast.recording.hot`). Which keys are hot changes, and is not the same in two processes, so each
segment says which of them it holds whole. A key stands for itself in the longest stretch of time in which every segment that overlaps it holds it whole:
with a hole in it a replay would find calls where there were hits. What it did outside that stretch is left to the rest, and so is what the counts say of that time; there it counts
if its hash is among those kept, like any other key's. So whether its hash is never matters to where a key is hot, and the rest stays a fair sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.policies.duration import positive_seconds
from holdfast.recording.hot import HotNote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from holdfast.policies.duration import Duration
    from holdfast.recording.store import Segment
    from holdfast.recording.taps import Answer
    from holdfast.tuning.trace import Trace

_PAUSES = 0.5
"""A TTL that is shorter than this share of a pause is not replayed with hot keys: within a pause nobody saw what they did, and calls would be missing.
Measured against all accesses at 30 and 1000 gets a second; above it, outcomes are nearer than the sample's alone or as near, below it not."""


class Part(NamedTuple):
    """Some accesses.

    Attributes:
        trace: They.
        fills: How many of them were computed while a caller waited.
    """

    trace: Trace
    fills: int


class HotParts(NamedTuple):
    """What was kept, in two parts.

    Attributes:
        hot: Of hot keys, while they were.
        rest: Of the sample, without these.
        least_ttl: Seconds; for shorter ones too few times of hot keys were kept.
    """

    hot: Part
    rest: Part
    least_ttl: float


class Spans:
    """When which keys stand for themselves.

    Args:
        segments: Of times, all with the same salt.
        since: What was before is not looked at, microseconds since the epoch.

    Attributes:
        least_ttl: See `HotParts`.
    """

    def __init__(self, segments: Sequence[Segment], since: int) -> None:
        thinned = sorted((each for each in segments if each.shift), key=lambda each: each.first)
        notes = {data: HotNote.unpacked(data) for data in {each.hot for each in thinned}}
        keys = frozenset[int]().union(*(note.keys for note in notes.values()))
        begin = max(since, min((each.first for each in segments), default=0)) - 1
        end = max((each.last for each in segments), default=0) + 1
        found = {key: _longest(_gaps(key, thinned, notes), begin, end) for key in keys}
        self._spans = {key: span for key, span in found.items() if span[0] < span[1]}
        self.least_ttl = _PAUSES * max((note.pause for note in notes.values()), default=0.0)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def holds(self, key: int, time: int) -> bool:
        """Whether a key stands for itself then, microseconds since the epoch."""
        span = self._spans.get(key)
        return span is not None and span[0] < time < span[1]

    def parts(self, accesses: Sequence[tuple[int, int]], seen: Sequence[Answer], limit: int, trace_of: Callable[..., Trace]) -> HotParts:
        """Split what was kept.

        Args:
            accesses: Hashes of keys and microseconds, of all kept keys.
            seen: Answers for the same.
            limit: Keys whose hash is below are in the sample.
            trace_of: Makes a trace of accesses and answers.
        """
        told = [(each, self.holds(each.key, round(each.began * 1e6))) for each in seen]
        found = [(each, self.holds(*each)) for each in accesses]
        split: list[Part] = []
        for is_hot in (True, False):
            answers = [each for each, held in told if held is is_hot and (held or each.key < limit)]
            times = [each for each, held in found if held is is_hot and (held or each[0] < limit)]
            split.append(Part(trace_of(times, answers), sum(1 for each in answers if each.kind == "fill")))
        return HotParts(split[0], split[1], self.least_ttl)


def _gaps(key: int, thinned: Sequence[Segment], notes: Mapping[bytes, HotNote]) -> Iterator[tuple[int, int]]:
    return ((each.first, each.last) for each in thinned if key not in notes[each.hot].keys)


def is_shorter(ttl: Duration | None, least: float) -> bool:
    """Whether a TTL that is one is shorter than so many seconds."""
    return ttl is not None and positive_seconds(ttl, what="ttl", instead="") < least


def _longest(gaps: Iterable[tuple[int, int]], begin: int, end: int) -> tuple[int, int]:
    """The longest time between gaps, given in the order of their beginnings."""
    best = begin, begin
    for first, last in gaps:
        best = max(best, (begin, first), key=_length)
        begin = max(begin, last)
    return max(best, (begin, end), key=_length)


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]
