"""Run ids: UUIDs that sort by time (RFC 9562, version 7)."""

from __future__ import annotations

import os

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_DRAWN_AT_ONCE = 512

_noise: list[int] = []
"""Drawn and not used yet, 64 bits each. The system's call lets other threads run first, which costs a short run 15 us; so it is made rarely."""

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_noise.clear)  # or parent and child would use the same


def uuid7(time_ns: int) -> str:
    """A UUIDv7 as text of 36 characters.

    48 bits of milliseconds, 12 bits of the fraction of a millisecond (RFC 9562 section 6.2, method 3, so that ids made within one
    millisecond still sort), 62 random bits from the operating system, which a fork does not repeat.

    Args:
        time_ns: Nanoseconds since the epoch.

    >>> uuid7(1_700_000_000_000_000_000)[:15]
    '018bcfe5-6800-7'
    """
    millis, rest = divmod(time_ns, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    number = (millis & ((1 << 48) - 1)) << 80 | _VERSION_7 | fraction << 64 | _VARIANT | _draw() >> 2
    text = number.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _draw() -> int:
    while True:
        try:
            return _noise.pop()
        except IndexError:  # perhaps again at once: other threads take from it, too
            _noise.extend(memoryview(os.urandom(8 * _DRAWN_AT_ONCE)).cast("Q"))
