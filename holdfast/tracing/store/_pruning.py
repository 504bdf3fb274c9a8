"""What the trace store forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.values._sqlite import Connection

_HOUR_NS = 3600 * 10**9


def prune(connection: Connection, *, keep_runs: int, max_age_ns: int, now_ns: int) -> None:
    """Drop traces that are too old, all but the latest ``keep_runs``, and those that after an hour have no span of holdfast's."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS doomed (trace_id TEXT PRIMARY KEY)")
    connection.execute("DELETE FROM doomed")
    connection.execute(
        """
        INSERT INTO doomed SELECT trace_id FROM runs GROUP BY trace_id
        HAVING max(end_ns) < max(?, ifnull((SELECT end_ns FROM runs WHERE is_ours ORDER BY end_ns DESC LIMIT 1 OFFSET ?), 0))
            OR (NOT max(is_ours) AND max(end_ns) < ?)
        """,
        (now_ns - max_age_ns, keep_runs - 1, now_ns - _HOUR_NS),
    )
    connection.execute("DELETE FROM spans WHERE trace_id IN (SELECT trace_id FROM doomed)")
    connection.execute("DELETE FROM runs WHERE trace_id IN (SELECT trace_id FROM doomed)")
