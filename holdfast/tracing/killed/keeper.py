"""Keeps what is known of open spans with their run, for the case that the process dies.

Spans leave when they end, children before parents; the parents of what left are lost with the process. So a backend's own thread, before it
sends a batch, has the open spans above it kept in the run's outbox, and what it kept of the spans in the batch forgotten, in one commit.
Whatever the moment of a kill: of what left, every open parent is known; and what was about to leave is sent by nobody else, so no id
arrives twice. What has lasted a second is kept as well, so that what hung is there, too, and the run's own span now and then, which
tells when it was last alive.

A call pays nothing for it, and a run in which no call outlives the batch of its children keeps nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from opentelemetry import trace

from holdfast import clock, events
from holdfast.errors import HoldfastError
from holdfast.tracing import convention as names
from holdfast.tracing.killed import under_way
from holdfast.tracing.spans import records
from holdfast.tracing.spans.light_span import LightSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from opentelemetry.context import Context

    from holdfast.events import RunFacts
    from holdfast.tracing.spans.records import SpanRow

MOST_SILENT_NS = 30 * 10**9
"""The longest time between two signs of life; they come more often while a run is young."""
_ABOVE = "_holdfast_above"

_open: WeakValueDictionary[int, Any] = WeakValueDictionary()  # spans of the SDK, by id
_kept: dict[str, RunFacts] = {}  # whose each kept span is


def began(span: Any, context: Context | None) -> None:
    """A span of the SDK begins; remember what it is in, since it knows its parent's ids only."""
    setattr(span, _ABOVE, trace.get_current_span(context))
    _open[span.get_span_context().span_id] = span


def ended(readable: Any) -> None:
    """It has ended, and leaves as another object."""
    span = _open.pop(readable.context.span_id, None)
    if span is not None:
        setattr(readable, _ABOVE, getattr(span, _ABOVE))


