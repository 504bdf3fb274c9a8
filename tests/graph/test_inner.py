"""Graphs in graphs, seen from outside: in streams, in states and in pictures. What LangGraph shows too is compared with it."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

import holdfast
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


def places(state: Any) -> Any:
    """What a state and those inside it say of where the graphs are."""
    inner = [
        (task.name, [each.value for each in task.interrupts], places(task.state)) for task in state.tasks if hasattr(task.state, "tasks")
    ]
    return state.values, state.next, inner


def asking(api: Any) -> Any:
    """The nested graphs, where the innermost one has asked."""
    app = nested(api)
    app.invoke({"n": 1, "log": []}, THREAD)
    return app


def test_a_state_shows_how_far_inner_graphs_are():
    """With ``subgraphs``, on each level, down to the node that asks."""
    _, _, [(_, _, (_, _, [(name, questions, (values, left, _))]))] = same(lambda api: places(asking(api).get_state(THREAD, subgraphs=True)))
    assert ("inner", ["go on?"], ("second",)) == (name, questions, left)
    assert {"n": 101, "own": "1010", "log": ["first"]} == values


def test_without_subgraphs_a_state_names_inner_graphs():
    """By a config, which shows that graph when it is given back; also of the one inside it."""

    def program(api: Any) -> Any:
        app = asking(api)
        [middle] = app.get_state(THREAD).tasks
        [inner] = app.get_state(middle.state).tasks
        assert {"ID"} == {plain(each.id) for each in (middle, inner)}
        return middle.state["configurable"]["checkpoint_ns"], app.get_state(inner.state).values, app.get_state(inner.state).next

    assert ("middle:ID", {"n": 101, "own": "1010", "log": ["first"]}, ("second",)) == same(program)


def test_async_states_show_inner_graphs():
    """As those for sync code do."""
    app = asking(holdfast)
    assert app.get_state(THREAD, subgraphs=True) == asyncio.run(app.aget_state(THREAD, subgraphs=True))


def test_a_finished_graph_has_no_inner_state():
    """Its results are the outer graph's."""

    def program(api: Any) -> Any:
        app = nested(api, asks=False)
        app.invoke({"n": 1, "log": []}, THREAD)
        return places(app.get_state(THREAD, subgraphs=True))

    assert [] == same(program)[2]


def test_an_inner_graph_that_has_not_begun_is_empty():
    """The outer one stops before it."""

    def program(api: Any) -> Any:
        app = nested(api)
        app.invoke({"n": 1, "log": []}, THREAD, interrupt_before=["middle"])
        return places(app.get_state(THREAD, subgraphs=True))

    assert [("middle", [], ({}, (), []))] == same(program)[2]


def test_a_failure_in_an_inner_graph_is_shown_where_it_happened():
    """At the node that raised, and at the one around it; what was done before stands."""
    api = holdfast

    def fails(state: Outer) -> None:
        raise ValueError(state["n"])

    inner = api.StateGraph(Outer).add_node("plus", lambda state: {"n": state["n"] + 1}).add_node("fails", fails)
    inner = inner.add_edge(api.START, "plus").add_edge("plus", "fails").compile()
    app = api.StateGraph(Outer).add_node("inner", inner).add_edge(api.START, "inner").compile(checkpointer=api.InMemorySaver())
    with pytest.raises(ValueError, match="2"):
        app.invoke({"n": 1}, THREAD)
    [task] = app.get_state(THREAD, subgraphs=True).tasks
    assert ("ValueError(2)", {"n": 2, "log": []}, ("fails",)) == (repr(task.error), task.state.values, task.state.next)
    assert "ValueError(2)" == repr(task.state.tasks[0].error)


@pytest.mark.parametrize("namespace", ["middle:other", "middle", "invokes:1|x:2"])
def test_a_graph_that_is_not_under_way_cannot_be_looked_at(namespace):
    """The error names what was asked for."""
    with pytest.raises(holdfast.PolicyError, match="no such graph is under way") as caught:
        asking(holdfast).get_state({"configurable": {"thread_id": "t", "checkpoint_ns": namespace}})
    assert namespace in str(caught.value)


