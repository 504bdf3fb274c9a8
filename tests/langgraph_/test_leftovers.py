"""A program that was ported by its imports, and kept one of LangGraph's names: each is told from ours, and the text says what to import."""

from __future__ import annotations

from typing import TypedDict

import pytest
from langgraph.cache.memory import InMemoryCache as TheirMemory
from langgraph.checkpoint.memory import InMemorySaver as TheirSaver
from langgraph.types import CachePolicy as TheirCache
from langgraph.types import Command as TheirCommand
from langgraph.types import RetryPolicy as TheirRetry
from langgraph.types import Send as TheirSend
from langgraph.types import TimeoutPolicy as TheirTimeout

from holdfast import START, InMemorySaver, InvalidUpdateError, PolicyError, StateGraph, entrypoint, task


class State(TypedDict):
    n: int


def graph(node=lambda state: {"n": 2}, **options):
    return StateGraph(State).add_node("a", node, **options).add_edge(START, "a")


def test_their_command_from_a_node():
    """It is no update with a key `graph`."""
    with pytest.raises(InvalidUpdateError, match=r"node 'a' returned LangGraph's Command: take holdfast's, from holdfast import Command$"):
        graph(lambda state: TheirCommand(update={"n": 2})).compile().invoke({"n": 1})


def test_their_send_from_an_edge():
    """It names a node that there is."""
    built = StateGraph(State).add_node("a", lambda state: {"n": 2})
    built.add_conditional_edges(START, lambda state: [TheirSend("a", {"n": 1})], ["a"])
    with pytest.raises(InvalidUpdateError, match=r"LangGraph's Send: take holdfast's, from holdfast import Send$"):
        built.compile().invoke({"n": 1})


def test_their_command_to_a_graph():
    """It is no input either."""
    with pytest.raises(InvalidUpdateError, match=r"the input is LangGraph's Command: .* import Command$"):
        graph().compile(InMemorySaver()).invoke(TheirCommand(resume=1), thread_id="t")


def test_their_command_to_an_entrypoint():
    """Nor is it an input that only could not be kept."""

    @entrypoint(InMemorySaver())
    def plan(n: int) -> int:
        return n

    with pytest.raises(PolicyError, match=r"plan was given LangGraph's Command: .* import Command$"):
        plan.invoke(TheirCommand(resume=1), thread_id="t")


def test_their_saver():
    """Ours has the same name, so the name alone would be no advice."""
    with pytest.raises(PolicyError, match=r"it is LangGraph's InMemorySaver: take holdfast's, from holdfast import InMemorySaver$"):
        graph().compile(checkpointer=TheirSaver())


@pytest.mark.parametrize(
    ("options", "name"), [({"retry_policy": TheirRetry(max_attempts=2)}, "RetryPolicy"), ({"cache_policy": TheirCache()}, "CachePolicy")]
)
def test_their_policies(options, name):
    """Of a node, and of a task, as both read them in one place."""
    with pytest.raises(PolicyError, match=rf"LangGraph's {name}: take holdfast's, from holdfast import {name}$"):
        graph(**options).compile().invoke({"n": 1})
    with pytest.raises(PolicyError, match=rf"from holdfast import {name}$"):
        task(**options)(lambda: None)


def test_their_timeout():
    """Its `idle_timeout` would be lost."""
    with pytest.raises(PolicyError, match=r"LangGraph's TimeoutPolicy: take holdfast's, from holdfast import TimeoutPolicy$"):
        task(timeout=TheirTimeout(idle_timeout=5))(lambda: None)


def test_their_cache():
    """Ours has the same name, as that of the saver. Of what has no namesake, the one that does its work is named."""
    with pytest.raises(PolicyError, match=r"LangGraph's InMemoryCache: take holdfast's, from holdfast import InMemoryCache$"):
        entrypoint(cache=TheirMemory())(lambda: None)

    class SqliteCache(TheirMemory):
        __module__ = "langgraph.cache.sqlite"

    with pytest.raises(PolicyError, match=r"LangGraph's SqliteCache: take holdfast's, from holdfast import DiskCache$"):
        entrypoint(cache=SqliteCache())(lambda: None)
