"""What the trace store knows of executions that were cut off, and of those that went on from there. All works inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.tracing import convention as names
from holdfast.tracing.killed.crashed import crashed, is_crashed_run
from holdfast.tracing.spans.records import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.values._sqlite import Connection

_OPEN_RUNS = "SELECT trace_id, run_id FROM runs WHERE rank = 1 AND run_id <> '' AND end_ns < ? ORDER BY start_ns"

_NAMING = """
    SELECT spans.data FROM spans WHERE trace_id <> ? AND trace_id IN (
        SELECT trace_id FROM runs WHERE thread_id IN (SELECT thread_id FROM runs WHERE trace_id = ? AND run_id <> '')
    ) AND instr(spans.data, ?)  -- attributes stand in the data as plain text
"""


def left_open(connection: Connection, rows: Sequence[SpanRow]) -> Iterator[SpanRow]:
    """What is stored as under way of the runs that ``rows`` tell to have crashed, ended as they did; what ``rows`` have themselves is left out."""
    told = {(row.trace_id, row.span_id) for row in rows}
    for run in filter(is_crashed_run, rows):
        for row in _open_rows(connection, run.trace_id, str(run.attributes.get(names.RUN_ID, ""))):
            if (row.trace_id, row.span_id) not in told:
                yield crashed(row, run.end_ns)


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
    every = (decode(data) for (data,) in connection.execute("SELECT data FROM spans WHERE trace_id = ?", (trace_id,)))
    return [row for row in every if row.is_open and row.attributes.get(names.RUN_ID) == run_id]
