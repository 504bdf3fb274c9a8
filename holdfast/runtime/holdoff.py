"""Which keys' sources have failed a moment ago, and are left alone while an old value can be served. Of this process, in memory."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from holdfast import clock

if TYPE_CHECKING:
    from holdfast.typing import Cache, CacheKey

MOST = 10_000
"""Keys remembered at once; whatever was held off first is forgotten first, and its source asked again a little early."""

_until: dict[tuple[int, CacheKey], tuple[float, Cache]] = {}
"""Monotonic time until which each is left alone. The cache is kept with it, so that no other one can take its identity."""
_lock = threading.Lock()


def hold_off(cache: Cache, key: CacheKey, seconds: float) -> None:
    """Leave the source of a key alone for so long."""
    now = clock.current.monotonic()
    with _lock:
        _until.pop((id(cache), key), None)
        _until[id(cache), key] = now + seconds, cache
        while len(_until) > MOST or next(iter(_until.values()))[0] <= now:
            del _until[next(iter(_until))]


def is_held_off(cache: Cache, key: CacheKey) -> bool:
    """Whether the source of a key is to be left alone now."""
    if not _until:
        return False
    held = _until.get((id(cache), key))
    return held is not None and clock.current.monotonic() < held[0]


def let_go(cache: Cache, key: CacheKey) -> None:
    """The source of a key has answered."""
    if _until:
        with _lock:
            _until.pop((id(cache), key), None)


def _forget_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
