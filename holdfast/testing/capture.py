"""`captured`: the spans and lines that holdfast would send, as plain literals. The one file of the test kit that imports tracing libraries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import merge_contextvars

from holdfast import events
from holdfast.testing.recording import RecordingObserver, observing
from holdfast.tracing import convention as names
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.observers.settings import Settings
from holdfast.tracing.observers.spans import SpanObserver

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, MutableMapping

    from opentelemetry.sdk.trace import ReadableSpan

UNSTABLE = frozenset(
    {
        *(names.RUN_ID, names.THREAD_ID, names.SESSION_ID),
        *(names.CACHE_ORIGIN_TRACE_ID, names.CACHE_ORIGIN_SPAN_ID, names.CACHE_KEY_HASH, names.CACHE_NAMESPACE, names.CACHE_ORDINAL),
        *(names.EXCEPTION_STACKTRACE, names.ERROR_LOCATION, names.QUEUE_WAIT_S),
    }
)
"""Left out because they differ from run to run, or with the place of the code."""
SHOWN = frozenset({names.SPAN_TYPE, names.WORKFLOW_NAME, names.TASK_NAME, names.TASK_INDEX, names.CODE_FUNCTION})
"""Left out because the span's name and place say them already."""
_LINE_IDS = frozenset({"run_id", "thread_id", "trace_id", "span_id"})


class Captured(RecordingObserver):
    """What `captured` collects: all of `recorded`, and spans and lines.

    Attributes:
        lines: The dicts of the log lines, as structlog's renderer would get them, with ``log_level``; without ids.
    """

    def __init__(self, capture: str) -> None:
        """Collect with a tracer provider and a logger of its own."""
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        tracer = self._provider.get_tracer(names.SCOPE, schema_url=names.SCHEMA_URL)
        logger: Any = structlog.wrap_logger(None, processors=[merge_contextvars, self._take_line], wrapper_class=structlog.BoundLogger)
        self.observers = (SpanObserver(tracer, Settings(capture=capture)), LineObserver(logger=logger.bind()), self)

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The ended spans as nested dicts, outermost first, in the order in which the calls were made.

        Keys: ``name``, and where there are any ``status`` (``"error"``), ``attributes``, ``events`` (name, attributes), ``links``
        (attributes), ``children``. Ids, times, and what name and place say already are left out, so that equal runs compare equal.
        """
        ended = self._exporter.get_finished_spans()
        inside: dict[int, list[ReadableSpan]] = {}
        known = {_id(span) for span in ended}
        for span in sorted(ended, key=_order):
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else 0
            inside.setdefault(parent, []).append(span)
        return _literals(inside, 0)

    def clear(self) -> None:
        """Forget everything captured so far."""
        super().clear()
        self.lines.clear()
        self._exporter.clear()

    def _take_line(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        self.lines.append({**{name: value for name, value in event.items() if name not in _LINE_IDS}, "log_level": level})
        raise structlog.DropEvent


@contextmanager
def captured(*, capture: str = "none") -> Generator[Captured]:
    """Capture spans, lines, facts and notes of what holdfast does inside the block, instead of whoever observed before.

    Use it with a `FakeClock` when durations are to be the same each time.

    Args:
        capture: What spans hold of arguments and results: ``none``, ``shape`` or ``values``.

    Yields:
        What is captured, growing while the block runs.
    """
    result = Captured(capture)
    before = events.observe(None)
    try:
        with observing(*result.observers):
            yield result
    finally:
        events.observe(before)


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id


def _order(span: ReadableSpan) -> tuple[int, int, int]:
    known = span.attributes or {}
    ordinal = known.get(names.ATTEMPT_NUMBER) if known.get(names.SPAN_TYPE) == "attempt" else known.get(names.TASK_INDEX)
    return int(ordinal) if isinstance(ordinal, int) else 0, span.start_time or 0, _id(span)


def _literals(inside: Mapping[int, list[ReadableSpan]], parent: int) -> list[dict[str, Any]]:
    return [_literal(span, _literals(inside, _id(span))) for span in inside.get(parent, ())]


def _literal(span: ReadableSpan, children: list[dict[str, Any]]) -> dict[str, Any]:
    parts = {
        "status": "error" if not span.status.is_ok else "",
        "attributes": _stable(span.attributes),
        "events": [(event.name, _stable(event.attributes)) for event in span.events],
        "links": _plain(link.attributes for link in span.links),
        "children": children,
    }
    return {"name": span.name, **{name: value for name, value in parts.items() if value}}


def _plain(mappings: Iterable[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    return [_stable(mapping) for mapping in mappings]


def _stable(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name not in UNSTABLE and name not in SHOWN}
