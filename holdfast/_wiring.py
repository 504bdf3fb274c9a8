"""Ties the layers together at import: who detects observers, and where warnings go while nobody observes. Imports nothing heavy."""

from __future__ import annotations

from holdfast import events
from holdfast.tracing.detect import detect


def _warn(note: events.Note) -> None:
    from holdfast.tracing.text import warn

    warn(note)


events.detect = detect
events.fallback = _warn
