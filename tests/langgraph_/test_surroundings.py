"""What goes through between LangGraph and tasks: streams, spans, ownership of threads; and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest
from langgraph.checkpoint.memory import InMemorySaver as GraphSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import holdfast
import holdfast.langgraph
from holdfast import InMemorySaver, PolicyError, SqliteSaver, TaskContextError, ThreadBusyError, resilient, task
from holdfast.testing import recorded
from holdfast.testing.recording import observing
from holdfast.tracing.observers.spans import SpanObserver
from tests.children import in_child
from tests.langgraph_.graphs import CONFIG, Collected, State
from tests.waiting import until


@task
def double(n: int) -> int:
    return 2 * n


# -- streams ----------------------------------------------------------------------------------------------------------------------------


@task
def telling(n: int, writer) -> int:
    writer({"injected": n})
    holdfast.get_stream_writer()({"ours": n})
    get_stream_writer()({"theirs": n})
    return n


@task
async def telling_async(n: int, writer) -> int:
    writer({"injected": n})
    holdfast.get_stream_writer()({"ours": n})
    get_stream_writer()({"theirs": n})
    return n


TOLD = [{"node": 0}, {"injected": 1}, {"ours": 1}, {"theirs": 1}, {"node": 1}, {"ours in the node": 1}]


def test_the_writers_of_a_task_reach_langgraphs_stream(saver, graph):
    """Those of both, in a task and around it, in the order of the writing."""

    def node(state: State) -> State:
        get_stream_writer()({"node": 0})
        telling(1).result()
        get_stream_writer()({"node": 1})
        holdfast.get_stream_writer()({"ours in the node": 1})
        return {"log": [1]}

    app = graph(node)

    assert TOLD == list(app.stream({"n": 0}, CONFIG, stream_mode="custom"))
    assert [("custom", chunk) for chunk in TOLD] == list(app.stream({"n": 0}, CONFIG, stream_mode=["updates", "custom"]))[:-1]


def test_the_writers_of_an_async_task_do_too(saver, graph):
    """Within an async stream."""

    async def node(state: State) -> State:
        get_stream_writer()({"node": 0})
        await telling_async(1)
        get_stream_writer()({"node": 1})
        holdfast.get_stream_writer()({"ours in the node": 1})
        return {"log": [1]}

    async def main():
        return [chunk async for chunk in graph(node).astream({"n": 0}, CONFIG, stream_mode="custom")]

    assert TOLD == asyncio.run(main())


def test_chunks_of_a_subgraph_carry_its_namespace(saver, run):
    """They come from the node that the task was called in."""

    def inner(state: State) -> Collected:
        telling(1).result()
        return {"log": [1]}

    part = StateGraph(State, output_schema=Collected).add_node("inner", inner).add_edge(START, "inner").compile()
    app = StateGraph(State).add_node("part", part).add_edge(START, "part").compile(checkpointer=GraphSaver())
    chunks = list(app.stream({"n": 0}, CONFIG, stream_mode="custom", subgraphs=True))

    assert [{"injected": 1}, {"ours": 1}, {"theirs": 1}] == [chunk for _, chunk in chunks]
    assert ["part"] * 3 == [namespace[0].partition(":")[0] for namespace, _ in chunks]


# -- spans ------------------------------------------------------------------------------------------------------------------------------


def test_spans_of_tasks_are_children_of_the_nodes(saver, graph, run):
    """Of whatever span is current where they are called, with the thread's id, and a replayed one says so."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app")

    @task
    def outer() -> int:
        return double(1).result()

    def node(state: State) -> State:
        with tracer.start_as_current_span("node"):
            found = outer().result()
        return {"log": [found, interrupt("go on?")]}

    app = graph(node)
    with observing(SpanObserver(tracer)), tracer.start_as_current_span("request"):
        run(app, {"n": 0})
        run(app, Command(resume="yes"))
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}

    assert [
        ("double", "outer"),
        ("outer", "node"),
        ("node", "request"),
        ("outer", "node"),  # replayed
        ("node", "request"),
        ("request", None),
    ] == [(span.name, names[span.parent.span_id] if span.parent else None) for span in spans]
    assert ["trip-1"] * 3 == [span.attributes["holdfast.thread.id"] for span in spans if span.name in {"outer", "double"}]
    assert "replayed" == [span for span in spans if span.name == "outer"][1].attributes["holdfast.task.outcome"]


