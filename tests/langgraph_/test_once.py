"""At-most-once tasks inside LangGraph: one that was under way when its process died is not run again until a person has said what became of it."""

from __future__ import annotations

import os
import signal

import pytest

import holdfast.langgraph
from holdfast import InDoubt, PolicyError, SqliteSaver, UnknownInterruptError, task
from tests.children import in_child
from tests.langgraph_.graphs import CONFIG

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the process that dies


@pytest.fixture
def app(graph, tmp_path, ran):
    """A graph whose payment has its process killed the first time."""
    file = tmp_path / "died"

    @task(delivery="at-most-once")
    def pay() -> str:
        if not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        ran.append("paid")
        return "receipt"

    def node(state):
        return {"log": [pay().result()]}

    made = graph(node)
    made.invoke({"n": 0}, CONFIG, interrupt_before=["node"])

    def die():  # in a child: what LangGraph's own saver has in memory, it has too
        holdfast.langgraph.configure(checkpointer=SqliteSaver(tmp_path / "tasks.db"))
        made.invoke(None, CONFIG)

    assert -signal.SIGKILL == in_child(die)
    holdfast.langgraph.configure(checkpointer=SqliteSaver(tmp_path / "tasks.db"))
    with pytest.raises(InDoubt, match=r"holdfast\.langgraph\.resolve\(thread_id='trip-1', step='"):
        made.invoke(None, CONFIG)
    yield made
    holdfast.langgraph.configure()


def test_a_result_that_was_found_out_is_used(app, ran):
    """The body is not run."""
    assert () == holdfast.langgraph.resolve(thread_id="trip-1", result="found in the bank's books")

    assert ["found in the bank's books"] == app.invoke(None, CONFIG)["log"]
    assert [] == ran


def test_what_had_no_effect_is_run(app, ran):
    """Once."""
    holdfast.langgraph.resolve(thread_id="trip-1", rerun=True)

    assert ["receipt"] == app.invoke(None, CONFIG)["log"]
    assert ["paid"] == ran


def test_a_failure_that_was_found_out_stands(app, ran):
    """The node gets it each time."""
    holdfast.langgraph.resolve(thread_id="trip-1", error=ConnectionError("declined"))

    for _ in range(2):
        with pytest.raises(ConnectionError, match="declined"):
            app.invoke(None, CONFIG)
    assert [] == ran


def test_what_is_not_in_doubt_cannot_be_resolved(app):
    """In words."""
    with pytest.raises(UnknownInterruptError, match="nothing is in doubt in thread 'trip-2'"):
        holdfast.langgraph.resolve(thread_id="trip-2", rerun=True)
    with pytest.raises(UnknownInterruptError, match="no step 'ab' is open"):
        holdfast.langgraph.resolve(thread_id="trip-1", step="ab", rerun=True)
    holdfast.langgraph.configure()
    with pytest.raises(PolicyError, match="no checkpointer is configured"):
        holdfast.langgraph.resolve(thread_id="trip-1", rerun=True)
