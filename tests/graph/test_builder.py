"""What `StateGraph` refuses when it is built and compiled: each error names what is wrong."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, NotRequired, TypedDict

import pytest

import holdfast
from holdfast import END, START, CachePolicy, Command, InMemoryCache, InMemorySaver, NodeError, PolicyError, RetryPolicy, Send, StateGraph
from tests.graph.both import same


class State(TypedDict):
    n: int
    log: Annotated[list[str], operator.add]


def passes(state: State) -> None:
    """Writes nothing."""


def says(name):
    return lambda state: {"log": [name]}


def one_node() -> StateGraph:
    return StateGraph(State).add_node("a", passes).add_edge(START, "a")


@pytest.mark.parametrize("cls", [dict, list, int, "State", None, Annotated[list, operator.add]])
def test_no_state_class(cls):
    """Only a class that declares its keys is one."""
    with pytest.raises(PolicyError, match="no state class"):
        StateGraph(cls)


def test_a_reducer_takes_two():
    """Its key is named."""

    class Wrong(TypedDict):
        n: Annotated[int, lambda one: one]

    Wrong.__annotations__["n"] = Annotated[int, lambda one: one]
    with pytest.raises(PolicyError, match=r"reduces 'n' of .* takes two"):
        StateGraph(Wrong)


def test_an_annotation_that_names_nothing():
    """Would lose its reducer, so it is refused."""

    class Broken(TypedDict):
        n: int

    Broken.__annotations__["n"] = "NoSuchClass"
    with pytest.raises(PolicyError, match="cannot be resolved"):
        StateGraph(Broken)


def test_keys_that_need_not_be_there():
    """``NotRequired`` stands around a reducer."""

    class Loose(TypedDict):
        log: NotRequired[Annotated[list, operator.add]]

    Loose.__annotations__["log"] = NotRequired[Annotated[list, operator.add]]
    graph = StateGraph(Loose).add_node("a", says("a")).add_edge(START, "a")

    assert {"log": ["x", "a"]} == graph.compile().invoke({"log": ["x"]})


def _unknown_branch():
    return one_node().add_conditional_edges("a", lambda state: "b", {"b": "nowhere"})


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (lambda: StateGraph(State), "no way in"),
        (lambda: StateGraph(State).add_node("a", passes), r"no way in: add_edge\(START, 'a'\)"),
        (lambda: one_node().add_edge("a", "b"), "'a' -> 'b' names a node 'b'"),
        (lambda: one_node().add_edge("z", "a"), "'z' -> 'a' names a node 'z'"),
        (lambda: one_node().add_edge(["a", "z"], "a"), "names a node 'z'"),
        (_unknown_branch, "conditional edge '<lambda>' of 'a' names a node 'nowhere'"),
        (lambda: one_node().add_conditional_edges("z", passes), "conditional edge 'passes' of 'z' names a node 'z'"),
        (lambda: one_node().add_node("b", passes, destinations=["q"]), "destinations names a node 'q'"),
        (lambda: one_node().add_node("b", passes), "no edge leads to node 'b'"),
        (lambda: one_node().add_node("b", passes).add_edge("b", "b"), "no edge leads to node 'b'"),
    ],
)
def test_what_compile_refuses(graph, text):
    """Unknown nodes, edges that begin or end nowhere, nodes that nothing leads to."""
    with pytest.raises(PolicyError, match=text):
        graph().compile()


@pytest.mark.parametrize(
    "lead",
    [
        lambda graph: graph.add_conditional_edges("a", lambda state: "b"),
        lambda graph: graph.add_edge("a", "b"),
        lambda graph: graph.add_node("c", lambda state: Command(goto="b")).add_edge("a", "c"),
        lambda graph: graph.add_node("c", passes, destinations=("b",)).add_edge("a", "c"),
        lambda graph: graph.add_node("c", passes, error_handler=lambda state, error: Command(goto="b")).add_edge("a", "c"),
    ],
)
def test_a_node_that_may_be_reached(lead):
    """Where a branch or a command may lead anywhere, nothing is certain."""
    graph = one_node().add_node("b", passes)
    lead(graph)

    assert "b" in repr(graph.compile())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda graph: graph.add_node("a", passes), "a node 'a' already"),
        (lambda graph: graph.add_node(START, passes), "cannot be named '__start__'"),
        (lambda graph: graph.add_node("x:y", passes), "cannot be named 'x:y'"),
        (lambda graph: graph.add_node("b"), "node 'b' has no function"),
        (lambda graph: graph.add_node(17), "is no function"),
        (lambda graph: graph.add_edge(END, "a"), "begins at START"),
        (lambda graph: graph.add_edge("a", START), "ends at a node or END"),
        (lambda graph: graph.add_edge([], "a"), "begins at START"),
        (lambda graph: graph.add_sequence([]), "adds nothing"),
        (lambda graph: graph.compile("runs.db"), "give a checkpointer"),
        (lambda graph: graph.compile(interrupt_before=["b"]), "there is no node 'b'"),
        (lambda graph: graph.compile(durability="never"), "choose one of"),
        (lambda graph: graph.add_conditional_edges("a", passes).add_conditional_edges("a", passes), "'passes' already"),
    ],
)
def test_what_is_refused_at_once(change, text):
    """Names, edges and options that cannot work."""
    with pytest.raises(PolicyError, match=text):
        change(one_node())


def test_a_compiled_graph_does_not_change():
    """What is added later is for the next one."""
    graph = one_node()
    app = graph.compile()
    graph.add_node("b", says("b")).add_edge("a", "b")

    assert [{"n": 1, "log": []}, {"n": 1, "log": ["b"]}] == [each.invoke({"n": 1}) for each in (app, graph.compile())]


def test_defaults_hold_for_nodes_that_say_nothing():
    """Also for those that were there before; what a node says itself counts more."""
    calls: dict[str, int] = {"a": 0, "b": 0}

    def fails(name):
        def node(state):
            calls[name] += 1
            raise ConnectionError(name)

        return node

    def handler(state: State, error: NodeError):
        return {"log": [error.node]}

    graph = StateGraph(State).add_node("a", fails("a"), retry_policy=RetryPolicy(max_attempts=1)).add_node("b", fails("b"))
    graph.set_node_defaults(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0, jitter=False), error_handler=handler)
    app = graph.add_edge(START, "a").add_edge(START, "b").compile()

    assert {"n": 1, "log": ["a", "b"]} == app.invoke({"n": 1})
    assert {"a": 1, "b": 3} == calls


def test_what_a_handler_returns_goes_no_way_of_the_node_that_failed():
    """Only its command says what follows; its error may be asked for, in both colours."""

    def program(api):
        def fails(_):
            raise KeyError("lost")

        def handler(state, error):
            return {"log": [f"{error.node}: {error.error!r}"]}

        async def handler_async(state, error):
            return api.Command(update=handler(state, error), goto="d")

        async def waits(_):
            return None

        handler.__annotations__["error"] = handler_async.__annotations__["error"] = api.NodeError
        graph = api.StateGraph(State).add_node("a", fails, error_handler=handler).add_node("b", fails, error_handler=handler_async)
        graph.add_node("after a", says("after a")).add_node("after b", says("after b")).add_node("d", says("d")).add_node("waits", waits)
        for source, target in ((api.START, "a"), (api.START, "b"), (api.START, "waits"), ("a", "after a"), ("b", "after b")):
            graph.add_edge(source, target)
        return asyncio.run(graph.compile().ainvoke({"n": 1}))["log"]

    assert ["a: KeyError('lost')", "b: KeyError('lost')", "d"] == same(program)


def test_a_nodes_cache_is_keyed_by_its_state():
    """The same state is a hit, and a hit goes the way that was decided then; another state is computed."""
    calls: list[int] = []

    def square(state: State):
        calls.append(state["n"])
        return {"n": state["n"] ** 2}

    graph = (
        StateGraph(State).add_node("square", square, cache_policy=CachePolicy(ttl=60)).add_node("b", says("b")).add_edge(START, "square")
    )
    graph.add_conditional_edges("square", lambda state: "b" if state["n"] > 5 else END, ["b", END])
    app = graph.compile(cache=InMemoryCache())

    assert [4, 9, 4] == [app.invoke({"n": n})["n"] for n in (2, 3, 2)]
    assert [2, 3] == calls
    assert {"n": 9, "log": ["b"]} == app.invoke({"n": 3})


@pytest.mark.parametrize("leads", [False, True], ids=["alone", "with a conditional edge"])
def test_a_cached_node_may_call_its_state_as_it_likes(leads):
    """Also by a name that the runtime fills in elsewhere: it is the state, and counts in the key."""
    calls: list[int] = []

    def square(config):
        calls.append(config["n"])
        return {"n": config["n"] ** 2}

    graph = StateGraph(State).add_node("square", square, cache_policy=CachePolicy(ttl=60)).add_edge(START, "square")
    if leads:
        graph.add_conditional_edges("square", lambda state: END, [END])
    app = graph.compile(cache=InMemoryCache())

    assert [4, 9, 4] == [app.invoke({"n": n})["n"] for n in (2, 3, 2)]
    assert [2, 3] == calls


def test_a_changed_branch_is_another_cache_key():
    """Where a cached node goes was decided by the code of its conditional edges."""
    cache = InMemoryCache()

    def app(target):
        graph = StateGraph(State).add_node("a", passes, cache_policy=CachePolicy(ttl=60)).add_node("b", says("b")).add_node("c", says("c"))
        graph.add_edge(START, "a").add_conditional_edges("a", (lambda state: "b") if target == "b" else (lambda state: "c"))
        return graph.compile(cache=cache)

    assert [["b"], ["c"]] == [app(target).invoke({"n": 1})["log"] for target in "bc"]


def test_injected_parameters():
    """A node gets what a task gets, and so does a conditional edge."""
    seen: dict[str, object] = {}

    def node(state, config, *, store, writer):
        seen["node"] = (config["configurable"]["thread_id"], store, callable(writer))

    def path(state, config):
        seen["path"] = config["configurable"]["thread_id"]
        return END

    graph = StateGraph(State).add_node("a", node).add_edge(START, "a").add_conditional_edges("a", path)
    graph.compile(InMemorySaver(), store="the store").invoke({"n": 1}, thread_id="t")

    assert {"node": ("t", "the store", True), "path": "t"} == seen


def test_names_are_those_of_the_package():
    """What users need is found in one place, and loads when it is first asked for."""
    assert StateGraph is holdfast.StateGraph
    assert ("__start__", "__end__", Send("a", 1)) == (holdfast.START, holdfast.END, holdfast.Send("a", 1))


def test_an_object_is_no_state_class():
    """Not even one that cannot be looked up."""
    with pytest.raises(PolicyError, match=r"\{'n': <class 'int'>\} is no state class"):
        StateGraph({"n": int})


def test_a_graph_is_compiled_before_it_is_a_node():
    """The error says how."""
    inner = StateGraph(State)
    with pytest.raises(PolicyError, match=r"add_node\('x', graph.compile\(\)\)"):
        StateGraph(State).add_node("x", inner)
