"""Graphs in graphs, seen from outside: in streams, in states and in pictures. What LangGraph shows too is compared with it."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from tests.graph.both import plain, same


class Outer(TypedDict):
    n: int
    log: Annotated[list, operator.add]


class Inner(TypedDict):
    n: int
    own: str
    log: Annotated[list, operator.add]


def nested(api: Any, *, asks: bool = True) -> Any:
    """Three graphs in one another, the innermost of which calls a task and asks; and one that is invoked in a node."""

    @api.task
    def tenfold(n: int) -> int:
        return n * 10

    def first(state: Inner) -> dict[str, Any]:
        api.get_stream_writer()("written")
        return {"log": ["first"], "own": str(tenfold(state["n"]).result())}

    def second(state: Inner) -> dict[str, Any]:
        return {"log": [api.interrupt("go on?") if asks else "second"], "n": state["n"] + 1}

    def plus(state: Outer) -> dict[str, Any]:
        return {"n": state["n"] + 100}

    def invokes(state: Outer) -> dict[str, Any]:
        return {"n": alone.invoke({"n": state["n"], "log": []})["n"]}

    start = api.START
    alone = api.StateGraph(Outer).add_node("plus", plus).add_edge(start, "plus").compile()
    inner = api.StateGraph(Inner).add_node("first", first).add_node("second", second)
    inner = inner.add_edge(start, "first").add_edge("first", "second").compile()
    middle = api.StateGraph(Outer).add_node("inner", inner).add_edge(start, "inner").compile()
    outer = api.StateGraph(Outer).add_node("invokes", invokes).add_node("middle", middle)
    return outer.add_edge(start, "invokes").add_edge("invokes", "middle").compile(checkpointer=api.InMemorySaver())


THREAD = {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize("modes", ["updates", ["updates", "values", "custom"]])
def test_a_stream_shows_inner_graphs(modes):
    """Each chunk with the nodes around the graph it comes from; before the question and after the answer."""

    def program(api: Any) -> list[Any]:
        app = nested(api)
        told = list(app.stream({"n": 1, "log": []}, THREAD, stream_mode=modes, subgraphs=True))
        return told + list(app.stream(api.Command(resume="yes"), THREAD, stream_mode=modes, subgraphs=True))

    told = same(program)
    assert {(), ("invokes:ID",), ("middle:ID",), ("middle:ID", "inner:ID")} == {chunk[0] for chunk in told}


def test_an_async_stream_shows_inner_graphs():
    """The same for async code."""

    async def streamed(app: Any) -> list[Any]:
        return [chunk async for chunk in app.astream({"n": 1, "log": []}, THREAD, stream_mode="updates", subgraphs=True)]

    told = same(lambda api: asyncio.run(streamed(nested(api, asks=False))))
    assert (("middle:ID", "inner:ID"), {"second": {"log": ["second"], "n": 102}}) in told


def test_a_stream_of_tasks_tells_which_graph_they_are_of():
    """In the order of their starts."""

    def program(api: Any) -> list[Any]:
        chunks = nested(api, asks=False).stream({"n": 1, "log": []}, THREAD, stream_mode="tasks", subgraphs=True)
        return [(place, chunk["name"]) for place, chunk in chunks if "input" in chunk]

    assert [
        ((), "invokes"),
        (("invokes:ID",), "plus"),
        ((), "middle"),
        (("middle:ID",), "inner"),
        (("middle:ID", "inner:ID"), "first"),
        (("middle:ID", "inner:ID"), "tenfold"),
        (("middle:ID", "inner:ID"), "second"),
    ] == same(program)


def test_the_id_of_a_node_around_is_the_one_its_tasks_have():
    """So that a reader of the stream finds where a chunk belongs."""
    import holdfast

    chunks = list(nested(holdfast, asks=False).stream({"n": 1, "log": []}, THREAD, stream_mode="tasks", subgraphs=True))
    ids = {f"{chunk['name']}:{chunk['id']}" for _, chunk in chunks}
    assert ids > {node for place, _ in chunks for node in place}


def test_without_subgraphs_a_stream_is_of_its_own_graph_only():
    """As it ever was, and chunks are as they are."""

    def program(api: Any) -> list[Any]:
        return list(nested(api).stream({"n": 1, "log": []}, THREAD, stream_mode=["updates", "values"]))

    assert [("updates", {"invokes": {"n": 101}})] == [each for each in same(program) if "invokes" in each[1]]


def test_a_breakpoint_in_an_inner_graph_is_no_question_of_its():
    """Nothing waits for an answer there."""
    import holdfast as api

    inner = api.StateGraph(Outer).add_node("plus", lambda state: {"n": state["n"] + 1}).add_edge(api.START, "plus")
    app = api.StateGraph(Outer).add_node("inner", inner.compile(interrupt_before=["plus"])).add_edge(api.START, "inner")
    app = app.compile(checkpointer=api.InMemorySaver())
    told = [plain(chunk) for chunk in app.stream({"n": 1}, THREAD, stream_mode=["updates", "values"], subgraphs=True)]
    assert [((), "updates", {"__interrupt__": ()})] == [each for each in told if each[1] == "updates"]
