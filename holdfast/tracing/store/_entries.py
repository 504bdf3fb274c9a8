"""What spans say about their runs: the rows of the trace store's table ``runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tracing.spans.records import SpanRow


class Entry(msgspec.Struct):
    """A row of the table ``runs``, column by column."""

    trace_id: str
    run_id: str
    name: str
    thread_id: str
    outcome: str
    failed: bool
    start_ns: int
    end_ns: int
    rank: int
    is_ours: bool
    is_behind: bool
    is_hit: bool


def _entry(row: SpanRow) -> Entry:
    """What a span says about its run.

    The run's own span, or the root of its trace, has the last word (rank 2); a call outside runs has something to say (1), and so has the
    run's span before it ends, but no outcome; any other span says only that there is a run (0).
    """
    get = row.attributes.get
    kind, run_id = str(get(names.SPAN_TYPE, "")), str(get(names.RUN_ID, ""))
    is_head = kind == "run" or not (row.parent_id or run_id)
    rank = (1 if row.is_open else 2) if is_head else int(kind == "task" and not run_id)
    failed = row.status == "error"
    outcome = str(get(f"holdfast.{kind}.outcome") or ("error" if failed else "ok")) if rank and not row.is_open else ""
    name = str(get(names.WORKFLOW_NAME) or get(names.TASK_NAME) or row.name)
    thread_id = str(get(names.THREAD_ID, ""))
    is_behind = not run_id and any(said.get(names.LINK_TYPE) == names.LINK_BEHIND for _, _, said in row.links)
    is_hit = not (run_id or failed or (kind and get(names.CACHE_RESULT) != "hit"))  # what is not ours has nothing to say about it
    return Entry(
        row.trace_id, run_id, name, thread_id, outcome, bool(rank and failed), row.start_ns, row.end_ns, rank, bool(kind), is_behind, is_hit
    )


def entries(rows: Sequence[SpanRow]) -> list[tuple[Any, ...]]:
    """One entry per run, merged as _WRITE_RUNS does: an upsert per span would cost as much as storing the span (4.5 of 11 us)."""
    merged: dict[tuple[str, str], Entry] = {}
    for entry in map(_entry, rows):
        key = entry.trace_id, entry.run_id
        known = merged.setdefault(key, entry)
        if known is not entry:
            best = merged[key] = entry if entry.rank >= known.rank else known
            best.start_ns, best.end_ns = min(entry.start_ns, known.start_ns), max(entry.end_ns, known.end_ns)
            best.is_ours, best.is_behind = entry.is_ours or known.is_ours, entry.is_behind or known.is_behind
            best.is_hit = entry.is_hit and known.is_hit
    return [msgspec.structs.astuple(entry) for entry in merged.values()]
