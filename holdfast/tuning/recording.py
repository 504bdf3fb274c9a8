"""Recording: what a disk cache has written down about one task, read for tuning."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from holdfast import clock
from holdfast.errors import StoreError, TraceError
from holdfast.policies.duration import positive_seconds
from holdfast.recording.attendant import write_down
from holdfast.recording.packing import unpack_answers, unpack_times
from holdfast.recording.store import ANSWERS, FILE, HOUR, TIMES, Reader
from holdfast.recording.taps import ALL, Answer, Counts
from holdfast.tuning._choice import chosen
from holdfast.tuning._columns import Columns
from holdfast.tuning._hot import HotParts, Spans, is_shorter
from holdfast.tuning.evictions import Evictions
from holdfast.tuning.sightings import Sighting, Sightings
from holdfast.tuning.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from holdfast.policies.duration import Duration
    from holdfast.recording.store import Segment
    from holdfast.tuning.outcomes import Outcome, RefreshOutcome

AnyOutcome = TypeVar("AnyOutcome", "Outcome", "RefreshOutcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What was counted, of every call, whatever else was thinned out.

    Attributes:
        gets: Calls that asked the cache.
        fills: Calls of the source while a caller waited.
        refreshes: Calls of the source behind a caller's back.
        probes: Calls of the source to see whether a hit was stale.
        errors: Of those calls of the source, how many failed.
        seconds: How long they all took together.
        bytes: How much they stored.
        misses: How many of the fills there were for each cause that was known: ``cold``, ``expired``, ``evicted``, ``invalidated``, ``version``, ``error``.
        evictions: The entries that had to make room for others, and their ages then. (Of ``misses`` those are ``evicted`` that somebody asked for again.)
    """

    gets: int
    fills: int
    refreshes: int
    probes: int
    errors: int
    seconds: float
    bytes: int
    misses: dict[str, int] = field(default_factory=dict[str, int])
    evictions: Evictions = field(default_factory=Evictions)

    @property
    def hit_ratio(self) -> float:
        """Calls that did not wait for the source, as a share of gets, from 0 to 1; 0 without any."""
        return 1 - self.fills / self.gets if self.gets else 0.0


