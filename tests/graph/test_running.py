"""Graphs that run and keep nothing: updates, reducers, ways, limits, and streams."""

from __future__ import annotations

import asyncio
import dataclasses
import operator
from collections.abc import Mapping, MutableSet, Sequence
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from holdfast import (
    END,
    START,
    Command,
    GraphRecursionError,
    InMemorySaver,
    InvalidUpdateError,
    NodeTimeoutError,
    PolicyError,
    Send,
    StateGraph,
    entrypoint,
    get_stream_writer,
    task,
)
from tests.graph.both import same


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def says(name):
    return lambda state: {"log": [name]}


def running(action: Any, **options: Any) -> Any:
    return StateGraph(Log).add_node("a", action, **options).add_edge(START, "a").compile()


@pytest.mark.parametrize(
    ("result", "text", "key"),
    [
        ({"m": 1}, "node 'a' returned a key 'm' that is not declared; declared are: n, log$", "m"),
        ({"logs": []}, r"did you mean 'log'\?", "logs"),
        (3, "node 'a' returned 3", ""),
        ([{"n": 1}, 3], "node 'a' returned 3", ""),
        ([{"n": 1}, {"n": 2}], "node 'a' writes to 'n' 2 times", "n"),
        (Command(goto="b"), "node 'a' goes to 'b', and there is no such node", ""),
        (Command(goto=Send("b", 1)), "no such node", ""),
        (Command(goto=[7]), "no such node", ""),
        (Command(update={"m": 1}), "key 'm'", "m"),
        (Command(resume=1), "an answer is given to invoke", ""),
        (Command(graph="other"), "Command.PARENT", ""),
        (Command(graph=Command.PARENT), "not a node of another one", ""),
        ([Command(graph=Command.PARENT), {"n": 1}], "return one sort", ""),
    ],
)
def test_results_that_do_not_fit(result, text, key):
    """The error names the node, and the key where it is about one."""
    with pytest.raises(InvalidUpdateError, match=text) as caught:
        running(lambda state: result).invoke({"n": 1})

    assert ("a", key) == (caught.value.node, caught.value.key)


