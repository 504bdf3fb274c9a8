"""How a report on TTLs looks in a terminal: a table, bars, and the reasons."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from holdfast.cli.marks import ASCII, UNICODE, plain
from holdfast.cli.render import write
from holdfast.cli.table import Row, draw, fitted
from holdfast.tuning._page import calls, facts, of_calls
from holdfast.tuning._words import figure, percent, shown, shown_time

if TYPE_CHECKING:
    from holdfast.cli.marks import Marks
    from holdfast.tuning import Point, Report

_HEAD = ("", "TTL", "HITS", "CALLS", "COST", "WAIT", "WAIT*", "AGE P95", "STALE", "90% BAND", "HARD BOUNDS", "EV", "")
_RIGHT = frozenset((*_HEAD[1:11], "CALLS/DAY", "COST/DAY"))
_DISPENSABLE = ("HARD BOUNDS", "WAIT*", "AGE P95", "WAIT", "CALLS", "COST")
"""Columns that are left out where they are empty, or, in this order, where the terminal is too narrow for all."""
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Look(NamedTuple):
    """What it is printed on.

    Attributes:
        width: Columns.
        color: Whether to write ANSI colours.
        is_ascii: Whether to use ASCII signs.
    """

    width: int
    color: bool
    is_ascii: bool


def drawn(report: Report, look: Look) -> str:
    """The whole screen."""
    marks = ASCII if look.is_ascii else UNICODE
    rows = [_row(point, report, marks) for point in report.curve]
    names = {"CALLS": "CALLS/DAY", "COST": "COST/DAY"} if report.facts.days else {}
    titles, dispensable = ([names.get(name, name) for name in each] for each in (_HEAD, _DISPENSABLE))
    head, kept = fitted(tuple(titles), rows, dispensable, look.width)
    table = draw(head, kept, right=_RIGHT, color=look.color)
    said_below = ["* if an old entry were served for one more TTL while it is refreshed"] if "WAIT*" in head else []
    said_below += [of_calls(report)] if "CALLS" in head else []
    notes = [Text(line, "bright_black") for text in said_below for line in _wrapped(text, "", look.width)]
    said = _wrapped(plain(report.headline), "", look.width), _wrapped(facts(report), "  ", look.width)
    top = [*(Text(line, "bold") for line in said[0]), *(Text(line, "bright_black") for line in said[1])]
    below = [*notes, Text(), *_bars(report, look), Text(), *_reasons(report, look.width)]
    return "\n".join((write(top, color=look.color), table, write(below, color=look.color)))


def _row(point: Point, report: Report, marks: Marks) -> Row:
    is_best, is_live = point.ttl == report.recommendation.ttl, point.ttl == report.live_ttl
    known = point.stale is not None and point.low is not None and point.high is not None
    texts = (
        marks.running if is_best else "",
        shown(point.ttl),
        figure(point.hits),
        calls(point),
        "" if point.cost is None else f"{point.cost:,.4g}",
        figure(point.waits),
        figure(point.blocking),
        "" if point.age_p95 is None else shown_time(point.age_p95),
        figure(point.stale) if point.stale is not None else "?",
        f"{100 * (point.low or 0):.1f}-{figure(point.high or 0)}" if known else "",
        f"{100 * point.certain:.1f}-{figure(point.possible)}",
        point.grade,
        point.verdict,
    )
    return Row(texts, "green" if is_best else "cyan" if is_live else "")


def _bars(report: Report, look: Look) -> list[Text]:
    """Hits as shares of all, stale answers on a scale of their own."""
    most = max([point.stale or 0.0 for point in report.curve] + [report.question.stale_budget or 0.0])
    names = [shown(point.ttl) for point in report.curve]
    left = max(map(len, names))
    lines = [Text(" " * (left + 4) + "hits".ljust(_BAR + 2) + ("" if not most else f"stale (whole bar: {percent(most)})"), "bright_black")]
    for name, point in zip(names, report.curve, strict=True):
        style = "green" if point.ttl == report.recommendation.ttl else "cyan" if point.ttl == report.live_ttl else ""
        line = Text("  " + name.rjust(left) + "  ", style)
        line.append(_bar(point.hits, is_ascii=look.is_ascii).ljust(_BAR + 2), "blue")
        if most and point.stale is not None:
            line.append(_bar(point.stale / most, is_ascii=look.is_ascii), "yellow")
        lines.append(line)
    return lines


def _bar(share: float, *, is_ascii: bool) -> str:
    """In eighths of a cell."""
    if is_ascii:
        return "#" * round(share * _BAR)
    full, rest = divmod(round(share * _BAR * 8), 8)
    return "█" * full + _EIGHTHS[rest].strip()


def _reasons(report: Report, width: int) -> list[Text]:
    advice, lines = report.recommendation, list[Text]()
    for title, told in (("why", advice.why), ("why not", advice.why_not), ("what could be wrong", advice.what_could_be_wrong)):
        lines += [Text(line) for sentence in told for line in _wrapped(f"{title}: {plain(sentence)}", "  ", width)]
    return lines


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
