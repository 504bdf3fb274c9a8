"""Ties the layers together at import: who detects observers, and where warnings go while nobody observes. Imports nothing heavy."""

from __future__ import annotations

from holdfast import events
from holdfast.tracing.detect import detect


def _warn(note: events.Note) -> None:
    """Load what writes warnings when there is a first one, and step aside: this import costs 1 us each time it is passed."""
    from holdfast.tracing.text import warn

    if events.fallback is _warn:
        events.fallback = warn
    warn(note)


events.detect = detect
events.fallback = _warn
