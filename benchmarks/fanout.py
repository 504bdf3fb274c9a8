"""An entrypoint that starts N tasks which do nothing: time and memory for each, and whether they grow with N; and 200 that wait."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness import KILOBYTES, MILLISECONDS, PIECES, Contestant, Guard, Make, Measure, Row, once

NAP = 0.05
NAPS = 200
PATIENCE = 60.0
"""Seconds until a process that measures one thing is given up."""
MOST_FOR_LANGGRAPH = 1_000  # it grows with the square of N: 10,000 tasks take half a minute

FanOut = Callable[[int], Any]


def nothing(number: int) -> int:
    """What a task does."""
    return number


async def nothing_async(number: int) -> int:
    """The same in the other colour."""
    return number


def nap(number: int) -> int:
    """A task that waits, as for a server."""
    time.sleep(NAP)
    return number


def functional(module: str) -> Callable[..., FanOut]:
    """The functional API of ``module``, sync. One program for ours and LangGraph's: only the import differs."""

    def make(stack: ExitStack, body: Callable[[int], int] = nothing) -> FanOut:
        api = import_module(module)
        work = api.task(body)

        @api.entrypoint()
        def fan(size: int) -> int:
            return sum(future.result() for future in [work(number) for number in range(size)])

        return fan.invoke

    return make


def functional_async(module: str) -> Callable[[ExitStack], FanOut]:
    """The functional API of ``module``, async."""

    def make(stack: ExitStack) -> FanOut:
        api = import_module(module)
        work = api.task(nothing_async)

        @api.entrypoint()
        async def fan(size: int) -> int:
            return sum(await asyncio.gather(*[work(number) for number in range(size)]))

        runner = stack.enter_context(asyncio.Runner())
        return lambda size: runner.run(fan.ainvoke(size))

    return make


def executor(stack: ExitStack, body: Callable[[int], int] = nothing, workers: int | None = None) -> FanOut:
    """A ThreadPoolExecutor, kept."""
    pool = stack.enter_context(ThreadPoolExecutor(workers))

    def fan(size: int) -> int:
        return sum(future.result() for future in [pool.submit(body, number) for number in range(size)])

    return fan


def gather(stack: ExitStack) -> FanOut:
    """asyncio.gather."""
    runner = stack.enter_context(asyncio.Runner())

    async def fan(size: int) -> int:
        return sum(await asyncio.gather(*[nothing_async(number) for number in range(size)]))

    return lambda size: runner.run(fan(size))


SYNC: dict[str, Callable[[ExitStack], FanOut]] = {
    "ThreadPoolExecutor": executor,
    "holdfast": functional("holdfast"),
    "langgraph": functional("langgraph.func"),
}
ASYNC: dict[str, Callable[[ExitStack], FanOut]] = {
    "asyncio.gather": gather,
    "holdfast": functional_async("holdfast"),
    "langgraph": functional_async("langgraph.func"),
}


def timed(fan_out: Callable[[ExitStack], FanOut], size: int) -> Make:
    """One fan-out of ``size`` tasks, measured; ``n`` is the size."""
    return lambda stack: once(partial(fan_out(stack), size))


def memory(name: str, *, is_async: bool) -> Make:
    """Peak memory of one fan-out, in a process of its own."""

    def make(stack: ExitStack) -> Measure:
        (ASYNC if is_async else SYNC)[name](stack)  # ImportError, if any, belongs here

        return lambda count: reported(f"report_peak({name!r}, {is_async}, {count})")

    return make


def reported(call: str) -> float:
    """The number that a function of this module prints in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks import fanout; fanout.{call}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout)


def report_peak(name: str, is_async: bool, size: int) -> None:
    """Print by how many bytes a fan-out raises this process's peak above what it uses after a small one."""
    with ExitStack() as stack:
        fan_out = (ASYNC if is_async else SYNC)[name](stack)
        fan_out(10)
        before = _resident("VmRSS")
        fan_out(size)
        print(max(0, _resident("VmHWM") - before))


