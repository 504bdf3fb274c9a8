"""Where ended spans go: span processors in front of the firewall.

The SDK's own batch processor holds the exit of a process for 7 to 30 s when a collector is down, and its ``force_flush`` ignores its
timeout. Ours only queues; the lane behind it (`holdfast.tracing.safety.firewall`) does the work and is bounded at exit.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # the SDK's exporters use it too; there is no public name
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from holdfast.errors import HoldfastError
from holdfast.tracing.export import _otlp, console
from holdfast.tracing.export._translation import translated
from holdfast.tracing.export.dialects import Speech
from holdfast.tracing.killed import keeper, under_way
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.redact import scrub
from holdfast.tracing.sampling.held import Sieve
from holdfast.tracing.spans import ids
from holdfast.tracing.spans.light_span import LightSpan
from holdfast.tracing.spans.outlet import service_of
from holdfast.tracing.spans.records import SpanRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext, Status

    from holdfast.tracing.export._advice import Answers
    from holdfast.tracing.export._backends import Destination
    from holdfast.tracing.sampling.interesting import KeepInteresting

_OTLP_LINGER_S = 1.0


class ChanceIdGenerator(RandomIdGenerator):
    """Random ids. The SDK's own repeat themselves in a program that seeds Python's."""

    def generate_trace_id(self) -> int:
        """A random one."""
        return ids.draw(128) or 1

    def generate_span_id(self) -> int:
        """A random one."""
        return ids.new_span_id()


class RunIdGenerator(ChanceIdGenerator):
    """Gives a run's trace the run's own id: a UUIDv7, whose last 62 bits are random. Not for the SDK's sampler by ratio, which takes the last 64."""

    def generate_trace_id(self) -> int:
        """The id of the run being opened on this thread, else a random one."""
        return ids.new_trace_id()


class LaneProcessor(SpanProcessor):
    """Hands ended, sampled spans to a lane of the firewall.

    Args:
        lane: Where they go.
        close: Closes what is behind the lane, at shutdown; None when there is nothing to close.
        is_keeping: Whether open spans are kept for the case that the process dies; see `holdfast.tracing.killed.keeper`.
        sampling: What the lane lets through; None for everything.

    Attributes:
        is_on: False once it was shut down, as also a tracer provider does.
    """

    def __init__(
        self,
        lane: firewall.Lane,
        close: Callable[[], object] | None = None,
        *,
        is_keeping: bool = False,
        sampling: KeepInteresting | None = None,
    ) -> None:
        self.lane = lane
        self.sampling = sampling
        self._is_keeping = is_keeping
        self._close = close
        self.is_on = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember what the span is in."""
        if self._is_keeping:
            keeper.began(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        if self._is_keeping:
            keeper.ended(span)
        if self.is_on and span.context is not None and span.context.trace_flags.sampled:
            self.lane.send(span)

    def send(self, span: LightSpan) -> None:
        """Queue a light span, which has ended and is sampled."""
        if self.is_on:
            self.lane.send(span)

    def shutdown(self) -> None:
        """Flush within the time an exit may take, then take nothing more."""
        if self.is_on:
            self.is_on = False
            self.lane.close(firewall.EXIT_TIMEOUT)
            if self._close is not None:
                self._close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until queued spans have left."""
        return self.lane.flush(timeout_millis / 1000)


def local(path: str | os.PathLike[str] | None = None) -> LaneProcessor:
    """Into the local trace store, which ``holdfast runs`` and ``holdfast show`` read.

    Args:
        path: The database; None for the user's own.
    """
    from holdfast.tracing.store.database import TraceStore  # SQLite, only when used

    store = TraceStore(path)
    watch = under_way.Watch(store.write, row)
    kept = keeper.Keeper(row)

    def write(spans: Sequence[ReadableSpan | LightSpan]) -> bool:
        return store.write([*kept.open_rows(spans), *map(row, spans)])

    lane = firewall.Lane("the local trace store", write, pulse=watch, at_end=store.close)
    watch.start(lane.wake)

    def close() -> None:
        watch.stop()
        store.close()

    return LaneProcessor(lane, close, is_keeping=True)


def refuse_foreign(path: str | os.PathLike[str] | None) -> None:
    """Raise StoreError when the file that `local` would write is there and is something else than a trace store."""
    from holdfast.tracing.store.database import TraceStore  # SQLite, only when used

    TraceStore(path).refuse_foreign()


def to_console() -> LaneProcessor:
    """A tree of each finished trace on stderr."""
    trees = console.Trees(firewall.stderr)

    def write(spans: Sequence[ReadableSpan | LightSpan]) -> None:
        for span in spans:
            trees.add(row(span), is_root=span.parent is None or span.parent.is_remote)

    return LaneProcessor(firewall.Lane("the console trace", write))


def otlp(destination: Destination, sampling: KeepInteresting | None = None) -> LaneProcessor:
    """To a collector, Jaeger or any backend that takes OTLP.

    Args:
        destination: Which.
        sampling: What is sent; None for everything.

    Raises:
        HoldfastError: The extra for the destination's protocol is not installed.
    """
    made = _otlp.exporter(destination)
    return exporting(made.exporter, made.where, logger=made.logger, answers=made.answers, speech=destination.speech, sampling=sampling)


