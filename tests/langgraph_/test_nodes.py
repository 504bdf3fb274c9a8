"""Tasks called in the nodes of real LangGraph graphs: which executions of a node share results, and which do not."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langgraph.checkpoint.memory import InMemorySaver as GraphSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

import holdfast.langgraph
from holdfast import get_config, task
from tests.langgraph_.graphs import CONFIG, Collected, State, counting

AT_ONCE = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=ConnectionError)


def test_a_task_returns_its_result_without_a_checkpointer(graph, run, ran):
    """Nothing need be configured; then nothing is kept."""
    draw = counting(ran)

    def node(state: State) -> State:
        return {"log": [draw("a").result()]}

    assert [1] == run(graph(node), {"n": 0})["log"]
    assert ["a"] == ran


def test_an_async_node_awaits_sync_and_async_tasks(saver, graph, ran):
    """Async bodies run on the graph's own loop."""
    draw = counting(ran)

    @task
    async def on_loop() -> bool:
        return asyncio.get_running_loop() is loops[0]

    loops = []

    async def node(state: State) -> State:
        loops.append(asyncio.get_running_loop())
        return {"log": [*await asyncio.gather(draw("a"), on_loop()), await draw("b")]}

    assert [1, True, 2] == asyncio.run(graph(node).ainvoke({"n": 0}, CONFIG))["log"]


def test_a_sync_node_calls_async_tasks(saver, graph, run):
    """Also where the graph itself runs on a loop."""

    @task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    def node(state: State) -> State:
        return {"log": [double(n).result() for n in (1, 2)]}

    assert [2, 4] == run(graph(node), {"n": 0})["log"]


def test_what_is_finished_is_not_done_again_after_an_interrupt(saver, graph, run, ran):
    """The node is executed again from its first line, its tasks are not."""
    draw = counting(ran)

    def node(state: State) -> State:
        first = [draw("before").result(), draw("before").result()]
        answer = interrupt("go on?")
        return {"log": [*first, answer, draw("after").result()]}

    app = graph(node)
    run(app, {"n": 0})

    assert [1, 2, "yes", 3] == run(app, Command(resume="yes"))["log"]
    assert ["before", "before", "after"] == ran


def test_the_same_in_an_async_node(saver, graph, ran):
    """Several interrupts, each of which executes the node again."""
    draw = counting(ran)

    async def node(state: State) -> State:
        first = await draw("one")
        answers = [interrupt("a?")]
        second = await draw("two")
        answers.append(interrupt("b?"))
        return {"log": [first, second, *answers, await draw("three")]}

    async def main():
        app = graph(node)
        for given in ({"n": 0}, Command(resume="A"), Command(resume="B")):
            result = await app.ainvoke(given, CONFIG)
        return result["log"]

    assert [1, 2, "A", "B", 3] == asyncio.run(main())
    assert ["one", "two", "three"] == ran


def test_without_a_checkpointer_it_is_done_again(graph, run, ran):
    """As the docs say."""
    draw = counting(ran)

    def node(state: State) -> State:
        first = draw("before").result()
        interrupt("go on?")
        return {"log": [first]}

    app = graph(node)
    run(app, {"n": 0})

    assert [2] == run(app, Command(resume="yes"))["log"]


def test_the_turns_of_a_loop_do_not_share_results(saver, run, ran):
    """The same node in a later superstep makes equal calls anew."""
    draw = counting(ran)

    def node(state: State) -> State:
        return {"n": state["n"] + 1, "log": [draw("a").result()]}

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if state["n"] < 3 else END)

    assert [1, 2, 3] == run(builder.compile(checkpointer=GraphSaver()), {"n": 0})["log"]


