"""Ties the layers together at import, which knows nothing heavy yet.

Who detects observers, where warnings go while nobody observes, who computes behind a caller's back, and in whose run we may be.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from typing import TYPE_CHECKING

from holdfast import _evidence, events
from holdfast.runtime import context, lookup
from holdfast.tracing.setup.detect import detect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast._evidence import Witness
    from holdfast.policies.cache import CachePolicy
    from holdfast.runtime.context import Scope
    from holdfast.runtime.flight import Landed
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.state import Call
    from holdfast.typing import Entry


def _warn(note: events.Note) -> None:
    """Load what writes warnings when there is a first one, and step aside: this import costs 1 us each time it is passed."""
    _untold.append(note)
    try:
        from holdfast.tracing.logs.text import warn
    except OSError:  # too many files are open, which may be what the warning is about: told with the next one
        return
    if events.fallback is _warn:
        events.fallback = warn
    with contextlib.suppress(IndexError):  # all is told
        while True:
            warn(_untold.popleft())


_untold: deque[events.Note] = deque(maxlen=100)


def _attend(folder: Path, is_recorded: bool) -> Witness:  # noqa: FBT001 - see `_evidence.open_witness`
    """Load what attends a disk cache when there is a first one."""
    from holdfast.recording.attendant import attend

    return attend(folder, is_recorded=is_recorded)


def _look_after(folder: Path, tasks: Sequence[tuple[str, CachePolicy]]) -> None:
    """Load what looks after times to live when there is a first one to look after, and step aside."""
    from holdfast.tuning.autopilot import look_after

    _evidence.look_after = look_after
    look_after(folder, tasks)


def _node() -> Scope | None:
    """The scope of the LangGraph node that runs here. Where LangGraph was never imported, none does."""
    if "langgraph.config" not in sys.modules:
        return None
    from holdfast.langgraph import scope_here

    return scope_here()


def _start_behind(call: Call, entry: Entry | None, *, is_asked_for: bool = False) -> TaskFuture[Landed] | None:
    """Load what computes behind a caller's back, with all that a run needs, when something first does, and step aside."""
    try:
        from holdfast.runtime import behind
    except OSError:  # too many files are open: another time, as where there is no thread
        return None
    lookup.start_behind = behind.start
    return behind.start(call, entry, is_asked_for=is_asked_for)


def _start_probe(call: Call, entry: Entry) -> None:
    """Load what probes, when something first is to be, and step aside."""
    from holdfast.runtime import probing

    lookup.start_probe = probing.start
    probing.start(call, entry)


_evidence.open_witness, _evidence.look_after = _attend, _look_after
context.outside = _node
events.detect = detect
events.fallback = _warn
lookup.start_behind, lookup.start_probe = _start_behind, _start_probe
