"""OTelLogProcessor: structlog's lines, holdfast's and the application's own, as log records of OpenTelemetry too.

A line of holdfast keeps its name as the record's event name, gets the attribute names that its span has, and belongs to that span, so that
logs and traces are found by the same words in the same backend.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from holdfast.errors import HoldfastError, PolicyError
from holdfast.tracing import convention as names
from holdfast.tracing.logs.exception_logs import can_tell
from holdfast.tracing.safety import firewall

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.context import Context

SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "exception": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
    "fatal": SeverityNumber.FATAL,
}
"""For each method of a logger."""

ATTRIBUTES = {
    "run_id": names.RUN_ID,
    "thread_id": names.THREAD_ID,
    "workflow": names.WORKFLOW_NAME,
    "task": names.TASK_NAME,
    "attempt": names.ATTEMPT_NUMBER,
    "max_attempts": names.ATTEMPT_MAX,
    "attempts": names.ATTEMPT_COUNT,
    "wait_s": names.RETRY_WAIT_S,
    "reason": names.RETRY_REASON,
    "stop_reason": names.RETRY_STOP_REASON,
    "cache": names.CACHE_RESULT,
    "calls": names.RUN_CALLS,
    "cache_hits": names.CACHE_HITS,
    "replayed": names.RUN_REPLAYED,
    "error_type": names.ERROR_TYPE,
}
"""For fields of holdfast's lines, what spans call them. Fields that spans do not have keep their names, behind ``holdfast.line.``."""

_OURS = "holdfast."
_OWN_FIELDS = "holdfast.line."
_NOT_ATTRIBUTES = frozenset({"event", "trace_id", "span_id", "timestamp", "level", "exc_info"})


class OTelLogProcessor:
    """A processor for ``structlog.configure(processors=[..., OTelLogProcessor(), <renderer>])``, right before the renderer.

    Lines go on unchanged to the processors behind it. A line that cannot be forwarded does not harm the call that it is about: the first
    such failure is told on stderr.

    Args:
        provider: The logger provider; None for the one that ``opentelemetry._logs.set_logger_provider`` was given, now or later.
    """

    def __init__(self, provider: LoggerProvider | None = None) -> None:
        """See the class.

        Raises:
            HoldfastError: The installed OpenTelemetry has no named log records.
        """
        if not can_tell():
            raise HoldfastError(
                "OTelLogProcessor needs opentelemetry-api 1.35 or newer: pip install -U opentelemetry-api opentelemetry-sdk"
            )
        self._target: Logger = get_logger(names.SCOPE, logger_provider=provider, schema_url=names.SCHEMA_URL)
        self._has_failed = False

    def __call__(self, _logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Forward a line; structlog calls this.

        Args:
            method: Which of the logger's methods was called: the severity.
            line: The line's fields, with its name as ``event``.

        Returns:
            ``line``, untouched.

        Raises:
            PolicyError: It is no line but its text: the processor stands behind the renderer.
        """
        if not hasattr(line, "items"):
            raise PolicyError(
                f"OTelLogProcessor was given {type(line).__name__} instead of a line's fields: put it before the renderer, "
                "which should be the last of structlog's processors"
            )
        try:
            self._target.emit(_record(method, line))
        except Exception as error:  # noqa: BLE001 - logging must not fail what it is about; said once
            if not self._has_failed:
                self._has_failed = True
                firewall.stderr(f"holdfast: lines cannot be forwarded to OpenTelemetry: {firewall.describe(error)}")
        return line


def _record(method: str, line: MutableMapping[str, Any]) -> LogRecord:
    severity = SEVERITIES.get(method, SeverityNumber.INFO)
    event = str(line.get("event", ""))
    is_ours = event.startswith(_OURS)
    return LogRecord(
        timestamp=time.time_ns(),
        context=_context(line),
        severity_number=severity,
        severity_text=severity.name,
        body=str(line["text"]) if is_ours and "text" in line else event,
        event_name=event if is_ours else None,
        attributes={_name(name, is_ours=is_ours): _plain(item) for name, item in line.items() if name not in _NOT_ATTRIBUTES},
    )


def _name(field: str, *, is_ours: bool) -> str:
    return ATTRIBUTES.get(field, _OWN_FIELDS + field) if is_ours else field


def _plain(item: Any) -> Any:
    return item if isinstance(item, (str, bool, int, float)) else str(item)


def _context(line: MutableMapping[str, Any]) -> Context:
    """The current context, in the span that the line names, if it names one."""
    here = otel_context.get_current()
    try:
        named = SpanContext(
            int(line["trace_id"], 16), int(line["span_id"], 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
    except (KeyError, TypeError, ValueError):  # an application's own line; what it calls so may be anything
        return here
    return trace.set_span_in_context(NonRecordingSpan(named), here) if named.is_valid else here
