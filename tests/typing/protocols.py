"""What meets at a protocol fits it: checked by mypy and pyright, never run."""

from __future__ import annotations

from holdfast.clock import Clock
from holdfast.typing import Cache, CacheKey, Codec, Entry


def cache_hands_out_entries(cache: Cache, codec: Codec) -> Entry | None:
    """A cache is asked by key and codec."""
    return cache.peek(CacheKey("app.forecast", b"0123456789abcdef"), codec)


def a_key_has_two_parts(key: CacheKey) -> tuple[str, bytes]:
    """A key is a tuple of namespace and digest."""
    return key


def a_clock_is_replaceable(clock: Clock) -> float:
    """Durations are float seconds."""
    return clock.monotonic()


CacheKey("app.forecast", "digest as text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
