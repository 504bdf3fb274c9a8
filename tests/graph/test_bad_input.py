"""What a graph is given and cannot take: errors that say where, and what to do."""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

import pytest

from holdfast import START, InMemorySaver, NotSerializable, PolicyError, Send, StateGraph


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
