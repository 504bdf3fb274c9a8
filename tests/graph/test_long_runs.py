"""Runs that stop often: each is gone on with from where it stopped, whatever lies behind it."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from holdfast import END, START, Command, InMemorySaver, SqliteSaver, StateGraph, interrupt
from holdfast._graph.walk import Walk


class Log(TypedDict):
    n: int
    log: Annotated[list, operator.add]


def asks_on(end: int, then: str = END) -> StateGraph:
    """Asks again and again, until it has so many answers; ``then`` follows."""

    def asks(state: Log) -> Any:
        return {"n": state["n"] + 1, "log": [interrupt(state["n"])]}

    return (
        StateGraph(Log)
        .add_node("asks", asks)
        .add_edge(START, "asks")
        .add_conditional_edges("asks", lambda s: "asks" if s["n"] < end else then, ["asks", then])
    )


def test_a_run_that_asks_often_is_gone_on_with_from_where_it_stopped(tmp_path, monkeypatch):
    """Not walked through from its beginning each time; and its history is whole."""
    saver = SqliteSaver(tmp_path / "runs.db")
    app = asks_on(60).compile(saver)
    app.invoke({"n": 0}, thread_id="t")
    for answer in range(50):
        app.invoke(Command(resume=answer), thread_id="t")
    landed: list[int] = []
    monkeypatch.setattr(Walk, "land", lambda walk, results, land=Walk.land: (landed.append(walk.number), land(walk, results))[1])
    app.invoke(Command(resume=50), thread_id="t")

    assert [50] == landed, "only the superstep that was answered"
    state, history = app.get_state(thread_id="t"), list(app.get_state_history(thread_id="t"))
    assert ({"n": 51, "log": list(range(51))}, 51) == (state.values, state.metadata["step"])
    assert [*range(51, -1, -1), None] == [each.values.get("n") for each in history]
    assert list(range(51, -2, -1)) == [each.metadata["step"] for each in history]
    assert 1 == len([step for step in saver.steps(saver.latest("t").run_id) if step.step.name == ":stopped"])


def test_a_command_that_came_where_a_long_run_stopped_is_applied_once():
    """Also when the run stops there again."""
    app = asks_on(60).compile(InMemorySaver())
    app.invoke({"n": 0}, thread_id="t")
    for answer in range(40):
        app.invoke(Command(resume=answer), thread_id="t")
    app.invoke(Command(update={"log": ["by hand"]}), thread_id="t")
    app.invoke(None, thread_id="t")

    result = app.invoke(Command(resume=40), thread_id="t")
    assert [*range(40), "by hand", 40] == result["log"]


def test_what_waits_in_a_long_run_still_waits_when_it_is_gone_on_with():
    """A join of which one source has run, and a deferred node: where it stopped is all that is looked at."""

    def says(name: str) -> Any:
        return lambda _: {"log": [name]}

    graph = asks_on(36, then="last").add_node("first", says("first")).add_node("last", says("last")).add_node("both", says("both"))
    graph.add_node("late", says("late"), defer=True).add_edge(START, "first").add_edge("first", "late").add_edge(["first", "last"], "both")
    app = graph.compile(InMemorySaver())
    app.invoke({"n": 0}, thread_id="t")
    for answer in range(36):
        state = app.invoke(Command(resume=answer), thread_id="t")

    assert [0, "first", *range(1, 36), "last", "both", "late"] == state["log"]


def test_a_state_that_cannot_be_stored_stops_a_long_run_no_sooner():
    """A reducer may make what cannot be kept of what was: then the walk is made again, as ever."""

    class Odd(TypedDict):
        n: int
        odd: Annotated[Any, lambda _, new: lambda: new]

    def asks(state: Odd) -> Any:
        return {"n": state["n"] + 1, "odd": interrupt(state["n"])}

    graph = StateGraph(Odd).add_node("asks", asks).add_edge(START, "asks").add_edge("asks", "asks")
    app = graph.compile(InMemorySaver())
    app.invoke({"n": 0}, thread_id="t")
    for answer in range(40):
        state = app.invoke(Command(resume=answer), thread_id="t")

    assert (40, 39) == (state["n"], state["odd"]())
