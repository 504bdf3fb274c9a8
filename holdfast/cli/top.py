"""``holdfast top``: which tasks flake, which are slow, and what the cache spares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.text import Text

from holdfast.cli import output, traces
from holdfast.cli.marks import ASCII, UNICODE, cells, plain, took
from holdfast.cli.moments import Since
from holdfast.cli.table import LONGEST_NAME, Row, draw, fitted
from holdfast.tracing.store import figures
from holdfast.tracing.store.choice import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.cli.marks import Marks
    from holdfast.tracing.store.figures import TaskFigures

_ORDERS: dict[str, Callable[[TaskFigures], Any]] = {
    "flaky": lambda each: (each.flaky_share, each.flaky),
    "failed": lambda each: (each.failures, each.flaky_share),
    "slow": lambda each: each.p95_s or 0.0,
    "waited": lambda each: each.waited_s,
    "calls": lambda each: each.calls,
    "hits": lambda each: (each.hits, each.hit_share or 0.0),
}
_HEAD = ("", "TASK", "CALLS", "FLAKED", "FAILED", "ATTEMPTS", "HITS", "P50", "P95", "MAX", "WAITED")
_RIGHT = frozenset(_HEAD[2:])
_DISPENSABLE = ("MAX", "WAITED", "P50", "ATTEMPTS", "HITS")
"""Columns that are left out where they are empty, or, in this order, where the terminal is too narrow for all."""
_ERRORS_SHOWN = 3


@click.command(
    epilog="\b\nExamples:\n  holdfast top                   the tasks that flake most often\n"
    "  holdfast top --by slow         those that take longest\n"
    "  holdfast top --since 1d        of the runs of the last day\n"
    "  holdfast top --json | jq '.[] | select(.failures > 0)'"
)
@click.option("--by", type=click.Choice([*_ORDERS]), default="flaky", show_default=True, help="What comes first.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N tasks.")
@click.option("--name", metavar="X", help="Only runs of this entrypoint or task.")
@click.option("--thread", metavar="T", help="Only runs of this thread.")
@click.option("--since", metavar="WHEN", type=Since(), help="Only runs that started since: 30m, 2h, 1d, 2026-11-21T09:30.")
@output.as_json
@traces.db
def top(by: str, limit: int, name: str | None, thread: str | None, since: int | None, db: str | None, *, as_json: bool) -> None:
    """Rank the tasks: how often they flake and fail, how long they take.

    FLAKED: share of the calls that needed more than one attempt, or failed. ATTEMPTS:
    how many a call made on average. Both, and the durations, are of calls that were
    executed. HITS: share of the calls that asked the cache and were answered by it.
    Empty columns are left out, on a narrow terminal others, too.
    """
    choice = Choice(name=name, thread=thread, since_ns=since)
    store = traces.open_store(db)
    found = sorted(figures.of_tasks(store.all_spans(choice)), key=_ORDERS[by], reverse=True)
    if as_json:
        output.print_json([_in_json(each) for each in found[:limit]])
    elif not found:
        output.fail("no such call has been recorded" if store.runs(1) else traces.nothing_recorded(store))
    else:
        output.print_text(_render(found[:limit], width=output.width(), color=output.has_color(), is_ascii=output.is_ascii()))
        if len(found) > limit:
            more = ASCII.more if output.is_ascii() else UNICODE.more
            output.print_text(f"{more} and {len(found) - limit} more: --limit {len(found)} shows them")


def _in_json(each: TaskFigures) -> dict[str, Any]:
    return msgspec.structs.asdict(each) | {
        "flaky_share": each.flaky_share,
        "attempts_per_call": each.attempts_per_call,
        "hit_share": each.hit_share,
    }


def _render(found: Sequence[TaskFigures], *, width: int, color: bool, is_ascii: bool) -> str:
    marks = ASCII if is_ascii else UNICODE
    rows = [_row(each, marks) for each in found]
    head, kept = fitted(_HEAD, rows, _DISPENSABLE, width)
    return draw(head, kept, right=_RIGHT, color=color)


def _row(each: TaskFigures, marks: Marks) -> Row:
    sign, style = (marks.failed, "red") if each.failures else (marks.retried, "yellow") if each.flaky else (marks.ok, "green")
    texts = (
        sign,
        _cut(plain(each.task), marks),
        str(each.calls),
        _share(each.flaky_share) if each.executed else "",
        str(each.failures or ""),
        f"{each.attempts_per_call:.2f}" if each.executed else "",
        "" if each.hit_share is None else _share(each.hit_share),
        *("" if value is None else took(value, marks) for value in (each.p50_s, each.p95_s, each.max_s)),
        took(each.waited_s, marks) if each.waited_s else "",
    )
    return Row(texts, style, _errors(each, marks))


def _errors(each: TaskFigures, marks: Marks) -> tuple[Text, ...]:
    """The most frequent errors of its attempts, under the task's row."""
    if not each.errors:
        return ()
    said = [f"{plain(name).rpartition('.')[2]} {number}" for name, number in [*each.errors.items()][:_ERRORS_SHOWN]]
    rest = sum([*each.errors.values()][_ERRORS_SHOWN:])
    if rest:
        said.append(f"others {rest}")
    return (Text(f"   {marks.last}{', '.join(said)}", "bright_black"),)


def _share(share: float) -> str:
    """In percent; what is rare does not look like nothing, nor what is nearly all like all."""
    percent = 100 * share
    if 0 < percent < 0.5:  # noqa: PLR2004 - would be shown as 0
        return "<1%"
    return ">99%" if 99.5 <= percent < 100 else f"{percent:.0f}%"  # noqa: PLR2004 - would be shown as 100


def _cut(name: str, marks: Marks) -> str:
    return name if cells(name) <= LONGEST_NAME else name[: LONGEST_NAME - len(marks.more)] + marks.more