def test_a_question_is_no_failure_to_observers(saver, graph):
    """The task that asked was interrupted."""

    @task
    def ask() -> str:
        return interrupt("go on?")

    def node(state: State) -> State:
        return {"log": [ask().result()]}

    app = graph(node)
    with recorded() as observer:
        app.invoke({"n": 0}, CONFIG)

    assert "interrupted" in observer.tree()


# -- whose a thread is ------------------------------------------------------------------------------------------------------------------


def test_a_waiting_graph_owns_nothing(graph, tmp_path):
    """So another process may answer; while a task is under way, none may interfere."""
    ours, others = (SqliteSaver(tmp_path / "tasks.db") for _ in range(2))
    holdfast.langgraph.configure(checkpointer=ours)

    @task
    def work() -> bool:
        return others.is_owned("trip-1")

    def node(state: State) -> State:
        found = [work().result()]
        interrupt("go on?")
        return {"log": found}

    app = graph(node)
    app.invoke({"n": 0}, CONFIG)
    assert not others.is_owned("trip-1")

    holdfast.langgraph.configure(checkpointer=others)
    try:
        assert [True] == app.invoke(Command(resume="yes"), CONFIG)["log"]
    finally:
        holdfast.langgraph.configure()


def test_whoever_is_told_of_a_result_finds_the_thread_free(graph):
    """It is given back first: another process may be told to go on at once."""
    saver, is_awaited, owned = InMemorySaver(), threading.Event(), []
    holdfast.langgraph.configure(checkpointer=saver)

    @task
    def work() -> bool:
        assert is_awaited.wait(60)
        return saver.is_owned("trip-1")

    def node(state: State) -> State:
        future = work()
        future.add_done_callback(lambda _: owned.append(saver.is_owned("trip-1")))
        is_awaited.set()
        return {"log": [future.result()]}

    try:
        assert [True] == graph(node).invoke({"n": 0}, CONFIG)["log"]
    finally:
        holdfast.langgraph.configure()
    assert [False] == owned


def test_a_thread_that_another_process_works_on_is_refused(graph, tmp_path):
    """Before the task begins."""
    ours, others = (SqliteSaver(tmp_path / "tasks.db") for _ in range(2))
    holdfast.langgraph.configure(checkpointer=ours)
    lease = others.claim("trip-1")

    def node(state: State) -> State:
        return {"log": [double(1).result()]}

    app = graph(node)
    try:
        with pytest.raises(ThreadBusyError):
            app.invoke({"n": 0}, CONFIG)
        others.release(lease)
        assert [2] == app.invoke(None, CONFIG)["log"]
    finally:
        holdfast.langgraph.configure()


def test_what_another_process_has_finished_meanwhile_is_seen(graph, tmp_path, ran):
    """LangGraph lets two processes execute a node at once; the later one of them looks again before it records."""
    ours, others = (SqliteSaver(tmp_path / "tasks.db") for _ in range(2))
    app, overtakers = None, ["another process"]

    @task
    def work(n: int) -> int:
        ran.append(n)
        return n

    def node(state: State) -> State:
        found = [work(1).result()]
        if overtakers:
            overtakers.pop()
            holdfast.langgraph.configure(checkpointer=others)
            app.invoke(None, {"configurable": {"thread_id": "trip-1"}})
            holdfast.langgraph.configure(checkpointer=ours)
        found += [work(n).result() for n in (2, 3, 4)]
        return {"log": found}

    holdfast.langgraph.configure(checkpointer=ours)
    builder = StateGraph(State).add_node("first", lambda state: None).add_node("node", node)
    builder.add_edge(START, "first").add_edge("first", "node")
    app = builder.compile(checkpointer=GraphSaver())
    try:
        for _ in app.stream({"n": 0}, CONFIG, durability="sync"):
            pass
    finally:
        holdfast.langgraph.configure()

    assert [1, 2, 3, 4, 2] == ran  # of what the other one has finished, one step was under way here when that was seen


