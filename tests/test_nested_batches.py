"""Entrypoints and graphs invoked inside a run with a checkpointer: several at once, and from async bodies."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import Any, TypedDict

import pytest

from holdfast import START, Command, InMemorySaver, StateGraph, entrypoint, interrupt, task


class State(TypedDict):
    n: int


def resumed(body: Any) -> tuple[Any, Any]:
    """What ``body`` returns in a run that asks something, and once that is answered."""
    values = []

    @entrypoint(InMemorySaver())
    def outer(_: int) -> Any:
        values.append(body())
        interrupt("go on?")
        return values[-1]

    outer.invoke(1, thread_id="t")
    outer.invoke(Command(resume="yes"), thread_id="t")
    first, second = values
    return first, second


@pytest.mark.parametrize("is_async", [False, True])
def test_a_batch_is_recorded(is_async):
    """As steps of the run around it, in the order of the inputs: equal ones keep their places."""
    rolled = iter(range(100))

    @task
    def roll() -> int:
        return next(rolled)

    if is_async:

        @entrypoint
        async def inner(_: str) -> int:
            return await roll()

        async def some() -> list[int]:
            return await inner.abatch(["a", "a", "b"])

        first, second = resumed(lambda: asyncio.run(some()))
    else:

        @entrypoint
        def inner(_: str) -> int:
            return roll().result()

        first, second = resumed(lambda: inner.batch(["a", "a", "b"]))

    assert [0, 1, 2] == sorted(first)
    assert first == second


def test_a_batch_of_a_graph_is_recorded():
    """As what comes out of `invoke`."""
    counted = iter(range(100))

    def count(_: State) -> State:
        return {"n": next(counted)}

    graph = StateGraph(State).add_node(count).add_edge(START, "count").compile()
    first, second = resumed(lambda: graph.batch([{"n": 7}, {"n": 8}]))

    assert [{"n": 0}, {"n": 1}] == sorted(first, key=lambda state: state["n"])
    assert first == second


def test_one_of_a_batch_may_have_a_thread_of_its_own():
    """It is kept by its own checkpointer, and the others are recorded as ever."""
    calls = []

    @entrypoint(InMemorySaver())
    def inner(n: int, *, previous: int = 0) -> int:
        calls.append(n)
        return n + previous

    own = {"configurable": {"thread_id": "own"}}
    assert ([1, 2], [1, 4]) == resumed(lambda: inner.batch([1, 2], [{}, own]))
    assert [1, 2, 2] == sorted(calls)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_batch_asks_all_its_questions(return_exceptions, is_async):
    """They are the run's. None is a failure that could be returned."""

    def ask(city: str) -> str:
        if city == "Oslo" and return_exceptions:
            raise ValueError(city)
        return interrupt(f"{city}?")

    if is_async:

        @entrypoint
        async def inner(city: str) -> str:
            return ask(city)

        @entrypoint(InMemorySaver())
        async def outer(cities: list[str]) -> list[str]:
            return [str(each) for each in await inner.abatch(cities, return_exceptions=return_exceptions)]
    else:
        inner = entrypoint(ask)

        @entrypoint(InMemorySaver())
        def outer(cities: list[str]) -> list[str]:
            return [str(each) for each in inner.batch(cities, return_exceptions=return_exceptions)]

    asked = outer.invoke(["Oslo", "Lima", "Bonn"], thread_id="t")["__interrupt__"]
    expected = {"Lima?", "Bonn?"} if return_exceptions else {"Oslo?", "Lima?", "Bonn?"}
    assert expected == {question.value for question in asked}
    answers = {question.id: question.value.upper() for question in asked}
    assert ["Oslo" if return_exceptions else "OSLO?", "LIMA?", "BONN?"] == outer.invoke(Command(resume=answers), thread_id="t")


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_cancelled_one_of_a_batch_is_returned_with_the_others(is_kept):
    """As outside such a run: the batch does not end as if it had been cancelled itself."""

    @entrypoint
    def inner(n: int) -> int:
        if n == 2:
            raise CancelledError
        return n

    @entrypoint(InMemorySaver() if is_kept else None)
    def outer(_: int) -> list[str]:
        return [repr(each) for each in inner.batch([1, 2, 3], return_exceptions=True)]

    assert ["1", "CancelledError()", "3"] == outer.invoke(1)


def test_a_failure_in_a_batch_is_raised():
    """The first one's, in the order of the inputs, once all have ended."""
    done = []

    @entrypoint
    def inner(n: int) -> None:
        done.append(n)
        if n:
            raise ValueError(n)

    @entrypoint(InMemorySaver())
    def outer(_: int) -> Any:
        return inner.batch([0, 1, 2])

    with pytest.raises(ValueError, match="1"):
        outer.invoke(1)
    assert [0, 1, 2] == sorted(done)


@pytest.mark.parametrize("how", ["entrypoint", "task", "graph", "batch"])
def test_an_async_body_is_told_to_await(how):
    """What would block the loop that it may need itself is refused before it begins."""
    begun = []

    @task
    def work(n: Any) -> Any:
        begun.append(n)
        return n

    inner = entrypoint(begun.append, name="inner")
    graph = StateGraph(State).add_node("note", begun.append).add_edge(START, "note").compile(name="graph")
    calls = {
        "entrypoint": lambda: inner.invoke(1),
        "task": lambda: work.invoke(1),
        "graph": lambda: graph.invoke({"n": 1}),
        "batch": lambda: inner.batch([1]),
    }

    @entrypoint(InMemorySaver())
    async def outer(_: int) -> Any:
        return calls[how]()

    method = "batch" if how == "batch" else "invoke"
    with pytest.raises(RuntimeError, match=rf"{method}\(\) would block .*: write `await \w+\.a{method}\(\.\.\.\)`"):
        outer.invoke(1)
    assert [] == begun
