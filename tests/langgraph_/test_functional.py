"""Tasks called in LangGraph's own entrypoints and tasks."""

from __future__ import annotations

import asyncio

from langgraph.checkpoint.memory import InMemorySaver as GraphSaver
from langgraph.func import entrypoint as graph_entrypoint
from langgraph.func import task as graph_task
from langgraph.types import Command, interrupt

from holdfast import InMemorySaver, entrypoint, task
from tests.langgraph_.graphs import CONFIG


def test_an_entrypoint_of_langgraphs_calls_tasks_of_both(saver, ran):
    """After an interrupt neither is done again, nor what the one has called of the other."""

    @task
    def ours(n: int) -> int:
        ran.append(("ours", n))
        return n * 10

    @graph_task
    def theirs(n: int) -> int:
        ran.append(("theirs", n))
        return ours(n).result() + 1

    @graph_entrypoint(checkpointer=GraphSaver())
    def workflow(n: int) -> list:
        found = [ours(n).result(), theirs(n).result(), theirs(n).result()]
        return [*found, interrupt("go on?"), ours(9).result()]

    workflow.invoke(1, CONFIG)

    assert [10, 11, 11, "yes", 90] == workflow.invoke(Command(resume="yes"), CONFIG)
    assert [("ours", 1), ("theirs", 1), ("ours", 1), ("theirs", 1), ("ours", 1), ("ours", 9)] == ran


def test_an_async_entrypoint_of_langgraphs(saver, ran):
    """The same, awaited."""

    @task
    async def ours(n: int) -> int:
        ran.append(n)
        await asyncio.sleep(0)
        return n * 10

    @graph_task
    async def theirs(n: int) -> int:
        return sum(await asyncio.gather(ours(n), ours(n + 1)))

    @graph_entrypoint(checkpointer=GraphSaver())
    async def workflow(n: int) -> list:
        first, second = await asyncio.gather(theirs(n), ours(n))
        return [first, second, interrupt("go on?"), await ours(9)]

    async def main():
        await workflow.ainvoke(1, CONFIG)
        return await workflow.ainvoke(Command(resume="yes"), CONFIG)

    assert [30, 10, "yes", 90] == asyncio.run(main())
    assert [1, 1, 2, 9] == sorted(ran)


def test_previous_and_store_are_handed_on(saver):
    """What LangGraph's runtime has, tasks may ask for by name."""

    @task
    def look(previous, store, runtime) -> tuple:
        return previous, store, runtime.context

    seen = []

    @graph_entrypoint(checkpointer=GraphSaver(), store=None)
    def workflow(n: int) -> int:
        seen.append(look().result())
        return n

    workflow.invoke(1, CONFIG, context={"user": "ada"})
    workflow.invoke(2, CONFIG, context={"user": "ada"})

    assert [(None, None, {"user": "ada"}), (1, None, {"user": "ada"})] == seen


def test_an_entrypoint_of_ours_becomes_a_step_of_the_node(saver, graph, run, ran):
    """As inside a run of ours: where no thread of its own is named, it is not done again."""

    @task
    def part(n: int) -> int:
        ran.append(n)
        return n * 10

    @entrypoint(InMemorySaver())
    def plan(n: int) -> int:
        return part(n).result()

    def node(state):
        found = [plan.invoke(1), part.invoke(2)]
        interrupt("go on?")
        return {"log": found}

    app = graph(node)
    run(app, {"n": 0})

    assert [10, 20] == run(app, Command(resume="yes"))["log"]
    assert [1, 2] == ran


def test_an_entrypoint_keeps_its_previous_beside_a_graph_of_the_same_thread(saver, graph):
    """What tasks in a graph leave behind in the thread is no value of an entrypoint's."""

    @task
    def part() -> int:
        return 1

    @entrypoint(saver)
    def plan(n: int, *, previous: int | None = None) -> list:
        return [n, previous]

    def node(state):
        part().result()

    app = graph(node)
    plan.invoke(1, CONFIG)
    app.invoke({"n": 0}, CONFIG)
    plan.invoke(2, CONFIG)
    app.invoke({"n": 0}, CONFIG)

    assert [3, [2, [1, None]]] == plan.invoke(3, CONFIG)