# -- what stays -------------------------------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_a_graph_that_has_ended(run):
    """No run, however many supersteps there were, though a task was defined in the node with all that the node sees."""
    holdfast.langgraph.configure(checkpointer=InMemorySaver())
    before = set(holdfast.langgraph._runs)

    def node(state: State, config) -> State:
        @task
        def inner() -> int:
            return len(config)

        return {"n": state["n"] + 1, "log": [inner().result()]}

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if state["n"] < 10 else END)
    try:
        run(builder.compile(checkpointer=GraphSaver()), {"n": 0})
    finally:
        holdfast.langgraph.configure()

    until(lambda: [gc.collect()] and not set(holdfast.langgraph._runs) - before)  # what has a finalizer goes with a second collection


def test_each_superstep_is_a_run_that_can_be_forgotten(saver):
    """So what a saver keeps of a thread is bounded as of any other."""

    def node(state: State) -> State:
        return {"n": state["n"] + 1, "log": [double(state["n"]).result(), double(7).result()]}

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if state["n"] < 5 else END)
    builder.compile(checkpointer=GraphSaver()).invoke({"n": 0}, CONFIG)

    assert [2] * 5 == [len(saver.steps(run.run_id)) for run in saver.runs("trip-1")]
    assert 3 == len(saver.prune(keep_last=2).runs)


# -- where it is refused ------------------------------------------------------------------------------------------------------------------


def test_outside_the_message_names_langgraph_too():
    """Wherever LangGraph was imported or not."""
    with pytest.raises(TaskContextError, match="a node, task or entrypoint of LangGraph"):
        double(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # what is tested
def test_a_forked_process_is_outside(graph, saver):
    """The graph stayed with the parent."""

    def node(state: State) -> State:
        found = double(1).result()

        def is_refused() -> bool:
            with pytest.raises(TaskContextError):
                double(1)
            return True

        return {"log": [found, in_child(is_refused)]}

    assert [2, 0] == graph(node).invoke({"n": 0}, CONFIG)["log"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"checkpointer": GraphSaver()}, "one of holdfast's"),
        ({"checkpointer": "tasks.db"}, "SqliteSaver\\('tasks.db'\\)"),
        ({"checkpointer": InMemorySaver}, "is the class"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"cache": 1}, "cache"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_configured(given, says):
    """In words."""
    with pytest.raises(PolicyError, match=says):
        holdfast.langgraph.configure(**given)


def test_nothing_of_langgraph_is_imported_by_a_run_outside():
    """Neither by a call that is refused."""
    program = """
import sys
from holdfast import TaskContextError, entrypoint, task

@task
def double(n): return 2 * n

@entrypoint
def main(n): return double(n).result()

main.invoke(1)
try:
    double(1)
except TaskContextError:
    print(sorted(name for name in sys.modules if name.split(".")[0] in {"langgraph", "langchain_core"} or name == "holdfast.langgraph"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "[]" == done.stdout.strip()


def test_an_at_most_once_task_needs_a_checkpointer(graph):
    """And the message says how it is given."""

    @task(delivery="at-most-once")
    def pay() -> str:
        return "receipt"

    def node(state: State) -> State:
        return {"log": [pay().result()]}

    with pytest.raises(TaskContextError, match=r"holdfast\.langgraph\.configure"):
        graph(node).invoke({"n": 0}, CONFIG)


def test_a_cached_task_uses_the_configured_cache(graph, run, ran):
    """As with an entrypoint's ``cache=``."""
    holdfast.langgraph.configure(cache=holdfast.InMemoryCache())

    @task(cache_policy=holdfast.CachePolicy(ttl="1h"))
    def work(n: int) -> int:
        ran.append(n)
        return n

    def node(state: State) -> State:
        return {"log": [work(1).result()]}

    try:
        run(graph(node), {"n": 0})
        run(graph(node), {"n": 0})
    finally:
        holdfast.langgraph.configure()

    assert [1] == ran


def test_a_resilient_function_works_in_a_node(graph, run):
    """It needs no run."""

    @resilient
    def work() -> int:
        return 1

    def node(state: State) -> State:
        return {"log": [work()]}

    assert [1] == run(graph(node), {"n": 0})["log"]
