"""LangGraph's `interrupt` around and inside tasks, and in functions that are retried."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.errors import GraphInterrupt
from langgraph.types import Command, interrupt

import holdfast
from holdfast import RetryPolicy, resilient, task

EVERYTHING = RetryPolicy(max_attempts=5, retry_on=Exception, initial_interval=0.001)


def test_a_task_may_ask(saver, graph, run, ran):
    """It is run again for its answer, and what it has called is not."""

    @task
    def look_up(name: str) -> str:
        ran.append(name)
        return name.upper()

    @task
    def review(name: str) -> str:
        found = look_up(name).result()
        return f"{found}: {interrupt(found)}"

    def node(state):
        return {"log": [review("ada").result()]}

    app = graph(node)

    assert "ADA" == run(app, {"n": 0})["__interrupt__"][0].value
    assert ["ADA: fine"] == run(app, Command(resume="fine"))["log"]
    assert ["ada"] == ran


@pytest.mark.parametrize("ask", [interrupt, holdfast.interrupt])
def test_each_answer_reaches_its_own_question(saver, graph, run, ask):
    """LangGraph counts the questions of a node, so a task that has asked one asks it again, though it has its result."""

    @task
    def review(what: str) -> str:
        return f"{what} {ask(what)}"

    def node(state):
        return {"log": [review("a").result(), review("b").result(), interrupt("c"), review("d").result()]}

    app = graph(node)
    asked = [run(app, given)["__interrupt__"][0].value for given in ({"n": 0}, Command(resume=1), Command(resume=2), Command(resume=3))]

    assert ["a", "b", "c", "d"] == asked
    assert ["a 1", "b 2", 3, "d 4"] == run(app, Command(resume=4))["log"]


def test_our_interrupt_asks_as_langgraphs_does_in_a_node(graph, run):
    """It needs no checkpointer of ours: the question is LangGraph's."""

    def node(state):
        return {"log": [holdfast.interrupt("go on?")]}

    app = graph(node)

    assert "go on?" == run(app, {"n": 0})["__interrupt__"][0].value
    assert ["yes"] == run(app, Command(resume="yes"))["log"]


def test_an_answer_is_checked_by_the_schema(graph, run):
    """The schema is handed on."""
    from pydantic import BaseModel

    class Answer(BaseModel):
        n: int

    @task
    def ask() -> int:
        return holdfast.interrupt("how many?", response_schema=Answer).n

    def node(state):
        return {"log": [ask().result()]}

    app = graph(node)
    run(app, {"n": 0})

    assert [3] == run(app, Command(resume={"n": 3}))["log"]


def test_a_question_is_not_retried(saver, graph, run, ran):
    """Whatever the policy of the task says: it is no failure."""

    @task(retry_policy=EVERYTHING)
    def ask() -> str:
        ran.append("asked")
        return interrupt("go on?")

    def node(state):
        return {"log": [ask().result()]}

    app = graph(node)
    run(app, {"n": 0})

    assert ["asked"] == ran
    assert ["yes"] == run(app, Command(resume="yes"))["log"]


def test_a_resilient_node_may_ask(graph, run, ran):
    """A node that is itself retried by ours stops for a question at once."""

    @resilient(retry_policy=EVERYTHING)
    def node(state):
        ran.append("node")
        return {"log": [interrupt("go on?")]}

    app = graph(node)
    run(app, {"n": 0})

    assert ["node"] == ran
    assert ["yes"] == run(app, Command(resume="yes"))["log"]


def test_a_question_is_no_failure_in_an_async_function_either():
    """What LangGraph stops a node with passes through untouched."""
    calls = []

    @resilient(retry_policy=EVERYTHING)
    async def ask() -> None:
        calls.append(1)
        raise GraphInterrupt(())

    with pytest.raises(GraphInterrupt):
        asyncio.run(ask())
    assert [1] == calls


def test_what_runs_beside_a_question_is_kept(saver, graph, run, ran):
    """The siblings of a task that asks end, and are not done again."""

    @task
    def work(n: int) -> int:
        ran.append(n)
        return n

    @task
    def ask() -> str:
        return interrupt("go on?")

    def node(state):
        futures = [work(1), ask(), work(2)]
        return {"log": [future.result() for future in reversed(futures)]}

    app = graph(node)
    run(app, {"n": 0})

    assert [2, "yes", 1] == run(app, Command(resume="yes"))["log"]
    assert [1, 2] == sorted(ran)
