"""What a cache with a given TTL would have done with a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["A", "B", "C", "D"]
"""How good the evidence for a figure is; see `Staleness`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one TTL would have done; ``hits + coalesced + calls`` is ``gets``.

    Attributes:
        ttl: Seconds; None never expires.
        gets: Accesses in the trace.
        hits: Answered by an entry that was fresh.
        coalesced: Came while their key was being computed, and waited for that.
        calls: Computed: the function ran.
        compute: Seconds that all the calls took together; 0 where the trace has no times of computing.
    """

    ttl: float | None
    gets: int
    hits: int
    coalesced: int
    calls: int
    compute: float

    @property
    def hit_ratio(self) -> float:
        """Hits as a share of gets, from 0 to 1."""
        return self.hits / self.gets


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOutcome:
    """What an entry refreshed behind the caller's back would have done; ``hits + stale_hits + coalesced + blocking`` is ``gets``.

    Attributes:
        soft: Seconds after which an entry is refreshed by the next access.
        hard: Seconds until which it may still be served meanwhile; None for ever.
        gets: Accesses in the trace.
        hits: Answered by an entry younger than ``soft``.
        stale_hits: Answered by an older one, while it was refreshed. The access that starts a refresh is one of them.
        coalesced: Came while their key was being computed, had nothing to be served, and waited for that.
        blocking: Computed while the caller waited.
        calls: Computed in all: those that block and those behind. It depends on ``soft`` alone.
        compute: Seconds that all the calls took together; 0 where the trace has no times of computing.
    """

    soft: float
    hard: float | None
    gets: int
    hits: int
    stale_hits: int
    coalesced: int
    blocking: int
    calls: int
    compute: float

    @property
    def hit_ratio(self) -> float:
        """Accesses answered at once, fresh or stale, as a share of gets, from 0 to 1."""
        return (self.hits + self.stale_hits) / self.gets


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """What one TTL would have served stale. Shares are of all gets, from 0 to 1.

    Attributes:
        ttl: Seconds; None never expires.
        hits: Share of gets that hit.
        hits_low: Lower end of its 90 % band, over keys and blocks of time.
        hits_high: Upper end of it.
        stale: Share of gets that were answered by a value that the source had changed since; None when nothing is known of the source's changes.
        low: Lower end of its 90 % band: over keys, blocks of time, histories of the source that agree with all that was seen, and probes.
        high: Upper end of it.
        upper: 97.5 % quantile, which a budget is held against.
        certain: No model: the share that was certainly stale.
        possible: No model: no more than this was stale. Both hold as far as equal fingerprints mean that nothing changed.
        age_p95: Seconds: of 20 hits 19 were younger; None without a hit.
        oldest: Seconds: the oldest hit of all; None without a hit.
        grade: How good the evidence is. ``A``: 250 probes or more, with at least 20 of them stale or none. ``B``: sightings alone, with 30 changes or
            more, within twice the live TTL either way. ``C``: less than that. ``D``: of the source nothing is known; ages and hard bounds only.
    """

    ttl: float | None
    hits: float
    hits_low: float
    hits_high: float
    stale: float | None
    low: float | None
    high: float | None
    upper: float | None
    certain: float
    possible: float
    age_p95: float | None
    oldest: float | None
    grade: Grade
