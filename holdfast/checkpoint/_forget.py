"""Forgetting runs and threads: what they take up, and their removal. Every function works inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.checkpoint._claims import remove_thread
from holdfast.checkpoint._retention import Candidate, doomed
from holdfast.checkpoint._rows import value_size
from holdfast.typing import Pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.values._sqlite import Connection

_INLINE_OF_RUN = " + ".join(["size", *(value_size(column) for column in ("input", "output", "saved", "error"))])


def candidates(connection: Connection, thread_id: str) -> list[Candidate]:
    """The thread's runs as far as retention goes, newest first."""
    query = "SELECT run_id, status, base, updated FROM runs WHERE thread_id = ? ORDER BY id DESC"
    return [Candidate(*row) for row in connection.execute(query, (thread_id,))]


class Weight(NamedTuple):
    """What runs take up: how many steps, and how many bytes of encoded values."""

    steps: int
    size: int


def weigh(connection: Connection, run_ids: Iterable[str]) -> Weight:
    """What would be gone with these runs of one thread."""
    steps = size = 0
    runs: set[int] = set()
    blobs: set[int] = set()
    for run_id in run_ids:
        query = f"SELECT id, steps, {_INLINE_OF_RUN} FROM runs WHERE run_id = ?"  # noqa: S608 - columns of ours
        run, count, inline = connection.execute(query, (run_id,)).fetchone()
        runs.add(run)
        blobs.update(blob for (blob,) in connection.execute("SELECT blob FROM uses WHERE run = ?", (run,)))
        steps, size = steps + count, size + inline
    for blob in blobs:
        if all(run in runs for (run,) in connection.execute("SELECT run FROM uses WHERE blob = ?", (blob,))):
            size += connection.execute("SELECT size FROM blobs WHERE id = ?", (blob,)).fetchone()[0]
    return Weight(steps, size)


def weigh_thread(connection: Connection, thread_id: str) -> Weight:
    """What a thread takes up."""
    query = f"SELECT total(steps), total({_INLINE_OF_RUN}) FROM runs WHERE thread_id = ?"  # noqa: S608 - columns of ours
    steps, inline = connection.execute(query, (thread_id,)).fetchone()
    blobs = connection.execute("SELECT total(size) FROM blobs WHERE thread_id = ?", (thread_id,)).fetchone()[0]
    return Weight(int(steps), int(inline + blobs))


def remove_runs(connection: Connection, thread_id: str, run_ids: Iterable[str]) -> None:
    """Remove runs of a thread, the values that nobody else refers to, and the thread when nothing is left of it."""
    count = 0
    for run_id in run_ids:
        run = connection.execute("SELECT id FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
        blobs = connection.execute("SELECT blob FROM uses WHERE run = ?", (run,)).fetchall()
        connection.execute("DELETE FROM uses WHERE run = ?", (run,))
        connection.executemany("DELETE FROM blobs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM uses WHERE blob = blobs.id)", blobs)
        connection.execute("DELETE FROM steps WHERE run = ?", (run,))
        connection.execute("DELETE FROM runs WHERE id = ?", (run,))
        count += 1
    connection.execute("UPDATE threads SET runs = runs - ? WHERE thread_id = ?", (count, thread_id))
    if connection.execute("SELECT 1 FROM threads WHERE thread_id = ? AND runs = 0", (thread_id,)).fetchone():
        remove_thread(connection, thread_id)


def delete_thread(connection: Connection, thread_id: str) -> bool:
    """Remove a thread with all its runs; True when there was one."""
    run_ids = [candidate.run_id for candidate in candidates(connection, thread_id)]
    remove_runs(connection, thread_id, run_ids)
    return bool(run_ids)


def prune_thread(connection: Connection, thread_id: str, *, keep_last: int | None, oldest: float | None, dry_run: bool) -> Pruned:
    """Remove a thread's old runs, or only say which: see `holdfast.checkpoint._retention.doomed`."""
    runs = candidates(connection, thread_id)
    going = doomed(runs, keep_last=keep_last, oldest=oldest)
    if not going:
        return Pruned((), (), 0, 0)
    weight = weigh(connection, going)
    if not dry_run:
        remove_runs(connection, thread_id, going)
    return Pruned(tuple(going), (thread_id,) if len(going) == len(runs) else (), weight.steps, weight.size)


def retire(connection: Connection, thread_id: str, *, keep_last: int | None, oldest: float | None) -> None:
    """Remove a thread's old runs when its newest has come to an end, but never that one; quick when there is nothing to do."""
    count = connection.execute("SELECT runs FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()[0]
    if keep_last is None or count <= keep_last:
        first = "SELECT updated FROM runs WHERE thread_id = ? ORDER BY id LIMIT 1"
        if oldest is None or connection.execute(first, (thread_id,)).fetchone()[0] >= oldest:
            return
    going = doomed(candidates(connection, thread_id), keep_last=keep_last, oldest=oldest, keeps_newest=True)
    remove_runs(connection, thread_id, going)


def merged(parts: Sequence[Pruned]) -> Pruned:
    """Several prunings as one."""
    return Pruned(
        tuple(run_id for part in parts for run_id in part.runs),
        tuple(thread_id for part in parts for thread_id in part.threads),
        sum(part.steps for part in parts),
        sum(part.size for part in parts),
    )
