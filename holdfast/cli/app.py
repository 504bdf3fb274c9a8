"""The command and what reads the trace store: ``runs`` and ``show``. Nothing here changes it."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from holdfast import clock
from holdfast.cli import output
from holdfast.cli.render import render_run
from holdfast.cli.resume import resume
from holdfast.cli.table import render_runs, shared_length, short_ids
from holdfast.cli.threads import threads
from holdfast.tracing import tree
from holdfast.tracing.store import RunSummary, TraceStore

_NEARBY = 3
_MOST_ALIKE = 20

_db = click.option("--db", metavar="PATH", help="The trace store; default HOLDFAST_TRACES, else the file in your state folder.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 80},
    epilog="\b\nExamples:\n  holdfast runs                                 what ran lately\n"
    "  holdfast show                                 the last run, as a tree\n"
    "  holdfast show 0198c0de                        the run whose id begins so\n"
    "  holdfast threads --db runs.db                 what is waiting, failed, done\n"
    "  holdfast resume app:plan --thread trip-1      go on where it stopped",
)
@click.version_option(package_name="holdfast", message="holdfast %(version)s")
def app() -> None:
    """Look at what your decorated calls did, and go on with runs that stopped.

    runs and show tell of retries, waits, errors, cache hits: recorded once your
    program calls holdfast.tracing.configure(). threads and resume need an
    entrypoint with a checkpointer.
    """


@app.command(
    epilog="\b\nExamples:\n  holdfast runs --failed        the runs that ended in an error\n  holdfast runs --name plan     the runs of one entrypoint\n"
    "  holdfast runs --thread trip-1 the runs of one thread\n  holdfast runs --json | jq '.[0].summary'"
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N runs.")
@click.option("--failed", is_flag=True, help="Only runs that ended in an error.")
@click.option("--name", metavar="X", help="Only runs of this entrypoint or task.")
@click.option("--thread", metavar="T", help="Only runs of this thread.")
@output.as_json
@_db
def runs(limit: int, name: str | None, thread: str | None, db: str | None, *, failed: bool, as_json: bool) -> None:
    """List the latest runs, newest first."""
    store = _open(db)
    found = store.runs(limit + 1, name=name, thread=thread, failed=failed)
    if as_json:
        output.print_json([_plain(run) for run in found[:limit]])
    elif not found:
        output.fail("no such run has been recorded" if store.runs(1) else _nothing_recorded(store))
    else:
        output.print_text(
            render_runs(
                found[:limit], short_ids(found), now_ns=clock.current.time_ns(), color=output.has_color(), is_ascii=output.is_ascii()
            )
        )


@app.command(
    epilog="\b\nExamples:\n  holdfast show                 the last run\n  holdfast show 0198c0de        the run whose id, or trace id, begins so\n"
    "  holdfast show --errors        only what failed, and the way to it"
)
@click.argument("run", default="last")
@click.option("--errors", is_flag=True, help="Show only what failed, and the way to it.")
@click.option("--all", "expand", is_flag=True, help="Show every one of many equal calls.")
@output.as_json
@_db
def show(run: str, db: str | None, *, errors: bool, expand: bool, as_json: bool) -> None:
    """Show a run as a tree: attempts, waits, errors, hits, durations.

    RUN is a run id or trace id, or the beginning of one; without it the last run is shown.
    """
    if not run:  # the text that every id begins with; most likely a variable that a script never set
        raise click.UsageError("RUN is empty: give a run id or trace id or its beginning, or leave it out for the last run")
    store = _open(db)
    chosen = _choose(store, run)
    rows = store.spans(chosen.trace_id)
    if as_json:
        output.print_json({"run": _plain(chosen), "spans": [msgspec.structs.asdict(row) for row in rows]})
        return
    known = store.durations(tree.origins(tree.build(rows)))
    output.print_text(
        render_run(
            rows,
            width=output.width(),
            color=output.has_color(),
            run_id=chosen.run_id,
            expand=expand,
            errors_only=errors,
            is_ascii=output.is_ascii(),
            durations=known,
            now_ns=clock.current.time_ns(),
        )
    )


def _choose(store: TraceStore, prefix: str) -> RunSummary:
    """The one run that begins with ``prefix``; ends the command when there is none, or more than one."""
    found = store.find(prefix, _MOST_ALIKE + 1)
    exact = [run for run in found if prefix in (run.run_id, run.trace_id)]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if found:
        some = f"{len(found)} runs begin" if len(found) <= _MOST_ALIKE else f"more than {_MOST_ALIKE} runs begin"
        which = "" if len(found) <= _NEARBY else ", the latest"
        output.fail(f"{some} with {prefix!r}{which}: {_names(found[:_NEARBY])}\nGive more of the id.")
    recent = store.runs(100)
    nearby = sorted(recent, key=lambda run: -shared_length(run.id, prefix))[:_NEARBY]
    return output.fail(
        f"no run begins with {prefix!r}; nearby: {_names(nearby)}\n`holdfast runs` lists them all." if nearby else _nothing_recorded(store)
    )


def _names(found: list[RunSummary]) -> str:
    return ", ".join(f"{run.id} ({run.name})" for run in found)


def _nothing_recorded(store: TraceStore) -> str:
    return (
        f"nothing has been recorded in {store.path} yet.\n"
        "Call holdfast.tracing.configure() once at the start of your program, or run it with HOLDFAST_TRACING=local."
    )


def _open(db: str | None) -> TraceStore:
    """The store; ends the command when a file was named that is not there."""
    if db is not None:
        output.need_file(db)
    return TraceStore(db)


def _plain(run: RunSummary) -> dict[str, Any]:
    return {"id": run.id, **msgspec.to_builtins(run)}


app.add_command(threads)
app.add_command(resume)
