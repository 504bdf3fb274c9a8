"""One program for holdfast and for LangGraph: their names in one place, and what they say in one form."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import holdfast

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\b[0-9a-f]{32}\b")


def langgraph() -> Any:
    """LangGraph's names, where holdfast has its own."""
    from langgraph import types
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.config import get_stream_writer
    from langgraph.func import task
    from langgraph.graph import END, START, StateGraph

    return SimpleNamespace(
        StateGraph=StateGraph,
        START=START,
        END=END,
        InMemorySaver=InMemorySaver,
        get_stream_writer=get_stream_writer,
        task=task,
        interrupt=types.interrupt,
        Command=types.Command,
        Send=types.Send,
    )


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