class Keeper:
    """Keeps for one backend.

    Args:
        row: Makes a row of a span, ended or not.
    """

    def __init__(self, row: Callable[[Any], SpanRow]) -> None:
        self._row = row
        self._alive: dict[str, int] = {}  # when each run's sign of life was kept
        self.watch = under_way.Watch(self._keep_lasting, row)

    def before(self, spans: Sequence[Any]) -> None:
        """These are about to leave."""
        _forget_ended()
        if not under_way.keeping():
            return
        leaving = {id_of(span) for span in spans}
        changes = {key: _Change(run, above) for key, (run, above) in _above_all(spans, leaving | _kept.keys()).items()}
        for span_id in leaving & _kept.keys():
            run = _kept[span_id]
            changes.setdefault(id(run), _Change(run, {})).gone.append(span_id)
        for change in changes.values():
            rows, steps = self._rows(change.run, change.above), under_way.steps(change.run) if change.above else {}
            _apply(change.run, {row.span_id: _encoded(row, steps) for row in rows}, change.gone)

    def open_rows(self, spans: Sequence[Any]) -> list[SpanRow]:
        """The open spans above these, of runs with a journal: for a backend that can take a span twice."""
        if not under_way.keeping():
            return []
        found = _above_all(spans, {id_of(span) for span in spans})
        return [row for run, above in found.values() for row in self._rows(run, above)]

    def _rows(self, run: RunFacts, above: dict[str, Any]) -> list[SpanRow]:
        now, known = clock.current.time_ns(), under_way.known(run) if above else _nothing
        return [under_way.opened(self._row(span), known(span), now) for span in above.values()]

    def _keep_lasting(self, rows: Iterable[SpanRow]) -> None:
        """What the watch tells: calls that have lasted, once, and their runs each second."""
        self._alive = {span_id: seen for span_id, seen in self._alive.items() if span_id in _kept}
        runs = {run.run_id: run for run in under_way.keeping().copy().values()}
        for row in rows:
            run = runs.get(str(row.attributes.get(names.RUN_ID, "")))
            if run is not None and (row.span_id not in _kept or self._is_due(row)):
                _apply(run, {row.span_id: _encoded(row, under_way.steps(run))}, ())

    def _is_due(self, row: SpanRow) -> bool:
        if row.attributes.get(names.SPAN_TYPE) != "run":
            return False
        silent = row.end_ns - self._alive.get(row.span_id, row.start_ns)
        if silent < min(MOST_SILENT_NS, (row.end_ns - row.start_ns) // 2):
            return False
        self._alive[row.span_id] = row.end_ns
        return True


class _Change:
    def __init__(self, run: RunFacts, above: dict[str, Any]) -> None:
        self.run = run
        self.above = above
        self.gone: list[str] = []


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def _above_all(spans: Iterable[Any], known: AbstractSet[str]) -> dict[int, tuple[RunFacts, dict[str, Any]]]:
    """For each run the open spans above some of its own, by their ids; without those that are ``known``."""
    found: dict[int, tuple[RunFacts, dict[str, Any]]] = {}
    for span in spans:
        for run, each in _open_above(span):
            if (span_id := id_of(each)) not in known:
                found.setdefault(id(run), (run, {}))[1][span_id] = each
    return found


def id_of(span: Any) -> str:
    """16 hex digits."""
    return f"{span.span_id if isinstance(span, LightSpan) else span.get_span_context().span_id:016x}"


def lineage(span: Any) -> list[tuple[int, int]]:
    """A span and all above it in this process, the outermost first: their ids and when they started, nanoseconds since the epoch.

    Returns:
        Nothing when one of them is not known.
    """
    found: list[tuple[int, int]] = []
    while getattr(span, "start_time", None) is not None:  # else there is none, or it is a stand-in that somebody has made current
        found.append((int(id_of(span), 16), span.start_time))
        if span.parent is None or span.parent.is_remote:
            return found[::-1]
        span = _above(span)
    return []


def _forget_ended() -> None:
    """Of a run that has ended nothing is kept: its record says so."""
    alive = {id(run) for run in under_way.keeping().copy().values()}
    for span_id, run in _kept.copy().items():
        if id(run) not in alive:
            _kept.pop(span_id, None)


class Kept(NamedTuple):
    """What is kept of an open span.

    Attributes:
        row: The span.
        step: The step that it is of, by the hex digits of its digest; ``""`` for none.
    """

    row: SpanRow
    step: str


def decode(data: bytes) -> Kept:
    """What was kept."""
    step, row = data.split(b":", 1)
    return Kept(records.decode(row), step.decode())


def _encoded(row: SpanRow, steps: Mapping[Any, str]) -> bytes:
    step = steps.get(row.attributes.get(names.TASK_INDEX), "")
    return f"{step}:".encode() + records.encode(row)


def _apply(run: RunFacts, kept: dict[str, bytes], gone: Sequence[str]) -> None:
    if run.outbox is None:
        return
    try:
        run.outbox.change(kept, gone)
    except HoldfastError as error:  # the run has ended, was taken over, or its store is broken, and the run says that itself
        text = f"open spans of run {run.run_id} are not kept: {error}"
        events.note("holdfast.run.spans_not_kept", events.DEBUG, text, run_id=run.run_id)
        return
    _kept.update(dict.fromkeys(kept, run))
    for span_id in gone:
        _kept.pop(span_id, None)


def _open_above(span: Any) -> Iterable[tuple[RunFacts, Any]]:
    """The spans around one that are open, each with the run that keeps it; a run's own span is kept by its record."""
    inside: list[Any] = []
    above = _above(span)
    while above is not None:
        run = under_way.run_of_span(above)
        if run is not None and run.outbox is not None:
            yield from ((run, each) for each in inside)
            inside.clear()
        elif above.is_recording():
            inside.append(above)
        above = _above(above)


def _above(span: Any) -> Any:
    if not isinstance(span, LightSpan):
        return getattr(span, _ABOVE, None)
    above = span.above
    return above if above is None or isinstance(above, LightSpan) else span.trace.around


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept.clear)  # the parent's
