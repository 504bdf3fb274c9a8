"""What a TTL would do, worked out from what a cache has seen: hits, calls, waits, stale answers, for any TTL at once; and which one to take.

>>> from holdfast.tuning import Access, Trace
>>> trace = Trace([Access("Oslo", 0), Access("Oslo", 40), Access("Oslo", 100)])
>>> [(point.ttl, point.hits, point.calls) for point in trace.hits(["30s", "1m", None])]
[(30.0, 0, 3), (60.0, 1, 2), (None, 2, 1)]

A `Trace` here is a list of accesses to a cache; for spans see `holdfast.tracing`. Hits and calls are exact, with or without NumPy; with it
(the extra ``tune``) a million accesses take seconds. Staleness is an estimate with bands and hard bounds, and needs NumPy.
"""

from __future__ import annotations

from holdfast.tuning.evictions import Evictions
from holdfast.tuning.outcomes import Outcome, RefreshOutcome, Staleness
from holdfast.tuning.question import Prices
from holdfast.tuning.rates import ChangeRate, Look, change_rate
from holdfast.tuning.recording import Counters, Recording
from holdfast.tuning.report import Facts, Point, Recommendation, Report
from holdfast.tuning.sightings import Sighting, Sightings
from holdfast.tuning.trace import Access, Trace
from holdfast.tuning.tuner import tune

__all__ = [
    "Access",
    "ChangeRate",
    "Counters",
    "Evictions",
    "Facts",
    "Look",
    "Outcome",
    "Point",
    "Prices",
    "Recommendation",
    "Recording",
    "RefreshOutcome",
    "Report",
    "Sighting",
    "Sightings",
    "Staleness",
    "Trace",
    "change_rate",
    "tune",
]
