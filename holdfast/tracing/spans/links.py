"""Links from holdfast's spans to those of other traces."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, SpanContext, TraceFlags

from holdfast.tracing import convention as names
from holdfast.tracing.spans import carrier

if TYPE_CHECKING:
    from holdfast.events import RunFacts

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def of_run(run: RunFacts) -> tuple[Link, ...]:
    """To the span of the execution that a resumed run goes on from."""
    return to_execution(carrier.origin(run))


def to_execution(origin: tuple[str, str, str] | None) -> tuple[Link, ...]:
    """To the span of an execution, named by run, trace and span id, that another one goes on from."""
    return (link(origin[1], origin[2], names.LINK_RESUMED_FROM),) if origin is not None and origin[1] else ()


@lru_cache(maxsize=1024)  # hits of one entry have the same
def link(trace_id: str, span_id: str, kind: str) -> Link:
    """To a span that ended elsewhere, or long ago."""
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED), {names.LINK_TYPE: kind})
