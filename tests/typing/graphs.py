"""What type checkers make of state graphs: checked by mypy and pyright, never run."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal, TypedDict, assert_type

from holdfast import (
    END,
    START,
    Command,
    CompiledStateGraph,
    InMemorySaver,
    NodeError,
    RetryPolicy,
    Runtime,
    Send,
    StateGraph,
    StateSnapshot,
)


class State(TypedDict):
    """A state."""

    n: int
    log: Annotated[list[str], operator.add]


def node(state: State) -> dict[str, Any]:
    """Reads the state."""
    return {"n": state["n"] + 1}


def chooses(state: State, runtime: Runtime[int]) -> Command[Literal["node", "other"]]:
    """Says where to go."""
    assert_type(runtime.context, int)
    return Command(update={"n": 1}, goto="node" if state["n"] else Send("other", 1))


def handles(state: State, error: NodeError) -> Command:
    """A command without its targets."""
    assert_type(error.error, Exception)
    return Command(goto=END, update=state)


async def other(n: int) -> None:
    """Gets what a `Send` carries."""
    del n


def route(state: State) -> str:
    """A conditional edge."""
    return "chooses" if state["n"] else END


builder = StateGraph(State, int, input_schema=State, output_schema=State)
assert_type(builder.add_node(node).add_node("chooses", chooses, retry_policy=RetryPolicy(), error_handler=handles), StateGraph)
assert_type(builder.add_edge(START, "node").add_edge(["node", "chooses"], END), StateGraph)
assert_type(builder.add_conditional_edges("node", route, {"chooses": "chooses"}), StateGraph)
app = builder.compile(InMemorySaver(), interrupt_before=["node"])
assert_type(app, CompiledStateGraph)
assert_type(builder.add_node("inner", app), StateGraph)
assert_type(app.invoke({"n": 1}, thread_id="t", interrupt_after="*"), dict[str, Any])
assert_type(app.stream({"n": 1}), Iterator[Any])
assert_type(app.astream({"n": 1}), AsyncIterator[Any])
assert_type(app.get_state(thread_id="t"), StateSnapshot)
assert_type(app.get_graph().draw_ascii(), str)
app.update_state(None, {"n": 2}, "node", thread_id="t")
