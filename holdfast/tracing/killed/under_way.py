"""Runs and calls under way, told to the local trace store before they end.

A span leaves when it ends, so a call that hangs and a run that is killed would leave nothing behind. Therefore the store's own thread looks
once a second, while runs are under way, at those that have lasted that long: a call and its attempts are told of once, their run each time, so that the row of a
run says until when it was alive. The ended span takes the row's place: what has ended was sent before it, so the same thread writes it later.

A call pays nothing for this. The runtime keeps a run's open calls in any case, and only a run's begin and end are noted here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from weakref import ref

from msgspec.structs import replace

from holdfast import clock
from holdfast.tracing import convention as names
from holdfast.tracing.spans import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.events import AttemptFacts, CallFacts, RunFacts
    from holdfast.tracing.spans.records import SpanRow

LONG_NS = 10**9
"""What has lasted so long is told of."""

_runs: dict[int, RunFacts] = {}
_keeping: dict[int, RunFacts] = {}
_wakers: list[Callable[[], object]] = []


def begin(run: RunFacts) -> None:
    """A run begins, and has its span."""
    _runs[id(run)] = run
    if run.outbox is not None and (span := _span(run)) is not None:
        _keeping[span.get_span_context().span_id] = run
    for wake in _wakers:
        wake()


def end(run: RunFacts) -> None:
    """It ends."""
    _runs.pop(id(run), None)
    if run.outbox is not None and (span := getattr(run.memo, "span", run.memo)) is not None:
        _keeping.pop(span.get_span_context().span_id, None)


def run_of_span(span: Any) -> RunFacts | None:
    """The run under way whose own span this is, if it keeps its open spans."""
    return _keeping.get(span.get_span_context().span_id)


def keeping() -> dict[int, RunFacts]:
    """The runs under way that keep their open spans, by the ids of their own."""
    return _keeping


class Watch:
    """Tells one store.

    Args:
        write: Takes rows.
        row: Makes a row of a span, ended or not.
    """

    def __init__(self, write: Callable[[Sequence[SpanRow]], object], row: Callable[[Any], SpanRow]) -> None:
        self._write = write
        self._row = row
        self._told: dict[int, tuple[ref[RunFacts], set[tuple[int, int]]]] = {}

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

    def _told_of(self, key: int, run: RunFacts) -> set[tuple[int, int]]:
        """The calls of a run that were told of. A run that ended may have had the same place in memory, and so the same key."""
        of_run, told = self._told.get(key, (None, set[tuple[int, int]]()))
        if of_run is None or of_run() is not run:
            _, told = self._told[key] = (ref(run), set[tuple[int, int]]())
        return told

    def _rows(self, run: RunFacts, told: set[tuple[int, int]], now: int) -> Iterator[SpanRow]:
        if now - run.started_ns < LONG_NS or run.ended_ns:
            return
        span = _span(run)
        if span is not None:
            yield self._open(span, attributes.run_started(run, attributes.of_run(run), "none"), now)
        for call, attempt in _calls(run):
            mine = None if call.ended_ns or call.is_body or now - call.started_ns < LONG_NS else _span(call)
            if mine is None or mine is span:
                continue
            if (call.index, 0) not in told:
                told.add((call.index, 0))
                yield self._open(mine, _of_call(call, attempt), now)
            inner = None if attempt is None or (call.index, attempt.number) in told else _span(attempt)
            if attempt is not None and inner is not None and inner is not mine:
                told.add((call.index, attempt.number))
                yield self._open(inner, _of_attempt(attempt), now)

    def _open(self, span: Any, known: dict[str, Any], now: int) -> SpanRow:
        return opened(self._row(span), known, now)


def opened(row: SpanRow, known: dict[str, Any], now: int) -> SpanRow:
    """The row of a span that has not ended, as it is told at ``now``; a light span has few attributes until its end."""
    return replace(row, end_ns=now, is_open=True, attributes=known | row.attributes)


def known(run: RunFacts) -> Callable[[Any], dict[str, Any]]:
    """What the spans of a run's calls under way, and of their attempts, will say at least."""
    of_span: dict[int, dict[str, Any]] = {}
    for call, attempt in _calls(run):
        if attempt is not None:
            of_span[id(_span(attempt))] = _of_attempt(attempt)
        of_span[id(_span(call))] = _of_call(call, attempt)
    return lambda span: of_span.get(id(span), {})


def steps(run: RunFacts) -> dict[int, str]:
    """The digests, in hex, of the recorded steps that the run's calls under way will be, by their index."""
    return {
        facts.index: step.digest().hex()
        for call in run.open.copy()
        if (facts := call.facts) is not None and (step := call.step) is not None
    }


def _of_call(call: CallFacts, attempt: AttemptFacts | None = None) -> dict[str, Any]:
    """What is known of a call, and of its attempt where it is its own."""
    shared = {} if call.run is None else attributes.of_run(call.run)
    known = {names.SPAN_TYPE: "task", **shared, names.TASK_NAME: call.name, names.TASK_INDEX: call.index}
    if attempt is not None and _span(attempt) is _span(call):
        known[names.ATTEMPT_NUMBER] = attempt.number
    return known


def _of_attempt(attempt: AttemptFacts) -> dict[str, Any]:
    return {**_of_call(attempt.call), names.SPAN_TYPE: "attempt", names.ATTEMPT_NUMBER: attempt.number}


def _calls(run: RunFacts) -> list[tuple[CallFacts, AttemptFacts | None]]:
    """The records of the run's calls under way, and of their attempts; a call that ends meanwhile lets go of its own."""
    return [records for call in run.open.copy() if (records := call.records())[0] is not None]


def _span(facts: RunFacts | CallFacts | AttemptFacts) -> Any:
    """The span that an observer of ours made, if there is one and somebody records it."""
    span = getattr(facts.memo, "span", facts.memo)
    return span if span is not None and span.is_recording() else None


if hasattr(os, "register_at_fork"):
    for of_the_parent in (_runs, _keeping):
        os.register_at_fork(after_in_child=of_the_parent.clear)
