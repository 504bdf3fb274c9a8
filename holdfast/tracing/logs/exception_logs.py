"""Exceptions as log records of OpenTelemetry, where ``OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`` asks for them.

OpenTelemetry's conventions are on the way from exception events on spans to log records. Until a new major version the events stay what
they are; the variable chooses ``logs``, the records instead, or ``logs/dup``, both
(https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/).
"""

from __future__ import annotations

import inspect
import os
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import trace

from holdfast.tracing import convention as names
from holdfast.tracing.safety import firewall

if TYPE_CHECKING:
    from opentelemetry.trace import Span

VARIABLE = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
OF_ATTEMPT = "holdfast.attempt.exception"
OF_TASK = "holdfast.task.exception"


class Signals(NamedTuple):
    """Where exceptions are told.

    Attributes:
        events: As events on spans.
        logs: As log records.
    """

    events: bool
    logs: bool


_EVENTS_ONLY = Signals(events=True, logs=False)


def signals() -> Signals:
    """What the environment asks for; events only while the application has set no logger provider, which nobody would hear."""
    asked = {word.strip().lower() for word in os.environ.get(VARIABLE, "").split(",")}
    if asked.isdisjoint({"logs", "logs/dup"}) or not _has_listener() or not _can_tell_exceptions():
        return _EVENTS_ONLY
    return Signals(events="logs/dup" in asked, logs=True)


def emit(span: Span, event: str, known: dict[str, Any], when_ns: int | None, *, is_unhandled: bool) -> None:
    """Tell of an exception.

    Args:
        span: Which it belongs to.
        event: `OF_ATTEMPT`, or `OF_TASK` where no attempt was made.
        known: The attributes ``exception.*``.
        when_ns: When it happened, nanoseconds since the epoch; None is now.
        is_unhandled: Nothing of holdfast's is left that could handle it: an ERROR then, else a WARN.
    """
    from opentelemetry._logs import LogRecord, SeverityNumber, get_logger  # the logs of OpenTelemetry, only where somebody wants them

    severity = SeverityNumber.ERROR if is_unhandled else SeverityNumber.WARN
    context = trace.set_span_in_context(span)
    record = LogRecord(
        timestamp=when_ns, context=context, severity_number=severity, severity_text=severity.name, event_name=event, attributes=known
    )
    get_logger(names.SCOPE, schema_url=names.SCHEMA_URL).emit(record)


def _has_listener() -> bool:
    from opentelemetry._logs import NoOpLoggerProvider, get_logger_provider
    from opentelemetry._logs._internal import ProxyLoggerProvider  # stands for none; has no public name

    return not isinstance(get_logger_provider(), (NoOpLoggerProvider, ProxyLoggerProvider))


@cache
def _can_tell_exceptions() -> bool:
    if not can_tell():
        firewall.stderr(f"holdfast: {VARIABLE} needs opentelemetry-api 1.35: exceptions stay events on spans")
    return can_tell()


@cache
def can_tell() -> bool:
    """Whether this version of OpenTelemetry knows named records (from 1.35 on)."""
    from opentelemetry._logs import LogRecord

    return {"event_name", "context"} <= inspect.signature(LogRecord).parameters.keys()
