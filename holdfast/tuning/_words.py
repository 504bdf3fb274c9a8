"""Shares and times as a report writes them."""

from __future__ import annotations

from holdfast.policies.duration import spoken


def shown(ttl: float | None) -> str:
    """A TTL as people write it."""
    return "never" if ttl is None else spoken(ttl)


def percent(share: float) -> str:
    """A share with one decimal, where it is not whole."""
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')}%" if float(text) or not share else "under 0.1%"


def figure(share: float) -> str:
    """A share for a column: always with one decimal."""
    return f"{100 * share:.1f}%"


def shown_time(seconds: float | None) -> str:
    """A length of time, rounded to what matters: ``42s``, ``3.5h``, ``7d``."""
    if seconds is None:
        return "0s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.3g}{unit}"
    return f"{seconds:.3g}s"