def exporting(
    exporter: SpanExporter,
    where: str,
    *,
    logger: str = "",
    answers: Answers | None = None,
    speech: Speech | None = None,
    sampling: KeepInteresting | None = None,
) -> LaneProcessor:
    """Through any exporter of the OpenTelemetry SDK, behind the firewall.

    Args:
        exporter: What sends the spans.
        where: Where to, for messages.
        logger: Name of the exporter's own logger, ``""`` when it has none.
        answers: Knows what the answers mean; None when nobody does.
        speech: What is added to the spans; None for nothing.
        sampling: What is sent; None for everything.
    """
    kept = keeper.Keeper(row)
    export = _Export(exporter, kept, logger, answers, speech or Speech())
    batch = _environment("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", firewall.BATCH)
    # In front of the keeper, too: of a span that is held or let go no parent has to be known, since nobody will miss it.
    sieve = None if sampling is None else Sieve(sampling, export, batch)
    lane = firewall.Lane(
        f"the export of spans to {scrub(where)}",
        sieve or export,
        pulse=kept.watch,
        capacity=_environment("OTEL_BSP_MAX_QUEUE_SIZE", firewall.CAPACITY),
        batch=batch,
        linger=_environment("OTEL_BSP_SCHEDULE_DELAY", int(_OTLP_LINGER_S * 1000)) / 1000,
    )
    export.lane = lane
    if sieve is not None:
        sieve.lane = lane
    kept.watch.start(lane.wake)
    return LaneProcessor(lane, export.close, is_keeping=True, sampling=sampling)


class _Export:
    """Sends batches; raises when one is lost, so that the lane counts and says it once.

    Listens to the exporter's own logger, which repeats itself for every batch: the first thing it says on our thread is passed on as
    the reason, at once (it goes on trying for ten seconds), the rest is left out; where the answer of the collector says more, that is
    the reason. What the logger says on other threads is not ours.
    """

    lane: firewall.Lane

    def __init__(self, exporter: SpanExporter, kept: keeper.Keeper, logger: str, answers: Answers | None, speech: Speech) -> None:
        self._keeper = kept
        self._exporter = exporter
        self._answers = answers
        self._speech = speech
        self._logger = logging.getLogger(logger) if logger else None
        self._thread = 0
        self._is_closed = False
        if self._logger is not None:
            self._logger.addFilter(self._overhear)

    def __call__(self, spans: Sequence[ReadableSpan | LightSpan]) -> None:
        self._keeper.before(spans)
        self._thread = threading.get_ident()
        # The exporter's own HTTP request must not become a span that is exported in turn.
        token = otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003 - OpenTelemetry's API
        try:
            outcome = self._exporter.export([self._leaving(span) for span in spans])
        finally:
            otel_context.detach(token)
            self._thread = 0
            if self._is_closed:
                self._stop_listening()
        if outcome is not SpanExportResult.SUCCESS:
            raise HoldfastError((self._answers is not None and self._answers.reason) or "the exporter gave up")
        if self._answers is not None and (refused := self._answers.take_refused()):
            self.lane.failed += refused
            self.lane.complain(self._answers.reason)

    def close(self) -> None:
        """Stop trying and close connections."""
        self._keeper.watch.stop()
        self._exporter.shutdown()
        self._is_closed = True
        if not self._thread:  # else it has something to say yet, about a batch that it gives up
            self._stop_listening()

    def _stop_listening(self) -> None:
        if self._logger is not None:
            self._logger.removeFilter(self._overhear)

    def _leaving(self, span: ReadableSpan | LightSpan) -> ReadableSpan:
        lineage = keeper.lineage(span) if self._speech.names_ancestors else ()
        return translated(span.readable() if isinstance(span, LightSpan) else span, self._speech, lineage)

    def _overhear(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        reason = "" if self._answers is None else self._answers.reason
        self.lane.complain(reason or record.getMessage())
        return False


def row(span: ReadableSpan | LightSpan) -> SpanRow:
    """A span as the local store keeps it; the end of one that has not ended is 0."""
    if isinstance(span, LightSpan):
        return span.row()
    context: SpanContext = span.context  # pyright: ignore[reportAssignmentType] - None only in spans that were never started
    parent = span.parent
    return SpanRow(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id="" if parent is None else f"{parent.span_id:016x}",
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status=_status(span.status),
        status_text=span.status.description or "",
        attributes=dict(span.attributes or {}),
        events=[(event.name, event.timestamp, dict(event.attributes or {})) for event in span.events],
        links=[(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", dict(link.attributes or {})) for link in span.links],
        kind=span.kind.name.lower(),
        service=service_of(span.resource),
    )


def _status(status: Status) -> Any:
    return status.status_code.name.lower()


def _environment(name: str, default: int) -> int:
    """A positive whole number from the environment, as the SDK's batch processor reads it; anything else is the default."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else default