@pytest.mark.parametrize("given", [{"m": 1}, 7, Command(goto="b"), Command(update={"m": 1})])
def test_inputs_that_do_not_fit(given):
    """Nothing runs."""
    with pytest.raises(InvalidUpdateError):
        running(lambda state: 1 // 0).invoke(given)


def test_nothing_to_go_on_with():
    """None resumes, and there is nothing to resume."""
    with pytest.raises(PolicyError, match="give an input"):
        running(says("a")).invoke(None)


def test_two_writers_without_a_reducer():
    """Both are named, and nothing is applied."""
    graph = StateGraph(Log).add_node("a", lambda state: {"n": 1}).add_node("b", lambda state: {"n": 2})
    app = graph.add_edge(START, "a").add_edge(START, "b").compile(InMemorySaver())

    with pytest.raises(InvalidUpdateError, match="nodes 'a', 'b' write to 'n' in one superstep") as caught:
        app.invoke({"n": 0}, thread_id="t")
    assert "n" == caught.value.key
    assert {"n": 0, "log": []} == app.get_state(thread_id="t").values


def test_a_reducer_that_raises():
    """Its own error, with a note that names key and node; the state is as it was."""

    def picky(old: int, new: int) -> int:
        if new > 5:
            raise ValueError(new)
        return new

    class State(TypedDict):
        n: Annotated[int, picky]

    State.__annotations__["n"] = Annotated[int, picky]
    app = StateGraph(State).add_node("a", lambda state: {"n": 9}).add_edge(START, "a").compile(InMemorySaver())

    with pytest.raises(ValueError, match="9") as caught:
        app.invoke({"n": 1}, thread_id="t")
    assert ["holdfast: raised by the reducer of 'n' on what node 'a' wrote; the superstep changed nothing"] == caught.value.__notes__
    assert {"n": 1} == app.get_state(thread_id="t").values


@pytest.mark.parametrize("annotation", [int | None, Sequence[int], MutableSet[str], Mapping[str, int], list[int], int], ids=str)
def test_what_a_reducer_begins_with(annotation):
    """An empty value of the annotated type; where there is none, the first one that is written is taken as it is."""

    def program(api: Any) -> Any:
        seen: list[Any] = []

        def node(state: Any) -> Any:
            seen.append(dict(state))
            return {"kept": 2 if annotation in {int, int | None} else type(state["kept"])()} if seen[1:] else {}

        class State(TypedDict):
            n: int
            kept: Any

        State.__annotations__["kept"] = Annotated[annotation, lambda old, new: [old, new]]
        graph = api.StateGraph(State).add_node("a", node).add_node("b", node)
        return graph.add_edge(api.START, "a").add_edge("a", "b").compile().invoke({"n": 1}), seen

    same(program)


@pytest.mark.parametrize("path_map", [None, {"x": "b"}, ["b"]])
def test_a_conditional_edge_to_nowhere(path_map):
    """Edge, node and answer are named."""
    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", says("b")).add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "q", path_map)

    with pytest.raises(InvalidUpdateError, match=r"conditional edge '<lambda>' of node 'a' .*'q'"):
        graph.compile().invoke({"n": 1})


@pytest.mark.parametrize("limit", [1, 3])
def test_as_many_supersteps_as_the_limit_says(limit):
    """And not one more; what would come next is named."""
    app = StateGraph(Log).add_node("a", says("a")).add_edge(START, "a").add_edge("a", "a").compile(InMemorySaver())
    with pytest.raises(GraphRecursionError, match=f"made {limit} supersteps.* and a would come next"):
        app.invoke({"n": 1}, {"recursion_limit": limit}, thread_id="t")

    assert ["a"] * limit == app.get_state(thread_id="t").values["log"]


@pytest.mark.parametrize("limit", [0, -1, True, "9", None])
def test_a_limit_that_is_none(limit):
    """A whole number of at least 1."""
    with pytest.raises(PolicyError, match="recursion_limit"):
        running(says("a")).invoke({"n": 1}, {"recursion_limit": limit})


class Struct(msgspec.Struct):
    n: int
    log: Annotated[list, operator.add] = []


@dataclasses.dataclass
class Data:
    n: int
    log: Annotated[list, operator.add] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize("cls", [Struct, Data])
def test_objects_as_the_state(cls):
    """A node gets one, and may return one; what comes out is a dict of the keys that are known."""
    seen: list[Any] = []
    graph = StateGraph(cls).add_node("a", lambda state: (seen.append(state), {"n": state.n + 1})[1])
    app = graph.add_node("b", lambda state: cls(state.n * 2, ["b"])).add_edge(START, "a").add_edge("a", "b").compile()

    assert {"n": 4, "log": ["b"]} == app.invoke({"n": 1})
    assert {"n": 12, "log": ["x", "b"]} == app.invoke(cls(5, ["x"]))
    assert cls(1, []) == seen[0]


def test_a_state_object_that_cannot_be_made():
    """The class's own error, with a note that names the node."""
    app = StateGraph(Data).add_node("a", says("a")).add_edge(START, "a").compile()
    with pytest.raises(TypeError) as caught:
        app.invoke({"log": []})

    assert ["holdfast: raised when the state was made for node 'a'"] == caught.value.__notes__


def test_an_edge_that_waits_for_async():
    """A plain node with an async conditional edge, an async node with a plain one, in both colours."""

    async def path(state):
        await asyncio.sleep(0)
        return "b"

    async def b(state):
        return {"log": ["b"]}

    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", b).add_node("c", says("c")).add_edge(START, "a")
    app = graph.add_conditional_edges("a", path).add_conditional_edges("b", lambda state: "c").compile()

    assert ["a", "b", "c"] == app.invoke({"n": 1})["log"]
    assert ["a", "b", "c"] == asyncio.run(app.ainvoke({"n": 1}))["log"]


def test_a_timeout_of_a_node():
    """As of a task."""

    async def slow(state):
        await asyncio.sleep(30)

    with pytest.raises(NodeTimeoutError, match=r"^a did not finish"):
        running(slow, timeout=0.01).invoke({"n": 1})


def test_one_slot_is_enough():
    """A fan-out of nodes that call tasks, with ``max_concurrency=1``."""

    @task
    def double(n: int) -> int:
        return 2 * n

    graph = StateGraph(Log).add_node("work", lambda n: {"log": [double(n).result()]})
    app = graph.add_conditional_edges(START, lambda state: [Send("work", n) for n in range(20)], ["work"]).compile()

    assert [2 * n for n in range(20)] == app.invoke({"n": 1}, {"max_concurrency": 1})["log"]


def test_a_graph_inside_an_entrypoint_tells_its_own_story():
    """Streams of the entrypoint have its tasks, and not the nodes of a graph that it calls."""
    inner = running(says("a"))

    @entrypoint(InMemorySaver())
    def outer(n: int) -> Any:
        return inner.invoke({"n": n})["log"]

    assert [{"graph": None}, {"outer": ["a"]}][-1:] == list(outer.stream(1))[-1:]


def test_custom_chunks_and_modes_together():
    """What a node sends comes before what it wrote."""

    def node(state):
        get_stream_writer()("half-way")
        return {"n": 2}

    chunks = list(running(node).stream({"n": 1}, stream_mode=["values", "updates", "custom", "tasks"]))

    assert [
        ("values", {"n": 1, "log": []}),
        ("tasks", {"name": "a", "input": {"n": 1, "log": []}, "triggers": ("branch:to:a",)}),
        ("custom", "half-way"),
        ("tasks", {"name": "a", "error": None, "result": {"n": 2}, "interrupts": []}),
        ("updates", {"a": {"n": 2}}),
        ("values", {"n": 2, "log": []}),
    ] == [(mode, {key: value for key, value in chunk.items() if key != "id"} if mode == "tasks" else chunk) for mode, chunk in chunks]


def test_a_stream_of_tasks_says_why_a_node_runs():
    """By an edge, or since somebody has sent it something; in LangGraph's words."""

    def program(api: Any) -> Any:
        graph = api.StateGraph(Log).add_node("a", says("a")).add_node("b", says("b")).add_edge(api.START, "a")
        graph.add_conditional_edges("a", lambda _: api.Send("b", {}), ["b"])
        return [chunk["triggers"] for chunk in graph.compile().stream({"n": 1}, stream_mode="tasks") if "triggers" in chunk]

    assert [("branch:to:a",), ("__pregel_push",)] == same(program)


def test_checkpoints_in_a_stream_are_those_of_the_history():
    """Config, values, what is next and metadata."""
    app = StateGraph(Log).add_sequence([("a", says("a")), ("b", says("b"))]).add_edge(START, "a").compile(InMemorySaver())
    chunks = list(app.stream({"n": 1}, thread_id="t", stream_mode="checkpoints"))
    states = list(app.get_state_history(thread_id="t"))[::-1]

    assert [(state.config, state.parent_config, state.values, list(state.next)) for state in states] == [
        (chunk["config"], chunk["parent_config"], chunk["values"], chunk["next"]) for chunk in chunks
    ]
    assert [each.metadata["step"] for each in states] == [chunk["metadata"]["step"] for chunk in chunks] == [-1, 0, 1, 2]


def test_batches():
    """One run for each input, in parallel, in order; in both colours."""
    app = running(lambda state: {"n": state["n"] + 1})
    inputs = [{"n": n} for n in range(5)]

    assert [1, 2, 3, 4, 5] == [each["n"] for each in app.batch(inputs)]
    assert [1, 2, 3, 4, 5] == [each["n"] for each in asyncio.run(app.abatch(inputs))]


def test_async_state_methods():
    """The twins of ``get_state``, ``update_state`` and the history."""
    app = StateGraph(Log).add_node("a", says("a")).add_edge(START, "a").compile(InMemorySaver())

    async def main():
        await app.ainvoke({"n": 1}, thread_id="t")
        await app.aupdate_state(None, {"n": 5}, thread_id="t")
        state = await app.aget_state(thread_id="t")
        return state.values, [each.metadata["source"] async for each in app.aget_state_history(thread_id="t")]

    assert ({"n": 5, "log": ["a"]}, ["update", "loop", "loop", "input"]) == asyncio.run(main())


def test_a_graph_is_run_and_not_called():
    """As an entrypoint."""
    with pytest.raises(TypeError, match="invoke"):
        running(says("a"))({"n": 1})


def test_nodes_may_end_the_graph():
    """``END`` leads nowhere, also in a list."""
    app = running(lambda state: Command(goto=[END], update={"n": 7}))

    assert {"n": 7, "log": []} == app.invoke({"n": 1})


def test_a_join_waits_anew_in_each_round():
    """When one of its sources runs again and the other does not, what it leads to does not run."""
    graph = StateGraph(Log)
    for name in "abc":
        graph.add_node(name, says(name))
    graph.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c").add_edge("c", "a")

    assert ["a", "b", "c", "a"] == graph.compile().invoke({"n": 1})["log"]


def test_deferred_nodes_run_together_when_nothing_else_is_left():
    """And what they lead to comes after them."""
    graph = StateGraph(Log)
    for name in "abcde":
        graph.add_node(name, says(name), defer=name in "bc")
    for source, target in ((START, "a"), (START, "b"), (START, "c"), ("a", "d"), ("c", "e")):
        graph.add_edge(source, target)

    assert ["a", "d", "b", "c", "e"] == graph.compile().invoke({"n": 1})["log"]


def test_a_join_that_names_a_node_twice():
    """It waits for each once; for one node alone it is a plain edge."""
    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", says("b")).add_node("c", says("c")).add_node("d", says("d"))
    graph.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b", "a"], "c").add_edge(["c", "c"], "d")

    assert ["a", "b", "c", "d"] == graph.compile().invoke({"n": 1})["log"]