def test_the_state_of_an_inner_graph_cannot_be_changed():
    """Only looked at: it follows from the outer one's."""
    app = asking(holdfast)
    [task] = app.get_state(THREAD).tasks
    with pytest.raises(holdfast.PolicyError, match="only the outer graph's state is changed"):
        app.update_state(task.state, {"n": 2})


SHAPES = {
    "chain": [("__start__", "a"), ("a", "b"), ("b", "__end__")],
    "one node": [("__start__", "a"), ("a", "__end__")],
    "two first": [("__start__", "a"), ("__start__", "b"), ("a", "c"), ("b", "c"), ("c", "__end__")],
    "two last": [("__start__", "a"), ("a", "b"), ("a", "c"), ("b", "__end__"), ("c", "__end__")],
    "loop": [("__start__", "a"), ("a", "b"), ("b", "a?"), ("b", "__end__?")],
    "loop to itself": [("__start__", "a"), ("a", "a"), ("a", "b"), ("b", "__end__")],
}
"""Graphs, by their edges; a question mark for a conditional one."""


def drawn_in(api: Any, shape: str, deep: int) -> Any:
    """A graph of that shape, inside ``deep`` others that have a node before it and one after it, and a branch that leads to it."""
    found = api.StateGraph(Outer)
    for name in sorted({source for source, _ in SHAPES[shape]} - {"__start__"}):
        found.add_node(name, lambda _: None)
    for source, target in SHAPES[shape]:
        if not target.endswith("?"):
            found.add_edge(source, target)
    branches = {
        source: [target[:-1] for start, target in SHAPES[shape] if target.endswith("?") and start == source] for source, _ in SHAPES[shape]
    }
    for source, targets in branches.items():
        if targets:
            found.add_conditional_edges(source, lambda _: "a", targets)
    for _ in range(deep):
        around = (
            api.StateGraph(Outer).add_node("before", lambda _: None).add_node("inner", found.compile()).add_node("after", lambda _: None)
        )
        around.add_edge(api.START, "before").add_conditional_edges("before", lambda _: "x", {"x": "inner", "y": "after"}).add_edge(
            "inner", "after"
        )
        found = around.add_edge("after", api.END)
    return found.compile()


@pytest.mark.parametrize("deep", [1, 2])
@pytest.mark.parametrize("xray", [True, 1, 2, 0])
@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_open_inner_graphs(shape, xray, deep):
    """With the nodes and edges that LangGraph gives them."""

    def program(api: Any) -> Any:
        picture = drawn_in(api, shape, deep).get_graph(xray=xray)
        edges = {(edge.source, edge.target, edge.conditional, edge.data) for edge in picture.edges}
        return sorted(picture.nodes), edges

    same(program)


def test_a_picture_frames_inner_graphs():
    """As LangGraph writes it."""

    def program(api: Any) -> set[str]:
        return set(drawn_in(api, "chain", 1).get_graph(xray=True).draw_mermaid().splitlines())

    assert {"\tsubgraph inner", "\tinner\\3aa(a)", "\tinner\\3aa --> inner\\3ab;", "\tend"} < same(program)


def test_frames_of_one_name_are_told_apart():
    """Graphs in graphs are framed in one another; LangGraph leaves such edges out, or refuses to draw."""
    picture = drawn_in(holdfast, "chain", 2).get_graph(xray=True).draw_mermaid()
    lines = [line.strip() for line in picture.splitlines() if "a" not in line or "frame" in line or "subgraph" in line]
    assert ["subgraph inner[inner]", r"subgraph inner\3ainner[inner]", "end", "end"] == [
        line for line in lines if "subgraph" in line or line == "end"
    ]
    assert r"inner\3ainner\3aa --> inner\3ainner\3ab;" in picture


def test_letters_show_inner_graphs():
    """By the names their nodes have in the picture."""
    assert "| inner:a |" in drawn_in(holdfast, "chain", 1).get_graph(xray=True).draw_ascii()


@pytest.mark.parametrize("xray", [-1, "2", None])
def test_no_number_of_levels(xray):
    """The error says what to give."""
    with pytest.raises(holdfast.PolicyError, match="how many levels"):
        drawn_in(holdfast, "chain", 1).get_graph(xray=xray)
