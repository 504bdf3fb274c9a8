"""The list of runs as a table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.text import Text

from holdfast.cli.marks import ASCII, UNICODE, age, cells, plain, took
from holdfast.cli.render import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cli.marks import Marks
    from holdfast.tracing.store import RunSummary

_SHORTEST_ID = 8
_LONGEST_NAME = 24
_HEAD = ("", "RUN", "STARTED", "NAME", "TOOK", "CALLS", "RETRIES", "HITS", "FAILED")
_RIGHT = _HEAD[4:]


def short_ids(runs: Sequence[RunSummary]) -> list[str]:
    """For each run the beginning of its id that no other of them has, at least 8 characters; all of the same length."""
    ids = sorted({run.id for run in runs})
    length = max(_SHORTEST_ID, 1 + max(itertools.starmap(shared_length, itertools.pairwise(ids)), default=0))
    return [run.id[:length] for run in runs]


def shared_length(one: str, other: str) -> int:
    """How many letters two texts have in common from the beginning on."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def render_runs(runs: Sequence[RunSummary], ids: Sequence[str], *, now_ns: int, color: bool = False, is_ascii: bool = False) -> str:
    """Draw the runs as a table, in the order given.

    Args:
        runs: What to list.
        ids: What to call each of them; see `short_ids`.
        now_ns: The time that ages are counted from, nanoseconds since the epoch.
        color: Whether to write ANSI colours.
        is_ascii: Use ASCII signs.
    """
    marks = ASCII if is_ascii else UNICODE
    rows = [_HEAD, *(_cells(run, name, now_ns, marks) for run, name in zip(runs, ids, strict=False))]
    widths = [max(cells(row[column]) for row in rows) for column in range(len(_HEAD))]
    styles = ["bright_black", *(_sign(run, marks)[1] for run in runs)]
    return write([_line(row, widths, style) for row, style in zip(rows, styles, strict=True)], color=color)


def _cells(run: RunSummary, name: str, now_ns: int, marks: Marks) -> tuple[str, ...]:
    figures = run.summary
    return (
        _sign(run, marks)[0],
        name,
        f"{age((now_ns - run.started_ns) / 1e9)} ago",
        plain(run.name)[:_LONGEST_NAME],
        took(run.duration_s, marks),
        str(figures.calls),
        str(figures.retries),
        str(figures.hits),
        str(figures.failures),
    )


def _sign(run: RunSummary, marks: Marks) -> tuple[str, str]:
    if run.failed:
        return marks.failed, "red"
    if not run.outcome:
        return marks.unknown, "yellow"
    return (marks.ok, "green") if run.outcome == "ok" else (marks.stopped, "yellow")


def _line(row: tuple[str, ...], widths: Sequence[int], style: str) -> Text:
    is_head = row is _HEAD
    text = Text()
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - cells(cell))
        padded = space + cell if _HEAD[column] in _RIGHT else cell + space
        text.append(("  " if column else "") + padded, style if is_head or column == 0 else "")
    return text
