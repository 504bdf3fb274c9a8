"""The cache that tasks use when none is given: one `DiskCache` per process, made on first use."""

from __future__ import annotations

import os
import threading
from typing import Any

from holdfast._frames import trims
from holdfast._lookalikes import langgraphs
from holdfast.errors import PolicyError
from holdfast.typing import Cache

_current: Cache | None = None
_lock = threading.Lock()


def default_cache() -> Cache:
    """The cache in force: the one that was set, else a `DiskCache` in the default folder. Nothing is opened before it is used."""
    global _current  # noqa: PLW0603 - one default per process is the point
    if _current is None:
        with _lock:
            if _current is None:
                from holdfast.cache.disk import DiskCache  # a program whose calls are only retried has none

                _current = DiskCache()
    return _current


@trims
def set_default_cache(cache: Cache | None) -> Cache | None:
    """Make ``cache`` the default of the process.

    Args:
        cache: Any cache; None: a `DiskCache` in the default folder again, made on first use.

    Returns:
        What was set before, None when nothing was.

    Raises:
        PolicyError: It is no cache, but a path, say, or a class.
    """
    check_cache(cache)
    global _current
    with _lock:
        previous, _current = _current, cache
    return previous


def check_cache(given: Any) -> None:
    """Refuse what is no cache, such as a path, a policy, or the class of a cache; None is no cache given, and fine.

    Raises:
        PolicyError: It names the value and what to write instead.
    """
    if isinstance(given, type):
        raise PolicyError(f"cache={given.__name__} is the class: give an object of it, e.g. cache={given.__name__}()")
    if given is not None and not isinstance(given, Cache):
        folder = repr(given) if isinstance(given, str) and given else "'my-cache'"
        how = langgraphs(given) or f"give a cache, e.g. DiskCache({folder}) or InMemoryCache()"
        raise PolicyError(f"cache={given!r}: {how}")


def _new_lock() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
