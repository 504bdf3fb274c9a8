"""Graphs with a checkpointer: killed processes, failed supersteps, breakpoints, renamed nodes, and what cannot be stored."""

from __future__ import annotations

import operator
import signal
import subprocess
import sys
import textwrap
from typing import Annotated, Any, TypedDict

import pytest

from holdfast import (
    START,
    Command,
    Divergence,
    InMemorySaver,
    InvalidUpdateError,
    NotSerializable,
    PolicyError,
    RunExists,
    SqliteSaver,
    StateGraph,
    TaskContextError,
    UnknownInterruptError,
    entrypoint,
    interrupt,
    task,
)


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def says(name):
    return lambda state: {"log": [name]}


def graph_of(**nodes):
    """A chain of nodes in this order."""
    graph = StateGraph(Log).add_sequence(list(nodes.items()))
    return graph.add_edge(START, next(iter(nodes)))


PROGRAM = """
import operator, os, signal, sys
from typing import Annotated, TypedDict
from holdfast import START, StateGraph, SqliteSaver

folder = sys.argv[1]

class State(TypedDict):
    log: Annotated[list, operator.add]

def node(name):
    def run(state):
        with open(folder + "/done", "a") as file:
            file.write(name + "\\n")
        if name == "c" and not os.path.exists(folder + "/once"):
            open(folder + "/once", "w").close()
            while "b2" not in [each.name for each in app.get_state(thread_id="t").tasks if each.result]:
                pass  # until its sibling's row is written
            os.kill(os.getpid(), signal.SIGKILL)
        return {"log": [name]}
    return run

graph = StateGraph(State)
for name in ("a", "b2", "c", "d"):
    graph.add_node(name, node(name))
graph.add_edge(START, "a").add_edge("a", "b2").add_edge("a", "c").add_edge(["b2", "c"], "d")
app = graph.compile(SqliteSaver(folder + "/runs.db"))
print(app.invoke({"log": []} if sys.argv[2] == "begin" else None, thread_id="t"))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """What was done before the kill, in earlier supersteps and beside the node that died, is not done again."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    killed = subprocess.run([*command, "begin"], check=False, capture_output=True, timeout=60)
    resumed = subprocess.run([*command, "resume"], check=True, capture_output=True, text=True, timeout=60)

    assert -signal.SIGKILL == killed.returncode
    assert "{'log': ['a', 'b2', 'c', 'd']}" == resumed.stdout.strip()
    assert ["a", "b2", "c", "c", "d"] == sorted((tmp_path / "done").read_text().split())


