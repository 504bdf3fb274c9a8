"""Runs and calls under way, told to the local trace store before they end.

A span leaves when it ends, so a call that hangs and a run that is killed would leave nothing behind. Therefore the store's own thread looks
once a second, while runs are under way, at those that have lasted that long: a call is told of once, its run each time, so that the row of a
run says until when it was alive. The ended span takes the row's place: what has ended was sent before it, so the same thread writes it later.

A call pays nothing for this. The runtime keeps a run's open calls in any case, and only a run's begin and end are noted here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from weakref import ref

from msgspec.structs import replace

from holdfast import clock
from holdfast.tracing import attributes
from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.events import CallFacts, RunFacts
    from holdfast.tracing.records import SpanRow

LONG_NS = 10**9
"""What has lasted so long is told of."""

_runs: dict[int, RunFacts] = {}
_wakers: list[Callable[[], object]] = []


def begin(run: RunFacts) -> None:
    """A run begins, and has its span."""
    _runs[id(run)] = run
    for wake in _wakers:
        wake()


def end(run: RunFacts) -> None:
    """It ends."""
    _runs.pop(id(run), None)


class Watch:
    """Tells one store.

    Args:
        write: Takes rows.
        row: Makes a row of a span, ended or not.
    """

    def __init__(self, write: Callable[[Sequence[SpanRow]], object], row: Callable[[Any], SpanRow]) -> None:
        self._write = write
        self._row = row
        self._told: dict[int, tuple[ref[RunFacts], set[int]]] = {}

    def start(self, wake: Callable[[], object]) -> None:
        """From now on have ``wake`` called when a run begins."""
        self._wake = wake
        _wakers.append(wake)

    def stop(self) -> None:
        """No more of it."""
        _wakers.remove(self._wake)

    def is_needed(self) -> bool:
        """Whether anything is under way."""
        return bool(_runs)

    def beat(self) -> None:
        """Tell what is to be told now."""
        runs = _runs.copy()
        self._told = {key: told for key, told in self._told.items() if key in runs}
        now = clock.current.time_ns()
        self._write([row for key, run in runs.items() for row in self._rows(run, self._told_of(key, run), now)])

    def _told_of(self, key: int, run: RunFacts) -> set[int]:
        """The calls of a run that were told of. A run that ended may have had the same place in memory, and so the same key."""
        of_run, told = self._told.get(key, (None, set[int]()))
        if of_run is None or of_run() is not run:
            _, told = self._told[key] = (ref(run), set[int]())
        return told

    def _rows(self, run: RunFacts, told: set[int], now: int) -> Iterator[SpanRow]:
        if now - run.started_ns < LONG_NS or run.ended_ns:
            return
        shared = attributes.of_run(run)
        span = _span(run)
        if span is not None:
            yield self._open(span, attributes.run_started(run, shared, "none"), now)
        for call in _calls(run):
            mine = None if call.ended_ns or call.is_body or now - call.started_ns < LONG_NS or call.index in told else _span(call)
            if mine is not None and mine is not span:
                told.add(call.index)
                known = {names.SPAN_TYPE: "task", **shared, names.TASK_NAME: call.name, names.TASK_INDEX: call.index}
                yield self._open(mine, known, now)

    def _open(self, span: Any, known: dict[str, Any], now: int) -> SpanRow:
        row = self._row(span)
        return replace(row, end_ns=now, is_open=True, attributes=known | row.attributes)


def _calls(run: RunFacts) -> list[CallFacts]:
    """The records of the run's calls under way; one that ends meanwhile lets go of its own."""
    return [facts for call in run.open.copy() if (facts := call.facts) is not None]


def _span(facts: RunFacts | CallFacts) -> Any:
    """The span that an observer of ours made, if there is one and somebody records it."""
    span = getattr(facts.memo, "span", facts.memo)
    return span if span is not None and span.is_recording() else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_runs.clear)  # they are the parent's
