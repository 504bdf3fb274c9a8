"""Langfuse, beside what it reads of OpenInference.

Names: langfuse 5.0.4, ``langfuse/_client/attributes.py`` and ``environment_variables.py``; how they are read:
https://langfuse.com/integrations/native/opentelemetry, "Property mapping".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = frozenset({"agent", "chain", "embedding", "evaluator", "generation", "guardrail", "retriever", "tool"})
_BY_VARIABLE = {"LANGFUSE_TRACING_ENVIRONMENT": "langfuse.environment", "LANGFUSE_RELEASE": "langfuse.release"}


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """The type of observation, what went in and came out, and that a failure which is retried is a warning.

    Langfuse counts every span with the status ERROR as an error; a call that got over two of them would look like two errors.
    """
    added: dict[str, Any] = {"langfuse.observation.type": _type(known)}
    if names.INPUT in known:
        added["langfuse.observation.input"] = known[names.INPUT]
    if names.OUTPUT in known:
        added["langfuse.observation.output"] = known[names.OUTPUT]
    if known.get(names.RETRY_SCHEDULED):
        added["langfuse.observation.level"] = "WARNING"
    return added


def everywhere() -> tuple[tuple[str, str], ...]:
    """Environment and release, which Langfuse's own client puts on every span, from the variables that it reads."""
    found = ((attribute, os.environ.get(variable, "").strip()) for variable, attribute in _BY_VARIABLE.items())
    return tuple((attribute, value) for attribute, value in found if value)


def _type(known: Mapping[str, Any]) -> str:
    kind = known.get(names.TASK_KIND, "")
    if kind == "llm":
        return "generation"
    if kind in _TYPES:
        return str(kind)
    return "chain" if known[names.SPAN_TYPE] == "run" else "span"
