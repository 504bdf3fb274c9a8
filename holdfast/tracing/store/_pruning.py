"""What the trace store forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.values._sqlite import Connection

_HOUR_NS = 3600 * 10**9


def prune(connection: Connection, *, keep_runs: int, max_age_ns: int, now_ns: int) -> None:
    """Drop traces that are too old, all but the latest ``keep_runs``, and those that after an hour have no span of holdfast's.

    What was done behind callers' backs is counted apart: a busy cache renews more often than anybody runs anything.
    """
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS doomed (trace_id TEXT PRIMARY KEY)")
    connection.execute("DELETE FROM doomed")
    connection.execute(
        """
        INSERT INTO doomed SELECT trace_id FROM runs GROUP BY trace_id
        HAVING max(end_ns) < max(:oldest, iif(min(is_behind), :oldest_behind, :oldest_run)) OR (NOT max(is_ours) AND max(end_ns) < :last_hour)
        """,
        {
            "oldest": now_ns - max_age_ns,
            "oldest_run": _end_of_last(connection, keep_runs, is_behind=False),
            "oldest_behind": _end_of_last(connection, keep_runs, is_behind=True),
            "last_hour": now_ns - _HOUR_NS,
        },
    )
    connection.execute("DELETE FROM spans WHERE trace_id IN (SELECT trace_id FROM doomed)")
    connection.execute("DELETE FROM runs WHERE trace_id IN (SELECT trace_id FROM doomed)")


def _end_of_last(connection: Connection, number: int, *, is_behind: bool) -> int:
    """When the last of the ``number`` latest ended that are to be kept; 0 when there are not so many."""
    latest = "SELECT end_ns FROM runs WHERE is_ours AND is_behind = ? ORDER BY end_ns DESC LIMIT 1 OFFSET ?"
    found = connection.execute(latest, (is_behind, number - 1)).fetchone()
    return int(found[0]) if found else 0
