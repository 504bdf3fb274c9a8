"""The span processor that `KeepInteresting.wrap` makes, for a tracer provider of the application's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from holdfast.tracing.sampling.held import Held

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from holdfast.tracing.sampling.held import Policy


class KeepingProcessor(SpanProcessor):
    """Hands on to another processor what is to be kept, on the thread on which that is found out.

    Args:
        policy: What is to be kept.
        processor: Gets it.
    """

    def __init__(self, policy: Policy, processor: SpanProcessor) -> None:
        self._held = Held(policy)
        self._processor = processor

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on."""
        self._processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hold, hand on or let go."""
        is_sampled = span.context is not None and span.context.trace_flags.sampled
        for each in self._held.sift((span,)) if is_sampled else (span,):
            self._processor.on_end(each)

    def shutdown(self) -> None:
        """Shut the other one down; what is held is let go."""
        self._held.reset()
        self._processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other one. What is held stays: nothing interesting has happened there so far."""
        return self._processor.force_flush(timeout_millis)
