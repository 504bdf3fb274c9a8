"""LangSmith, beside what it reads of OpenInference.

Names: langsmith 0.15.0, ``langsmith/_internal/otel/_otel_exporter.py``, and
https://docs.langchain.com/langsmith/trace-with-opentelemetry, "Supported OpenTelemetry attribute and event mapping".

Children leave before their parents, and LangSmith keeps a child aside until its parent comes, but not for ever: those of a run that takes
longer, or is killed, were lost. A span that says itself where it stands waits for nobody. LangSmith's own client for JavaScript does the
same with the same ids (langsmith-sdk, ``js/src/experimental/otel/processor.ts``): those that LangSmith makes of a span's id anyway, so that spans which say
nothing fit in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names
from holdfast.tracing.export.dialects.tags import tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def place(lineage: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Where a span stands: its trace, its parent, and the way from the root to it.

    Args:
        lineage: Span id and start (nanoseconds since the epoch) of the root, of each span below it, and of the span itself; empty says nothing.

    >>> place([(1, 0), (0xabc, 1_000)])["langsmith.span.dotted_order"]
    '19700101T000000000000Z00000000-0000-0000-0000-000000000001.19700101T000000000001Z00000000-0000-0000-0000-000000000abc'
    """
    if not lineage:
        return {}
    steps = [f"{_moment(start_ns)}{_run_id(span_id)}" for span_id, start_ns in lineage]
    said = {"langsmith.trace.id": _run_id(lineage[0][0]), "langsmith.span.dotted_order": ".".join(steps)}
    return {**said, "langsmith.span.parent_id": _run_id(lineage[-2][0])} if len(lineage) > 1 else said


def _run_id(span_id: int) -> str:
    digits = f"{span_id:016x}"
    return f"00000000-0000-0000-{digits[:4]}-{digits[4:]}"


def _moment(start_ns: int) -> str:
    seconds, rest_ns = divmod(start_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}{rest_ns // 1000:06}Z"
