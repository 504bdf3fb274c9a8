"""Entrypoints and graphs invoked inside a run: what their bodies are handed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from holdfast import (
    START,
    CachePolicy,
    GraphRecursionError,
    InMemoryCache,
    InMemorySaver,
    Runtime,
    StateGraph,
    entrypoint,
    get_config,
    task,
)


@pytest.fixture(params=["kept", "not kept"])
def saver(request: pytest.FixtureRequest) -> InMemorySaver | None:
    """The checkpointer of the run around: with one, what is invoked in it becomes a step; without, a run of its own."""
    return InMemorySaver() if request.param == "kept" else None


def test_a_context_is_handed_on(saver):
    """That of the run around, to its tasks too, unless there is another one for what is invoked."""

    @task
    def user(runtime: Runtime) -> str:
        return runtime.context["user"]

    @entrypoint
    def inner(_: int, runtime: Runtime) -> tuple:
        return runtime.context["user"], user().result()

    @entrypoint(saver)
    def outer(_: int) -> tuple:
        return inner.invoke(1), inner.invoke(2, context={"user": "Bob"}), inner.invoke(3), user().result()

    assert (("Ada", "Ada"), ("Bob", "Bob"), ("Ada", "Ada"), "Ada") == outer.invoke(1, context={"user": "Ada"})


def test_a_context_becomes_what_its_schema_says(saver):
    """As it does outside."""

    @dataclass
    class Context:
        user: str

    @entrypoint(context_schema=Context)
    def inner(_: int, runtime: Runtime[Context]) -> str:
        return runtime.context.user

    @entrypoint(saver)
    def outer(_: int) -> str:
        return inner.invoke(1, context={"user": "Ada"})

    assert "Ada" == outer.invoke(1)


def test_a_config_is_handed_on(saver):
    """Key by key, with what is given on top; and what names a run is that run's own."""

    @task
    def seen() -> Any:
        return get_config()

    @entrypoint
    def inner(_: int, config: Any) -> tuple:
        return config, seen().result()

    @entrypoint(saver)
    def outer(_: int) -> tuple:
        return inner.invoke(1, {"configurable": {"city": "Oslo"}, "tags": ["inner"]}), get_config()

    (config, in_a_task), around = outer.invoke(1, {"configurable": {"user": "Ada", "thread_id": "t"}, "metadata": {"n": 1}})
    assert config == in_a_task
    assert ("Ada", "Oslo") == (config["configurable"]["user"], config["configurable"]["city"])
    assert (["inner"], {"n": 1}) == (config["tags"], config["metadata"])
    assert "city" not in around["configurable"]
    assert (saver is not None) == (around["configurable"]["run_id"] == config["configurable"]["run_id"])


@pytest.mark.parametrize(("given", "expected"), [(None, "outer's"), ("inner's", "inner's")])
def test_a_store_is_handed_on(saver, given, expected):
    """Unless it was given one of its own."""

    @entrypoint(store=given)
    def inner(_: int, *, store: Any) -> Any:
        return store

    @entrypoint(saver, store="outer's")
    def outer(_: int) -> Any:
        return inner.invoke(1)

    assert expected == outer.invoke(1)


def test_a_cache_is_handed_on(saver):
    """Unless it was given one of its own: the results of its tasks are there."""
    calls = []

    @task(cache_policy=CachePolicy(ttl="1h"))
    def work(n: int) -> int:
        calls.append(n)
        return n

    def inner(n: int) -> int:
        return work(n).result()

    alone, with_own = entrypoint(inner), entrypoint(cache=InMemoryCache(), name="with_own")(inner)

    @entrypoint(saver, cache=InMemoryCache())
    def outer(_: int) -> list[int]:
        return [work(1).result(), alone.invoke(1), with_own.invoke(1), with_own.invoke(1)]

    assert [1, 1, 1, 1] == outer.invoke(1)
    assert [1, 1] == calls  # once for each cache
    assert 1 == with_own.invoke(1)
    assert [1, 1] == calls


def test_previous_is_of_a_thread_alone(saver):
    """What the run around saved last is no concern of an entrypoint in it."""

    @task
    def last(previous: Any) -> Any:
        return previous

    @entrypoint
    def inner(_: int, previous: str = "nothing") -> tuple:
        return previous, last().result()

    @entrypoint(saver)
    def outer(n: int) -> tuple:
        return inner.invoke(n)

    assert [("nothing", None)] * 2 == [outer.invoke(n, thread_id="t") for n in (1, 2)]


def test_a_graph_gets_the_config_it_is_invoked_with(saver):
    """Its own limit of supersteps, and the context, in a node and on an edge."""

    class State(TypedDict):
        n: int
        user: str

    def count(state: State, runtime: Runtime) -> dict:
        return {"n": state["n"] + 1, "user": runtime.context["user"]}

    def on(state: State, runtime: Runtime) -> str:
        return "count" if state["n"] < 5 and runtime.context["user"] == "Ada" else "__end__"

    graph = StateGraph(State).add_node(count).add_edge(START, "count").add_conditional_edges("count", on).compile()

    @entrypoint(saver)
    def outer(limit: int) -> dict:
        return graph.invoke({"n": 0}, {"recursion_limit": limit}, context={"user": "Ada"})

    assert {"n": 5, "user": "Ada"} == outer.invoke(5)
    with pytest.raises(GraphRecursionError):
        outer.invoke(4)
