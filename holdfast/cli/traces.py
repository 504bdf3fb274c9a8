"""The trace store, as the commands that read it open it and name its runs. Nothing here changes it."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from holdfast.cli import output
from holdfast.cli.table import shared_length
from holdfast.tracing.store.choice import Choice
from holdfast.tracing.store.database import RunSummary, TraceStore

_NEARBY = 3
_MOST_ALIKE = 20

db = click.option("--db", metavar="PATH", help="The trace store; default HOLDFAST_TRACES, else the file in your state folder.")


def open_store(db: str | None) -> TraceStore:
    """The store; ends the command when a file was named that is not there."""
    if db is not None:
        output.need_file(db)
    return TraceStore(db)


def nothing_recorded(store: TraceStore) -> str:
    """What to do about an empty store."""
    return (
        f"nothing has been recorded in {store.path} yet.\n"
        "Call holdfast.tracing.configure() once at the start of your program, or run it with HOLDFAST_TRACING=local."
    )


def in_json(run: RunSummary) -> dict[str, Any]:
    """A run as ``--json`` prints it."""
    return {"id": run.id, **msgspec.to_builtins(run)}


def choose(store: TraceStore, prefix: str) -> RunSummary:
    """The one run that begins with ``prefix``; ends the command when there is none, or more than one."""
    found = store.find(prefix, _MOST_ALIKE + 1)
    exact = [run for run in found if prefix in (run.run_id, run.trace_id)]
    runs = exact[:1] or _each_once(found)
    if len(runs) == 1:
        return runs[0]
    if runs:
        some = f"{len(runs)} runs begin" if len(found) <= _MOST_ALIKE else "many runs begin"
        which = "" if len(runs) <= _NEARBY else ", the latest"
        output.fail(f"{some} with {prefix!r}{which}: {_names(runs[:_NEARBY])}\nGive more of the id.")
    recent = store.runs(100, Choice(folded=True))
    nearby = sorted(recent, key=lambda run: -shared_length(run.id, prefix))[:_NEARBY]
    if not nearby:
        return output.fail(nothing_recorded(store))
    what = "nearby" if shared_length(nearby[0].id, prefix) else "the latest"
    return output.fail(f"no run begins with {prefix!r}; {what}: {_names(nearby)}\n`holdfast runs` lists them all.")


def _each_once(executions: list[RunSummary]) -> list[RunSummary]:
    """The last execution of each run, newest first."""
    last: dict[str, RunSummary] = {}
    for each in executions:
        last.setdefault(each.run_id or each.trace_id, each)
    return list(last.values())


def _names(found: list[RunSummary]) -> str:
    return ", ".join(f"{run.id} ({run.name})" for run in found)
