"""One program for holdfast and for LangGraph: their names in one place, and what they say in one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import holdfast
from tests.flows.graph_programs import langgraph

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\b[0-9a-f]{32}\b")


def plain(value: Any) -> Any:
    """What is said, without what no two runs have in common: ids become ``ID``, and a question is its value."""
    if isinstance(value, str):
        return IDS.sub("ID", value)
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if hasattr(value, "value") and hasattr(value, "id"):
        return ("question", value.value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in {list, tuple} else plain(tuple(value))
    return value


def same(program: Callable[[Any], Any]) -> Any:
    """What the program comes to, which is the same for both libraries."""
    theirs, ours = plain(program(langgraph())), plain(program(holdfast))
    assert theirs == ours
    return ours
