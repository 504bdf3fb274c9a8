"""What may be done with a stored value of a certain age: pure, and the same in all processes.

::

    stored          refresh_ahead * ttl      ttl                    ttl + stale_while_revalidate
      |  FRESH              |      AHEAD      |        STALE         |   IN_NEED, up to ttl + stale_if_error   |  EXPIRED

Both windows begin where the ttl ends, as in RFC 5861. The names elsewhere: AHEAD is FusionCache's eager refresh (and Caffeine's
refreshAfterWrite), IN_NEED its fail-safe.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from holdfast.policies.cache import CachePolicy

CLOCK_SLACK = 60.0
"""Seconds by which an entry may seem to come from the future: clocks of two hosts differ, and clocks are set back."""

_DOUBLE = Struct("<d").pack


class Freshness(Enum):
    """What may be done with a stored value."""

    FRESH = "fresh"
    """Serve it."""
    AHEAD = "ahead"
    """Serve it, and have it computed anew behind the caller: it is about to expire."""
    STALE = "stale"
    """The same of a value whose ttl is over."""
    IN_NEED = "in need"
    """Compute; serve it if that fails."""
    EXPIRED = "expired"
    """Compute."""


def judge(
    policy: CachePolicy, digest: bytes, stored_at: float, now: float, *, negative: bool = False, own_ttl: float | None = None
) -> Freshness:
    """Say what may be done with an entry.

    Args:
        policy: The policy in force.
        digest: Of the entry's key: spreads expiries where the policy has a jitter.
        stored_at: When the entry was stored, seconds since the epoch.
        now: The present, seconds since the epoch.
        negative: True for a remembered failure, which is fresh or expired.
        own_ttl: What the computation gave it, seconds; None leaves it to the policy.

    Returns:
        EXPIRED as well for an entry from more than `CLOCK_SLACK` seconds in the future: the clock was set back, its age is unknown.
    """
    if negative and policy.negative_ttl is None:
        return Freshness.EXPIRED
    ttl = own_ttl if own_ttl is not None else policy.negative_ttl if negative else policy.ttl
    if ttl is None:
        return Freshness.FRESH
    age = now - stored_at
    if age < -CLOCK_SLACK:
        return Freshness.EXPIRED
    if policy.ttl_jitter is not None:
        ttl *= 1 - policy.ttl_jitter * spread(digest, stored_at)
    if age < ttl:
        return (
            Freshness.AHEAD if not negative and policy.refresh_ahead is not None and age >= policy.refresh_ahead * ttl else Freshness.FRESH
        )
    if negative:
        return Freshness.EXPIRED
    if policy.stale_while_revalidate is not None and age < ttl + policy.stale_while_revalidate:
        return Freshness.STALE
    if policy.stale_if_error is not None and age < ttl + policy.stale_if_error:
        return Freshness.IN_NEED
    return Freshness.EXPIRED


def spread(digest: bytes, stored_at: float) -> float:
    """A number in [0, 1) that an entry has in every process, and another one once it is stored anew.

    >>> spread(b"key", 1.0) == spread(b"key", 1.0) != spread(b"key", 2.0)
    True
    """
    return crc32(digest, crc32(_DOUBLE(stored_at))) / 2**32
