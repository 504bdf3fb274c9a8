"""What a cache with a given TTL would have done with a trace."""

from __future__ import annotations

from dataclasses import dataclass


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
