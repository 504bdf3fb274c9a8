"""LangSmith, beside what it reads of OpenInference.

Names: langsmith 0.15.0, ``langsmith/_internal/otel/_otel_exporter.py``, and
https://docs.langchain.com/langsmith/trace-with-opentelemetry, "Supported OpenTelemetry attribute and event mapping".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names
from holdfast.tracing.export.dialects.tags import tags

if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT = "langsmith.metadata.parent_span_id"
_RUN_TYPES = frozenset({"chain", "embedding", "llm", "parser", "prompt", "retriever", "tool"})
_METADATA = {
    names.SESSION_ID: "thread_id",  # the name that its view of threads groups by; it has to be on every span
    names.TASK_NAME: "task",
    names.ATTEMPT_NUMBER: "attempt",
    names.ATTEMPT_COUNT: "attempts",
    names.RETRY_STOP_REASON: "stop_reason",
    names.CACHE_RESULT: "cache",
    names.ERROR_TYPE: "error_type",
}


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """Run type, tags, and as metadata what one filters by; the thread among it."""
    kind = known.get(names.TASK_KIND, "")
    added: dict[str, Any] = {"langsmith.span.kind": kind if kind in _RUN_TYPES else "chain"}
    added |= {f"langsmith.metadata.{short}": known[name] for name, short in _METADATA.items() if name in known}
    if found := tags(known):
        added["langsmith.span.tags"] = ",".join(found)
    return added
