"""A report as one page of HTML that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from holdfast.tuning._chart import Curve, chart
from holdfast.tuning._words import figure, percent, shown, shown_time

if TYPE_CHECKING:
    from holdfast.tuning.report import Point, Report

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --ink: #1b1f24; --soft: #59636e; --rule: #d9dee3; --hits: #0b62c1; --stale: #b3480a; --best: #1a7f37;
  --panel: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --back: #0e1116; --ink: #e6eaef; --soft: #9aa5b1; --rule: #303841; --hits: #6cb2ff; --stale: #f59d5b;
  --best: #56c26f; --panel: #181d24; } }
body { overflow-wrap: anywhere; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; } p.facts { color: var(--soft); margin: .3rem 0 1.4rem; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; margin: .4rem 0 1rem; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .title { font-size: 13px; font-weight: 600; } svg .tick { fill: var(--soft); }
.grid { stroke: var(--rule); } .line { fill: none; stroke: var(--curve); stroke-width: 2.5; } .dot { fill: var(--curve); }
.band { fill: var(--curve); opacity: .17; } .bound { fill: none; stroke: var(--curve); stroke-dasharray: 1 4; stroke-linecap: round; }
.hits { --curve: var(--hits); } .stale { --curve: var(--stale); }
.limit { stroke: var(--ink); stroke-dasharray: 6 4; } .mark { stroke: var(--soft); stroke-width: 1.5; } .mark.best { stroke: var(--best); stroke-width: 2; }
svg .mark-label { fill: var(--soft); font-weight: 600; } svg .mark-label.best { fill: var(--best); }
.area { fill: transparent; } .shown { visibility: hidden; pointer-events: none; } .column:hover .shown, .column:focus .shown { visibility: visible; }
.column { outline: none; } .ruler { stroke: var(--curve); } .box { fill: var(--panel); stroke: var(--rule); } svg .read { font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { text-align: right; padding: .25rem .45rem; border-bottom: 1px solid var(--rule); white-space: nowrap; } th { color: var(--soft); font-weight: 500; }
td:last-child, th:last-child { text-align: left; } tr.recommended { background: var(--panel); font-weight: 600; } ul { margin: .2rem 0; padding-left: 1.2rem; }
footer { color: var(--soft); margin-top: 2rem; font-size: .85rem; }
"""
_HEAD = ("ttl", "hits", "calls", "cost", "wait", "wait*", "age p95", "stale", "90 % band", "hard bounds", "ev.", "")


def page(report: Report) -> str:
    """The page; see `Report.to_html`."""
    title = f"{report.task}: what another TTL would do" if report.task else "What another TTL would do"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(report.headline)}</h1>
<p class="facts">{escape(facts(report))}</p>
<div class="wide">{chart(report, _hits(report))}</div>
<div class="wide">{chart(report, _stale(report))}</div>
{_advice(report)}
{_table(report)}
<footer>Point at a TTL in a chart to read its values. Shaded: 90 % bands over keys and parts of the time; dotted: bounds that need no model of the source.
Wait: gets that had to wait for a call; * with the entry served for another ttl while it is refreshed behind. Age p95: of 20 hits 19 were younger.
Evidence (ev.): A measured by probes, B from sightings, C from few of them, D none of the
source. {escape(of_calls(report))}. Made by holdfast.</footer>
</body>
</html>
"""


def facts(report: Report) -> str:
    """What was recorded, in one line."""
    known, probes = report.facts, ""
    if known.probes:
        probes = f", {_many(known.probes, 'probe')} ({known.stale_probes:,} stale)"
    live = f"live ttl {shown(report.live_ttl)}; " if report.live_ttl is not None else ""
    keys = _many(known.keys, "key") if known.rate == 1 else f"about {_many(known.keys, 'key')}, of which 1 in {1 / known.rate:.0f} was kept"
    traffic = f"{shown_time(known.span)}, {_many(known.gets, 'get')}, {keys}"
    kept = "" if known.rate == 1 else " of these"
    return f"{live}{traffic}, {_many(known.looks, 'call')}{kept} seen ({known.changed:,} changed){probes}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def of_calls(report: Report) -> str:
    """What figures of calls are of."""
    if report.facts.days:
        return "Calls are those of a day like the recorded time"
    return f"Calls are those of the {shown_time(report.facts.span)} recorded: too short to say how many a day"


def calls(point: Point) -> str:
    """Of a day, or of the recorded time where that is shorter."""
    return f"{point.calls if point.calls_per_day is None else point.calls_per_day:,.0f}"


def _hits(report: Report) -> Curve:
    period = " a day" if report.facts.days else ""

    return Curve(
        name="hits",
        title="Hits: share of gets",
        value=lambda point: point.hits,
        band=lambda point: (point.hits_low, point.hits_high),
        bounds=None,
        read=lambda point: (
            f"{percent(point.hits)} hits ({percent(point.hits_low)} to {percent(point.hits_high)}), {calls(point)} calls{period}"
        ),
        limit=None,
    )


def _stale(report: Report) -> Curve:
    return Curve(
        name="stale",
        title="Stale: share of gets",
        value=lambda point: point.stale,
        band=lambda point: (point.low, point.high),
        bounds=lambda point: (point.certain, point.possible),
        read=lambda point: (
            f"{_share(point)}, certainly {percent(point.certain)}, at most {percent(point.possible)} (evidence {point.grade})"
        ),
        limit=report.question.stale_budget,
    )


def _share(point: Point) -> str:
    return "nothing known" if point.stale is None else f"{percent(point.stale)} stale ({band(point)})"


def band(point: Point) -> str:
    """The 90 % band of stale answers, in percent."""
    return "" if point.low is None or point.high is None else f"{percent(point.low)} to {percent(point.high)}"


def _advice(report: Report) -> str:
    advice = report.recommendation
    lists = (("Why", advice.why), ("Why not another", advice.why_not), ("What could be wrong", advice.what_could_be_wrong))
    return "".join(f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" for title, lines in lists if lines)


def _table(report: Report) -> str:
    points = report.curve
    names = [f"{name}/day" if name in {"calls", "cost"} and report.facts.days else name for name in _HEAD]
    shows_cost = any(point.cost is not None for point in points)
    head = "".join(f"<th>{name}</th>" for name in names if shows_cost or not name.startswith("cost"))
    rows = "".join(
        f"<tr{' class=recommended' if point.verdict.startswith('recommended') else ''}>"
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(point, shows_cost=shows_cost))}</tr>"
        for point in points
    )
    return f'<h2>Each TTL</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(point: Point, *, shows_cost: bool) -> tuple[str, ...]:
    return (
        shown(point.ttl),
        figure(point.hits),
        calls(point),
        *(("" if point.cost is None else f"{point.cost:,.4g}",) if shows_cost else ()),
        figure(point.waits),
        figure(point.blocking),
        "" if point.age_p95 is None else shown_time(point.age_p95),
        "?" if point.stale is None else figure(point.stale),
        band(point),
        f"{figure(point.certain)} to {figure(point.possible)}",
        point.grade,
        point.verdict,
    )