def test_a_failed_superstep_applies_nothing():
    """The state stays as it was before; the error stands at the node that raised it, what its sibling wrote beside."""
    graph = StateGraph(Log)
    graph.add_node("good", says("good"))
    graph.add_node("bad", lambda state: 1 // 0)
    app = graph.add_edge(START, "good").add_edge(START, "bad").compile(InMemorySaver())
    with pytest.raises(ZeroDivisionError):
        app.invoke({"n": 1}, thread_id="t")
    state = app.get_state(thread_id="t")

    assert ({"n": 1, "log": []}, ("bad",)) == (state.values, state.next)
    assert [("bad", ZeroDivisionError, None), ("good", type(None), {"log": ["good"]})] == [
        (each.name, type(each.error), each.result) for each in state.tasks
    ]


def test_all_failed_siblings_run_again():
    """Two nodes of a superstep fail together: one resume does both again."""
    calls: list[str] = []

    def fails_once(name):
        def node(state):
            calls.append(name)
            if calls.count(name) == 1:
                raise ConnectionError(name)
            return {"log": [name]}

        return node

    graph = StateGraph(Log).add_node("a", fails_once("a")).add_node("b", fails_once("b"))
    app = graph.add_edge(START, "a").add_edge(START, "b").compile(InMemorySaver())
    with pytest.raises(ConnectionError):
        app.invoke({"n": 1}, thread_id="t")

    assert {"n": 1, "log": ["a", "b"]} == app.invoke(None, thread_id="t")
    assert ["a", "a", "b", "b"] == sorted(calls)


@pytest.mark.parametrize("stop", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}, {"interrupt_before": "b"}])
def test_breakpoints_stop_once(stop):
    """The run stops there, says so, and goes on when it is resumed."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())

    assert {"n": 1, "log": ["a"]} == app.invoke({"n": 1}, thread_id="t", **stop)
    assert ("b",) == app.get_state(thread_id="t").next
    assert {"n": 1, "log": ["a", "b"]} == app.invoke(None, thread_id="t", **stop)


def test_breakpoints_everywhere():
    """A star stands for all nodes."""
    app = graph_of(a=says("a"), b=says("b"), c=says("c")).compile(InMemorySaver(), interrupt_before="*")
    seen = [app.invoke({"n": 1}, thread_id="t")["log"]] + [app.invoke(None, thread_id="t")["log"] for _ in range(3)]

    assert [[], ["a"], ["a", "b"], ["a", "b", "c"]] == seen


def test_breakpoints_of_a_graph_that_keeps_nothing():
    """Such a run could never go on."""
    app = graph_of(a=says("a")).compile(interrupt_before=["a"])

    with pytest.raises(TaskContextError, match="keeps nothing"):
        app.invoke({"n": 1})


def test_a_renamed_node_is_told():
    """A run that has made a node which is not there any more is not gone on with; what is kept of it stays."""
    saver = InMemorySaver()
    before = graph_of(first=says("a"), second=lambda state: 1 // 0).compile(saver)
    with pytest.raises(ZeroDivisionError):
        before.invoke({"n": 1}, thread_id="t")
    renamed = graph_of(primary=says("a"), second=says("b")).compile(saver)
    with pytest.raises(Divergence, match="node 'first', which the graph graph has no more"):
        renamed.invoke(None, thread_id="t")

    assert ({"n": 1, "log": ["a"]}, ("second",)) == before.get_state(thread_id="t")[:2]


def test_a_waiting_node_that_was_renamed_is_told():
    """Also the one that the run stands at, though it has not finished."""
    saver = InMemorySaver()
    graph_of(a=says("a"), ask=lambda state: {"log": [interrupt("?")]}).compile(saver).invoke({"n": 1}, thread_id="t")
    renamed = graph_of(a=says("a"), question=lambda state: {"log": [interrupt("?")]}).compile(saver)

    with pytest.raises(Divergence, match="node 'ask'"):
        renamed.invoke(Command(resume="x"), thread_id="t")


def test_what_cannot_be_stored_is_named():
    """Node and key, and the state before it is intact."""
    app = graph_of(a=says("a"), b=lambda state: {"n": 1, "log": [object()]}).compile(InMemorySaver())

    with pytest.raises(NotSerializable, match=r"node b .*key 'log'"):
        app.invoke({"n": 1}, thread_id="t")
    assert {"n": 1, "log": ["a"]} == app.get_state(thread_id="t").values


def test_an_input_that_cannot_be_stored_is_named():
    """Before anything runs."""
    app = graph_of(a=says("a")).compile(InMemorySaver())

    with pytest.raises(NotSerializable, match="key 'n'"):
        app.invoke({"n": object()}, thread_id="t")


def test_classes_of_the_state_come_back():
    """What the state's annotations name is rebuilt, after a resume too."""
    import dataclasses

    @dataclasses.dataclass
    class Point:
        x: int

    class State(TypedDict):
        point: Point

    State.__annotations__["point"] = Point
    graph = StateGraph(State).add_node("move", lambda state: {"point": Point(state["point"].x + 1)})
    graph.add_node("ask", lambda state: {"point": interrupt("where?")})
    app = graph.add_edge(START, "move").add_edge("move", "ask").compile(InMemorySaver())
    app.invoke({"point": Point(1)}, thread_id="t")

    assert {"point": Point(2)} == app.get_state(thread_id="t").values


def test_a_command_with_an_answer_writes_too():
    """Before the waiting node runs again."""
    app = graph_of(ask=lambda state: {"log": [f"{interrupt('?')} {state['n']}"]}).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    assert {"n": 5, "log": ["yes 5"]} == app.invoke(Command(resume="yes", update={"n": 5}), thread_id="t")