def test_a_fan_out_does_not_share_results(saver, run, ran):
    """The same node many times in one superstep: equal calls are each its own, and each finds its own again."""
    draw = counting(ran)

    def worker(state: State) -> State:
        drawn = draw("a").result()
        if state["n"] == 7:
            interrupt("go on?")
        return {"log": [(state["n"], drawn)]}

    builder = StateGraph(State).add_node("worker", worker)
    builder.add_conditional_edges(START, lambda state: [Send("worker", {"n": n}) for n in range(20)])
    app = builder.compile(checkpointer=GraphSaver())
    run(app, {"n": 0})
    log = run(app, Command(resume="yes"))["log"]

    assert list(range(20)) == [n for n, _ in log]
    assert set(range(1, 21)) == {drawn for _, drawn in log}
    assert 20 == len(ran)


def test_a_retry_by_langgraph_does_only_the_rest(saver, graph, run, ran):
    """What a failed attempt of the node has finished is taken from the journal, equal calls in their order."""
    draw = counting(ran)
    failures = [ConnectionError("reset")]

    def node(state: State) -> State:
        drawn = [draw("a").result(), draw("a").result()]
        if failures:
            raise failures.pop()
        return {"log": [*drawn, draw("a").result()]}

    assert [1, 2, 3] == run(graph(node, retry_policy=AT_ONCE), {"n": 0})["log"]


def test_a_retry_without_a_thread_does_only_the_rest_too(saver, ran):
    """Nothing of it goes to the configured checkpointer, where nobody could come back for it."""
    draw = counting(ran)
    failures = [ConnectionError("reset")]

    def node(state: State) -> State:
        drawn = draw("a").result()
        if failures:
            raise failures.pop()
        return {"log": [drawn]}

    app = StateGraph(State).add_node("node", node, retry_policy=AT_ONCE).add_edge(START, "node").compile()

    assert [1] == app.invoke({"n": 0})["log"]
    assert [] == saver.threads()


def test_a_task_that_failed_runs_again(saver, graph, run, ran):
    """A failure that reached the node is not kept, as of a LangGraph task: nobody tells whether the node got over it."""

    @task
    def flaky() -> str:
        ran.append("flaky")
        if len(ran) == 1:
            raise ConnectionError("reset")
        return "ok"

    def node(state: State) -> State:
        return {"log": [flaky().result()]}

    app = graph(node)
    with pytest.raises(ConnectionError):
        run(app, {"n": 0})

    assert ["ok"] == run(app, None)["log"]
    assert ["flaky", "flaky"] == ran


def test_a_task_of_a_task_is_not_done_again(saver, graph, run, ran):
    """Where the outer one failed, the inner ones that are finished stay so."""
    draw = counting(ran)
    failures = [ConnectionError("reset")]

    @task
    def outer() -> int:
        drawn = draw("inner").result()
        if failures:
            raise failures.pop()
        return drawn

    def node(state: State) -> State:
        return {"log": [outer().result()]}

    app = graph(node)
    with pytest.raises(ConnectionError):
        run(app, {"n": 0})

    assert [1] == run(app, None)["log"]
    assert ["inner"] == ran


def test_subgraphs_have_scopes_of_their_own(saver, graph, run, ran):
    """The same subgraph twice in parallel, with an interrupt in it: each finds its own again."""
    draw = counting(ran)

    def inner(state: State) -> State:
        drawn = draw("a").result()
        if state["n"] == 1:
            interrupt("go on?")
        return {"log": [(state["n"], drawn)]}

    part = StateGraph(State, output_schema=Collected).add_node("inner", inner).add_edge(START, "inner").compile()
    builder = StateGraph(State).add_node("part", part)
    builder.add_conditional_edges(START, lambda state: [Send("part", {"n": n}) for n in (1, 2)])
    app = builder.compile(checkpointer=GraphSaver())
    run(app, {"n": 0})
    log = run(app, Command(resume="yes"))["log"]

    assert [1, 2] == [n for n, _ in log]
    assert {1, 2} == {drawn for _, drawn in log}
    assert 2 == len(ran)


