"""The table: one line for each contestant, the row's name and verdict beside ours."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from benchmarks.harness import OWN, Result, Row

WIDTHS = (36, 22, 11, 7, 8)


def header() -> str:
    """Where and when this is measured: a ratio travels, a time does not."""
    return f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs; {load()}"


def load() -> str:
    """How busy the machine is; above the number of CPUs, times are too long and ratios rough."""
    one, five, fifteen = os.getloadavg()
    return f"load average {one:.2f} {five:.2f} {fifteen:.2f}"


def heading() -> str:
    """The names of the columns."""
    return _line(("", "median", "quickest", "spread", "ratio"))


def lines(row: Row, result: Result) -> Iterator[str]:
    """One measured row."""
    yield f"{row.name}  [{_rounds(result.rounds)}]{_verdict(row, result)}"
    for name in row.contestants:
        if name in result.missing:
            yield _line((f"  {name}", "-", "", "", "")) + f"  {result.missing[name]}"
        elif name in result.samples:
            summary = result.summary(row, name)
            ratio = "" if summary.ratio is None else _times(summary.ratio)
            unit = row.unit.name
            cells = (f"  {name}", f"{_number(summary.median)} {unit}".rstrip(), _number(summary.least), f"±{summary.spread:.0%}", ratio)
            yield _line(cells)
    if row.note:
        yield f"  ({row.note})"


def _line(cells: tuple[str, ...]) -> str:
    first, *rest = cells
    return first.ljust(WIDTHS[0]) + "".join(cell.rjust(width) for cell, width in zip(rest, WIDTHS[1:], strict=True))


def _rounds(number: int) -> str:
    return f"{number} round{'' if number == 1 else 's'}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def _number(value: float) -> str:
    return f"{value:,.3f}" if value < 1 else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def is_reached(row: Row, result: Result) -> bool | None:
    """Whether the target is reached; None without a target or a figure."""
    figure = result.figure(row)
    return None if row.target is None or figure is None else figure <= row.target


def _verdict(row: Row, result: Result) -> str:
    reached, figure = is_reached(row, result), result.figure(row)
    if reached is None or figure is None:
        return ""
    over = f" over {row.base}" if row.is_net else ""
    unit = f" {row.unit.name}" if row.unit.name else ""
    return f"  {OWN} {_number(figure)}{unit}{over}, target {row.target:g}{unit}: {'reached' if reached else 'MISSED'}"
