"""Light spans: what holdfast records where every span goes to backends of its own.

A span of the OpenTelemetry SDK costs 16 us and 0.8 us per attribute, because anybody may have a processor, a sampler or a limit in its
way. Where the tracer provider is ours, samples everything and has our processors only, nobody has: then a span is a small object,
begun and ended in 1 to 2 us. It becomes a row of the local store or a `ReadableSpan` on the thread of the backend.

To everybody else it is an ordinary recording span: it is current in OpenTelemetry's context, spans of other libraries become its
children, and what users do to `trace.get_current_span()` has the same effect, with the SDK's own classes for attributes and events.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.tracing import convention as names
from holdfast.tracing import ids
from holdfast.tracing.records import SpanRow
from holdfast.tracing.stack import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util import types

LIMIT = 128
"""Attributes, events and links of a span, and attributes of an event: the SDK's defaults. With others there are no light spans."""

SPAN_KEY = next(iter(trace.set_span_in_context(INVALID_SPAN, Context())))
"""Where OpenTelemetry's context holds the current span; found out, since its name is private."""

SCOPE = InstrumentationScope(names.SCOPE, "", names.SCHEMA_URL)
_OF_ROOT = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
_UNSET = Status(StatusCode.UNSET)
_NONE: dict[str, Any] = {}
_log = logging.getLogger(__name__)


