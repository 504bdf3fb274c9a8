"""Healing: the spans that a killed process left open, made from what was kept of them, ended and marked as crashed.

Ids and start times are the original ones, so that the spans which did leave the process find their parents. They go through the processors
of the tracer provider, as any span that ends does, and so to every backend, whoever makes the spans of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from holdfast import events
from holdfast.tracing import convention as names
from holdfast.tracing.killed import keeper
from holdfast.tracing.killed.crashed import crashed, lost
from holdfast.tracing.spans import attributes, carrier
from holdfast.tracing.spans.readable import readable
from holdfast.tracing.spans.records import SpanRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.events import Remains
    from holdfast.tracing.killed.keeper import Kept
    from holdfast.tracing.spans.carrier import Carrier


def heal(remains: Remains) -> int:
    """Give the open spans of an execution whose process died their end.

    Returns:
        How many there were.
    """
    kept = carrier.read(remains.trace)
    if kept is None or not kept.is_sampled:
        return 0
    rows = rows_of(kept, remains)
    for row in rows:
        emit(row, kept.service)
    many = "a span" if len(rows) == 1 else f"{len(rows)} spans"
    events.note(
        "holdfast.run.healed",
        events.INFO,
        f"the process that was at work on {remains.name} died; {many} of run {remains.run_id} had no end",
        run_id=remains.run_id,
        spans=len(rows),
    )
    return len(rows)


def rows_of(kept: Carrier, remains: Remains) -> list[SpanRow]:
    """The spans, ended: those inside first, the run's own last, as in life."""
    found = {span.row.span_id: span for span in map(keeper.decode, remains.spans.values())}
    seen_ns = max(remains.seen_ns, *(span.row.end_ns for span in found.values()), kept.start_ns)
    root = _root(kept, remains)
    if kept.span_id in found:  # as it was when it last gave a sign of life
        alive = found.pop(kept.span_id).row
        root = replace(alive, links=[*root.links, *alive.links])
    inside = sorted(found.values(), key=lambda span: -span.row.start_ns)
    ended = [_ended(span, remains.steps.get(_step_around(span, found)), seen_ns) for span in inside]
    return [*ended, crashed(root, seen_ns)]


def _ended(span: Kept, end: tuple[str, int] | None, seen_ns: int) -> SpanRow:
    """Crashed, unless the step is on record: then it had ended, and what was lost is its span. How a span of the user's ended in it nobody knows."""
    if end is None:
        return crashed(span.row, seen_ns)
    kind, at_ns = end
    return lost(span.row, kind if span.step else "ok", at_ns)


def _step_around(span: Kept, found: Mapping[str, Kept]) -> str:
    """The step that a span is of, or that it is inside; ``""`` for none."""
    around: Kept | None = span
    while around is not None and not around.step:
        around = found.get(around.row.parent_id)
    return "" if around is None else around.step


def _root(kept: Carrier, remains: Remains) -> SpanRow:
    origin = kept.origin
    shared = attributes.shared(remains.run_id, remains.thread_id, remains.name)
    return SpanRow(
        trace_id=kept.trace_id,
        span_id=kept.span_id,
        parent_id=kept.parent_id,
        name=f"run {remains.name}",
        start_ns=kept.start_ns,
        end_ns=0,
        attributes={names.SPAN_TYPE: "run", **shared, names.CODE_FUNCTION: kept.function, **attributes.resumed_from(origin)},
        links=[] if origin is None or not origin[1] else [(origin[1], origin[2], {names.LINK_TYPE: names.LINK_RESUMED_FROM})],
        is_open=True,
    )


def emit(row: SpanRow, service: str) -> None:
    """Hand an ended span to the processors of the tracer provider, as of the service that began it."""
    provider: Any = trace.get_tracer_provider()
    processors = getattr(provider, "_active_span_processor", None)  # the SDK has no public way to give it a span that was begun elsewhere
    if processors is not None:
        processors.on_end(readable(row, _resource(provider, service)))


def _resource(provider: Any, service: str) -> Resource:
    own: Resource = provider.resource
    return own.merge(Resource({SERVICE_NAME: service})) if service else own
