"""Graphs inside graphs and runs: what is kept of the inner ones, and what observers see of nodes."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, TypedDict

import pytest

from holdfast import START, Command, InMemorySaver, RetryPolicy, Secret, StateGraph, interrupt
from holdfast._graph.kept import Ended
from holdfast._graph.routes import Written
from holdfast.runtime.attempts import shown_result
from holdfast.testing import recorded


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def says(name):
    return lambda state: {"log": [name]}


def chain(**nodes):
    return StateGraph(Log).add_sequence(list(nodes.items())).add_edge(START, next(iter(nodes)))


def test_a_retried_inner_graph_keeps_what_it_has_done():
    """The second attempt of the node goes on where the first one failed."""
    calls: list[str] = []

    def once(state):
        calls.append("once")

    def flaky(state):
        calls.append("flaky")
        if calls.count("flaky") == 1:
            raise ConnectionError

    graph = StateGraph(Log).add_node(
        "inner", chain(once=once, flaky=flaky).compile(), retry_policy=RetryPolicy(initial_interval=0, jitter=False)
    )
    graph.add_edge(START, "inner").compile(InMemorySaver()).invoke({"n": 1}, thread_id="t")

    assert ["once", "flaky", "flaky"] == calls


def test_a_breakpoint_of_an_inner_graph_stops_the_run():
    """And is passed when that is resumed."""
    inner = chain(a=says("a"), b=says("b")).compile(interrupt_before=["b"])
    app = StateGraph(Log).add_node("inner", inner).add_edge(START, "inner").compile(InMemorySaver())
    first = app.invoke({"n": 1}, thread_id="t")

    assert [] == first["log"]
    assert ["a", "b"] == app.invoke(None, thread_id="t")["log"]


@pytest.mark.parametrize("depth", [1, 5])
def test_a_question_from_deep_inside(depth):
    """Finds its way out, and the answer its way in, in both colours."""

    async def ask(state):
        return {"log": [interrupt("?")]}

    app = chain(ask=ask).compile()
    for _ in range(depth):
        app = StateGraph(Log).add_node("inner", app).add_edge(START, "inner").compile()
    graph = StateGraph(Log).add_node("inner", app).add_edge(START, "inner").compile(InMemorySaver())

    async def main():
        await graph.ainvoke({"n": 1}, thread_id="a")
        return await graph.ainvoke(Command(resume="yes"), thread_id="a")

    assert ["?"] == [each.value for each in graph.invoke({"n": 1}, thread_id="s")["__interrupt__"]]
    assert ["yes"] == graph.invoke(Command(resume="yes"), thread_id="s")["log"] == asyncio.run(main())["log"]


def test_an_inner_graph_that_is_invoked_in_a_node():
    """Its steps are the run's: what it had done before a question is not done again."""
    calls: list[str] = []
    inner = chain(work=lambda state: calls.append("work"), ask=lambda state: {"log": [interrupt("?")]}).compile()
    app = chain(outer=lambda state: {"log": inner.invoke({"n": state["n"]})["log"]}).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    assert ["yes"] == app.invoke(Command(resume="yes"), thread_id="t")["log"]
    assert ["work"] == calls


def test_nodes_are_calls_to_an_observer():
    """Under the run, by their names, with what they get; what a resumed run takes in is no call."""
    app = chain(a=says("a"), b=lambda state: {"log": [interrupt("?")]}).compile(InMemorySaver())
    with recorded() as seen:
        app.invoke({"n": 1}, thread_id="t")
        app.invoke(Command(resume="x"), thread_id="t")

    state = {"n": 1, "log": ["a"]}
    assert [
        ("a", "ok", {"state": {"n": 1, "log": []}}),
        ("b", "interrupted", {"state": state}),
        ("b", "ok", {"state": state}),
    ] == [(each["name"], each["outcome"], each["arguments"]) for each in seen.facts if each["kind"] == "call"]


def test_what_observers_see_of_results():
    """Of a node what it wrote, of a graph the state; a graph that waits shows its question."""
    app = chain(a=says("a")).compile()
    node = app._parts.nodes["a"].plan

    assert {"log": [1]} == shown_result(node, Written((("log", [1]),), ("b",)))
    assert {"n": 1} == shown_result(app.plan, Ended({"n": 1}, 0, 0, ()))
    assert {"__interrupt__": []} == shown_result(app.plan, {"__interrupt__": []})
    assert shown_result(node, None) is None


def test_a_cancelled_run_can_be_resumed():
    """What was done before stays done."""
    calls: list[str] = []

    async def slow(state):
        calls.append("slow")
        if calls.count("slow") == 1:
            await asyncio.sleep(60)

    app = chain(a=lambda state: calls.append("a"), slow=slow).compile(InMemorySaver())

    async def main():
        running = asyncio.ensure_future(app.ainvoke({"n": 1}, thread_id="t"))
        while "slow" not in calls:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        return await app.ainvoke(None, thread_id="t")

    assert {"n": 1, "log": []} == asyncio.run(main())
    assert ["a", "slow", "slow"] == calls


def test_a_nodes_parameter_may_be_marked():
    """As a task's: observers do not see it."""
    seen: list[object] = []

    def login(state: Annotated[Log, Secret]):
        seen.append(state["n"])

    with recorded() as recording:
        chain(login=login).compile().invoke({"n": 42})
    (call,) = [each for each in recording.facts if each["kind"] == "call"]

    assert [42] == seen
    assert "42" not in repr(call["arguments"])
