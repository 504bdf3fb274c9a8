"""Measures rows: in each round every contestant once, in shuffled order, so that a busy machine hurts all of them alike.

A contestant is made by a function that takes an ExitStack (for what must be closed again) and returns ``measure(n)``: do the thing ``n``
times and return what that took, in the row's own measure: seconds, bytes or a count. Loops are as long as it takes to fill a slice of time;
garbage is collected before each measurement and not during it. Ratios are taken within a round, then the median over the rounds.
A contestant whose package is not installed raises ImportError when made, and has a dash in the table.

Each row is measured in a process of its own (`benchmarks.child`), because importing or configuring one library changes what others cost.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from time import perf_counter
from typing import Any, NamedTuple

Measure = Callable[[int], float]
Make = Callable[[ExitStack], Measure]

OWN = "holdfast"
LONGEST_LOOP = 1 << 18


class Unit(NamedTuple):
    """What figures are shown in: a name, and how many there are in a second (a byte, one)."""

    name: str
    per_base: float


MICROSECONDS = Unit("us", 1e6)
MILLISECONDS = Unit("ms", 1e3)
KILOBYTES = Unit("kB", 1e-3)
BYTES = Unit("B", 1.0)
PIECES = Unit("", 1.0)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of doing what a row measures.

    Attributes:
        make: See the module.
        count: How many things one measurement does; None fills a slice of time.
        most_rounds: It takes part in at most so many rounds, not warmed up; None takes part in all.
    """

    make: Make
    count: int | None = None
    most_rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """A limit that the smoke run holds: holdfast's figure is at most ``most`` times that of ``against`` (None: ``most`` of the unit)."""

    against: str | None
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is done.
        contestants: By name; the one called ``holdfast`` is ours, the first one is what ratios refer to.
        unit: What figures are shown in.
        target: The figure to reach, in the unit; None without one.
        is_net: True when the target is for what comes on top of the first contestant.
        guards: What the smoke run checks.
        most_rounds: At most so many rounds, for what takes long.
        note: Said below the row.
    """

    name: str
    contestants: dict[str, Contestant]
    unit: Unit = MICROSECONDS
    target: float | None = None
    is_net: bool = False
    guards: tuple[Guard, ...] = ()
    most_rounds: int = 1_000
    note: str = ""

    @property
    def base(self) -> str:
        """The contestant that ratios refer to."""
        return next(iter(self.contestants))


class Summary(NamedTuple):
    """What the rounds of one contestant come to, in the row's unit.

    Attributes:
        median: The figure.
        least: The quickest round.
        spread: Half the distance between the quartiles, as a share of the median: how much to trust the figure.
        ratio: To the row's first contestant, paired by round; None when that one is missing.
        net: What came on top of the first contestant, paired by round; None likewise.
    """

    median: float
    least: float
    spread: float
    ratio: float | None
    net: float | None


@dataclass(slots=True)
class Result:
    """A measured row.

    Attributes:
        row: Its name.
        rounds: How many there were.
        samples: By contestant, one figure for each round, in the row's unit.
        missing: Contestants that could not take part, and why.
    """

    row: str
    rounds: int
    samples: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def summary(self, row: Row, name: str) -> Summary:
        """What one contestant's rounds come to."""
        own, base = self.samples[name], self.samples.get(row.base)
        median = statistics.median(own)
        ratio = None if base is None else self.ratio(name, row.base)
        net = None if base is None else statistics.median(a - b for a, b in self._paired(name, row.base))
        return Summary(median, min(own), _spread(own, median), ratio, net)

    def ratio(self, name: str, against: str) -> float:
        """How many times ``against`` a contestant takes: the median over the rounds."""
        return statistics.median(a / b if b else float("inf") for a, b in self._paired(name, against))

    def _paired(self, name: str, against: str) -> Iterator[tuple[float, float]]:
        """The figures of two contestants in the rounds that both took part in: the first ones, where one has fewer."""
        return zip(self.samples[name], self.samples[against], strict=False)

    def figure(self, row: Row) -> float | None:
        """What the row's target is compared with; None when it could not be measured."""
        if OWN not in self.samples:
            return None
        summary = self.summary(row, OWN)
        return summary.net if row.is_net else summary.median

    def broken(self, row: Row) -> list[str]:
        """The row's guards that do not hold, each in a sentence.

        By the median over the rounds and by the quickest ones: other work of the machine hits one side alone now and then, and only ever adds.
        """
        found = []
        for guard in row.guards:
            if guard.against is None:
                value, what = self.figure(row) or 0.0, f" {row.unit.name}".rstrip()
            else:
                quickest = min(self.samples[OWN]) / (min(self.samples[guard.against]) or 1e-9)
                value, what = min(self.ratio(OWN, guard.against), quickest), f" times {guard.against}"
            if value > guard.most:
                found.append(f"{row.name}: {value:.3g}{what}, and {guard.most:g} is the most allowed")
        return found


