"""Which runs of the local trace store somebody wants to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.tracing.spans.records import SpanRow

JUST_NOW_NS = 5 * 10**9
"""A run that was seen under way not longer ago is taken to be still running: it is told of each second."""

STATUSES = ("ok", "error", "cancelled", "interrupted", "crashed", "running", "stopped")
"""``running`` and ``stopped`` have no end recorded: the one gave a sign of life just now, the other did not, so it was killed or stopped."""

_NO_END = {"running": "outcome = '' AND end_ns >= ?", "stopped": "outcome = '' AND end_ns < ?"}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a run must be to be shown; None does not matter.

    Attributes:
        name: Its entrypoint's name, or that of its outermost span.
        thread: Its thread.
        status: One of `STATUSES`.
        since_ns: It started then or later, nanoseconds since the epoch.
        seen_since_ns: It ended, or was last seen under way, then or later.
        task: It called a task of this name.
        folded: Each run once, as its last execution, and nothing that renewed the cache behind a call's back.
    """

    name: str | None = None
    thread: str | None = None
    status: str | None = None
    since_ns: int | None = None
    seen_since_ns: int | None = None
    task: str | None = None
    folded: bool = False

    def condition(self, now_ns: int) -> tuple[str, list[Any]]:
        """All but ``task`` and ``folded``, which are about more than a row, for the end of a WHERE clause on the table ``runs``, and its parameters."""
        parts: list[tuple[str, Any]] = [
            ("name = ?", self.name),
            ("thread_id = ?", self.thread),
            ("start_ns >= ?", self.since_ns),
            ("end_ns >= ?", self.seen_since_ns),
        ]
        if self.status in _NO_END:
            parts.append((_NO_END[self.status], now_ns - JUST_NOW_NS))
        elif self.status == "error":  # also a timeout, and whatever else a span outside runs calls its failure
            parts.append(("failed = ?", 1))
        else:
            parts.append(("outcome = ?", self.status))
        wanted = [(text, value) for text, value in parts if value is not None]
        return "".join(f" AND {text}" for text, _ in wanted), [value for _, value in wanted]

    def fits(self, rows: Iterable[SpanRow]) -> bool:
        """Whether the task is among these spans of the run."""
        return self.task is None or any(row.attributes.get(names.TASK_NAME) == self.task for row in rows)


EVERYTHING = Choice()
