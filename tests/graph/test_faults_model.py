"""Any graph, failing anywhere and gone on with until it ends, comes to what it comes to without a failure, and runs nothing twice."""

from __future__ import annotations

import operator
import threading
from collections import Counter
from typing import Annotated, Any, TypedDict

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast import END, START, InMemorySaver, Send, StateGraph

NAMES = "abcde"
MOST_STEPS = 6


def least(old: int | None, new: int | None) -> int | None:
    """Nothing is there before the input."""
    return new if old is None or new is None else min(old, new)


class State(TypedDict):
    budget: Annotated[int | None, least]
    log: Annotated[list[str], operator.add]


class Trouble(Exception):
    """What a node fails with."""


edges = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=8, unique=True)
joins = st.lists(st.tuples(st.sets(st.sampled_from(NAMES), min_size=2, max_size=3).map(sorted), st.sampled_from(NAMES)), max_size=2)
sends = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), max_size=2)
failures = st.sets(st.integers(0, 30), max_size=6)
stops = st.sets(st.sampled_from(NAMES), max_size=2)


class Program:
    """One graph; ``fails_at`` are the calls that fail, counted over all of them."""

    def __init__(self, shape: Any, fails_at: set[int]) -> None:
        self.calls = 0
        self.done: Counter[str] = Counter()
        self._fails_at = fails_at
        self._counting = threading.Lock()
        plain, joined, sent = shape
        graph = StateGraph(State)
        for name in NAMES:
            graph.add_node(name, self.node(name))
            graph.add_conditional_edges(name, self.path(plain, sent.get(name), name))
        for sources, target in joined:
            graph.add_edge(sources, target)
        self.graph = graph.add_edge(START, "a").add_edge(START, "b")

    def node(self, name: str) -> Any:
        def run(state: Any) -> Any:
            with self._counting:  # several at once, each on a thread of its own
                self.calls += 1
                if self.calls in self._fails_at:
                    raise Trouble(self.calls)
                self.done[name] += 1
            carried = state if isinstance(state, int) else None
            return {"log": [name if carried is None else f"{name}{carried}"], "budget": 99 if carried is not None else state["budget"] - 1}

        return run

    @staticmethod
    def path(plain: Any, sent: Any, name: str) -> Any:
        def decide(state: Any) -> Any:
            if len(state["log"]) > MOST_STEPS or state["budget"] <= 0:
                return END
            targets: list[Any] = [target for source, target in plain if source == name]
            return targets + ([] if sent is None else [Send(sent[0], number) for number in range(sent[1])])

        return decide


def finished(program: Program, **options: Any) -> list[Any] | None:
    """The states of all supersteps of a graph that is gone on with until there is nothing more to run; None for one that has no end."""
    app = program.graph.compile(InMemorySaver())
    given: Any = {"budget": 4}
    for _ in range(200):
        try:
            app.invoke(given, {"recursion_limit": 30}, thread_id="t", **options)
        except Trouble:
            pass
        except RecursionError:
            return None
        given = None
        if not app.get_state(thread_id="t").next:
            break
    return [(state.values, state.next) for state in app.get_state_history(thread_id="t")]


@settings(max_examples=30)
@given(shape=st.tuples(edges, joins, sends), fails_at=failures, wanted=stops)
def test_failures_and_breakpoints_change_nothing(shape, fails_at, wanted):
    """The uninterrupted run is the oracle: the same states in the same order, and each node done as often."""
    calm, troubled = Program(shape, set()), Program(shape, fails_at)

    expected = finished(calm)
    assume(expected is not None)

    assert expected == finished(troubled, interrupt_before=sorted(wanted))
    assert calm.done == troubled.done
