"""Light spans: what holdfast records where nobody looks at a span before it has ended.

A span of the OpenTelemetry SDK costs 16 us and 0.8 us per attribute, because anybody may have a processor, a sampler or a limit in its
way. Where nobody has (`holdfast.tracing.setup._joined` knows when), a span is a small object, begun and ended in 1 us. It becomes a row
of the local store or a `ReadableSpan` on the thread of the backend.

To everybody else it is an ordinary recording span: it is current in OpenTelemetry's context, spans of other libraries become its
children, and what users do to `trace.get_current_span()` has the same effect, with the SDK's own classes for attributes and events.
"""

from __future__ import annotations

import logging
import time
import traceback
import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
from opentelemetry.trace import INVALID_SPAN, Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.tracing import convention as names
from holdfast.tracing.spans import attributes, ids
from holdfast.tracing.spans.outlet import FLAGS, context_of
from holdfast.tracing.spans.records import SpanRow
from holdfast.tracing.spans.stack import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.util import types

    from holdfast.events import AttemptFacts
    from holdfast.tracing.spans.outlet import Trace

LIMIT = 128
"""Attributes, events and links of a span, and attributes of an event: the SDK's defaults. With others there are no light spans."""

SPAN_KEY = next(iter(trace.set_span_in_context(INVALID_SPAN, Context())))
"""Where OpenTelemetry's context holds the current span; found out, since its name is private."""

SCOPE = InstrumentationScope(names.SCOPE, "", names.SCHEMA_URL)
with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # exporters from before there were scopes read it
    _INFO = InstrumentationInfo(names.SCOPE, "", names.SCHEMA_URL)  # pyright: ignore[reportDeprecated]
_UNSET = Status(StatusCode.UNSET)
_KIND = {kind: kind.name.lower() for kind in SpanKind}
_STATUS: dict[StatusCode, Any] = {code: code.name.lower() for code in StatusCode}
NONE: dict[str, Any] = {}
"""No attributes yet."""

Deferred = tuple["Callable[..., dict[str, Any]]", tuple[Any, ...]]
"""Attributes that are worked out on the backend's thread, from arguments that nobody changes."""

_log = logging.getLogger(__name__)


def with_span(span: trace.Span, context: Context) -> Context:
    """``context`` with this span as the current one; `trace.set_span_in_context` copies the context twice."""
    is_all_there_is = not context or (len(context) == 1 and SPAN_KEY in context)  # usually; then nothing needs to be copied: 0.1 us less
    return Context({SPAN_KEY: span} if is_all_there_is else {**context, SPAN_KEY: span})


