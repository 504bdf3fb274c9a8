"""A run with a saver: 1,000 tasks for the first time, and taken from the journal when the run is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from typing import Any

from benchmarks.harness import Contestant, Make, Row, once

STEPS = 1_000

Resumable = Callable[[str, int | None], Any]
"""Invokes a run of a thread that makes all its calls and then fails; None as input resumes it."""


class Broken(Exception):
    """How each run ends, so that it can be resumed again."""


def work(number: int) -> int:
    """What a task does."""
    return number


def holdfast(stack: ExitStack) -> Resumable:
    """Ours."""
    from holdfast import InMemorySaver, entrypoint, task

    step = task(work)

    @entrypoint(checkpointer=InMemorySaver())
    def run(size: int) -> None:
        for future in [step(number) for number in range(size)]:
            future.result()
        raise Broken

    return lambda thread, size: run.invoke(size, thread_id=thread)


def langgraph(stack: ExitStack) -> Resumable:
    """LangGraph's."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.func import entrypoint, task

    step = task(work)

    @entrypoint(checkpointer=InMemorySaver())
    def run(size: int) -> None:
        for future in [step(number) for number in range(size)]:
            future.result()
        raise Broken

    return lambda thread, size: run.invoke(size, {"configurable": {"thread_id": thread}})


def failing(fn: Callable[..., Any], *args: Any) -> None:
    """Call it; it must end as `Broken`."""
    with suppress(Broken):
        fn(*args)
        raise AssertionError("the run was to fail")


def first_time(resumable: Callable[[ExitStack], Resumable]) -> Make:
    """A new thread at each measurement."""

    def make(stack: ExitStack) -> Any:
        run, numbers = resumable(stack), count()
        return once(lambda: failing(run, str(next(numbers)), STEPS))

    return make


def resumed(resumable: Callable[[ExitStack], Resumable]) -> Make:
    """One thread, all of whose steps are finished."""

    def make(stack: ExitStack) -> Any:
        run = resumable(stack)
        failing(run, "thread", STEPS)
        return once(partial(failing, run, "thread", None))

    return make


PEERS: dict[str, Callable[[ExitStack], Resumable]] = {"holdfast": holdfast, "langgraph": langgraph}

ROWS = [
    Row(
        name=f"{STEPS:,} sync tasks with InMemorySaver, each",
        contestants={name: Contestant(first_time(resumable), STEPS) for name, resumable in PEERS.items()},
    ),
    Row(
        name=f"replay of {STEPS:,} finished steps from InMemorySaver, each",
        target=8,
        contestants={name: Contestant(resumed(resumable), STEPS) for name, resumable in PEERS.items()},
    ),
]
