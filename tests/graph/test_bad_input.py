"""What a graph is given and cannot take: errors that say where, and what to do."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, TypedDict

import pytest

from holdfast import START, InMemorySaver, InvalidUpdateError, NotSerializable, PolicyError, Send, StateGraph, task


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def noting() -> StateGraph:
    return StateGraph(Log).add_node("a", lambda _: {"log": ["a"]}).add_edge(START, "a")


def test_an_input_that_cannot_be_stored():
    """The error names the key, and what to do."""
    with pytest.raises(NotSerializable, match="the input of graph cannot be checkpointed: key 'n' of the state: n is an object") as caught:
        noting().compile(InMemorySaver()).invoke({"n": object()}, thread_id="t")
    assert "n" == caught.value.where


def test_what_is_sent_and_cannot_be_stored():
    """The error names the node it is sent to."""
    graph = noting().add_conditional_edges("a", lambda _: Send("a", [object()]), ["a"])
    with pytest.raises(NotSerializable, match=r"what is sent to node 'a': arg\[0\] is an object"):
        graph.compile(InMemorySaver()).invoke({"n": 1}, thread_id="t")


def test_a_reducer_that_cannot_take_the_input():
    """The note says that it was the input."""
    with pytest.raises(TypeError) as caught:
        noting().compile().invoke({"log": 7})
    assert ["holdfast: raised by the reducer of 'log' on the input; the superstep changed nothing"] == caught.value.__notes__


def test_a_graph_that_keeps_nothing_has_no_state():
    """The error says what to give compile."""
    with pytest.raises(PolicyError, match=r"this graph keeps nothing: .*compile\(SqliteSaver"):
        noting().compile().get_state(thread_id="t")


def nothing():
    """Takes no state."""


def asking(state, city):
    """Takes more than the state."""


def graphs_of(function):
    """One with it as a node, one as an edge, one as a handler; and what each is called."""
    node = StateGraph(Log).add_node("a", function).add_edge(START, "a")
    edge = noting().add_conditional_edges("a", function, ["a"])
    handler = StateGraph(Log).add_node("a", lambda _: None, error_handler=function).add_edge(START, "a")
    return (node, "node 'a'"), (edge, "the conditional edge '.*' of 'a'"), (handler, "the error handler of node 'a'")


@pytest.mark.parametrize(("function", "says"), [(nothing, "takes 0 positional arguments"), (asking, "'city'")])
def test_a_function_that_graphs_cannot_call(function, says):
    """A node, an edge or a handler that does not take the state, or asks for more, is refused when the graph is compiled."""
    for graph, what in graphs_of(function):
        with pytest.raises(PolicyError, match=f"{what} cannot be called: .*{says}.*It gets the state"):
            graph.compile()


@task
def works(state):
    """A task is called by a node, and is none."""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Log, "is the class Log: give a function of the state"),
        (works, "is <Task works: .*>, which has an invoke of its own: give a function of the state that calls it"),
    ],
)
def test_what_is_no_function_of_the_state(given, says):
    """The error says of which node, edge or handler, and speaks of no decorator that nobody has written."""
    for graph, what in graphs_of(given):
        with pytest.raises(PolicyError, match=f"^{what} {says}"):
            graph.compile()


def test_a_handler_that_cannot_be_called():
    """It is told which node's it is."""
    graph = StateGraph(Log).add_node("a", lambda _: None, error_handler="log it").add_edge(START, "a")
    with pytest.raises(PolicyError, match=r"^the error handler of node 'a' is 'log it': give a function of the state$"):
        graph.compile()


@pytest.mark.parametrize(
    "function",
    [
        lambda *states: {"n": 2},
        lambda config: {"n": config["n"] + 1},
        lambda state, config, *, runtime: {"n": state["n"] + 1},
        functools.partial(asking, city="Oslo"),
        functools.partial(lambda city, state: {"n": 2}, "Oslo"),
        lambda state, days=3: {"n": 2},
    ],
)
def test_functions_that_graphs_can_call(function):
    """What takes the state as its first argument, and nothing else that has no value, is a node."""
    app = StateGraph(Log).add_node("a", function).add_edge(START, "a").compile()

    assert app.invoke({"n": 1})["n"] in {1, 2}


def test_an_edge_cannot_lead_to_the_beginning():
    """Whatever its function is going to return."""
    graph = noting().add_conditional_edges("a", lambda _: "again", {"again": START})
    with pytest.raises(PolicyError, match="leads to START, where the graph begins: name a node, or END"):
        graph.compile()


def test_an_answer_that_cannot_be_hashed():
    """A list in a list is no name of a node: the error says what is."""
    graph = noting().add_conditional_edges("a", lambda _: [["a"]], ["a"])
    with pytest.raises(InvalidUpdateError, match=r"returned \['a'\], which it does not lead to; it knows: 'a'"):
        graph.compile().invoke({"n": 1})


def test_the_node_of_a_result_that_cannot_be_stored():
    """It is called a node, and the key is named."""
    graph = StateGraph(Log).add_node("a", lambda _: {"n": object()}).add_edge(START, "a")
    with pytest.raises(NotSerializable, match="the result of node a cannot be checkpointed: key 'n' of the state: n is an object"):
        graph.compile(InMemorySaver()).invoke({"n": 1}, thread_id="t")
