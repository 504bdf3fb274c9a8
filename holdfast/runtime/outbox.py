"""Outbox: spans under way, kept in a run's journal, so that whoever goes on after a dead process can give them their end.

Only what somebody would miss is kept: a span whose children have left the process, and what has lasted long. The observer decides that, on a
thread of its own; the runtime gives it a place. A span is a step of kind ``open``, named by its id, that no body ever asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import clock
from holdfast.typing import StepId, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdfast.runtime.journal import Journal

KIND = "open"
_SCOPE = b"open span"


class Outbox:
    """The spans of one run.

    Args:
        journal: The run's.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def change(self, kept: Mapping[str, bytes], gone: Iterable[str]) -> None:
        """Keep spans that are open, and forget some that are about to leave; done when this returns.

        Args:
            kept: What is known of each, by its id.
            gone: Ids.

        Raises:
            StoreError: Nothing of it was done.
            ThreadBusyError: The run has ended, or somebody else owns its thread now.
        """
        now = clock.current.time()
        self._journal.keep_beside(tuple(StepRecord(place(each), KIND, data, at=now) for each, data in kept.items()), places(gone))


def place(span_id: str) -> StepId:
    """Where what is known of a span stands."""
    return StepId(_SCOPE, span_id, b"", 0)


def places(span_ids: Iterable[str]) -> tuple[StepId, ...]:
    """Where what is known of them stands."""
    return tuple(place(each) for each in span_ids)


def open_spans(steps: Iterable[StepRecord]) -> dict[str, bytes]:
    """What is known of each open span, by its id."""
    return {record.step.name: record.payload for record in steps if record.kind == KIND}


def without_spans(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """The steps that a body asks for."""
    return [record for record in steps if record.kind != KIND]