class LightSpan(trace.Span):
    """A span of holdfast's own; see the module.

    No locks: what a user adds is kept apart from what we know, in the SDK's own containers, and those are put in place atomically.

    Attributes:
        name: Name of the span.
        above: The parent; None for a root.
        trace: The trace.
        span_id: 64 bits.
        kind: The OpenTelemetry span kind.
        start_time: Nanoseconds since the epoch.
        end_time: The same; None until the end.
        opening: What we knew at the start.
        added: What users have added, if any.
        closing: What we knew at the end, or a function and its arguments that tell. It wins over what users have added, which wins over
            what we knew at the start.
        events: Events, if any.
        links: Links, if any.
        status: Unset, or an error and what it says.
        token: Restores the context of before.
        attempt: The attempt that has no span of its own.
        attempt_token: Restores the context of before the attempt whose span it is.
        error_types: Of the failed attempts so far.
    """

    # What every span has is in slots, what few have in the instance's dict, which is made when something is put there: 0.4 us less.
    __slots__ = ("_context", "above", "attempt_token", "closing", "end_time", "kind", "name", "opening", "span_id", "start_time", "trace")

    added: BoundedAttributes | None = None
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    status: Status = _UNSET
    token: Token[Context] | None = None
    attempt: AttemptFacts | None = None
    error_types: tuple[str, ...] = ()

    def __init__(self, name: str, trace_: Trace, above: LightSpan | SpanContext | None, kind: SpanKind, start_time: int) -> None:
        """Begin."""
        self.name = name
        self.trace = trace_
        self.above = above
        self.span_id = ids.draw(64) or 1
        self.kind = kind
        self.start_time = start_time
        self.end_time: int | None = None
        self.opening: dict[str, Any] = NONE
        self.closing: dict[str, Any] | Deferred = NONE
        self.attempt_token: Token[Context] | None = None
        self._context: SpanContext | None = None

    # -- ours -------------------------------------------------------------------------------------------------------------------------

    def ids(self) -> tuple[str, str]:
        """Trace and span id in hex."""
        return self.trace.hex, f"{self.span_id:016x}"

    def closing_of(self, opening: dict[str, Any]) -> dict[str, Any]:
        """What we know by now; what we knew at the start is kept apart only if a user may have replaced it since."""
        if self.added is None:
            self.opening, known = NONE, opening
        else:
            self.opening, known = opening, {}
        if self.attempt is not None:
            attributes.attempt_started(known, self.attempt)
            attributes.attempt_ended(known, self.attempt)
        return known

    def close(self, known: dict[str, Any] | Deferred, end_time: int) -> None:
        """End, with attributes that need no check, and hand over to the backends; once, should Ctrl-C come meanwhile."""
        if self.closing is not NONE:
            return
        self.closing = known
        self.end_time = self.end_time or end_time or time.time_ns()
        if self.attempt is not None:
            self.attempt = None
        if (flags := self.trace.flags) is FLAGS or flags & TraceFlags.SAMPLED:
            for taker in self.trace.outlet.present():
                taker.send(self)

    def row(self) -> SpanRow:
        """As the local store keeps it."""
        known = self.known()
        return SpanRow(
            self.trace.hex,
            f"{self.span_id:016x}",
            "" if self.above is None else f"{self.above.span_id:016x}",
            self.name,
            self.start_time,
            self.end_time or 0,
            _STATUS[self.status.status_code],
            self.status.description or "",
            known if isinstance(known, dict) else dict(known),
            [(event.name, event.timestamp, dict(event.attributes or {})) for event in self.events],
            [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", dict(link.attributes or {})) for link in self.links],
            kind=_KIND[self.kind],
            service=self.trace.outlet.service,
        )

    def readable(self) -> ReadableSpan:
        """As exporters take it."""
        return ReadableSpan(
            self.name,
            self.get_span_context(),
            self.parent,
            self.resource,
            known if isinstance(known := self.known(), BoundedAttributes) else known.copy(),  # what exporters get may be copied, too
            self.events,
            self.links,
            self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_info=_INFO,
            instrumentation_scope=SCOPE,
        )

    def known(self) -> dict[str, Any] | BoundedAttributes:
        """All attributes, for reading only."""
        closing = self.closing
        if isinstance(closing, tuple):
            closing = self.closing = closing[0](*closing[1])
        if self.added is None:
            return closing if self.opening is NONE else {**self.opening, **closing}
        every = BoundedAttributes(LIMIT, self.opening, immutable=False)
        every.update(self.added)
        every.update(closing)
        every.dropped += self.added.dropped
        return every

    @property
    def resource(self) -> Resource:
        """What it is of."""
        return self.trace.outlet.resource

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All attributes; before the end those that users have set."""
        return MappingProxyType(self.known())

    @property
    def parent(self) -> SpanContext | None:
        """The parent's context; None for a root."""
        return self.above.get_span_context() if isinstance(self.above, LightSpan) else self.above

    @property
    def context(self) -> SpanContext:
        """As `get_span_context`."""
        return self.get_span_context()

    instrumentation_scope = SCOPE  # from here on what else the SDK's spans have to be read: a `__getattr__` would slow down each attribute
    instrumentation_info = _INFO

    @property
    def dropped_attributes(self) -> int:
        """How many had no room, as for events and links."""
        return self.readable().dropped_attributes

    @property
    def dropped_events(self) -> int:
        """See there."""
        return self.readable().dropped_events

    @property
    def dropped_links(self) -> int:
        """See there."""
        return self.readable().dropped_links

    def to_json(self, indent: int | None = 4) -> str:
        """The span as JSON."""
        return str(self.readable().to_json(indent))

    # -- what users may do to the current span ----------------------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """Its ids, made when somebody asks: the children, say, of a span that is exported."""
        context = self._context
        if context is None:
            shared = self.trace
            context = self._context = context_of(SpanContext, (shared.id, self.span_id, False, shared.flags, shared.state, True))
        return context

    def is_recording(self) -> bool:
        """True until it ends, in a trace that is sampled."""
        return self.end_time is None and bool(self.trace.flags & TraceFlags.SAMPLED)

    def set_attribute(self, key: str, value: types.AnyValue) -> None:
        """Add or replace an attribute."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, types.AnyValue]) -> None:
        """Add or replace attributes, checked and limited by the SDK's own class."""
        if not self._has_ended("set_attributes"):
            added: BoundedAttributes = vars(self).setdefault("added", BoundedAttributes(LIMIT, immutable=False))
            checked = BoundedAttributes(LIMIT, attributes)
            added.update(checked)
            added.dropped += checked.dropped

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if not self._has_ended("add_event"):
            events: BoundedList[Event] = vars(self).setdefault("events", BoundedList(LIMIT))
            events.append(Event(name, BoundedAttributes(LIMIT, attributes), timestamp))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Add a link."""
        if (context.is_valid or attributes or context.trace_state) and not self._has_ended("add_link"):
            links: BoundedList[Link] = vars(self).setdefault("links", BoundedList(LIMIT))
            links.append(Link(context, BoundedAttributes(LIMIT, attributes)))

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if not self._has_ended("update_name"):
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, and UNSET changes nothing."""
        wanted = status if isinstance(status, Status) else Status(status, description)
        if description is not None and wanted is status:
            _log.warning("Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description)
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
        """Fix the end. The span leaves when the run, call or attempt that it stands for has ended."""
        if not self._has_ended("end"):
            self.end_time = time.time_ns() if end_time is None else end_time

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End it, after an error with that, as the SDK does."""
        if error is not None and self.is_recording():
            self.record_exception(error, escaped=True)
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self.end()

    def _has_ended(self, what: str) -> bool:
        if self.end_time is None:
            return False
        _log.warning("Tried calling %s on an ended span.", what)
        return True
