"""Curves over TTLs as inline SVG: a line, its band, its hard bounds, and what is read off when the pointer is over a TTL. No script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from holdfast.tuning._words import percent, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.tuning.report import Point, Report

WIDTH, HEIGHT = 760, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 34, 44
_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
_MOST_LINES = 5
_NARROW = 34.0
_LETTER = 6.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What is drawn of each point; None where nothing is known.

    Attributes:
        name: Of its CSS class.
        title: Above the chart.
        value: The line.
        band: The area around it.
        bounds: Two dotted lines, or None.
        read: What is read off at a point.
        limit: A dashed line with its label, or None.
    """

    name: str
    title: str
    value: Callable[[Point], float | None]
    band: Callable[[Point], tuple[float | None, float | None]]
    bounds: Callable[[Point], tuple[float, float]] | None
    read: Callable[[Point], str]
    limit: float | None


def chart(report: Report, curve: Curve) -> str:
    """One chart as an SVG element."""
    return _Chart(report, curve).drawn()


class _Chart:
    def __init__(self, report: Report, curve: Curve) -> None:
        self._report, self._curve, self._points = report, curve, report.curve
        logs = [math.log(point.ttl) for point in self._points]
        self._first, self._span = logs[0], (logs[-1] - logs[0]) or 1.0
        heights = [value for point in self._points for value in self._heights(point) if value is not None]
        self._step = next((step for step in _STEPS if step * _MOST_LINES >= max(heights, default=1.0)), _STEPS[-1])
        self._most = self._step * max(1, math.ceil(max(heights, default=1.0) / self._step - 1e-9))

    def _heights(self, point: Point) -> list[float | None]:
        bounds = self._curve.bounds(point) if self._curve.bounds and self._curve.value(point) is None else ()
        return [self._curve.value(point), *self._curve.band(point), *bounds, self._curve.limit]

    def _x(self, ttl: float) -> float:
        return _LEFT + 12 + (math.log(ttl) - self._first) / self._span * (WIDTH - _LEFT - _RIGHT - 24)

    def _y(self, share: float) -> float:
        return HEIGHT - _BOTTOM - share / self._most * (HEIGHT - _TOP - _BOTTOM)

    def drawn(self) -> str:
        """Back to front."""
        curve = self._curve
        parts = [self._grid(), self._band(), self._bounds(), self._limit(), self._marks(), self._line(), self._columns()]
        inside = f'<rect x="0" y="{_TOP - 5}" width="{WIDTH}" height="{HEIGHT - _TOP - _BOTTOM + 10}"/>'
        clip = f'<clipPath id="inside-{curve.name}">{inside}</clipPath>'
        head = f'<svg class="{curve.name}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(curve.title)}">'
        return f'{head}<text class="title" x="{_LEFT}" y="16">{escape(curve.title)}</text>{clip}{"".join(parts)}</svg>'

    def _grid(self) -> str:
        lines: list[str] = []
        for step in range(round(self._most / self._step) + 1):
            y = self._y(step * self._step)
            lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
            lines.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent(step * self._step)}</text>')
        last = -math.inf
        for point in self._points:
            x = self._x(point.ttl)
            if x - last >= _NARROW:
                lines.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{shown(point.ttl)}</text>')
                last = x
        return "".join(lines)

    def _band(self) -> str:
        known = [(point.ttl, *band) for point in self._points if None not in (band := self._curve.band(point))]
        there = [f"{self._x(ttl):.1f},{self._y(low or 0):.1f}" for ttl, low, _ in known]
        back = [f"{self._x(ttl):.1f},{self._y(high or 0):.1f}" for ttl, _, high in reversed(known)]
        return f'<polygon class="band" points="{" ".join(there + back)}"/>' if known else ""

    def _bounds(self) -> str:
        if self._curve.bounds is None:
            return ""
        return "".join(self._path([(point.ttl, self._curve.bounds(point)[side]) for point in self._points], "bound") for side in (0, 1))

    def _line(self) -> str:
        known = [(point.ttl, value) for point in self._points if (value := self._curve.value(point)) is not None]
        dots = "".join(f'<circle class="dot" cx="{self._x(ttl):.1f}" cy="{self._y(value):.1f}" r="3.5"/>' for ttl, value in known)
        return self._path(known, "line") + dots

    def _path(self, known: Sequence[tuple[float, float]], name: str) -> str:
        places = " ".join(f"{self._x(ttl):.1f},{self._y(value):.1f}" for ttl, value in known)
        return f'<polyline class="{name}" clip-path="url(#inside-{self._curve.name})" points="{places}"/>' if known else ""

    def _limit(self) -> str:
        if self._curve.limit is None:
            return ""
        y = self._y(self._curve.limit)
        label = (
            f'<text class="limit-label" x="{WIDTH - _RIGHT}" y="{y - 5:.1f}" text-anchor="end">budget {percent(self._curve.limit)}</text>'
        )
        return f'<line class="limit" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>{label}'

    def _marks(self) -> str:
        """The live and the recommended TTL; one word for both where they are the same."""
        best, live = self._report.recommendation.ttl, self._report.live_ttl
        named = [("live", live, HEIGHT - _BOTTOM + 34), ("best", best, HEIGHT - _BOTTOM + 34)]
        words = {"live": "live", "best": "live and recommended" if best == live else "recommended"}
        marks: list[str] = []
        for name, ttl, y in named:
            if ttl is None or (name == "live" and best == live):
                continue
            x = self._x(ttl)
            marks.append(f'<line class="mark {name}" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{HEIGHT - _BOTTOM}"/>')
            marks.append(f'<text class="mark-label {name}" x="{x:.1f}" y="{y}" text-anchor="{self._anchor(ttl)}">{words[name]}</text>')
        return "".join(marks)

    def _anchor(self, ttl: float) -> str:
        """Within the chart, and away from the other mark."""
        best, live = self._report.recommendation.ttl, self._report.live_ttl
        if ttl == self._points[0].ttl:
            return "start"
        if ttl == self._points[-1].ttl:
            return "end"
        if best is None or live is None or best == live:
            return "middle"
        return "end" if ttl == min(best, live) else "start"

    def _columns(self) -> str:
        """For each TTL an area that shows its values while the pointer is over it, or the keyboard's focus on it."""
        places = [self._x(point.ttl) for point in self._points]
        edges = [_LEFT, *((a + b) / 2 for a, b in pairwise(places)), WIDTH - _RIGHT]
        return "".join(
            self._column(point, x, edges[number], edges[number + 1])
            for number, (point, x) in enumerate(zip(self._points, places, strict=True))
        )

    def _column(self, point: Point, x: float, left: float, right: float) -> str:
        said = f"{shown(point.ttl)}: {self._curve.read(point)}"
        text, width = escape(said), _LETTER * len(said) + 16
        start = WIDTH - _RIGHT - width
        area = f'<rect class="area" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
        ruler = f'<line class="ruler" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{HEIGHT - _BOTTOM}"/>'
        box = f'<rect class="box" x="{start:.1f}" y="2" width="{width:.1f}" height="22" rx="4"/>'
        exactly = f'textLength="{width - 16:.1f}" lengthAdjust="spacingAndGlyphs"'  # the box fits whatever font there is
        label = f'<text class="read" x="{start + 8:.1f}" y="17" {exactly}>{text}</text>'
        return f'<g class="column" tabindex="0">{area}<g class="shown">{ruler}{box}{label}</g></g>'
