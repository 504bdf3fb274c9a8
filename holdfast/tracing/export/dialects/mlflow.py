"""MLflow, beside what it reads of OpenInference: its own types of span tell runs from tasks.

Names: mlflow 3.17.2, ``mlflow/tracing/constant.py`` and ``mlflow/entities/span.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = frozenset({"agent", "chain", "embedding", "evaluator", "guardrail", "llm", "parser", "reranker", "retriever", "tool"})


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """The type of span."""
    kind = known.get(names.TASK_KIND, "")
    if kind in _TYPES:
        return {"mlflow.spanType": kind.upper()}
    return {"mlflow.spanType": "WORKFLOW" if known[names.SPAN_TYPE] == "run" else "TASK"}
