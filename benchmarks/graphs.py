"""State graphs whose nodes do next to nothing, beside LangGraph's: one program for both, only the import differs. Time for each node."""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from itertools import count
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

from benchmarks.harness import BYTES, MILLISECONDS, Contestant, Guard, Make, Measure, Row, once
from benchmarks.harness import loop as loop_of

CHAIN = 10
RUNS = 20
FAN = 1_000
LOOPS = (100, 1_000)
OURS, PEER = "holdfast", "langgraph"
LIMIT = {"recursion_limit": 20_000}


class State(TypedDict):
    """What the nodes work on."""

    n: int
    log: Annotated[list[int], operator.add]


def names(library: str) -> Any:
    """The names of a library in one namespace."""
    if library == OURS:
        return import_module("holdfast")
    graph, types = import_module("langgraph.graph"), import_module("langgraph.types")
    return SimpleNamespace(StateGraph=graph.StateGraph, START=graph.START, END=graph.END, Send=types.Send)


def chain(api: Any) -> Any:
    """Ten nodes, one after the other."""
    graph = api.StateGraph(State)
    for number in range(CHAIN):
        graph.add_node(f"node{number}", lambda state: {"n": state["n"] + 1})
    graph.add_edge(api.START, "node0")
    for number in range(CHAIN - 1):
        graph.add_edge(f"node{number}", f"node{number + 1}")
    return graph.compile()


def fan(api: Any) -> Any:
    """One node, called as often as the input says."""
    graph = api.StateGraph(State)
    graph.add_node("work", lambda number: {"log": [number]})
    graph.add_conditional_edges(api.START, lambda state: [api.Send("work", number) for number in range(state["n"])], ["work"])
    return graph.compile()


def loop(api: Any, saver: Any) -> Any:
    """One node, again and again, until it has counted down."""
    graph = api.StateGraph(State)
    graph.add_node("count", lambda state: {"n": state["n"] - 1})
    graph.add_edge(api.START, "count")
    graph.add_conditional_edges("count", lambda state: "count" if state["n"] else api.END, ["count", api.END])
    return graph.compile(checkpointer=saver)


