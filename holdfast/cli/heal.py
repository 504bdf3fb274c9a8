"""``holdfast traces heal``: ends the spans that killed processes left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holdfast import _traces, clock
from holdfast.checkpoint.sqlite import SqliteSaver
from holdfast.cli import output
from holdfast.cli.marks import age, plain
from holdfast.errors import PolicyError, StoreError
from holdfast.tracing import convention as names
from holdfast.tracing.setup import detect
from holdfast.tracing.store.choice import JUST_NOW_NS
from holdfast.tracing.store.database import TraceStore

if TYPE_CHECKING:
    from holdfast.events import Remains

_FLUSH_S = 10.0


@click.group()
def traces() -> None:
    """Look after recorded traces."""


@traces.command(
    epilog="\b\nExamples:\n  holdfast traces heal                         of the trace store\n"
    "  holdfast traces heal --db runs.db --dry-run  of a checkpointer's runs\n"
    "  HOLDFAST_TRACING=jaeger holdfast traces heal --db runs.db"
)
@click.option("--db", metavar="PATH", help="A trace store, or the file of a SqliteSaver; default as for show.")
@click.option("--dry-run", is_flag=True, help="Only say which runs.")
def heal(db: str | None, *, dry_run: bool) -> None:
    """End the spans that killed processes left open, as crashed.

    In a trace store: those of runs without a sign of life. Of a SqliteSaver: those
    of runs whose process died and that nobody has resumed; they are sent, once, to
    the backends that HOLDFAST_TRACING names, else where OTEL_EXPORTER_OTLP_ENDPOINT
    says, else into the trace store.
    """
    if db is not None:
        output.need_file(db)
    store = TraceStore(db)
    try:
        store.refuse_foreign()
    except StoreError:
        said = _heal_saver(str(db), dry_run=dry_run)
    else:
        said = _heal_store(store, dry_run=dry_run)
    output.print_text("\n".join(said) or f"nothing to heal in {store.path}")


def _heal_store(store: TraceStore, *, dry_run: bool) -> list[str]:
    now = clock.current.time_ns()
    rows = store.heal(now - JUST_NOW_NS, dry_run=dry_run)
    store.close()
    return [
        _line(str(row.attributes.get(names.RUN_ID)), str(row.attributes.get(names.WORKFLOW_NAME)), now - row.end_ns, dry_run=dry_run)
        for row in rows
    ]


def _heal_saver(path: str, *, dry_run: bool) -> list[str]:
    reader = SqliteSaver.read_only(path)
    try:
        found = list(_traces.unhealed(reader))
    finally:
        reader.close()
    if found and not dry_run:
        found = _healed(path, found)
    now = clock.current.time_ns()
    return [_line(left.run_id, left.name, now - left.seen_ns, dry_run=dry_run) for left in found]


def _healed(path: str, found: list[Remains]) -> list[Remains]:
    """Those that were healed here."""
    from holdfast.tracing import configure, flush  # the SDK: only when there is something to heal
    from holdfast.tracing.killed.heal import heal as give_end

    try:
        for name in detect.backends() or ["auto"]:
            configure(name, lines=False)
    except PolicyError as error:
        raise click.UsageError(str(error)) from None

    def send(left: Remains) -> bool:
        give_end(left)
        if not flush(_FLUSH_S):
            output.fail(f"the spans of run {left.run_id} could not be sent; heal again when the backend is up")
        return True

    saver = SqliteSaver(path)
    try:
        return [left for left in found if _traces.settle(saver, left, send)]
    finally:
        saver.close()


def _line(run_id: str, name: str, silent_ns: int, *, dry_run: bool) -> str:
    what = "would heal" if dry_run else "healed"
    return f"{what} run {plain(run_id)} ({plain(name)}), last seen {age(max(0, silent_ns) / 1e9)} ago"
