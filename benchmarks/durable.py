"""Runs with a saver: tasks that do nothing, run for the first time and taken from the journal when the run is resumed; time and bytes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.fanout import MOST_FOR_LANGGRAPH, functional, nothing, nothing_async, timed
from benchmarks.harness import BYTES, MILLISECONDS, PIECES, Contestant, Guard, Make, Measure, Row, once

SIZES = (100, 1_000, 10_000)
STORES = ("SqliteSaver", "InMemorySaver")
OURS, PEER = "holdfast", "langgraph"
NO_SAVER = "no saver"


class Broken(Exception):
    """How a run ends that is to be resumed."""


class Runs(NamedTuple):
    """One library's durable runs.

    Attributes:
        make: Makes a run of a thread that calls so many tasks, and then fails if it is told to; None for their number resumes it.
        file: What the saver writes; None when it keeps everything in memory.
        saver: The saver.
        close: Closes what is open, so that the file holds everything.
    """

    make: Callable[..., Any]
    file: Path | None
    saver: Any
    close: Callable[[], object]


def holdfast(stack: ExitStack, store: str, *, is_async: bool = False) -> Runs:
    """Ours: with SqliteSaver, what is committed survives power loss (``synchronous="FULL"``, the default)."""
    import holdfast as api

    if store == "InMemorySaver":
        return _runs(stack, api, api.InMemorySaver(), None, int, is_async=is_async)
    file = _new_file(stack)
    saver = api.SqliteSaver(file)
    stack.callback(saver.close)
    return _runs(stack, api, saver, file, saver.close, is_async=is_async)


def langgraph(stack: ExitStack, store: str, *, is_async: bool = False) -> Runs:
    """LangGraph's, which likewise is to write each step before it goes on: ``durability="sync"``."""
    api = import_module("langgraph.func")
    if store == "InMemorySaver":
        saver = import_module("langgraph.checkpoint.memory").InMemorySaver()
        return _runs(stack, api, saver, None, int, is_async=is_async, durability="sync")
    file, opened = _new_file(stack), ExitStack()
    runner = stack.enter_context(asyncio.Runner()) if is_async else None
    stack.callback(opened.close)  # before the runner is
    if runner is not None:
        manager = import_module("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver.from_conn_string(str(file))
        saver = runner.run(manager.__aenter__())
        opened.callback(lambda: runner.run(manager.__aexit__(None, None, None)))
    else:
        saver = opened.enter_context(import_module("langgraph.checkpoint.sqlite").SqliteSaver.from_conn_string(str(file)))
    return _runs(stack, api, saver, file, opened.close, is_async=is_async, runner=runner, durability="sync")


def _new_file(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory())) / "runs.db"


def _runs(
    stack: ExitStack,
    api: Any,
    saver: Any,
    file: Path | None,
    close: Callable[[], object],
    *,
    is_async: bool,
    runner: asyncio.Runner | None = None,
    **options: Any,
) -> Runs:
    """One program for both libraries: only the import differs."""
    work = api.task(nothing_async if is_async else nothing)

    @api.entrypoint(checkpointer=saver)
    def run(order: dict[str, Any]) -> int:
        total = sum(future.result() for future in [work(number) for number in range(order["size"])])
        if order["fails"]:
            raise Broken
        return total

    @api.entrypoint(checkpointer=saver)
    async def run_async(order: dict[str, Any]) -> int:
        return sum(await asyncio.gather(*[work(number) for number in range(order["size"])]))

    loop = (runner or stack.enter_context(asyncio.Runner())) if is_async else None

    def make(thread: str, size: int | None, *, fails: bool = False) -> None:
        order = None if size is None else {"size": size, "fails": fails}
        config = {"configurable": {"thread_id": thread}}
        with suppress(Broken):
            if loop is not None:
                loop.run(run_async.ainvoke(order, config, **options))
            else:
                run.invoke(order, config, **options)

    return Runs(make, file, saver, close)


LIBRARIES: dict[str, Callable[..., Runs]] = {OURS: holdfast, PEER: langgraph}


def first_time(library: str, store: str, size: int, *, is_async: bool = False) -> Make:
    """A new thread at each measurement."""

    def make(stack: ExitStack) -> Measure:
        runs, numbers = LIBRARIES[library](stack, store, is_async=is_async), count()
        return once(lambda: runs.make(str(next(numbers)), size))

    return make


def resumed(library: str, store: str, size: int) -> Make:
    """One thread, all of whose steps are finished; it fails again each time."""

    def make(stack: ExitStack) -> Measure:
        runs = LIBRARIES[library](stack, store)
        runs.make("thread", size, fails=True)
        return once(partial(runs.make, "thread", None))

    return make


def resumed_cold(size: int) -> Make:
    """The same of ours, with the file opened anew each time, as by the next process."""

    def make(stack: ExitStack) -> Measure:
        runs = holdfast(stack, "SqliteSaver")
        runs.make("thread", size, fails=True)

        def resume() -> None:
            runs.close()
            runs.make("thread", None)

        return once(resume)

    return make


