"""Spans as exporters and processors of the OpenTelemetry SDK take them: a stored one, and a light one that has just ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.tracing import convention as names
from holdfast.tracing.spans.light_span import SCOPE

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from holdfast.tracing.spans.light_span import LightSpan
    from holdfast.tracing.spans.records import SpanRow

_SOMEBODYS = InstrumentationScope("")  # the store does not know which library's they are
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def readable(row: SpanRow, resource: Resource) -> ReadableSpan:
    """With its own ids and times.

    Args:
        row: The span; one that has not ended ends when it was last seen.
        resource: What it is of.
    """
    is_run = row.attributes.get(names.SPAN_TYPE) == "run"
    return ReadableSpan(
        row.name,
        _context(row.trace_id, row.span_id),
        _context(row.trace_id, row.parent_id, is_remote=is_run) if row.parent_id else None,
        resource,
        row.attributes,
        [Event(name, attributes, time) for name, time, attributes in row.events],
        [Link(_context(trace_id, span_id, is_remote=True), attributes) for trace_id, span_id, attributes in row.links],
        SpanKind[row.kind.upper()],
        status=Status(StatusCode[row.status.upper()], row.status_text or None),
        start_time=row.start_ns,
        end_time=row.end_ns,
        instrumentation_scope=SCOPE if names.SPAN_TYPE in row.attributes else _SOMEBODYS,
    )


def _context(trace_id: str, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=_SAMPLED)


class Later(ReadableSpan):
    """A light span that has ended, for a processor of the SDK: what is more than its ids is worked out when somebody looks.

    That is the exporter, on its own thread. From then on it has everything that any other has, and lets go of the light span.

    Args:
        light: The span.
    """

    __slots__ = ("_context",)  # in a slot for the sake of `context`, below

    def __init__(self, light: LightSpan) -> None:  # no super().__init__: see __getattr__
        self._context = light.get_span_context()
        self._light = light

    def __getattr__(self, name: str) -> Any:
        """What is not there yet."""
        known = vars(self)
        light: LightSpan | None = known.get("_light")
        if light is not None:
            for each, value in vars(light.readable()).items():
                known.setdefault(each, value)  # what an exporter has put there meanwhile stays
            known.pop("_light", None)
        if name not in known:  # another thread may have worked it out meanwhile
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=self)
        return known[name]


# The slot itself, instead of the SDK's property: its processors read that on the caller's thread, and an exporter may put another one there.
_slot: Any = Later._context  # type: ignore[misc]  # noqa: SLF001 - its own
Later.context = _slot  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue]
