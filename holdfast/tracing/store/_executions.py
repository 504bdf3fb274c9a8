"""What the trace store knows of executions that were cut off, and of those that went on from there. All works inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.tracing import convention as names
from holdfast.tracing.killed.crashed import crashed, is_crashed, is_crashed_run
from holdfast.tracing.spans.records import decode
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.values._sqlite import Connection

_OPEN_RUNS = "SELECT trace_id, run_id FROM runs WHERE rank = 1 AND run_id <> '' AND end_ns < ? ORDER BY start_ns"

_NAMING = """
    SELECT spans.data FROM spans WHERE trace_id <> ? AND trace_id IN (
        SELECT trace_id FROM runs WHERE thread_id IN (SELECT thread_id FROM runs WHERE trace_id = ? AND run_id <> '')
    ) AND instr(spans.data, ?)  -- attributes stand in the data as plain text
"""


def with_left_open(connection: Connection, rows: Sequence[SpanRow]) -> Sequence[SpanRow]:
    """``rows``, and what is stored as under way of the runs that they tell to have crashed.

    All that crashed with a run ends at once: when the process was last heard of, and not before what is inside it. What leaves does not tell
    anew that the spans around it are alive.
    """
    runs = list(filter(is_crashed_run, rows))
    if not runs:
        return rows
    told = {(row.trace_id, row.span_id): row for row in rows}
    for run in runs:
        run_id = str(run.attributes.get(names.RUN_ID, ""))
        stored = _rows(connection, run.trace_id)
        of_trace = [row for row in stored if (row.trace_id, row.span_id) not in told]
        of_trace += [row for row in told.values() if row.trace_id == run.trace_id]
        inside = [node.row for node in tree.walk(tree.of_run(tree.build(of_trace), run_id))]
        cut_off = [row for row in stored if (row.is_open or is_crashed(row)) and row.attributes.get(names.RUN_ID) == run_id]
        seen_ns = max(row.end_ns for row in (*inside, *cut_off))  # its record, from which it is told now, may know of less than was seen
        for row in inside:  # spans of the user's, which do not say whose they are, as well
            if row.attributes.get(names.RUN_ID, run_id) == run_id and (row.is_open or is_crashed(row)):
                told[row.trace_id, row.span_id] = crashed(row, seen_ns)
    return list(told.values())


def of_silent_runs(connection: Connection, before_ns: int) -> list[SpanRow]:
    """The spans of runs that are stored as under way and were not seen since ``before_ns``, as crashed; the oldest run first."""
    found: list[SpanRow] = []
    for trace_id, run_id in connection.execute(_OPEN_RUNS, (before_ns,)).fetchall():
        rows = _open_rows(connection, trace_id, run_id)
        found.extend(crashed(row, row.end_ns) for row in rows if row.attributes.get(names.SPAN_TYPE) == "run")
    return found


def later(connection: Connection, trace_id: str) -> list[str]:
    """Traces of the runs that say that they went on from this one, the oldest first; they are of the same thread."""
    needle = trace_id.encode()
    rows = [decode(data) for (data,) in connection.execute(_NAMING, (trace_id, trace_id, needle))]
    found = [row for row in rows if row.attributes.get(names.RESUMED_FROM_TRACE_ID) == trace_id]
    return [row.trace_id for row in sorted(found, key=lambda row: row.start_ns)]


def _open_rows(connection: Connection, trace_id: str, run_id: str) -> list[SpanRow]:
    return [row for row in _rows(connection, trace_id) if row.is_open and row.attributes.get(names.RUN_ID) == run_id]


def _rows(connection: Connection, trace_id: str) -> list[SpanRow]:
    return [decode(data) for (data,) in connection.execute("SELECT data FROM spans WHERE trace_id = ?", (trace_id,))]
