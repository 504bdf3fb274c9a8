"""``holdfast show``: a run as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from holdfast import clock
from holdfast.cli import output, traces
from holdfast.cli.marks import plain
from holdfast.cli.render import render_run
from holdfast.tracing import convention as names
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.database import RunSummary, TraceStore


@click.command(
    epilog="\b\nExamples:\n  holdfast show                 the last run\n  holdfast show 0198c0de        the run whose id, or trace id, begins so\n"
    "  holdfast show --errors        only what failed, and the way to it"
)
@click.argument("run", default="last")
@click.option("--errors", is_flag=True, help="Show only what failed, and the way to it.")
@click.option("--all", "expand", is_flag=True, help="Show every one of many equal calls.")
@output.as_json
@traces.db
def show(run: str, db: str | None, *, errors: bool, expand: bool, as_json: bool) -> None:
    """Show a run as a tree: attempts, waits, errors, hits, durations.

    RUN is a run id or trace id, or the beginning of one; without it the last run is shown.
    """
    if not run:  # the text that every id begins with; most likely a variable that a script never set
        raise click.UsageError("RUN is empty: give a run id or trace id or its beginning, or leave it out for the last run")
    store = traces.open_store(db)
    chosen = traces.choose(store, run)
    rows = store.spans(chosen.trace_id)
    if as_json:
        output.print_json({"run": traces.in_json(chosen), "spans": [msgspec.structs.asdict(row) for row in rows]})
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
    for line in _neighbours(store, chosen, rows):
        output.print_text(line)


def _neighbours(store: TraceStore, chosen: RunSummary, rows: Sequence[SpanRow]) -> Iterator[str]:
    """Which execution this one went on from, and which ones went on from it; and behind which call it renewed the cache."""
    if chosen.is_behind:
        caller = next(trace_id for row in rows for trace_id, _, said in row.links if said.get(names.LINK_TYPE) == names.LINK_BEHIND)
        yield f"behind a call of: {_named(store, caller, caller)}"
    for said in (row.attributes for row in rows):
        if said.get(names.SPAN_TYPE) == "run" and said.get(names.RUN_ID) == chosen.run_id and names.RESUMED_FROM_RUN_ID in said:
            before = str(said.get(names.RESUMED_FROM_TRACE_ID, ""))
            yield f"went on from: {_named(store, before, plain(str(said[names.RESUMED_FROM_RUN_ID])))}"
    for trace_id in store.resumed_as(chosen.trace_id):
        yield f"resumed: holdfast show {trace_id}"


def _named(store: TraceStore, trace_id: str, otherwise: str) -> str:
    """How to show an execution; what to call one that is not there."""
    return f"holdfast show {trace_id}" if trace_id and store.find(trace_id, 1) else f"{otherwise}, which is not in this store"
