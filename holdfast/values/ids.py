"""Run ids: UUIDs that sort by time (RFC 9562, version 7)."""

from __future__ import annotations

import os

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


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
    noise = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    number = (millis & ((1 << 48) - 1)) << 80 | _VERSION_7 | fraction << 64 | _VARIANT | noise
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
