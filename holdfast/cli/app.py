"""The commands. They read the trace store and print; nothing here changes it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, NoReturn

import click
import msgspec

from holdfast import clock
from holdfast.cli.marks import UNICODE
from holdfast.cli.render import render_run
from holdfast.cli.table import render_runs, shared_length, short_ids
from holdfast.tracing import tree
from holdfast.tracing.store import RunSummary, TraceStore

_WIDTH_OF_A_PIPE = 80
_NEARBY = 3

_db = click.option("--db", metavar="PATH", help="The trace store; default HOLDFAST_TRACES, else the file in your state folder.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 80},
    epilog="\b\nExamples:\n  holdfast runs                 what ran lately\n  holdfast show                 the last run, as a tree\n"
    "  holdfast show 0198c0de        the run whose id begins so",
)
@click.version_option(package_name="holdfast", message="holdfast %(version)s")
def app() -> None:
    """Look at what your decorated calls did: retries, waits, errors, cache hits.

    Runs are recorded once your program calls holdfast.tracing.configure().
    """


@app.command(
    epilog="\b\nExamples:\n  holdfast runs --failed        the runs that ended in an error\n  holdfast runs --name plan     the runs of one entrypoint\n"
    "  holdfast runs --json | jq '.[0].summary'"
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N runs.")
@click.option("--failed", is_flag=True, help="Only runs that ended in an error.")
@click.option("--name", metavar="X", help="Only runs of this entrypoint or task.")
@_json
@_db
def runs(limit: int, name: str | None, db: str | None, *, failed: bool, as_json: bool) -> None:
    """List the latest runs, newest first."""
    store = _open(db)
    found = store.runs(limit + 1, name=name, failed=failed)
    if as_json:
        _print_json([_plain(run) for run in found[:limit]])
    elif not found:
        _fail("no such run has been recorded" if store.runs(1) else _nothing_recorded(store))
    else:
        _print(render_runs(found[:limit], short_ids(found), now_ns=clock.current.time_ns(), color=_has_color(), is_ascii=_is_ascii()))


@app.command(
    epilog="\b\nExamples:\n  holdfast show                 the last run\n  holdfast show 0198c0de        the run whose id, or trace id, begins so\n"
    "  holdfast show --errors        only what failed, and the way to it"
)
@click.argument("run", default="last")
@click.option("--errors", is_flag=True, help="Show only what failed, and the way to it.")
@click.option("--all", "expand", is_flag=True, help="Show every one of many equal calls.")
@_json
@_db
def show(run: str, db: str | None, *, errors: bool, expand: bool, as_json: bool) -> None:
    """Show a run as a tree: attempts, waits, errors, cache hits, durations.

    RUN is a run id or trace id, or the beginning of one; without it the last run is shown.
    """
    if not run:  # the text that every id begins with; most likely a variable that a script never set
        raise click.UsageError("RUN is empty: give a run id or trace id or its beginning, or leave it out for the last run")
    store = _open(db)
    chosen = _choose(store, run)
    rows = store.spans(chosen.trace_id)
    if as_json:
        _print_json({"run": _plain(chosen), "spans": [msgspec.structs.asdict(row) for row in rows]})
        return
    known = store.durations(tree.origins(tree.build(rows)))
    _print(
        render_run(
            rows,
            width=_width(),
            color=_has_color(),
            run_id=chosen.run_id,
            expand=expand,
            errors_only=errors,
            is_ascii=_is_ascii(),
            durations=known,
        )
    )


def _choose(store: TraceStore, prefix: str) -> RunSummary:
    """The one run that begins with ``prefix``; ends the command when there is none, or more than one."""
    found = store.find(prefix)
    exact = [run for run in found if prefix in (run.run_id, run.trace_id)]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if found:
        _fail(f"{len(found)} runs begin with {prefix}: {_names(found)}\nGive more of the id.")
    recent = store.runs(100)
    nearby = sorted(recent, key=lambda run: -shared_length(run.id, prefix))[:_NEARBY]
    return _fail(
        f"no run begins with {prefix}; nearby: {_names(nearby)}\n`holdfast runs` lists them all." if nearby else _nothing_recorded(store)
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
    if db is not None and not os.path.exists(db):  # noqa: PTH110 - `~` was the shell's business
        _fail(f"there is no file {db}")
    return TraceStore(db)


def _fail(text: str) -> NoReturn:
    raise click.ClickException(text)


def _plain(run: RunSummary) -> dict[str, Any]:
    return {"id": run.id, **msgspec.to_builtins(run)}


def _print_json(value: object) -> None:
    _print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _print(text: str) -> None:
    """Print, with escapes for what the terminal's encoding does not have."""
    click.echo(text.encode(_encoding(), "backslashreplace").decode(_encoding()))


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def _is_ascii() -> bool:
    """Whether the output cannot print our signs."""
    try:
        "".join(UNICODE).encode(_encoding())
    except UnicodeEncodeError:
        return True
    return False


def _has_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH_OF_A_PIPE, 24)).columns
