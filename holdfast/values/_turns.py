"""Turns that processes take by a row in a shared SQLite file: one at a time, and no sooner than some time after the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.values._sqlite import Connection


def take_turn(connection: Connection, task: str, now: float, interval: float) -> tuple[bool, float]:
    """Take a task's turn, if it is anybody's now.

    Args:
        connection: In a transaction, of a file with a table ``turns (task, next)``.
        task: Whose turn.
        now: Seconds since the epoch.
        interval: Seconds between two turns.

    Returns:
        Whether it is the caller's, and when the next one is, seconds since the epoch.
    """
    row = connection.execute("SELECT next FROM turns WHERE task = ?", (task,)).fetchone()
    if row is not None and now < row[0] <= now + interval:  # later than that, and the clock was set back
        return False, row[0]
    connection.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (task, now + interval))
    return True, now + interval
