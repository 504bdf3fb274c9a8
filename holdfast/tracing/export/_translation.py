"""Spans as a backend is told of them: copies with what its dialect adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from holdfast.tracing import convention as names
from holdfast.tracing.export.dialects.langsmith import PARENT, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import SpanContext

    from holdfast.tracing.export.dialects import Speech


class Translated(ReadableSpan):
    """A copy of a span with other attributes, and perhaps without its parent.

    Args:
        span: What it is a copy of.
        attributes: All of its attributes.
        parent: Its parent; None for a root.
    """

    def __init__(self, span: ReadableSpan, attributes: dict[str, Any], parent: SpanContext | None) -> None:
        super().__init__(
            span.name,
            span.context,
            parent,
            span.resource,
            attributes,
            span.events,
            span.links,
            span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)

    # What was beyond the limits of the original is known to its containers only, which are not copied.

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the original has lost."""
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        """How many events the original has lost."""
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        """How many links the original has lost."""
        return self._dropped[2]


def translated(span: ReadableSpan, speech: Speech, lineage: Sequence[tuple[int, int]] = ()) -> ReadableSpan:
    """The span as ``speech`` has it; the span itself when there is nothing to add.

    What it has already is never replaced. LangSmith drops a span whose parent it does not get, with all below; a parent in another
    process, which may send elsewhere, is therefore left out for it, and remains as metadata.

    Args:
        span: What is to leave.
        speech: What is added to it.
        lineage: From `holdfast.tracing.killed.keeper.lineage`; empty where it is not known, or does not matter.
    """
    known = dict(span.attributes or {})
    added = dict(speech.everywhere)
    if names.SPAN_TYPE in known:
        for dialect in speech.dialects:
            added |= dialect(known)
    parent = span.parent
    if speech.names_ancestors and parent is not None and parent.is_remote:
        added[PARENT] = f"{parent.span_id:016x}"
        parent = None
    added |= place(lineage)
    return Translated(span, {**added, **known}, parent) if added else span