def chained(library: str) -> Make:
    """Runs in a row, as a service makes them: a single one is over before the processor has its code at hand."""

    def make(_: ExitStack) -> Measure:
        app = chain(names(library))
        measure = loop_of(lambda: app.invoke({"n": 0}))
        return lambda nodes: measure(nodes // CHAIN)

    return make


def fanned(library: str, size: int) -> Make:
    def make(_: ExitStack) -> Measure:
        app = fan(names(library))
        return once(lambda: app.invoke({"n": size}))

    return make


def saver_of(library: str, stack: ExitStack, synchronous: str) -> tuple[Any, Path]:
    """A SQLite saver of a new file, as durable as ours with the same ``synchronous``."""
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "runs.db"
    if library == OURS:
        saver = names(library).SqliteSaver(file, synchronous=synchronous)
        stack.callback(saver.close)
        return saver, file
    connection = import_module("sqlite3").connect(file, check_same_thread=False)
    stack.callback(connection.close)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    return import_module("langgraph.checkpoint.sqlite").SqliteSaver(connection), file


def looped(
    library: str, size: int, synchronous: str = "NORMAL", durability: str = "async", clock: Callable[[], float] = perf_counter
) -> Make:
    """A new thread at each measurement; with ``async``, LangGraph's default, a superstep is written while the next one runs."""

    def make(stack: ExitStack) -> Measure:
        saver, _ = saver_of(library, stack, synchronous)
        app, numbers = loop(names(library), saver), count()

        def run() -> None:
            config = {**LIMIT, "configurable": {"thread_id": str(next(numbers))}}
            app.invoke({"n": size}, config, durability=durability)

        return once(run, clock)

    return make


def bare(size: int, synchronous: str) -> Make:
    """What the disk takes: SQLite alone, one transaction for each superstep with a row as small as ours and an index."""

    def make(stack: ExitStack) -> Measure:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bare.db"
        connection = import_module("sqlite3").connect(file, isolation_level=None)
        stack.callback(connection.close)
        for statement in (
            "PRAGMA journal_mode=WAL",
            f"PRAGMA synchronous={synchronous}",
            "CREATE TABLE steps (name BLOB UNIQUE, result BLOB)",
        ):
            connection.execute(statement)
        names = count()

        def run() -> None:
            for _ in range(size):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO steps VALUES (?, ?)", (b"%016d" % next(names), bytes(150)))
                connection.execute("COMMIT")

        return once(run)

    return make


def stored(library: str, size: int) -> Make:
    """By how many bytes a loop makes the file grow."""

    def make(stack: ExitStack) -> Measure:
        names(library)

        def measure(_: int) -> float:
            with ExitStack() as own:
                saver, file = saver_of(library, own, "NORMAL")
                app = loop(names(library), saver)
                app.invoke({"n": size}, {**LIMIT, "configurable": {"thread_id": "t"}}, durability="sync")
                reader = import_module("sqlite3").connect(file)
                own.callback(reader.close)
                (pages,), (page_size,) = reader.execute("PRAGMA page_count").fetchone(), reader.execute("PRAGMA page_size").fetchone()
                return float(pages * page_size)

        del stack
        return measure

    return make


def resumed(size: int) -> Make:
    """A loop that stops at its last superstep, and is gone on with: the rows of all the others are read."""

    def make(stack: ExitStack) -> Measure:
        api = names(OURS)
        saver, _ = saver_of(OURS, stack, "NORMAL")
        app, numbers = loop(api, saver), count()

        def measure(_: int) -> float:
            config = {**LIMIT, "configurable": {"thread_id": str(next(numbers))}}
            try:
                app.invoke({"n": size + 1}, {**config, "recursion_limit": size}, durability="async")
            except RecursionError:
                began = perf_counter()
                app.invoke(None, config)
                return perf_counter() - began
            raise AssertionError

        return measure

    return make


def _both(make: Callable[[str], Make], size: int) -> dict[str, Contestant]:
    return {name: Contestant(make(name), size) for name in (OURS, PEER)}


GROWTH_ROW = Row(
    name="state graph, a loop of 1,000 supersteps beside 100, SqliteSaver, each",
    guards=(Guard("100 supersteps", 1.6),),
    most_rounds=5,
    contestants={
        "100 supersteps": Contestant(looped(OURS, 100, "NORMAL"), 100),
        OURS: Contestant(looped(OURS, 1_000, "NORMAL"), 1_000),
    },
)

ROWS = [
    Row(name="state graph, a chain of 10 nodes, each", contestants=_both(chained, CHAIN * RUNS)),
    Row(name=f"state graph, {FAN:,} nodes by Send, each", most_rounds=10, contestants=_both(lambda name: fanned(name, FAN), FAN)),
    *[
        Row(
            name=f"state graph, a loop of {size:,} supersteps, SqliteSaver, written behind, each",
            most_rounds=5,
            contestants=_both(lambda name, size=size: looped(name, size), size),
        )
        for size in LOOPS
    ],
    *[
        Row(
            name=f"state graph, a loop of 100 supersteps, SqliteSaver {synchronous}, each written before the next, each",
            most_rounds=5,
            contestants={
                **_both(lambda name, synchronous=synchronous: looped(name, 100, synchronous, "sync"), 100),
                "sqlite3 alone": Contestant(bare(100, synchronous), 100),
            },
        )
        for synchronous in ("NORMAL", "FULL")
    ],
    *[
        Row(
            name=f"state graph, a loop of {size:,} supersteps, SqliteSaver, {said}, CPU time of all threads, each",
            most_rounds=5,
            contestants=_both(
                lambda name, size=size, durability=durability: looped(name, size, durability=durability, clock=process_time), size
            ),
        )
        for size, durability, said in ((1_000, "async", "written behind"), (100, "sync", "each written before the next"))
    ],
    GROWTH_ROW,
    Row(
        name="state graph, bytes on disk for each superstep of a loop of 1,000",
        unit=BYTES,
        most_rounds=3,
        contestants=_both(lambda name: stored(name, 1_000), 1_000),
    ),
    Row(
        name="state graph, going on after 100, 1,000 and 10,000 supersteps",
        unit=MILLISECONDS,
        most_rounds=3,
        contestants={f"{size:,} supersteps": Contestant(resumed(size), 1) for size in (100, 1_000, 10_000)},
    ),
]