class Recording:
    """What is known of one task of one cache.

    Attributes:
        task: Module and qualified name.
        trace: The accesses that were kept: those of a share of the keys, chosen by hash, and of a key no more than a hundred a second. For figures of the whole
            task ask `hits` and `swr` here instead of there.
        sightings: What the source answered, for the same keys; of probes, which tell how stale hits are at a TTL, those since the live one is.
        counters: What was counted, of all keys.
        rate: The share of the keys that was kept, at most 1.
        live_ttl: Seconds, in force for most keys at the last computation; None never expires, and is also said of a task that never computed.
        ttl_range: The least and the most seconds that the policy lets the TTL be; None for no such bound.
        since: From when on, seconds since the epoch.
        until: The time of the last access kept.
    """

    def __init__(
        self,
        task: str,
        trace: Trace,
        sightings: Sightings,
        counters: Counters,
        live_ttl: float | None,
        *,
        rate: float,
        ttl_range: tuple[float | None, float | None] = (None, None),
        hot: HotParts | None = None,
    ) -> None:
        self.task, self.trace, self.sightings, self.counters, self.live_ttl, self.rate = task, trace, sightings, counters, live_ttl, rate
        self.ttl_range, self._hot = ttl_range, hot
        times = trace._columns.times  # noqa: SLF001 - one of our own
        self.since, self.until = (times[0] / 1e6, times[-1] / 1e6) if times else (0.0, 0.0)

    def __repr__(self) -> str:
        return f"Recording({self.task!r}, {self.counters.gets} gets, {len(self.trace)} kept)"

    @staticmethod
    def tasks(path: str | PathLike[str]) -> list[str]:
        """The tasks of which something is recorded, by name.

        Args:
            path: As for `load`.

        Returns:
            Modules and qualified names.

        Raises:
            StoreError: There is no such file, or it cannot be read.
        """
        reader = _open(path)
        try:
            return reader.tasks()
        finally:
            reader.close()

    @classmethod
    def load(cls, path: str | PathLike[str], *, task: str | None = None, since: Duration | None = None) -> Recording:
        """Read what is recorded of a task.

        Args:
            path: The folder of the cache, or the file ``recording.db`` in it.
            task: Module and qualified name, or the end of it (``fetch`` for ``app.weather.fetch``); None takes the only one there is.
            since: How long ago to begin: seconds, timedelta or text such as ``"7d"``; None takes all. It begins with a full hour, by which
                things are counted.

        Returns:
            The recording; empty where the task has not been called since.

        Raises:
            StoreError: There is no such file, or it cannot be read.
            TraceError: There is no such task, or more than one; the text names those there are. Or a part of the file is damaged.
            PolicyError: ``since`` is no duration.
        """
        start = (
            0.0 if since is None else clock.current.time() - positive_seconds(since, what="since", instead="leave it out for all there is")
        )
        reader = _open(path)
        try:
            return _read(reader, chosen(task, reader.tasks(), str(reader.path)), int(start // HOUR) * HOUR)
        finally:
            reader.close()

    def hits(self, ttls: Iterable[Duration | None]) -> list[Outcome]:
        """What each TTL would have done with all calls of the task: `Trace.hits`, set right by what was counted.

        Args:
            ttls: As for `Trace.hits`.

        Returns:
            One outcome for each TTL, in the order given. They are exact where all keys were kept, but for hits within a hundredth of a second.

        Raises:
            PolicyError: A TTL is none.
            TraceError: Nothing was recorded.
        """
        return self._set_right(list(ttls), lambda trace, some: trace.hits(some), lambda ttl: ttl)

    def swr(self, soft: Duration, hards: Iterable[Duration | None]) -> list[RefreshOutcome]:
        """What serving while refreshing would have done with all calls of the task: `Trace.swr`, set right by what was counted.

        Args:
            soft: As for `Trace.swr`.
            hards: As for `Trace.swr`.

        Returns:
            One outcome for each hard limit, in the order given.

        Raises:
            PolicyError: A limit is none.
            TraceError: Nothing was recorded.
        """
        return self._set_right(list(hards), lambda trace, some: trace.swr(soft, some), lambda _: soft)

    @property
    def scale(self) -> float:
        """How many real calls one call of the sample stands for: those that were counted for each that was kept, else keys for each key kept.

        A ratio estimator with an exact total (Cochran, Sampling Techniques, chapter 6): the calls that were really made vary from key to key much
        as those under another TTL would. Where the keys asked for most were kept whatever their hash, they stand for themselves, and this is
        of all others: what was counted but for theirs, for each that was kept but theirs.
        """
        return self._scale if self._hot is None else self._scale_of(self._hot.rest.fills, self._hot.hot.fills)

    @property
    def _scale(self) -> float:
        """The same of the whole sample, hot keys or not."""
        return self._scale_of(sum(1 for each in self.sightings if each.kind == "fill"), 0)

    def _scale_of(self, kept: int, apart: int) -> float:
        counted = self.counters.fills - apart
        if self.rate == 1 or not kept or counted < (kept if apart else 1):  # one call stands for no less than itself
            return 1 / self.rate
        return counted / kept

    def _set_right(
        self,
        asked: list[Duration | None],
        replay: Callable[[Trace, list[Duration | None]], list[AnyOutcome]],
        ttl_of: Callable[[Duration | None], Duration | None],
    ) -> list[AnyOutcome]:
        hot, scale = self._hot, self._scale
        gets = max(self.counters.gets, len(self.trace))
        if hot is None:
            return [_together([(each, scale)], gets) for each in replay(self.trace, asked)]
        parts = [(part.trace, weight) for part, weight in ((hot.rest, self.scale), (hot.hot, 1.0)) if len(part.trace)]
        replayed = [[(each, weight) for each in replay(trace, asked)] for trace, weight in parts or [(self.trace, scale)]]
        gets = max(self.counters.gets, sum(len(trace) for trace, _ in parts))
        found = [_together(each, gets) for each in zip(*replayed, strict=True)]
        short = [place for place, each in enumerate(asked) if is_shorter(ttl_of(each), hot.least_ttl)]
        if short and len(self.trace):
            for place, each in zip(short, replay(self.trace, [asked[place] for place in short]), strict=True):
                found[place] = _together([(each, scale)], gets)
        return found


def _together(parts: Sequence[tuple[AnyOutcome, float]], gets: int) -> AnyOutcome:
    """The same of all calls, from parts and how many calls one of theirs stands for: what takes the source's time grows, the rest of the gets are hits."""
    first, grown, left = parts[0][0], dict[str, int](), gets
    for name in ("blocking", "calls", "coalesced", "stale_hits"):
        if hasattr(first, name):
            grown[name] = min(gets, round(sum(getattr(outcome, name) * scale for outcome, scale in parts)))
            left -= 0 if name == "calls" and hasattr(first, "blocking") else grown[name]
    return replace(first, gets=gets, hits=max(0, left), compute=sum(outcome.compute * scale for outcome, scale in parts), **grown)


def _open(path: str | PathLike[str]) -> Reader:
    given = Path(path)
    file = given / FILE if given.is_dir() else given
    write_down(file.parent)
    if not file.exists():
        raise StoreError(f"there is no recording {file}: is this the folder of a DiskCache, and is HOLDFAST_RECORD not off?")
    return Reader(file)


def _read(reader: Reader, task: str, start: int) -> Recording:
    times, answers = list(reader.segments(task, TIMES, start * 1_000_000)), list(reader.segments(task, ANSWERS, start * 1_000_000))
    counts = reader.counts(task, start)
    salt = max((*times, *answers), key=lambda each: each.last).salt if times or answers else 0  # another secret makes other hashes
    times, answers = [each for each in times if each.salt == salt], [each for each in answers if each.salt == salt]
    start = _whole_from(times, counts, start)
    counted = sum_of([each for hour, each in counts if hour + HOUR > start])
    shift = max((each.shift for each in (*times, *answers)), default=0)
    limit, first = ALL >> shift, start * 1_000_000
    since = reader.ttl_since(task)
    told = [
        each for segment in answers for each in _answers(segment) if each.began >= start and (each.kind != "probe" or each.began >= since)
    ]
    seen = [each for each in told if each.key < limit]
    merged = merge(*[sorted(_times(segment), key=lambda each: each[1]) for segment in times], key=lambda each: each[1])
    accesses: Iterable[tuple[int, int]] = (each for each in merged if each[1] >= first)
    spans, parts = Spans(times, first), None
    if spans:
        accesses = list(accesses)
        parts = spans.parts(accesses, told, limit, _trace)
    trace = _trace((each for each in accesses if each[0] < limit), seen)
    sightings = Sightings(
        Sighting(
            each.key,
            each.began,
            each.seconds,
            each.fingerprint or None,
            each.size if each.size >= 0 else None,
            each.modified,
            each.kind,
            each.ok,
        )
        for each in seen
    )
    live = reader.policy(task)
    names = [each.name for each in fields(Counters) if each.name != "evictions"]
    counters = Counters(**{name: getattr(counted, name) for name in names}, evictions=Evictions(dict(reader.evicted(task, start))))
    return Recording(
        task,
        trace,
        sightings,
        counters,
        None if live is None else live[0],
        rate=0.5**shift,
        ttl_range=(None, None) if live is None else live[1:],
        hot=parts,
    )


def _whole_from(times: Sequence[Segment], counts: Sequence[tuple[int, Counts]], start: int) -> int:
    """The hour from which on everything that was counted was also kept: the oldest segments may have been dropped."""
    if not times or not counts:
        return start
    first = min(segment.first for segment in times) // 1_000_000
    if any(hour + HOUR <= first and each.gets for hour, each in counts):
        return max(start, (first // HOUR + 1) * HOUR) if any(hour > first for hour, _ in counts) else start
    return start


def sum_of(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    total = Counts()
    for each in counts:
        total = total.plus(each)
    return total


def _trace(accesses: Iterable[tuple[int, int]], seen: Sequence[Answer]) -> Trace:
    return Trace._of(_columns(accesses, seen))  # noqa: SLF001 - one of our own


def _columns(accesses: Iterable[tuple[int, int]], seen: Sequence[Answer]) -> Columns:
    """A trace of these accesses, with what is known of those that were computed."""
    computed = {(each.key, round(each.began * 1e6)): each for each in seen if each.kind == "fill"}
    columns = Columns()
    for (key, time), _ in groupby(accesses):
        answer = computed.get((key, time))
        if answer is None:
            columns.add(key, time)
        else:
            size = answer.size if answer.size >= 0 else None
            columns.add(key, time, size, round(answer.seconds * 1e6), answer.fingerprint or None)
    return columns


def _times(segment: Segment) -> list[tuple[int, int]]:
    try:
        return unpack_times(segment.data, segment.number)
    except ValueError as error:
        raise _damaged(segment, error) from None


def _answers(segment: Segment) -> list[Answer]:
    try:
        return unpack_answers(segment.data, segment.number)
    except ValueError as error:
        raise _damaged(segment, error) from None


def _damaged(segment: Segment, error: Exception) -> TraceError:
    where = f"the {segment.what} of {segment.task} from {segment.first / 1e6:.0f} s on"
    return TraceError(f"{where}: {error}", where=where)