def stored(library: str, size: int) -> Make:
    """By how many bytes a run makes the file grow. Each run in a file of its own that has held a small one."""

    def make(stack: ExitStack) -> Measure:
        def measure(count: int) -> float:
            with ExitStack() as own:
                runs = LIBRARIES[library](own, "SqliteSaver")
                assert runs.file is not None
                runs.make("small", 1)
                before = _size(runs.file)
                runs.make("large", count)
                runs.close()
                return _size(runs.file) - before

        with ExitStack() as trial:
            LIBRARIES[library](trial, "SqliteSaver")  # ImportError, if any, belongs here
        return measure

    return make


def _size(file: Path) -> int:
    """Bytes of the database without its log, which is used again and again."""
    return file.stat().st_size


def transactions(size: int) -> Make:
    """How many transactions our writer makes for a run."""

    def make(stack: ExitStack) -> Measure:
        runs, numbers = holdfast(stack, "SqliteSaver"), count()
        commit, made = runs.saver.commit, count()

        def counting(*args: Any) -> Any:
            next(made)
            return commit(*args)

        runs.saver.commit = counting

        def measure(_: int) -> float:
            before = next(made)
            runs.make(str(next(numbers)), size)
            return next(made) - before - 1

        return measure

    return make


def _beside_langgraph(store: str, size: int, make: Callable[[str], Make]) -> dict[str, Contestant]:
    """Both libraries. LangGraph grows with the square of the size: at the largest it is measured once, and only with a file."""
    contestants = {OURS: Contestant(make(OURS), size)}
    is_large = size > MOST_FOR_LANGGRAPH
    if not is_large or store == "SqliteSaver":
        contestants[PEER] = Contestant(make(PEER), size, most_rounds=1 if is_large else None)
    return contestants


def _rounds(size: int) -> int:
    return 1_000 if size <= 1_000 else 3


def _fan_out_row(store: str, size: int, *, is_async: bool) -> Row:
    return Row(
        name=f"durable fan-out, {store}, {size:,} tasks, {'async' if is_async else 'sync'}, each",
        target=30 if store == "SqliteSaver" else None,
        most_rounds=_rounds(size),
        contestants=_beside_langgraph(store, size, lambda name: first_time(name, store, size, is_async=is_async)),
    )


def _replay_row(store: str, size: int) -> Row:
    return Row(
        name=f"replay of {size:,} finished steps from {store}, each",
        target=8,
        most_rounds=_rounds(size),
        contestants=_beside_langgraph(store, size, lambda name: resumed(name, store, size)),
    )


def _first_fan_out(size: int) -> Contestant:
    return Contestant(first_time(OURS, "SqliteSaver", size), size)


SURCHARGE_ROW = Row(
    name="durable fan-out beside one without a saver, 1,000 tasks, sync, each",
    guards=(Guard(NO_SAVER, 25),),  # today 3 to 7, as the disk goes; a transaction for each step would be 60 at least
    contestants={
        NO_SAVER: Contestant(timed(functional("holdfast"), 1_000), 1_000),
        OURS: _first_fan_out(1_000),
    },
)
GROWTH_ROW = Row(
    name="durable fan-out, 10,000 tasks beside 1,000, sync, each",
    guards=(Guard("1,000 tasks", 2.5),),  # quadratic growth would be 10
    most_rounds=3,
    contestants={
        "1,000 tasks": _first_fan_out(1_000),
        OURS: _first_fan_out(10_000),
    },
)
TRANSACTIONS_ROW = Row(
    name="durable fan-out, 1,000 tasks, sync: transactions made",
    unit=PIECES,
    guards=(Guard(None, 150),),  # 10 to 20; a worker thread that waited for its commit made it 340
    contestants={OURS: Contestant(transactions(1_000), 1)},
)
SHARE_ROW = Row(
    name="replay of a step beside making it, 1,000 steps, each",
    guards=(Guard("made", 0.9),),  # today 0.2 to 0.4
    contestants={
        "made": _first_fan_out(1_000),
        OURS: Contestant(resumed(OURS, "SqliteSaver", 1_000), 1_000),
    },
)
BYTES_ROW = Row(
    name="bytes on disk for each step with a small result, 1,000 steps",
    unit=BYTES,
    most_rounds=3,
    contestants={name: Contestant(stored(name, 1_000), 1_000) for name in LIBRARIES},
)
RESUME_ROW = Row(
    name="resuming a run with 10,000 finished steps, the file opened anew",
    unit=MILLISECONDS,
    most_rounds=5,
    contestants={OURS: Contestant(resumed_cold(10_000), 1)},
)

ROWS = [
    *[_fan_out_row(store, size, is_async=is_async) for store in STORES for is_async in (True, False) for size in SIZES],
    SURCHARGE_ROW,
    GROWTH_ROW,
    TRANSACTIONS_ROW,
    *[_replay_row(store, size) for store in STORES for size in SIZES],
    SHARE_ROW,
    RESUME_ROW,
    BYTES_ROW,
]
