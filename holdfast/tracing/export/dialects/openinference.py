"""OpenInference: read by Phoenix and, with names of their own besides, by LangSmith, Langfuse and MLflow.

Names: openinference-semantic-conventions 0.1.42, ``openinference/semconv/trace/__init__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names
from holdfast.tracing.export.dialects.tags import tags

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = frozenset({"agent", "chain", "embedding", "evaluator", "guardrail", "llm", "prompt", "reranker", "retriever", "tool"})
_JSON = "application/json"


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of span, what went in and came out, and tags; a session is named ``session.id`` already."""
    kind = known.get(names.TASK_KIND, "")
    added: dict[str, Any] = {"openinference.span.kind": kind.upper() if kind in _KINDS else "CHAIN"}
    for name, key in (("input", names.INPUT), ("output", names.OUTPUT)):
        if key in known:
            added[f"{name}.value"] = known[key]
            added[f"{name}.mime_type"] = _JSON
    if found := tags(known):
        added["tag.tags"] = found
    return added