def _resident(what: str) -> int:
    """Bytes in memory: now (``VmRSS``) or at most so far (``VmHWM``); without /proc, at most so far in both cases."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def _time_row(size: int, *, is_async: bool) -> Row:
    makers = ASYNC if is_async else SYNC
    return Row(
        name=f"fan-out, {size:,} tasks, {'async' if is_async else 'sync'}, each",
        target=6 if is_async else 25,
        most_rounds=1_000 if size <= 1_000 else 7 if size <= 10_000 else 3,
        contestants={name: Contestant(timed(maker, size), size) for name, maker in makers.items() if _takes_part(name, size)},
    )


def _memory_row(size: int, *, is_async: bool) -> Row:
    makers = ASYNC if is_async else SYNC
    return Row(
        name=f"fan-out, {size:,} tasks, {'async' if is_async else 'sync'}, peak memory of each",
        unit=KILOBYTES,
        most_rounds=3,
        contestants={name: Contestant(memory(name, is_async=is_async), size) for name in makers if _takes_part(name, size)},
    )


def _takes_part(name: str, size: int) -> bool:
    return name != "langgraph" or size <= MOST_FOR_LANGGRAPH


def _growth_row(*, is_async: bool) -> Row:
    maker = (ASYNC if is_async else SYNC)["holdfast"]
    return Row(
        name=f"fan-out, 10,000 tasks beside 1,000, {'async' if is_async else 'sync'}, each",
        guards=(Guard("1,000 tasks", 2),),  # quadratic growth would be 10
        most_rounds=7,
        contestants={"1,000 tasks": Contestant(timed(maker, 1_000), 1_000), "holdfast": Contestant(timed(maker, 10_000), 10_000)},
    )


def threads(name: str, size: int) -> Make:
    """How many threads one fan-out makes, in a process of its own."""

    def make(stack: ExitStack) -> Measure:
        SYNC[name](stack)  # ImportError, if any, belongs here
        return lambda count: reported(f"report_threads({name!r}, {size})")

    return make


def report_threads(name: str, size: int) -> None:
    """Print how many threads there are after a fan-out, the first one not counted; idle ones stay for some seconds."""
    with ExitStack() as stack:
        SYNC[name](stack)(size)
        print(threading.active_count() - 1)


THREADS_ROW = Row(
    name="fan-out, 10,000 tasks, sync: threads made",
    unit=PIECES,
    most_rounds=5,
    contestants={name: Contestant(threads(name, 10_000), 1) for name in ("ThreadPoolExecutor", "holdfast")},
    note="at most 128 bodies of holdfast's are at work at once",
)


def _naps(fan_out: Callable[..., FanOut], **options: Any) -> Contestant:
    return Contestant(lambda stack: once(partial(fan_out(stack, nap, **options), NAPS)), 1)


NAP_ROW = Row(
    name=f"{NAPS} sync tasks of {NAP * 1000:.0f} ms, default settings",
    unit=MILLISECONDS,
    target=130,
    most_rounds=5,
    contestants={
        f"ThreadPoolExecutor({NAPS})": _naps(executor, workers=NAPS),
        "holdfast": _naps(SYNC["holdfast"]),
        "ThreadPoolExecutor()": _naps(executor),
        "langgraph": _naps(SYNC["langgraph"]),
    },
    note="one after the other: 10,000 ms",
)

COLOURS = (True, False)
ROWS = [
    *[_time_row(size, is_async=is_async) for is_async in COLOURS for size in (100, 1_000, 10_000, 100_000)],
    *[_growth_row(is_async=is_async) for is_async in COLOURS],
    *[_memory_row(size, is_async=is_async) for is_async in COLOURS for size in (1_000, 10_000, 100_000)],
    THREADS_ROW,
    NAP_ROW,
]