def _spread(samples: list[float], median: float) -> float:
    if len(samples) < 2 or not median:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2 / median


def measure_row(row: Row, *, rounds: int, slice_s: float, only: frozenset[str] | None = None) -> Result:
    """Measure a row in this process.

    Args:
        row: What to measure.
        rounds: How often.
        slice_s: Seconds that one measurement of a loop should fill.
        only: The contestants to take; None takes all.
    """
    result = Result(row.name, min(rounds, row.most_rounds))
    with ExitStack() as stack:
        ready: dict[str, tuple[Measure, int]] = {}
        for name, contestant in row.contestants.items():
            if only is not None and name not in only:
                continue
            try:
                measure = contestant.make(stack)
            except ImportError as error:
                result.missing[name] = f"needs {error.name or error}"
                continue
            ready[name] = (measure, contestant.count or calibrated(measure, slice_s))
        _run_rounds(row, result, ready)
    return result


def calibrated(measure: Measure, slice_s: float) -> int:
    """How long a loop fills about ``slice_s`` seconds; also warms it up."""
    count = 1
    while count < LONGEST_LOOP:
        elapsed = measure(count)
        if elapsed >= slice_s / 2:
            return count
        count *= 2 if elapsed > slice_s / 16 else 8
    return LONGEST_LOOP


def _run_rounds(row: Row, result: Result, ready: dict[str, tuple[Measure, int]]) -> None:
    shuffle = random.Random(row.name).shuffle
    order = list(ready)
    for name, (measure, count) in ready.items():
        result.samples[name] = []
        if row.contestants[name].count is not None and row.most_rounds > 3 and row.contestants[name].most_rounds is None:
            measure(count)  # warm; loops were warmed by their calibration
    gc.collect()
    gc.freeze()  # so that the collections below have little to look at
    for _ in range(result.rounds):
        shuffle(order)
        for name in order:
            if len(result.samples[name]) == row.contestants[name].most_rounds:
                continue
            measure, count = ready[name]
            gc.collect()
            gc.disable()
            try:
                taken = measure(count)
            finally:
                gc.enable()
            result.samples[name].append(taken / count * row.unit.per_base)
    gc.unfreeze()


def loop(fn: Callable[..., Any], *args: Any) -> Measure:
    """Call a plain function over and over."""

    def measure(count: int) -> float:
        times = repeat(None, count)
        started = perf_counter()
        for _ in times:
            fn(*args)
        return perf_counter() - started

    return measure


def async_loop(stack: ExitStack, fn: Callable[..., Awaitable[Any]], *args: Any) -> Measure:
    """Await a coroutine function over and over, on one event loop."""
    runner = stack.enter_context(asyncio.Runner())

    async def go(count: int) -> float:
        times = repeat(None, count)
        started = perf_counter()
        for _ in times:
            await fn(*args)
        return perf_counter() - started

    return lambda count: runner.run(go(count))


def once(fn: Callable[[], Any], clock: Callable[[], float] = perf_counter) -> Measure:
    """Time one call that does all ``n`` things itself; with ``time.process_time``, what all threads compute for it."""

    def measure(count: int) -> float:
        del count
        started = clock()
        fn()
        return clock() - started

    return measure