class LightSpan(trace.Span):
    """A span of holdfast's own; see the module.

    No locks: what a user adds is kept apart from what we know, in the SDK's own containers, and those are put in place atomically.

    Attributes:
        name: Name of the span.
        above: The parent; None for a root.
        trace_id: 128 bits.
        span_id: 64 bits.
        trace_flags: What the trace says of sampling.
        trace_state: What the trace passes on.
        kind: The OpenTelemetry span kind.
        start_time: Nanoseconds since the epoch.
        end_time: The same; None until the end.
        opening: What we knew at the start.
        added: What users have added, if any.
        closing: What we knew at the end; it wins over what users have added, which wins over what we knew at the start.
        events: Events, if any.
        links: Links, if any.
        status: Unset, or an error and what it says.
    """

    end_time: int | None = None
    added: BoundedAttributes | None = None
    closing: dict[str, Any] = _NONE
    events: Sequence[Event] = ()
    status: Status = _UNSET

    def __init__(
        self,
        tracer: LightTracer,
        name: str,
        parent: LightSpan | SpanContext | None,
        kind: SpanKind,
        opening: dict[str, Any],
        links: Sequence[Link],
        start_time: int,
        trace_id: int,
    ) -> None:
        """Begin; use `LightTracer.start_span`."""
        self._tracer = tracer
        self.name = name
        self.above = parent
        self.trace_id = trace_id
        self.span_id = ids.draw(64) or 1
        if parent is None:
            self.trace_flags: TraceFlags = _OF_ROOT
            self.trace_state: Any = None
        else:
            self.trace_flags = parent.trace_flags
            self.trace_state = parent.trace_state
        self.kind = kind
        self.opening = opening
        self.links = links
        self.start_time = start_time

    # -- ours -------------------------------------------------------------------------------------------------------------------------

    def close(self, known: dict[str, Any], end_time: int) -> None:
        """End, with attributes that need no check, and hand over to the backends. Nothing if a user has ended it."""
        if self.end_time is None:
            self.closing = known
            self.end_time = end_time or time.time_ns()
            for send in self._tracer.sends:
                send(self)

    def row(self) -> SpanRow:
        """As the local store keeps it."""
        above = self.above
        status = self.status
        return SpanRow(
            f"{self.trace_id:032x}",
            f"{self.span_id:016x}",
            "" if above is None else f"{above.span_id:016x}",
            self.name,
            self.start_time,
            self.end_time or 0,
            "unset" if status is _UNSET else _STATUS[status.status_code],
            status.description or "",
            dict(self.attributes),
            [(event.name, event.timestamp, dict(event.attributes or {})) for event in self.events],
            [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", dict(link.attributes or {})) for link in self.links],
        )

    def readable(self) -> ReadableSpan:
        """As exporters take it."""
        return ReadableSpan(
            self.name,
            self.get_span_context(),
            self.parent,
            self._tracer.resource,
            self.attributes,
            self.events,
            self.links,
            self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=SCOPE,
        )

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All attributes, in the order in which they came."""
        if self.added is None:
            return {**self.opening, **self.closing}
        every = BoundedAttributes(LIMIT, self.opening, immutable=False)
        every.update(self.added)
        every.update(self.closing)
        return every

    @property
    def parent(self) -> SpanContext | None:
        """The parent's context; None for a root."""
        return self.above.get_span_context() if isinstance(self.above, LightSpan) else self.above

    # -- what users may do to the current span ----------------------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """Its ids; made anew at each call, because most spans are never asked."""
        return SpanContext(self.trace_id, self.span_id, is_remote=False, trace_flags=self.trace_flags, trace_state=self.trace_state)

    def is_recording(self) -> bool:
        """True until it ends."""
        return self.end_time is None

    def set_attribute(self, key: str, value: types.AnyValue) -> None:
        """Add or replace an attribute."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, types.AnyValue]) -> None:
        """Add or replace attributes, checked and limited by the SDK's own class."""
        if not self._has_ended("set_attributes"):
            added: BoundedAttributes = self.__dict__.setdefault("added", BoundedAttributes(LIMIT, immutable=False))
            added.update(BoundedAttributes(LIMIT, attributes))

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if not self._has_ended("add_event"):
            events: BoundedList = self.__dict__.setdefault("events", BoundedList(LIMIT))
            events.append(Event(name, BoundedAttributes(LIMIT, attributes), timestamp))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Add a link."""
        if (context.is_valid or attributes or context.trace_state) and not self._has_ended("add_link"):
            self.links = BoundedList.from_seq(LIMIT, (*self.links, Link(context, BoundedAttributes(LIMIT, attributes))))

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if not self._has_ended("update_name"):
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, and UNSET changes nothing."""
        wanted = status if isinstance(status, Status) else Status(status, description)
        is_final = self.status.status_code is StatusCode.OK or wanted.status_code is StatusCode.UNSET
        if not self._has_ended("set_status") and not is_final:
            self.status = wanted

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
    ) -> None:
        """Add an exception event, as the SDK does."""
        known: dict[str, Any] = {
            names.EXCEPTION_TYPE: type_name(exception),
            names.EXCEPTION_MESSAGE: str(exception),
            names.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
            **(attributes or {}),
        }
        self.add_event(names.EVENT_EXCEPTION, known, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it; holdfast does so when the run, call or attempt has ended."""
        if not self._has_ended("end"):
            self.close(_NONE, time.time_ns() if end_time is None else end_time)

    def _has_ended(self, what: str) -> bool:
        if self.end_time is None:
            return False
        _log.warning("Tried calling %s on an ended span.", what)
        return True


_STATUS: dict[StatusCode, Any] = {code: code.name.lower() for code in StatusCode}


def with_span(span: trace.Span, context: Context) -> Context:
    """``context`` with this span as the current one; `trace.set_span_in_context` copies the context twice."""
    return Context({**context, SPAN_KEY: span})


class LightTracer:
    """Makes light spans, as long as nobody else wants to see them.

    Args:
        provider: Whose resource the spans are of.

    Attributes:
        sends: Take ended spans, one for each backend.
        instead: Makes the spans when not None: the SDK's tracer, once somebody has added a processor of their own.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.sends: tuple[Callable[[LightSpan], object], ...] = ()
        self.instead: trace.Tracer | None = None

    @property
    def resource(self) -> Resource:
        """What all spans are of; a forked process has another one."""
        return self._provider.resource

    def start_span(
        self,
        name: str,
        context: Context,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, Any] = _NONE,
        links: Sequence[Link] = (),
        start_time: int | None = None,
    ) -> trace.Span:
        """Begin a span; one that records nothing below a parent that is not sampled.

        Args:
            name: Its name.
            context: Where its parent is current.
            kind: The OpenTelemetry span kind.
            attributes: What is known and needs no check; taken over, not copied.
            links: Links.
            start_time: Nanoseconds since the epoch; None is now.
        """
        if self.instead is not None:
            return self.instead.start_span(name, context, kind, attributes, links, start_time)
        started = time.time_ns() if start_time is None else start_time
        parent = context.get(SPAN_KEY)
        if isinstance(parent, LightSpan):
            return LightSpan(self, name, parent, kind, attributes, links, started, parent.trace_id)
        above = trace.get_current_span(context).get_span_context()
        if not above.is_valid:
            return LightSpan(self, name, None, kind, attributes, links, started, ids.new_trace_id())
        if above.trace_flags.sampled:
            return LightSpan(self, name, above, kind, attributes, links, started, above.trace_id)
        own = ids.new_span_id()
        return NonRecordingSpan(SpanContext(above.trace_id, own, is_remote=False, trace_flags=above.trace_flags, trace_state=above.trace_state))
