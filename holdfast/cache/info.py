"""What a cache tells about itself and its entries, without reading a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.typing import CacheKey


class EntryInfo(NamedTuple):
    """What is known about a stored entry without reading its value.

    Attributes:
        key: Its key.
        stored_at: When it was stored, seconds since the epoch.
        ttl: The time to live it was stored with, and the time for which an old value may be served (`stale_if_error`, say), seconds; None never expires.
        size: Bytes it takes, on disk with its envelope.
        tags: The tags it was stored with.
    """

    key: CacheKey
    stored_at: float
    ttl: float | None
    size: int
    tags: tuple[str, ...]


class CacheStats(NamedTuple):
    """The size of a cache.

    Attributes:
        path: Its folder; None for a cache in memory.
        entries: How many values it holds, expired ones included.
        bytes: How much room they take.
        evicted: How many had to make room for others, since the cache was made.
        evicted_bytes: How much room those took.
    """

    path: Path | None
    entries: int
    bytes: int
    evicted: int = 0
    evicted_bytes: int = 0


def matches(pattern: str, namespace: str) -> bool:
    """Whether ``namespace`` is the one that ``pattern`` names; a ``*`` in the pattern, wherever it stands, matches anything, also nothing.

    >>> matches("app.fetch@*", "app.fetch@2"), matches("app.fetch", "app.fetch@2"), matches("*.fetch@*", "app.fetch@2")
    (True, False, True)
    """
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), namespace, re.DOTALL) is not None
