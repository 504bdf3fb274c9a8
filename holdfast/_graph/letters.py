"""Draws a graph in letters: boxes in rows, each row below all that lead to it.

How it is done, after Sugiyama: edges that would lead back up are taken out (a walk from the first node finds them) and listed; each node gets
the row after the last of those before it; an edge over several rows gets a place in each row between; then each row is centred, and
between two rows there is a line across for each node whose edges bend.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Line = tuple[str, str, bool]
    """Source, target, and whether it is dotted."""

_GAP = 3
_BOX_LINES = 3


def drawn(nodes: Sequence[str], edges: Sequence[Line]) -> str:
    """The picture.

    Args:
        nodes: The nodes, the first one first.
        edges: Source, target, and whether the edge is dotted.
    """
    back = _leading_back(nodes, edges)
    rows, hops = _rows(nodes, [edge for edge in edges if edge not in back])
    places, width = _places(rows)
    lines: list[str] = []
    for number, row in enumerate(rows):
        lines += _boxes(row, places, width)
        if number + 1 < len(rows):
            lines += _between([hop for hop in hops if hop[0] in row], places, width)
    if back:
        lines += ["", *(f"{source} {'..>' if is_dotted else '-->'} {target}" for source, target, is_dotted in back)]
    return "\n".join(line.rstrip() for line in lines)


def _leading_back(nodes: Sequence[str], edges: Sequence[Line]) -> list[Line]:
    """The edges that close a loop, found by a walk into depth."""
    ways: dict[str, list[Line]] = {node: [edge for edge in edges if edge[0] == node] for node in nodes}
    found: list[Line] = []
    done: set[str] = set()
    for first in nodes:
        left = [] if first in done else [(first, iter(ways[first]))]
        path = [node for node, _ in left]
        while left:
            node, rest = left[-1]
            edge = next(rest, None)
            if edge is None:
                left.pop()
                path.pop()
                done.add(node)
            elif edge[1] in path:
                found.append(edge)
            elif edge[1] not in done:
                path.append(edge[1])
                left.append((edge[1], iter(ways[edge[1]])))
    return found


def _rows(nodes: Sequence[str], edges: Sequence[Line]) -> tuple[list[list[str]], list[Line]]:
    """The rows, with a nameless place (a blank and a number) for each edge that passes through, and the edges from row to row."""
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for source, target, _dotted in edges:
            depth[target] = max(depth[target], depth[source] + 1)
    rows: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in nodes:
        rows[depth[node]].append(node)
    hops: list[Line] = []
    for number, (source, target, is_dotted) in enumerate(edges):
        stops = [source, *(f" {number}.{row}" for row in range(depth[source] + 1, depth[target])), target]
        for row, stop in enumerate(stops[1:-1], depth[source] + 1):
            rows[row].append(stop)
        hops += [(above, below, is_dotted) for above, below in pairwise(stops)]
    return rows, hops


def _is_place(name: str) -> bool:
    return name.startswith(" ")


def _width(name: str) -> int:
    return 1 if _is_place(name) else len(name) + 4


def _places(rows: list[list[str]]) -> tuple[dict[str, int], int]:
    """The column of each box's middle, and how wide the picture is."""
    widths = [sum(map(_width, row)) + _GAP * (len(row) - 1) for row in rows]
    places: dict[str, int] = {}
    for row, width in zip(rows, widths, strict=True):
        column = (max(widths) - width) // 2
        for name in row:
            places[name] = column + _width(name) // 2
            column += _width(name) + _GAP
    return places, max(widths)


def _boxes(row: list[str], places: dict[str, int], width: int) -> list[str]:
    lines = [[" "] * width for _ in range(_BOX_LINES)]
    for name in row:
        if _is_place(name):
            for line in lines:
                line[places[name]] = "|"
            continue
        left = places[name] - _width(name) // 2
        rim = "+" + "-" * (len(name) + 2) + "+"
        for line, text in zip(lines, (rim, f"| {name} |", rim), strict=True):
            line[left : left + len(text)] = text
    return ["".join(line) for line in lines]


def _between(hops: list[Line], places: dict[str, int], width: int) -> list[str]:
    """The lines from one row to the next; each source whose edges bend has a line across of its own."""
    bends = dict.fromkeys(source for source, target, _ in hops if places[source] != places[target])
    level = {source: number for number, source in enumerate(bends, 1)}
    lines = [[" "] * width for _ in range(len(bends) + 2)]
    for source, target, is_dotted in hops:
        begin, end, at = places[source], places[target], level.get(source, 0)
        upright, across = (":", ".") if is_dotted else ("|", "-")
        for number, line in enumerate(lines):
            if number <= at:
                _put(line, begin, upright)
            if number >= at:
                _put(line, end, upright)
        if begin != end:
            for column in range(min(begin, end), max(begin, end) + 1):
                _put(lines[at], column, "+" if column in {begin, end} else across)
    for target in {target for _, target, _ in hops if not _is_place(target)}:
        lines[-1][places[target]] = "v"
    return ["".join(line) for line in lines]


def _put(line: list[str], column: int, letter: str) -> None:
    """A corner stays a corner, and a line that goes down is not hidden by one that crosses it."""
    if line[column] == " " or letter == "+" or (letter in "|:" and line[column] in "-."):
        line[column] = letter