def test_a_command_goes_on_elsewhere():
    """Without an answer, on a finished thread: it writes, and goes where it says."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    assert {"n": 9, "log": ["a", "b", "b"]} == app.invoke(Command(update={"n": 9}, goto="b"), thread_id="t")


def test_an_answer_without_a_question():
    """Is refused, as for any run."""
    app = graph_of(a=says("a")).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    with pytest.raises(UnknownInterruptError):
        app.invoke(Command(resume="x"), thread_id="t")


def test_a_new_input_sees_what_an_unfinished_run_had_written():
    """The state is the thread's, be its last run finished or not."""
    app = graph_of(a=says("a"), bad=lambda state: 1 // 0 if state["n"] == 1 else {}).compile(InMemorySaver())
    with pytest.raises(ZeroDivisionError):
        app.invoke({"n": 1}, thread_id="t")

    assert {"n": 2, "log": ["a", "a"]} == app.invoke({"n": 2}, thread_id="t")


def test_the_same_run_id_is_the_same_run():
    """With the same input its result is returned, with another one it is refused."""
    calls: list[int] = []
    app = graph_of(a=lambda state: calls.append(1)).compile(InMemorySaver())
    first = app.invoke({"n": 1}, thread_id="t", run_id="key")

    assert first == app.invoke({"n": 1}, thread_id="t", run_id="key")
    assert [1] == calls
    with pytest.raises(RunExists):
        app.invoke({"n": 2}, thread_id="t", run_id="key")


def test_history_ends_and_begins_where_it_is_told():
    """``limit``, ``before``, and a checkpoint to begin with."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")
    app.invoke({"n": 2}, thread_id="t")
    states = list(app.get_state_history(thread_id="t"))

    assert 8 == len(states)
    assert states[:3] == list(app.get_state_history(thread_id="t", limit=3))
    assert states[6:] == list(app.get_state_history(thread_id="t", before=states[5].config))
    assert states[2:] == list(app.get_state_history(states[2].config))


def test_each_checkpoint_is_found_by_its_config():
    """And looks the same alone as in the history, but for its time."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")
    states = list(app.get_state_history(thread_id="t"))

    assert [each._replace(created_at=None) for each in states] == [app.get_state(each.config)._replace(created_at=None) for each in states]
    assert [each.config for each in states[1:]] == [each.parent_config for each in states[:-1]]


def test_an_unknown_checkpoint():
    """Says which are there."""
    app = graph_of(a=says("a")).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")
    config = app.get_state(thread_id="t").config["configurable"]

    with pytest.raises(PolicyError, match="no such checkpoint"):
        app.get_state({"configurable": {**config, "checkpoint_id": config["checkpoint_id"].rpartition(":")[0] + ":99"}})
    with pytest.raises(PolicyError, match="no such run"):
        app.get_state({"configurable": {**config, "checkpoint_id": "nothing:1"}})


