"""One readable line per event: ``12:01:02.345 WARNING holdfast.retry.scheduled task=forecast attempt=1 wait_s=0.4``.

Values that hold anything but plain printable characters are quoted and escaped, so no value, name or message can forge a second line
or reach the terminal as a control code.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from holdfast.events import ERROR, WARNING
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.redact import printable, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.events import Note

_VALUE_LIMIT = 1000
_BREAKS = frozenset(" \"='\\")


def line(when: str, level: str, event: str, fields: Iterable[tuple[str, Any]]) -> str:
    r"""Put a line together.

    >>> line("12:01:02.345", "warning", "holdfast.task.failed", [("task", "forecast"), ("error", "bad\nnews")])
    '12:01:02.345 WARNING holdfast.task.failed task=forecast error="bad\\nnews"'
    """
    pairs = "".join(f" {printable(str(name))}={value(item)}" for name, item in fields)
    return f"{when} {level.upper():<7} {printable(event)}{pairs}"


def value(item: Any) -> str:
    """One value, at most a thousand characters, quoted when it is not one plain word."""
    if isinstance(item, float):
        return f"{item:.6g}"
    text = (item if isinstance(item, str) else str(item))[:_VALUE_LIMIT]
    if not text.isprintable():
        return json.dumps(text).replace("\x7f", "\\u007f")
    return text if text and _BREAKS.isdisjoint(text) else json.dumps(text, ensure_ascii=False)


class _Warning:
    """A note as a plain line; secrets are looked for where the line is written, not where the call waits (10 us)."""

    __slots__ = ("event", "level", "text")

    def __init__(self, level: str, text: str, event: str) -> None:
        self.level = level
        self.text = text
        self.event = event

    def __str__(self) -> str:
        return f"holdfast {self.level}: {scrub(self.text)} [{self.event}]"


def warn(note: Note) -> None:
    """Tell a note of WARNING or above on stderr, one plain line: what `holdfast.events.fallback` is while nobody observes.

    Never blocks and never raises, whatever has become of stderr.

    Args:
        note: The note.
    """
    if note.level >= WARNING:
        firewall.stderr(_Warning("ERROR" if note.level >= ERROR else "WARNING", note.text, note.event))
