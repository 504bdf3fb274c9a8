"""What is added to a hit: tags that could have been invalidated, windows in which old values are served, and a value that is old."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks import caches
from benchmarks.harness import Contestant, Guard, Make, Measure, Row, loop

WINDOWS = {"stale_while_revalidate": "1h", "stale_if_error": "1d", "fail_safe_throttle": "1h"}


def hit(*, is_old: bool = False, options: dict[str, Any] | None = None, **policy: Any) -> Make:
    """The same call over and over, after a first that stored.

    Args:
        is_old: Past its ttl, while its source is down and left alone: what a call takes that is answered with an old value.
        options: Of the DiskCache.
        policy: Fields of the cache policy.
    """

    def make(stack: ExitStack) -> Measure:
        from holdfast import CachePolicy, resilient

        cache = caches.disk_cache(stack, **(options or {}))
        asked = 0

        def record(city: str) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            if is_old and asked > 1:
                raise ConnectionError("down")
            return dict(caches.RECORD)

        decorate: Callable[..., Any] = resilient(
            retry_policy=(), cache=cache, cache_policy=CachePolicy(ttl=1e-6 if is_old else "1h", version="1", **policy)
        )
        decorated = decorate(record)
        measure = loop(decorated, caches.CITY)
        measure(1)
        if is_old:
            _fail_once(stack, decorated)
        return measure

    return make


def _fail_once(stack: ExitStack, decorated: Callable[..., Any]) -> None:
    """Ask once more, which fails, silently, so that the source is left alone from then on."""
    from holdfast import events
    from holdfast.runtime import behind

    told, events.fallback = events.fallback, lambda note: None
    try:
        decorated(caches.CITY)
        while behind._under_way:
            time.sleep(0.001)
    finally:
        events.fallback = told


ON_DISK = {"memory_entries": 0}
ROWS = [
    Row(
        name="hit on disk, with two tags",
        guards=(Guard("without tags", 1.3),),
        contestants={"without tags": Contestant(hit(options=ON_DISK)), "holdfast": Contestant(hit(options=ON_DISK, tags=("a", "b")))},
    ),
    Row(
        name="hit in memory, with windows for old values",
        guards=(Guard("without windows", 2),),
        contestants={"without windows": Contestant(hit()), "holdfast": Contestant(hit(**WINDOWS))},
    ),
    Row(
        name="an old value in memory, its source left alone",
        guards=(Guard("fresh", 6),),
        contestants={"fresh": Contestant(hit(**WINDOWS)), "holdfast": Contestant(hit(is_old=True, **WINDOWS))},
    ),
]
