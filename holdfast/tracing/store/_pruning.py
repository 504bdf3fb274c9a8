"""What the trace store forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.values._sqlite import Connection

_HOUR_NS = 3600 * 10**9


def prune(connection: Connection, *, keep_runs: int, max_age_ns: int, now_ns: int) -> None:
    """Drop traces that are too old, all but the latest ``keep_runs``, and those that after an hour have no span of holdfast's.

    What was done behind callers' backs is counted apart, and so are hits outside runs: a busy cache has more of either than anybody has runs.
    Of the rest failures are: what succeeded since pushes out no failure, nor the other way round while a service is down.
    """
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS doomed (trace_id TEXT PRIMARY KEY)")
    connection.execute("DELETE FROM doomed")
    connection.execute(
        """
        INSERT INTO doomed SELECT trace_id FROM runs GROUP BY trace_id
        HAVING max(end_ns) < max(:oldest, iif(min(is_behind), :oldest_behind, iif(min(is_hit), :oldest_hit,
                iif(max(failed), :oldest_failed, :oldest_run))))
            OR (NOT max(is_ours) AND max(end_ns) < :last_hour)
        """,
        {
            "oldest": now_ns - max_age_ns,
            "oldest_run": _end_of_last(connection, keep_runs, "NOT is_behind AND NOT is_hit AND NOT failed"),
            "oldest_failed": _end_of_last(connection, keep_runs, "NOT is_behind AND NOT is_hit AND failed"),
            "oldest_hit": _end_of_last(connection, keep_runs, "NOT is_behind AND is_hit"),
            "oldest_behind": _end_of_last(connection, keep_runs, "is_behind"),
            "last_hour": now_ns - _HOUR_NS,
        },
    )
    connection.execute("DELETE FROM spans WHERE trace_id IN (SELECT trace_id FROM doomed)")
    connection.execute("DELETE FROM runs WHERE trace_id IN (SELECT trace_id FROM doomed)")


def _end_of_last(connection: Connection, number: int, kind: str) -> int:
    """When the last of the ``number`` latest of a kind ended that are to be kept; 0 when there are not so many."""
    latest = f"SELECT end_ns FROM runs WHERE is_ours AND {kind} ORDER BY end_ns DESC LIMIT 1 OFFSET ?"  # noqa: S608 - from above
    found = connection.execute(latest, (number - 1,)).fetchone()
    return int(found[0]) if found else 0
