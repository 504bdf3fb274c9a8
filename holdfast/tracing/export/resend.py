"""Sends spans of the local store to a backend, after the fact."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from holdfast.errors import HoldfastError
from holdfast.tracing.export import _otlp
from holdfast.tracing.export._translation import translated
from holdfast.tracing.spans.readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tracing.export._backends import Destination
    from holdfast.tracing.spans.records import SpanRow

_BATCH = 512


def send(rows: Sequence[SpanRow], destination: Destination) -> None:
    """Send spans with the ids and times they have; wait until they have been taken.

    Args:
        rows: Of any number of traces. One that has not ended ends when it was last seen.
        destination: Where to.

    Raises:
        HoldfastError: They were not taken, with what the backend or the exporter said; or the extra for the protocol is not installed.
    """
    made = _otlp.exporter(destination)
    resources = {service: Resource({SERVICE_NAME: service} if service else {}) for service in {row.service for row in rows}}
    said: list[str] = []
    listener = _Listener(said)
    log = logging.getLogger(made.logger)
    log.addFilter(listener)
    try:
        for start in range(0, len(rows), _BATCH):
            batch = [translated(readable(row, resources[row.service]), destination.speech) for row in rows[start : start + _BATCH]]
            is_sent = made.exporter.export(batch) is SpanExportResult.SUCCESS
            if not is_sent or (made.answers is not None and made.answers.take_refused()):
                reason = (made.answers.reason if made.answers is not None else "") or (said[0] if said else "no reason is known")
                raise HoldfastError(f"{made.where} did not take the spans: {reason}")
    finally:
        log.removeFilter(listener)
        made.exporter.shutdown()


class _Listener(logging.Filter):
    """Keeps what an exporter logs, for our own error."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the text; let nothing through."""
        self._said.append(record.getMessage())
        return False
