"""tune: what other TTLs would have done for a task, and which one to take."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.errors import PolicyError, StoreError, TraceError
from holdfast.policies.duration import positive_seconds
from holdfast.tuning import _files
from holdfast.tuning._rule import Rule, missing_evidence
from holdfast.tuning.evictions import Evictions
from holdfast.tuning.question import MOST_MOVE, Prices, Question, candidates, overview
from holdfast.tuning.recording import Recording
from holdfast.tuning.report import Facts, Point, Report
from holdfast.tuning.sightings import Sightings
from holdfast.tuning.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from holdfast.policies.duration import Duration
    from holdfast.tuning._staleness import Source
    from holdfast.tuning.outcomes import Outcome, Staleness

_SPANS = b'"resourceSpans"'
_SQLITE = b"SQLite format 3\0"


def tune(
    source: Recording | Trace | str | PathLike[str],
    *,
    task: str = "",
    sightings: Sightings | str | PathLike[str] | None = None,
    live_ttl: Duration | None = None,
    stale_budget: float | None = None,
    prices: Prices | Mapping[str, float] | None = None,
    max_age: Duration | None = None,
    reach: float = MOST_MOVE,
    seed: int = 0,
) -> Report:
    """Say what other TTLs would have done for a task, in hits and in staleness, and which one to take.

    It is recommended what saves most calls, or is cheapest, among the TTLs that keep to the limits given, and at most twice or half the live one. A
    budget of stale answers has to be kept by the 97.5 % quantile. A longer TTL than the live one takes 250 probes, or a hard bound within the budget.

    Args:
        source: A recording; the folder of a disk cache, or the ``recording.db`` in it; a trace; or a file of accesses (CSV, JSON lines, spans as OTLP in
            JSON lines, libCacheSim's oracleGeneral; gzip is unpacked).
        task: Which one in a folder or among spans, its name or the end of it; the default, empty, for the only one. Of other sources, the name for the report.
        sightings: Of its source, or a CSV file of them; None, the default, for those of the recording, or those that the trace itself has: accesses
            with a time of computing and a fingerprint.
        live_ttl: The TTL while it was recorded; None, the default, for the recording's own. Without one nothing can be recommended.
        stale_budget: The largest share of answers that may be stale, from 0 to 1; None, the default, for no such limit.
        prices: `Prices`, or a mapping such as ``{"call": 0.002, "stale": 0.01}``, for the cheapest TTL; None, the default, for few calls.
        max_age: Age that no answer may exceed; None, the default, for no such limit.
        reach: How far around the live TTL to look, as a factor from 1 on; default 2. What is further than 2 is shown and never recommended.
        seed: Of the random numbers; the same one gives the same report. Default 0.

    Returns:
        The report.

    Raises:
        PolicyError: A budget, price, TTL or reach is none.
        TraceError: The trace is empty, a file is damaged or something else, or the folder has no such task.
        StoreError: Nothing is recorded in the folder.
        HoldfastError: NumPy is not there: it comes with the extra ``tune``.
        OSError: A file cannot be read.

    >>> from holdfast.tuning import Access, Trace
    >>> trace = Trace([Access(key, 60 * minute) for minute in range(300) for key in ("Oslo", "Lima")])
    >>> print(tune(trace, live_ttl="10m", max_age="15m").headline)
    this task: raise the ttl from 10m to 15m (evidence D)
    """
    question = Question.asked(stale_budget, prices, max_age)
    if isinstance(reach, bool) or not isinstance(reach, int | float) or not 1 <= reach <= 1000:  # noqa: PLR2004 - sanity
        raise PolicyError(f"reach={reach!r} is not a factor from 1 on")
    known = _known(source, sightings, task)
    live = known.live_ttl if live_ttl is None else positive_seconds(live_ttl, what="live_ttl", instead="give the TTL that was live")
    if not len(known.trace):
        raise TraceError("the trace holds no accesses: record 200 gets or more, over at least four times the live TTL")
    return _Tuner(known, live, question, seed).report(float(reach))


class _Known(NamedTuple):
    """The evidence, wherever it is from; ``counted`` says what TTLs would have done with all gets, of which the trace may be a sample."""

    task: str
    trace: Trace
    sightings: Sightings
    live_ttl: float | None
    counted: Recording | Trace
    rate: float
    ttl_range: tuple[float | None, float | None] = (None, None)


def _known(source: Recording | Trace | str | PathLike[str], sightings: Sightings | str | PathLike[str] | None, task: str) -> _Known:
    seen = Sightings.from_csv(sightings) if isinstance(sightings, str | os.PathLike) else sightings
    if isinstance(source, str | os.PathLike):
        if not os.path.exists(source):  # noqa: PTH110 - text or a path alike
            raise StoreError(f"there is no {os.fspath(source)}: give the folder of a DiskCache, or a file of accesses")
        source = Recording.load(source, task=task or None) if is_recording(source) else read_trace(source, task)
    if isinstance(source, Trace):
        return _Known(task, source, source.sightings() if seen is None else seen, None, source, 1.0)
    return _Known(
        source.task, source.trace, source.sightings if seen is None else seen, source.live_ttl, source, source.rate, source.ttl_range
    )


class _Tuner:
    def __init__(self, known: _Known, live: float | None, question: Question, seed: int) -> None:
        self._known, self._live, self._question = known, live, question
        self._source: Source = known.trace._source(known.sightings, seed=seed)  # noqa: SLF001 - of this package
        self._facts = _facts(known, self._source)

    def report(self, reach: float) -> Report:
        live = self._live
        ttls = overview(self._facts.span / 1000, self._facts.span) if live is None else candidates(live, reach, self._known.ttl_range)
        curve, advice = Rule(self._points(ttls), live, self._question, self._facts).decide()
        return Report(task=self._known.task, live_ttl=live, question=self._question, facts=self._facts, curve=curve, recommendation=advice)

    def _points(self, ttls: Sequence[float]) -> list[Point]:
        outcomes, stale = self._known.counted.hits(ttls), self._source.staleness(ttls, self._live)
        blocking = [self._known.counted.swr(ttl, [2 * ttl])[0] for ttl in ttls]
        is_tiny = bool(self._live and missing_evidence(self._facts.gets, self._facts.span, self._live))
        return [
            self._point(outcome, each, (behind.blocking + behind.coalesced) / behind.gets, is_tiny=is_tiny)
            for outcome, each, behind in zip(outcomes, stale, blocking, strict=True)
        ]

    def _point(self, outcome: Outcome, stale: Staleness, blocking: float, *, is_tiny: bool) -> Point:
        days = self._facts.days
        stale = _set_right(stale, outcome.hit_ratio)
        ttl = outcome.ttl or 0.0
        known: dict[str, Any] = asdict(stale) | {"ttl": ttl, "grade": "D" if is_tiny else stale.grade}
        return Point(
            **known,
            calls=outcome.calls,
            calls_per_day=None if days is None else outcome.calls / days,
            waits=1 - outcome.hit_ratio,
            blocking=blocking,
            cost=self._cost(outcome, stale, days or 1.0),
            is_near=self._live is not None and self._live / MOST_MOVE <= ttl <= self._live * MOST_MOVE,
        )

    def _cost(self, outcome: Outcome, stale: Staleness, days: float) -> float | None:
        """That of one of so many parts; where nothing is known of staleness, every answer that may be stale is."""
        prices = self._question.prices
        if prices is None:
            return None
        share = stale.possible if stale.stale is None else stale.stale
        waits = outcome.gets - outcome.hits
        return (outcome.calls * prices.call + waits * prices.latency + share * outcome.gets * prices.stale) / days


def _set_right(stale: Staleness, hits: float) -> Staleness:
    """The shares of a sample as those of all gets, of which the share of hits is known: as many of 100 hits are stale."""
    if stale.hits in (hits, 0.0):
        return stale
    names = ("hits_low", "hits_high", "stale", "low", "high", "upper", "certain", "possible")
    shares = {name: min(1.0, share * hits / stale.hits) for name in names if (share := getattr(stale, name)) is not None}
    return replace(stale, hits=hits, **shares)


def _facts(known: _Known, source: Source) -> Facts:
    looks, interval = source.looks, source.looks.volatile_interval
    (every,) = known.counted.hits([None])
    counters = known.counted.counters if isinstance(known.counted, Recording) else None
    evictions = Evictions() if counters is None else counters.evictions
    return Facts(
        gets=every.gets,
        keys=round(len(set(known.trace._columns.keys)) / known.rate),  # noqa: SLF001 - of this package
        span=known.trace.span,
        looks=known.sightings.calls,
        changed=looks.changes,
        probes=looks.probes.asked,
        stale_probes=looks.probes.stale,
        volatile_interval=None if interval is None else interval / 1e6,
        least_ttl=known.ttl_range[0],
        most_ttl=known.ttl_range[1],
        evicted=evictions.entries,
        evicted_age=evictions.age(),
        rate=known.rate,
        calls=None if counters is None else counters.fills + counters.refreshes,
    )


def is_recording(path: str | PathLike[str]) -> bool:
    """Whether this is the folder of a cache, or a recording's file; what does not exist is neither."""
    if os.path.isdir(path):  # noqa: PTH112 - pathlib is not loaded for this
        return True
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return file.read(len(_SQLITE)) == _SQLITE


def read_trace(path: str | PathLike[str], task: str) -> Trace:
    """Read a file of accesses, whichever of the four kinds it is.

    Args:
        path: CSV, JSON lines, spans (OTLP in JSON lines) or libCacheSim's oracleGeneral, packed with gzip or not.
        task: Which one, among spans; empty for the only one.

    Returns:
        The accesses.

    Raises:
        TraceError: It is something else, damaged, or not in the order of time.
        OSError: It cannot be read.
    """
    with _files.reading(path, lambda: "byte 0") as file:
        head = file.read(4096)
    if head.lstrip().startswith(b"{"):
        return Trace.from_otlp(path, task=task or None) if _SPANS in head else Trace.from_json_lines(path)
    is_text = not head or not head.translate(None, bytes(range(32, 127)) + b"\t\r\n\xef\xbb\xbf" + bytes(range(128, 256)))
    return Trace.from_csv(path) if is_text else Trace.from_oracle_general(path)
