"""Fixtures for tasks inside real LangGraph graphs: where tasks keep what they return, and a log of the bodies that ran."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver as GraphSaver
from langgraph.graph import END, START, StateGraph

import holdfast.langgraph
from holdfast import InMemorySaver, SqliteSaver
from tests.langgraph_.graphs import CONFIG, State


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path) -> Iterator[Any]:
    """A checkpointer of ours, configured."""
    made = InMemorySaver() if request.param == "memory" else SqliteSaver(tmp_path / "tasks.db", synchronous="NORMAL")
    holdfast.langgraph.configure(checkpointer=made)
    yield made
    holdfast.langgraph.configure()
    made.close()


@pytest.fixture
def ran() -> list[Any]:
    """What the tasks' bodies were called with."""
    return []


@pytest.fixture
def graph() -> Callable[..., Any]:
    """Compiles a graph of nodes that follow one another, with a checkpointer of LangGraph's."""

    def compile_graph(*nodes: Any, checkpointer: Any = None, **options: Any) -> Any:
        builder = StateGraph(State)
        for node in nodes:
            builder.add_node(node.__name__, node, **options)
        for before, after in zip([START, *[node.__name__ for node in nodes]], [*[node.__name__ for node in nodes], END], strict=True):
            builder.add_edge(before, after)
        return builder.compile(checkpointer=GraphSaver() if checkpointer is None else checkpointer)

    return compile_graph


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def run(request) -> Callable[..., Any]:
    """Runs a graph one of the four ways and returns its last state."""

    def invoke(app: Any, given: Any, config: Any = CONFIG) -> Any:
        if request.param == "invoke":
            return app.invoke(given, config)
        if request.param == "ainvoke":
            return asyncio.run(app.ainvoke(given, config))
        if request.param == "stream":
            return list(app.stream(given, config, stream_mode="values"))[-1]
        return asyncio.run(_last(app, given, config))

    return invoke


async def _last(app: Any, given: Any, config: Any) -> Any:
    chunks = [chunk async for chunk in app.astream(given, config, stream_mode="values")]
    return chunks[-1]
