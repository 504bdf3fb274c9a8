"""Joined: light spans on a tracer provider that the application has set.

They are made there as well where nobody could do anything with a span of the SDK that comes to nothing with one of ours: the provider samples
everything, draws ids by chance, has the usual limits, and its span processors are the SDK's two, which do nothing before a span has ended, or
ours. Where one of this is otherwise, or cannot be seen (the SDK has no public names for some of it), all spans are the SDK's.

The processors are looked at with each span, for an application may add one at any time. If that is neither's, all spans are the SDK's from
the next run or call on; it gets those under way when they end, as from the SDK, and so it does the one that begins when it is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from holdfast.tracing.export.exporters import LaneProcessor, RunIdGenerator
from holdfast.tracing.spans.light_span import Outlet
from holdfast.tracing.spans.readable import Later

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.tracing.spans.light_span import LightSpan, Taker

_AT_THE_END = frozenset({BatchSpanProcessor, SimpleSpanProcessor})
_BY_CHANCE = frozenset({RandomIdGenerator, RunIdGenerator})
_EVERYWHERE = getattr(sdk, "_default_tracer_configurator", None)  # older versions have none


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
        self._known: tuple[Any, ...] = _of(processors)
        self.takers = tuple(map(taker, self._known))

    def refresh(self) -> None:
        """Look whether processors were added."""
        if _of(self._holder) is not self._known:
            self._look()

    def _look(self) -> None:
        processors = _of(self._holder)
        self.takers = tuple(map(taker, processors))
        if all(map(is_content, processors)) or self._changed():
            self._known = processors


class _Ended:
    """A span processor that gets nothing but ended spans."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def send(self, span: LightSpan) -> None:
        self._processor.on_end(Later(span))


def taker(processor: Any) -> Taker:
    """How a span processor gets light spans."""
    return processor if isinstance(processor, LaneProcessor) else _Ended(processor)


def is_content(processor: Any) -> bool:
    """Whether a span processor wants nothing but ended spans."""
    return isinstance(processor, LaneProcessor) or type(processor) in _AT_THE_END


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
    has_usual_limits = vars(limits) == vars(sdk.SpanLimits())
    is_everywhere = getattr(provider, "_tracer_configurator", _EVERYWHERE) is _EVERYWHERE
    if not (has_usual_limits and is_everywhere and all(map(is_content, _of(processors)))):
        return None
    return Joined(provider, processors, changed)


def _of(processors: sdk.SynchronousMultiSpanProcessor) -> tuple[Any, ...]:
    """Another tuple each time that one is added."""
    return processors._span_processors  # noqa: SLF001 - there is no public name
