"""Ties the layers together at import: who detects observers, where warnings go while nobody observes, who computes behind a caller's back.

Imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import _evidence, events
from holdfast.runtime import behind, lookup
from holdfast.tracing.detect import detect

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast._evidence import Witness


def _warn(note: events.Note) -> None:
    """Load what writes warnings when there is a first one, and step aside: this import costs 1 us each time it is passed."""
    from holdfast.tracing.text import warn

    if events.fallback is _warn:
        events.fallback = warn
    warn(note)


def _attend(folder: Path, is_recorded: bool) -> Witness:  # noqa: FBT001 - see `_evidence.open_witness`
    """Load what attends a disk cache when there is a first one."""
    from holdfast.recording.attendant import attend

    return attend(folder, is_recorded=is_recorded)


_evidence.open_witness = _attend
events.detect = detect
events.fallback = _warn
lookup.start_behind = behind.start