def test_update_state_of_a_thread_that_is_not_there_yet():
    """As the input would: what follows START comes next."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())
    app.update_state(None, {"n": 3}, thread_id="t")

    assert (("a",), {"n": 3, "log": ["a", "b"]}) == (app.get_state(thread_id="t").next, app.invoke(None, thread_id="t"))


def test_update_state_as_a_node():
    """What follows that node comes next; as END nothing does."""
    app = graph_of(a=says("a"), b=says("b")).compile(InMemorySaver())
    app.update_state(None, {"n": 3}, as_node="a", thread_id="t")
    first = app.get_state(thread_id="t").next
    app.update_state(None, {"n": 4}, "__end__", thread_id="t")

    assert (("b",), ()) == (first, app.get_state(thread_id="t").next)
    assert {"n": 4, "log": []} == app.invoke(None, thread_id="t")


def test_update_state_after_several_nodes_wants_a_name():
    """Whose edges are to be followed would be a guess."""
    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", says("b"))
    app = graph.add_edge(START, "a").add_edge(START, "b").compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    with pytest.raises(InvalidUpdateError, match="a, b ran last"):
        app.update_state(None, {"n": 2}, thread_id="t")
    with pytest.raises(PolicyError, match="no such node"):
        app.update_state(None, {"n": 2}, "c", thread_id="t")
    with pytest.raises(InvalidUpdateError, match="key 'zz'"):
        app.update_state(None, {"zz": 2}, "a", thread_id="t")


def test_update_state_follows_conditional_edges():
    """With the state as it then is."""
    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", says("b")).add_node("c", says("c")).add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "b" if state["n"] > 5 else "c", ["b", "c"])
    app = graph.compile(InMemorySaver())
    app.update_state(None, {"n": 9}, "a", thread_id="t")

    assert ("b",) == app.get_state(thread_id="t").next


def test_a_graph_inside_a_run_is_a_step_of_it():
    """What it has done is not done again when that run is resumed."""
    calls: list[str] = []
    inner = graph_of(a=lambda state: calls.append("a"), b=says("b")).compile()

    @entrypoint(InMemorySaver())
    def outer(n: int) -> Any:
        return inner.invoke({"n": n})["log"], interrupt("?")

    outer.invoke(1, thread_id="t")

    assert (["b"], "yes") == outer.invoke(Command(resume="yes"), thread_id="t")
    assert ["a"] == calls


def test_tasks_in_a_node_are_not_done_again():
    """A node that asks runs again from its top, and what it has called is replayed; a task may have a node's name."""
    calls: list[int] = []

    @task(name="ask")
    def work() -> int:
        calls.append(1)
        return 7

    app = graph_of(ask=lambda state: {"n": work().result(), "log": [interrupt("?")]}).compile(InMemorySaver())
    app.invoke({"n": 1}, thread_id="t")

    assert {"n": 7, "log": ["yes"]} == app.invoke(Command(resume="yes"), thread_id="t")
    assert [1] == calls


def test_another_graphs_thread_is_refused():
    """By name: what is recorded is not this graph's."""
    saver = InMemorySaver()
    graph_of(a=says("a")).compile(saver, name="one").invoke({"n": 1}, thread_id="t")

    with pytest.raises(PolicyError, match="made by the entrypoint 'one'"):
        graph_of(a=says("a")).compile(saver, name="two").invoke({"n": 1}, thread_id="t")


def test_a_join_is_waited_for_across_a_branch(tmp_path):
    """A run that begins in the middle knows which sources of a join have run already."""
    graph = StateGraph(Log)
    for name in "abcd":
        graph.add_node(name, says(name))
    graph.add_edge(START, "a").add_edge(START, "b").add_edge("b", "c").add_edge(["a", "c"], "d")
    saver = SqliteSaver(tmp_path / "runs.db")
    app = graph.compile(saver)
    app.invoke({"n": 1}, thread_id="t")
    before_c = next(state for state in app.get_state_history(thread_id="t") if state.next == ("c",))

    assert ["a", "b", "c", "d"] == app.invoke(None, before_c.config)["log"]
    saver.close()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability(tmp_path, durability):
    """A run that ends well has everything in its store."""
    saver = SqliteSaver(tmp_path / "runs.db")
    app = graph_of(a=says("a"), b=says("b")).compile(saver, durability=durability)
    app.invoke({"n": 1}, thread_id="t", durability=durability)
    saver.close()

    assert [("log", ["a", "b"])] == [item for item in app.get_state(thread_id="t").values.items() if item[0] == "log"]
    assert 4 == len(list(app.get_state_history(thread_id="t")))
    assert (tmp_path / "runs.db").exists()
    saver.close()


def test_an_update_before_a_join_s_target_leaves_that_waiting():
    """All it waits for has run; as in LangGraph, and else there would be nothing to go on with."""
    graph = StateGraph(Log).add_node("a", says("a")).add_node("b", says("b")).add_node("c", says("c"))
    app = graph.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c").compile(InMemorySaver(), interrupt_before=["c"])
    app.invoke({"n": 1}, thread_id="t")
    app.update_state(None, {"n": 2}, "a", thread_id="t")

    assert ("c",) == app.get_state(thread_id="t").next
    assert {"n": 2, "log": ["a", "b", "c"]} == app.invoke(None, thread_id="t")
