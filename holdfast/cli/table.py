"""Tables: the list of runs, and what every other list is drawn with."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from holdfast.cli.marks import ASCII, UNICODE, age, cells, plain, took
from holdfast.cli.render import write
from holdfast.tracing.store.choice import JUST_NOW_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cli.marks import Marks
    from holdfast.tracing.store.database import RunSummary

LONGEST_NAME = 24
"""Cells of a name in a table; what is longer is cut."""

_SHORTEST_ID = 8
_HEAD = ("", "RUN", "STARTED", "NAME", "RESUMED", "TOOK", "CALLS", "RETRIES", "HITS", "FAILED")
_RIGHT = frozenset(_HEAD[4:])
_DISPENSABLE = ("HITS", "CALLS", "RETRIES", "RESUMED")


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        cells: Its texts, the sign first.
        style: The sign's colour.
        below: Lines that belong to the row, drawn under it.
    """

    cells: tuple[str, ...]
    style: str
    below: tuple[Text, ...] = ()


def draw(head: tuple[str, ...], rows: Sequence[Row], *, right: frozenset[str], color: bool) -> str:
    """Draw a table whose columns are as wide as they need to be.

    Args:
        head: Titles of the columns.
        rows: In the order in which they are drawn.
        right: Titles of the columns that are aligned at the right.
        color: Whether to write ANSI colours.
    """
    every = [head, *(row.cells for row in rows)]
    widths = [max(cells(texts[column]) for texts in every) for column in range(len(head))]
    sides = [title in right for title in head]
    lines = [_line(head, widths, sides, ["bright_black"] * len(head))]
    for row in rows:
        lines += [_line(row.cells, widths, sides, [row.style]), *row.below]
    return write(lines, color=color)


def fitted(
    head: tuple[str, ...], rows: Sequence[Row], dispensable: Sequence[str], width: int | None = None
) -> tuple[tuple[str, ...], list[Row]]:
    """A table without its empty columns, and, where it is too wide, without others.

    Args:
        head: Titles of the columns.
        rows: In the order in which they are drawn.
        dispensable: Titles of the columns that may be left out, the first one first.
        width: Of the terminal; None, the default, for a table that may be as wide as it likes.
    """
    empty = [column for column, title in enumerate(head) if title in dispensable and not any(row.cells[column] for row in rows)]
    columns = [column for column in range(len(head)) if column not in empty]
    for column in map(head.index, dispensable):
        if width is not None and column in columns and _needed([head, *(row.cells for row in rows)], columns) > width:
            columns.remove(column)
    kept = [row._replace(cells=tuple(row.cells[column] for column in columns)) for row in rows]
    return tuple(head[column] for column in columns), kept


def _needed(lines: Sequence[tuple[str, ...]], columns: Sequence[int]) -> int:
    """How wide a table of these columns is."""
    return sum(2 + max(cells(line[column]) for line in lines) for column in columns) - 2


def short_ids(runs: Sequence[RunSummary], known: Sequence[str]) -> list[str]:
    """What to call each run, so that no other one that is ``known`` is called so: see `shortened`."""
    return shortened([run.id for run in runs], known)


def shortened(ids: Sequence[str], known: Sequence[str] = ()) -> list[str]:
    """For each id the beginning that no other of them, or of those ``known``, has, at least 8 characters; all of the same length."""
    wanted = set(ids)
    pairs = itertools.pairwise(sorted(wanted.union(known)))
    shared = (shared_length(*pair) for pair in pairs if not wanted.isdisjoint(pair))
    length = max(_SHORTEST_ID, 1 + max(shared, default=0))
    return [each[:length] for each in ids]


def shared_length(one: str, other: str) -> int:
    """How many letters two texts have in common from the beginning on."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def render_runs(
    runs: Sequence[RunSummary], ids: Sequence[str], *, now_ns: int, width: int = 80, color: bool = False, is_ascii: bool = False
) -> str:
    """Draw the runs as a table, in the order given.

    Args:
        runs: What to list.
        ids: What to call each of them; see `short_ids`.
        now_ns: The time that ages are counted from, nanoseconds since the epoch.
        width: Columns; where they are not enough some figures are left out.
        color: Whether to write ANSI colours.
        is_ascii: Use ASCII signs.
    """
    marks = ASCII if is_ascii else UNICODE
    rows = [Row(_cells(run, name, now_ns, marks), _sign(run, now_ns, marks)[1]) for run, name in zip(runs, ids, strict=False)]
    head, rows = fitted(_HEAD, rows, _DISPENSABLE, width)
    return draw(head, rows, right=_RIGHT, color=color)


def _cells(run: RunSummary, name: str, now_ns: int, marks: Marks) -> tuple[str, ...]:
    figures = run.summary
    return (
        _sign(run, now_ns, marks)[0],
        name,
        f"{age((now_ns - run.started_ns) / 1e9)} ago",
        plain(run.name)[:LONGEST_NAME] + (" (behind)" if run.is_behind else ""),
        str(run.execution - 1) if run.execution > 1 else "",
        took(run.duration_s, marks),
        str(figures.calls),
        str(figures.retries),
        str(figures.hits),
        str(figures.failures),
    )


def _sign(run: RunSummary, now_ns: int, marks: Marks) -> tuple[str, str]:
    if run.failed:
        return marks.failed, "red"
    if not run.outcome:
        last_seen = run.started_ns + run.duration_s * 1e9
        return (marks.running, "cyan") if now_ns - last_seen < JUST_NOW_NS else (marks.unknown, "yellow")
    return (marks.ok, "green") if run.outcome == "ok" else (marks.stopped, "yellow")


def _line(texts: Sequence[str], widths: Sequence[int], sides: Sequence[bool], styles: Sequence[str]) -> Text:
    text = Text()
    for column, (cell, width, is_right) in enumerate(zip(texts, widths, sides, strict=True)):
        space = " " * (width - cells(cell))
        padded = space + cell if is_right else cell + space
        text.append(("  " if column else "") + padded, styles[column] if column < len(styles) else "")
    return text
