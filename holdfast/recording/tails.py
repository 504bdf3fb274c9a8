"""The end of what a process has written of a task: small segments, one a second, that are made one when they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.recording.store import Segment

FULL = 4096
"""Rows of a segment that grows no further."""
MOST_SMALL = 64
"""Small segments before they are made one, whatever they hold."""


class Tail:
    """The rows of the small segments, kept in memory until they are a full one."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.ids: list[int] = []

    def grown_by(self, rows: list[Any], pack: Callable[[list[Any]], Segment]) -> Addition:
        """What is to be written, so that these are on disk, too.

        Args:
            rows: Further ones.
            pack: Makes a segment.
        """
        if len(self.rows) + len(rows) < FULL and len(self.ids) < MOST_SMALL:
            return Addition(self, rows, pack(rows), [])
        together = [*self.rows, *rows]
        return Addition(self, together, pack(together), self.ids)

    def whole(self, pack: Callable[[list[Any]], Segment]) -> Addition:
        """What is to be written, so that the small segments are one; nothing is added to it any more.

        Args:
            pack: Makes a segment.
        """
        return Addition(self, self.rows, pack(self.rows), self.ids)


class Addition:
    """A segment to be written, and what it takes the place of.

    Attributes:
        change: The segment, and the ids of those that it replaces.
    """

    def __init__(self, tail: Tail, rows: list[Any], segment: Segment, replaced: Sequence[int]) -> None:
        self._tail, self._rows = tail, rows
        self.change = segment, replaced

    def done(self, added: int) -> None:
        """It is on disk, under this id."""
        tail, (_, replaced) = self._tail, self.change
        if len(self._rows) >= FULL:
            tail.rows, tail.ids = [], []
        elif replaced:
            tail.rows, tail.ids = self._rows, [added]
        else:
            tail.rows = [*tail.rows, *self._rows]
            tail.ids = [*tail.ids, added]
