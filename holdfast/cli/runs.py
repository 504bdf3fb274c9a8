"""``holdfast runs``: the latest runs, once or as they come."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from holdfast import clock
from holdfast.cli import output, traces
from holdfast.cli.moments import Since
from holdfast.cli.table import render_runs, short_ids
from holdfast.tracing.store.choice import STATUSES, Choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.tracing.store.database import RunSummary, TraceStore

_SECONDS_BETWEEN_LOOKS = 1.0
_LATE_NS = 60 * 10**9  # the end of a run may stand in the store so much later than it was
_NO_LIMIT = 1 << 31
_LINES_BESIDE_RUNS = 2  # of a terminal: the head of the table, and the line of the cursor


@click.command(
    epilog="\b\nExamples:\n  holdfast runs --failed            the runs that ended in an error\n"
    "  holdfast runs --since 2h          those of the last two hours\n"
    "  holdfast runs --task forecast     those that called a task\n"
    "  holdfast runs --thread trip-1 --all   every execution of its runs\n"
    "  holdfast runs --watch             the list, kept up to date\n"
    "  holdfast runs --json | jq '.[0].summary'"
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N runs.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs with this outcome, or that have not ended.")
@click.option("--failed", is_flag=True, help="The same as --status error.")
@click.option("--name", metavar="X", help="Only runs of this entrypoint or task.")
@click.option("--task", metavar="X", help="Only runs that called this task.")
@click.option("--thread", metavar="T", help="Only runs of this thread.")
@click.option("--since", metavar="WHEN", type=Since(), help="Only runs that started since: 30m, 2h, 1d, 2026-11-21T09:30.")
@click.option(
    "--all", "every", is_flag=True, help="Also earlier executions of resumed runs, and what renewed the cache behind the callers' backs."
)
@click.option("--watch", is_flag=True, help="Keep the list up to date, until Ctrl-C; with --json one line for each run, as it ends.")
@output.as_json
@traces.db
def runs(
    limit: int,
    status: str | None,
    name: str | None,
    task: str | None,
    thread: str | None,
    since: int | None,
    db: str | None,
    *,
    failed: bool,
    every: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """List the latest runs, newest first.

    A run that was resumed is listed once, as its last execution.
    """
    if failed and status not in (None, "error"):
        raise click.UsageError(f"--failed is --status error, and --status {status} was given: leave one of them out")
    choice = Choice(name=name, thread=thread, status="error" if failed else status, since_ns=since, task=task, folded=not every)
    store = traces.open_store(db)
    if watch:
        _watch(store, choice, limit, as_json=as_json)
    else:
        _list(store, choice, limit, as_json=as_json)


def _list(store: TraceStore, choice: Choice, limit: int, *, as_json: bool) -> None:
    found = store.runs(limit, choice)
    if as_json:
        output.print_json([traces.in_json(run) for run in found])
    elif not found:
        output.fail("no such run has been recorded" if store.runs(1) else traces.nothing_recorded(store))
    else:
        output.print_text(_table(store, found))


def _table(store: TraceStore, runs: Sequence[RunSummary]) -> str:
    """The runs to show, under ids that ``show`` takes: they tell them from all that are in the store."""
    now_ns, ids = clock.current.time_ns(), short_ids(runs, store.ids())
    return render_runs(runs, ids, now_ns=now_ns, width=output.width(), color=output.has_color(), is_ascii=output.is_ascii())


def _watch(store: TraceStore, choice: Choice, limit: int, *, as_json: bool) -> None:
    if not as_json and not sys.stdout.isatty():
        raise click.UsageError("--watch draws on a terminal, and the output is none: for a program or a file take --watch --json")
    try:
        if as_json:
            for run in _ended(store, choice, limit):
                output.print_text(output.line_of_json(traces.in_json(run)))
        else:
            _draw_for_ever(store, choice, limit)
    except KeyboardInterrupt:  # the way to end it
        return


def _ended(store: TraceStore, choice: Choice, limit: int) -> Iterator[RunSummary]:
    """Each run once, when its end is known: first the latest that are there, then for ever whatever ends."""
    told: set[tuple[str, str]] = set()
    while True:
        found = {(run.trace_id, run.run_id): run for run in reversed(store.runs(limit, choice)) if run.outcome}
        yield from (run for key, run in found.items() if key not in told)
        told = set(found)
        limit = _NO_LIMIT
        choice = msgspec.structs.replace(choice, seen_since_ns=clock.current.time_ns() - _LATE_NS)
        clock.current.sleep(_SECONDS_BETWEEN_LOOKS)


def _draw_for_ever(store: TraceStore, choice: Choice, limit: int) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            room = max(1, shutil.get_terminal_size().lines - _LINES_BESIDE_RUNS)
            found = store.runs(min(limit, room), choice)
            said = _table(store, found) if found else "waiting for a first run"
            live.update(Text.from_ansi(said, no_wrap=True, overflow="crop"), refresh=True)
            clock.current.sleep(_SECONDS_BETWEEN_LOOKS)
