"""Several updates by hand: in a row, and several nodes in one superstep; as LangGraph does it, but all or nothing."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

import holdfast
from holdfast import START, InvalidUpdateError, NotSerializable, PolicyError, StateGraph, StateUpdate
from tests.graph.both import same

THREAD = {"configurable": {"thread_id": "t"}}


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def app_of(api: Any) -> Any:
    """Two nodes in parallel, one that waits for both, and one that a branch leads to."""

    def says(name: str) -> Any:
        return lambda _: {"log": [name]}

    graph = api.StateGraph(Log)
    for name in ("a", "b", "both", "more"):
        graph.add_node(name, says(name))
    graph.add_edge(api.START, "a").add_edge(api.START, "b").add_edge(["a", "b"], "both")
    graph.add_conditional_edges("both", lambda state: "more" if state.get("n", 0) > 1 else api.END, ["more", api.END])
    return graph.compile(checkpointer=api.InMemorySaver())


def updates_of(api: Any, *supersteps: Any) -> Any:
    """The same for both libraries: supersteps of (values, node)."""
    if api is holdfast:
        return [[StateUpdate(*each) for each in updates] for updates in supersteps]
    from langgraph.types import StateUpdate as Theirs

    return [[Theirs(*each) for each in updates] for updates in supersteps]


def seen(state: Any) -> Any:
    return state.values, state.next, (state.metadata or {}).get("source"), (state.metadata or {}).get("step")


@pytest.mark.parametrize(
    "supersteps",
    [
        [[({"n": 1}, START)]],
        [[({"n": 1}, START)], [({"log": ["A"]}, "a")]],
        [[({"n": 1}, START)], [({"log": ["A"]}, "a"), ({"log": ["B"]}, "b")]],
        [[({"n": 2}, START)], [({"log": ["B"]}, "b"), ({"log": ["A"]}, "a")], [({"n": 3}, "b")]],
        [[({"n": 2}, START)], [({"log": ["A"]}, "a")], [({"log": ["B"]}, "b")]],
        [[({"n": 1}, "both")]],
        [[({"n": 1}, "more")], [({"n": 2}, "more")]],
        [[({"n": 1}, START)], [({"n": 2}, None)]],
    ],
)
def test_supersteps_by_hand(supersteps):
    """Each is a checkpoint, with the state and the next nodes that it would have had if those nodes had run; and the graph goes on from the last."""

    def program(api: Any) -> Any:
        app = app_of(api)
        written = app.bulk_update_state(THREAD, updates_of(api, *supersteps))
        history = [seen(state) for state in app.get_state_history(THREAD)]
        assert seen(app.get_state(written)) == history[0]
        return history, app.invoke(None, written)

    history, _ = same(program)
    assert len(supersteps) == len(history)


def test_supersteps_in_the_middle_of_a_run():
    """They come after the one that waits, which is gone on with no more."""

    def program(api: Any) -> Any:
        app = app_of(api)
        app.invoke({"n": 1}, THREAD, interrupt_before=["both"])
        app.bulk_update_state(THREAD, updates_of(api, [({"log": ["by hand"]}, "a")], [({"n": 7}, "b")]))
        return [seen(state) for state in app.get_state_history(THREAD)][:3], app.invoke(None, THREAD)

    same(program)


def test_what_waited_for_several_nodes_is_done_when_it_is_written_as():
    """LangGraph would have it run once more."""
    app = app_of(holdfast)
    app.bulk_update_state(THREAD, [[({"n": 2}, START)], [({}, "a"), ({}, "b")], [({"log": ["by hand"]}, "both")]])
    assert ("more",) == app.get_state(THREAD).next


def test_async_updates():
    """As those for sync code."""

    async def program(app: Any) -> Any:
        return await app.abulk_update_state(THREAD, [[StateUpdate({"n": 1}, START)], [StateUpdate({"n": 2}, "a")]])

    app = app_of(holdfast)
    assert {"n": 2, "log": []} == app.get_state(asyncio.run(program(app))).values


def test_an_update_may_be_a_plain_pair():
    """Values and node."""
    app = app_of(holdfast)
    app.bulk_update_state(THREAD, [[({"n": 1}, START)]])
    assert {"n": 1, "log": []} == app.get_state(THREAD).values


@pytest.mark.parametrize(
    "supersteps", [[], [[]], [[StateUpdate({"n": 1}, START)], []], None, 7, [{"n": 1}], [[{"n": 1}]], [[({}, "a", "b")]], [["ab"]]]
)
def test_nothing_to_write(supersteps):
    """The error says what to give."""
    with pytest.raises(PolicyError, match=r"give a list of supersteps, each a list of StateUpdate\(values, as_node\)"):
        app_of(holdfast).bulk_update_state(THREAD, supersteps)


def test_who_writes_beside_others_is_named():
    """Which node ran last says nothing of two."""
    with pytest.raises(InvalidUpdateError, match="say of each which node writes it"):
        app_of(holdfast).bulk_update_state(THREAD, [[StateUpdate({"n": 1}, "a"), StateUpdate({"n": 1})]])


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ([StateUpdate({"n": 1}, "a"), StateUpdate({"n": 2}, "b")], InvalidUpdateError),
        ([StateUpdate({"m": 1}, "a")], InvalidUpdateError),
        ([StateUpdate({"n": 1}, "c")], PolicyError),
        ([StateUpdate({"n": object()}, "a")], NotSerializable),
    ],
)
def test_all_or_nothing(last, error):
    """What cannot be written keeps the supersteps before it from being written, too."""
    app = app_of(holdfast)
    app.update_state(THREAD, {"n": 0}, START)
    before = app.get_state(THREAD)
    with pytest.raises(error):
        app.bulk_update_state(THREAD, [[StateUpdate({"n": 5}, START)], last])
    assert before == app.get_state(THREAD)
    assert 1 == len(list(app.get_state_history(THREAD)))


def test_supersteps_in_a_file(tmp_path):
    """One transaction for all, read again by the next process's saver."""
    graph = StateGraph(Log).add_node("a", lambda _: {"log": ["ran"]}).add_edge(START, "a")
    with_file = graph.compile(holdfast.SqliteSaver(tmp_path / "runs.db"))
    with_file.bulk_update_state(THREAD, [[StateUpdate({"n": number}, START)] for number in range(3)])

    again = graph.compile(holdfast.SqliteSaver(tmp_path / "runs.db"))
    assert [2, 1, 0] == [state.values["n"] for state in again.get_state_history(THREAD)]
    assert {"n": 2, "log": ["ran"]} == again.invoke(None, THREAD)
