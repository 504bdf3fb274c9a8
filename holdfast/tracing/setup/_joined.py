"""Joined: light spans on a tracer provider that the application has set.

They are made there as well where nobody looks at a span before its end: the provider samples everything, draws ids by chance, has the usual
limits, and its span processors are the SDK's two, which do nothing before a span has ended, or ours. Where one of this is otherwise, or
cannot be seen (the SDK has no public names for some of it), all spans are the SDK's.

The processors are looked at with each span, for an application may add one at any time. If that is neither's, all spans are the SDK's from
the next run or call on; it gets those under way when they end, as from the SDK, and so it does the one that begins when it is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from holdfast.tracing.export.exporters import LaneProcessor, RunIdGenerator
from holdfast.tracing.spans.outlet import Outlet
from holdfast.tracing.spans.readable import Later

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.tracing.spans.light_span import LightSpan
    from holdfast.tracing.spans.outlet import Taker

_AT_THE_END = frozenset({BatchSpanProcessor, SimpleSpanProcessor})
_BY_CHANCE = frozenset({RandomIdGenerator, RunIdGenerator})
_EVERYWHERE = getattr(sdk, "_default_tracer_configurator", None)  # older versions have none
_BEFORE_THE_END = frozenset({"on_start", "_on_ending"})


class _Seen(NamedTuple):
    """Span processors, what was put on each of them itself, and what takes light spans for them."""

    processors: tuple[Any, ...]
    own: tuple[dict[str, Any], ...]
    takers: tuple[Taker, ...]


class Joined(Outlet):
    """Where light spans go that are made on an application's tracer provider.

    Args:
        provider: The provider.
        processors: Holds its span processors.
        changed: Called when there is one that wants spans of the SDK. Returns False if it could do nothing now, and is to be called again.
    """

    def __init__(self, provider: sdk.TracerProvider, processors: sdk.SynchronousMultiSpanProcessor, changed: Callable[[], bool]) -> None:
        super().__init__(provider)
        self._holder = processors
        self._changed = changed
        self._is_over = False
        self._seen = _seen(_of(processors))

    def look(self) -> None:
        """Whether processors were added, or one of them has begun to look at spans that begin."""
        seen = self._seen  # once: another thread may put the next one there
        is_same = seen.processors is self._holder._span_processors  # noqa: SLF001 - see `_of`
        for own in seen.own:
            is_same = is_same and "on_start" not in own
        if not (is_same or self._is_over):
            self._see()

    def present(self) -> tuple[Taker, ...]:
        """The takers of now; also of what was added since the span began."""
        seen = self._seen
        return seen.takers if seen.processors is self._holder._span_processors else self._see().takers  # noqa: SLF001 - see `_of`

    def _see(self) -> _Seen:
        seen = _seen(_of(self._holder))
        are_content = all(map(is_content, seen.processors))
        if not (are_content or self._is_over):
            self._is_over = self._changed()
        if are_content or self._is_over:
            self._seen = seen
        return seen


class _Ended:
    """Span processors that get nothing but ended spans: all of them the same object, as from the SDK."""

    def __init__(self, processors: tuple[Any, ...]) -> None:
        self._processors = processors

    def send(self, span: LightSpan) -> None:
        later = Later(span)
        for processor in self._processors:
            processor.on_end(later)


def _seen(processors: tuple[Any, ...]) -> _Seen:
    return _Seen(processors, tuple(map(_own, processors)), takers(processors))


def takers(processors: tuple[Any, ...]) -> tuple[Taker, ...]:
    """What takes light spans for some span processors."""
    ours = tuple(each for each in processors if isinstance(each, LaneProcessor))
    others = tuple(each for each in processors if not isinstance(each, LaneProcessor))
    return (*ours, _Ended(others)) if others else ours


def is_content(processor: object) -> bool:
    """Whether a span processor wants nothing but ended spans: not if somebody has put another ``on_start`` on it."""
    return isinstance(processor, LaneProcessor) or (type(processor) in _AT_THE_END and _BEFORE_THE_END.isdisjoint(_own(processor)))


def _own(processor: object) -> dict[str, Any]:
    return getattr(processor, "__dict__", {})


def joined(provider: Any, changed: Callable[[], bool]) -> Joined | None:
    """The outlet for light spans on an application's tracer provider; None where all spans must be the SDK's.

    Args:
        provider: The provider.
        changed: See `Joined`.
    """
    if type(provider) is not sdk.TracerProvider or provider.sampler is not DEFAULT_ON or type(provider.id_generator) not in _BY_CHANCE:
        return None
    limits, processors = getattr(provider, "_span_limits", None), getattr(provider, "_active_span_processor", None)
    if type(limits) is not sdk.SpanLimits or type(processors) is not sdk.SynchronousMultiSpanProcessor:
        return None
    if type(getattr(processors, "_span_processors", None)) is not tuple:
        return None
    has_usual_limits = vars(limits) == vars(sdk.SpanLimits())
    is_everywhere = getattr(provider, "_tracer_configurator", _EVERYWHERE) is _EVERYWHERE
    if not (has_usual_limits and is_everywhere and all(map(is_content, _of(processors)))):
        return None
    return Joined(provider, processors, changed)


def _of(processors: sdk.SynchronousMultiSpanProcessor) -> tuple[Any, ...]:
    """Another tuple each time that one is added."""
    return processors._span_processors  # noqa: SLF001 - there is no public name
