"""Lists executions of runs out of the trace store. All works inside a transaction."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast import clock
from holdfast.tracing.spans.records import decode, in_order
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.choice import Choice
    from holdfast.values._sqlite import Connection

# Other libraries' spans around or inside a run make no entry of their own.
LISTED = """
    SELECT trace_id, run_id, name, thread_id, outcome, failed, start_ns, end_ns, is_behind FROM runs WHERE is_ours
    AND (run_id <> '' OR NOT EXISTS (SELECT 1 FROM runs AS other WHERE other.trace_id = runs.trace_id AND other.run_id <> ''))
"""
"""Every execution: to be followed by conditions that begin with AND."""

_LAST_EXECUTIONS = """
    AND NOT is_behind AND (run_id = '' OR NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.run_id = runs.run_id
                                                      AND (later.start_ns, later.trace_id) > (runs.start_ns, runs.trace_id)))
"""
_EXECUTIONS = "SELECT trace_id FROM runs WHERE run_id = ? ORDER BY start_ns, trace_id"


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a run. A call made outside any run, with its trace, counts as a run.

    Attributes:
        run_id: The run; ``""`` for calls outside runs.
        trace_id: Its trace, 32 hex digits.
        thread_id: The thread it belongs to, or ``""``.
        name: Name of the entrypoint, or of the outermost span.
        outcome: ``ok``, ``error``, ``cancelled`` or ``interrupted``; ``""`` while it runs and when it was killed.
        failed: Whether it ended in an error.
        started_ns: Nanoseconds since the epoch.
        duration_s: Seconds; up to the last span seen for a run without an end.
        execution: Which execution of its run it is: the first is 1, each time the run was resumed made another.
        executions: How many of them are in the store.
        is_behind: It renewed what is cached, or looked whether it is stale, behind a call's back.
        summary: Calls, retries, hits and so on.
    """

    run_id: str
    trace_id: str
    thread_id: str
    name: str
    outcome: str
    failed: bool
    started_ns: int
    duration_s: float
    execution: int = 1
    executions: int = 1
    is_behind: bool = False
    summary: tree.Summary

    @property
    def id(self) -> str:
        """What to call it: the run id, or the trace id outside runs and for an execution that is not its run's last."""
        return self.run_id if self.run_id and self.execution == self.executions else self.trace_id


def chosen(connection: Connection, limit: int, choice: Choice) -> list[RunSummary]:
    """The latest ``limit`` executions that fit, newest first."""
    condition, values = choice.condition(clock.current.time_ns())
    return _select(connection, (_LAST_EXECUTIONS if choice.folded else "") + condition, values, limit, choice)


def beginning_with(connection: Connection, prefix: str, limit: int) -> list[RunSummary]:
    """The latest ``limit`` executions whose run id or trace id begins so, newest first."""
    condition = " AND (substr(run_id, 1, ?) = ? OR substr(trace_id, 1, ?) = lower(?))"
    return _select(connection, condition, [len(prefix), prefix] * 2, limit)


def ids(connection: Connection) -> list[str]:
    """Of each run, however often it was executed, its id; outside runs the trace id."""
    return list({row[1] or row[0]: None for row in connection.execute(LISTED)})


def spans(connection: Connection, trace_id: str) -> list[SpanRow]:
    """All spans of a trace, in order of time."""
    found = connection.execute("SELECT data FROM spans WHERE trace_id = ?", (trace_id,))
    return in_order(decode(data) for (data,) in found)


def durations(connection: Connection, keys: Iterable[tree.SpanKey]) -> dict[tree.SpanKey, float]:
    """Seconds taken by each of these spans, as far as they are there."""
    known: dict[tree.SpanKey, float] = {}
    for key in keys:
        found = connection.execute("SELECT data FROM spans WHERE trace_id = ? AND span_id = ?", key).fetchone()
        if found:
            known[key] = decode(found[0]).seconds
    return known


def _select(connection: Connection, condition: str, values: list[Any], limit: int, choice: Choice | None = None) -> list[RunSummary]:
    """Spans are read of so many runs only as are looked at until there are enough."""
    found = connection.execute(f"{LISTED} {condition} ORDER BY start_ns DESC", values)  # conditions are ours
    fitting = (summary for entry in found if (summary := _summary(connection, choice, *entry)) is not None)
    return list(islice(fitting, limit))


def _summary(connection: Connection, choice: Choice | None, trace_id: str, run_id: str, *known: Any) -> RunSummary | None:
    """The execution in one row of `LISTED`; None when its spans do not fit the choice."""
    nodes = tree.of_run(tree.build(spans(connection, trace_id)), run_id)
    if choice is not None and not choice.fits(node.row for node in tree.walk(nodes)):
        return None
    name, thread_id, outcome, failed, start_ns, end_ns, is_behind = known
    executions = [each for (each,) in connection.execute(_EXECUTIONS, (run_id,))] if run_id else [trace_id]
    return RunSummary(
        run_id=run_id,
        trace_id=trace_id,
        thread_id=thread_id,
        name=name,
        outcome=outcome,
        failed=bool(failed),
        started_ns=start_ns,
        duration_s=(end_ns - start_ns) / 1e9,
        execution=1 + executions.index(trace_id),
        executions=len(executions),
        is_behind=bool(is_behind),
        summary=tree.summarize(nodes, durations(connection, tree.origins(nodes))),
    )
