"""What a TTL would do, worked out from the accesses a cache has seen: hits, calls, waits and time spent computing, for any TTL at once.

>>> from holdfast.tuning import Access, Trace
>>> trace = Trace([Access("Oslo", 0), Access("Oslo", 40), Access("Oslo", 100)])
>>> [(point.ttl, point.hits, point.calls) for point in trace.hits(["30s", "1m", None])]
[(30.0, 0, 3), (60.0, 1, 2), (None, 2, 1)]

A `Trace` here is a list of accesses to a cache; for spans see `holdfast.tracing`. Everything is exact, with or without NumPy; with it (the
extra ``tune``) a million accesses take seconds.
"""

from __future__ import annotations

from holdfast.tuning.outcomes import Outcome, RefreshOutcome, Staleness
from holdfast.tuning.rates import ChangeRate, Look, change_rate
from holdfast.tuning.recording import Counters, Recording
from holdfast.tuning.sightings import Sighting, Sightings
from holdfast.tuning.trace import Access, Trace

__all__ = [
    "Access",
    "ChangeRate",
    "Counters",
    "Look",
    "Outcome",
    "Recording",
    "RefreshOutcome",
    "Sighting",
    "Sightings",
    "Staleness",
    "Trace",
    "change_rate",
]
