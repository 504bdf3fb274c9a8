"""Outlets: where light spans go, and what the spans of one trace share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from opentelemetry.trace import SpanContext, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import TraceState


FLAGS = TraceFlags(TraceFlags.SAMPLED | getattr(TraceFlags, "RANDOM_TRACE_ID", 0))
"""All flags that the SDK sets, as on a root; older versions have no such second one."""
NO_STATE = SpanContext(1, 1, is_remote=False).trace_state
"""What is passed on where no other tracing system has said anything."""


def _by_its_class(cls: type[SpanContext], parts: tuple[Any, ...]) -> SpanContext:
    return cls(*parts[:-1])


_IS_AS_KNOWN = tuple(SpanContext(1, 2, is_remote=False, trace_flags=FLAGS)) == (1, 2, False, FLAGS, NO_STATE, True)
context_of: Callable[[type[SpanContext], tuple[Any, ...]], SpanContext] = vars(tuple)["__new__"] if _IS_AS_KNOWN else _by_its_class
"""Makes a `SpanContext` of its parts, which are valid: the last of them says so. Its class would check the others, which takes 0.3 us."""


def service_of(resource: Resource) -> str:
    """The name of the program that a resource stands for, or ``""``."""
    return str(resource.attributes.get("service.name", ""))


class Taker(Protocol):
    """Takes ended spans that are sampled."""

    def send(self, span: Any, /) -> object:
        """Take one, a `holdfast.tracing.spans.light_span.LightSpan`; by that type the two modules would need each other."""


class Outlet:
    """Where light spans go.

    Args:
        provider: Whose resource they are of.

    Attributes:
        takers: Take ended spans, one for each backend.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.takers: tuple[Taker, ...] = ()

    def look(self) -> None:
        """A span begins that is inside none of ours: the moment to look whether others want spans by now. Here that is told."""

    def present(self) -> tuple[Taker, ...]:
        """The takers of now."""
        return self.takers

    @property
    def resource(self) -> Resource:
        """What the spans are of; a forked process has another one."""
        return self._provider.resource

    @property
    def service(self) -> str:
        """The name of the program."""
        return service_of(self._provider.resource)


class Trace(msgspec.Struct, eq=False):
    """What the spans of a trace share.

    Attributes:
        outlet: Where they go.
        id: 128 bits.
        flags: OpenTelemetry's; says whether the trace is sampled.
        state: What other tracing systems pass on.
        around: The span of the SDK that the outermost of these spans is in; None for none.
    """

    outlet: Outlet
    id: int
    flags: TraceFlags = FLAGS
    state: TraceState = NO_STATE
    around: trace.Span | None = None
    _hex: str = ""

    @property
    def hex(self) -> str:
        """The id as 32 digits, made once."""
        self._hex = self._hex or f"{self.id:032x}"
        return self._hex
