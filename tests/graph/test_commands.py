"""Commands to a graph that waits for an answer: what they write, and what runs beside the node that asks. As in LangGraph."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest

import holdfast
from tests.graph.both import same

THREAD = {"configurable": {"thread_id": "t"}}


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def asking(api: Any, *, defer: bool) -> Any:
    """A graph that waits in the node ``ask``, and has nodes that only a command leads to."""

    def says(name: str) -> Any:
        return lambda _: {"log": [name]}

    graph = api.StateGraph(Log).add_node(
        "ask", lambda _: {"log": [api.interrupt("?")]}, defer=defer, destinations=("beside", "sent", "last")
    )
    graph.add_node("beside", says("beside")).add_node("sent", lambda given: {"log": [f"sent {given}"]}).add_node("after", says("after"))
    graph.add_node("last", says("last"), defer=True)
    app = graph.add_edge(api.START, "ask").add_edge("ask", "after").compile(checkpointer=api.InMemorySaver())
    app.invoke({"n": 1, "log": []}, THREAD)
    return app


@pytest.mark.parametrize("defer", [False, True], ids=["as it comes", "deferred"])
@pytest.mark.parametrize(
    ("goto", "expected"),
    [
        (lambda api: "beside", ["yes", "beside", "after"]),
        (lambda api: api.Send("sent", 7), ["yes", "sent 7", "after"]),
        (lambda api: ["beside", "after"], ["yes", "after", "beside", "after"]),
        (lambda api: "last", ["yes", "after", "last"]),
    ],
    ids=["a node", "a send", "two nodes", "a deferred node"],
)
def test_an_answer_that_goes_elsewhere_too(goto, expected, defer):
    """The node that asked gets its answer, whatever runs beside it: also one that had waited until nothing else was left."""

    def program(api: Any) -> Any:
        app = asking(api, defer=defer)
        return app.invoke(api.Command(resume="yes", goto=goto(api), update={"n": 5}), THREAD), app.get_state(THREAD).next

    (values, left) = same(program)
    assert ({5}, sorted(expected), ()) == ({values["n"]}, sorted(values["log"]), left)


def test_a_command_that_leads_to_the_node_that_asks():
    """It runs once, with its answer; also where it is deferred, and LangGraph has it wait."""
    app = asking(holdfast, defer=True)

    assert {"n": 1, "log": ["yes", "after"]} == app.invoke(holdfast.Command(resume="yes", goto="ask"), THREAD)


@pytest.mark.parametrize("defer", [False, True], ids=["as it comes", "deferred"])
def test_a_command_without_an_answer_leaves_the_question_open(defer):
    """One question, which is answered later; the nodes that the command named have run."""

    def program(api: Any) -> Any:
        app = asking(api, defer=defer)
        asked = app.invoke(api.Command(goto="beside"), THREAD)["__interrupt__"]
        assert 1 == len(asked)
        return app.get_state(THREAD).next, app.invoke(api.Command(resume="later"), THREAD)

    assert (("ask",), {"n": 1, "log": ["later", "beside", "after"]}) == same(program)


def test_an_update_goes_on_after_a_command_to_a_graph_that_is_not_there():
    """Whatever the node that ran last has said: what is written by hand takes its place."""
    api = holdfast
    graph = api.StateGraph(Log).add_node("a", lambda _: api.Command(graph=api.Command.PARENT)).add_node("b", lambda _: {"log": ["b"]})
    app = graph.add_edge(api.START, "a").add_edge("a", "b").compile(checkpointer=api.InMemorySaver())
    with pytest.raises(api.InvalidUpdateError):
        app.invoke({"n": 1}, THREAD)
    app.update_state(THREAD, {"n": 2}, "a")

    assert {"n": 2, "log": ["b"]} == app.invoke(None, THREAD)