def test_two_nodes_may_have_different_tasks_of_one_name(saver, run):
    """Their steps are told apart by the node."""

    def named(value):
        @task(name="fetch")
        def fetch() -> str:
            return value

        return fetch

    one, two = named("one"), named("two")
    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"log": [one().result()]}).add_node("b", lambda state: {"log": [two().result()]})
    builder.add_edge(START, "a").add_edge(START, "b")

    assert ["one", "two"] == run(builder.compile(checkpointer=GraphSaver()), {"n": 0})["log"]


def test_the_threads_and_tasks_of_a_node_count_equal_calls_together(saver, graph, ran):
    """Though the first calls are made in contexts of their own: two equal ones are two steps."""
    draw = counting(ran)

    async def call():
        return await draw("a")

    async def node(state: State) -> State:
        first = await asyncio.create_task(call())
        second = await asyncio.create_task(call())
        return {"log": [first, second]}

    assert [1, 2] == asyncio.run(graph(node).ainvoke({"n": 0}, CONFIG))["log"]


def test_a_task_runs_under_the_callers_thread_id(saver, graph, run):
    """What LangGraph's caller put into the config is there, what is LangGraph's own is not."""
    seen = []

    @task
    def look(config) -> None:
        seen.append((config, get_config()))

    def node(state: State) -> None:
        look().result()

    run(graph(node), {"n": 0}, {"configurable": {"thread_id": "trip-1", "user": "ada"}, "metadata": {"team": "x"}, "tags": ["t"]})
    config, same = seen[0]

    assert config == same
    assert {"thread_id", "run_id", "user"} == set(config["configurable"])
    assert ("trip-1", "ada") == (config["configurable"]["thread_id"], config["configurable"]["user"])
    assert "x" == config["metadata"]["team"]
    assert ["trip-1"] == [thread.thread_id for thread in saver.threads()]


def test_tasks_run_in_parallel(saver, graph, run):
    """A call returns before its body does."""
    barrier = threading.Barrier(3, timeout=60)

    @task
    def meet(n: int) -> int:
        barrier.wait()
        return n

    def node(state: State) -> State:
        return {"log": [future.result() for future in [meet(n) for n in range(3)]]}

    assert [0, 1, 2] == run(graph(node), {"n": 0})["log"]


def test_what_is_configured_limits_the_bodies_at_once(graph, run):
    """With one at a time, tasks that call tasks still end."""
    holdfast.langgraph.configure(max_concurrency=1)
    at_work = []
    most = []

    @task
    def leaf(n: int) -> int:
        at_work.append(n)
        most.append(len(at_work))
        at_work.remove(n)
        return n

    @task
    def branch(n: int) -> int:
        return sum(future.result() for future in [leaf(n * 10 + i) for i in range(3)])

    def node(state: State) -> State:
        return {"log": [future.result() for future in [branch(n) for n in range(3)]]}

    try:
        assert [3, 33, 63] == run(graph(node), {"n": 0})["log"]
    finally:
        holdfast.langgraph.configure()
    assert {1} == set(most)


def test_a_sync_graph_runs_where_a_loop_is_running(saver, graph, ran):
    """As in a notebook: LangGraph runs the node on the loop's own thread, and the loop waits."""
    draw = counting(ran)

    @task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * await draw(str(n))

    def node(state: State) -> State:
        return {"log": [draw("a").result(), double(1).result()]}

    async def cell():
        return graph(node).invoke({"n": 0}, CONFIG)["log"]

    assert [1, 4] == asyncio.run(cell())


def test_an_async_node_may_not_block_its_loop(saver, graph):
    """A result that is not there yet is to be awaited."""

    @task
    async def never() -> None:
        await asyncio.sleep(0)

    async def node(state: State) -> State:
        never().result()

    with pytest.raises(asyncio.InvalidStateError, match="write `await future`"):
        asyncio.run(graph(node).ainvoke({"n": 0}, CONFIG))
