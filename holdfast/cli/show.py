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
    """Which execution this one went on from, and which ones went on from it."""
    for said in (row.attributes for row in rows):
        if said.get(names.SPAN_TYPE) == "run" and said.get(names.RUN_ID) == chosen.run_id and names.RESUMED_FROM_RUN_ID in said:
            before = str(said.get(names.RESUMED_FROM_TRACE_ID, ""))
            known = f"holdfast show {before}" if before and store.find(before, 1) else "not in this store"
            yield f"went on from run {plain(str(said[names.RESUMED_FROM_RUN_ID]))}: {known}"
    for trace_id in store.resumed_as(chosen.trace_id):
        yield f"resumed: holdfast show {trace_id}"
