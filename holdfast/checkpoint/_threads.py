"""Whole threads: listing and copying them. Every function works inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import clock
from holdfast.checkpoint._claims import add_thread, is_known
from holdfast.checkpoint._forget import weigh_thread
from holdfast.checkpoint._write import Writer
from holdfast.errors import StoreError
from holdfast.typing import ThreadInfo
from holdfast.values.ids import uuid7

if TYPE_CHECKING:
    from holdfast.checkpoint._owners import Owners
    from holdfast.checkpoint._read import Reader
    from holdfast.values._sqlite import Connection

_LISTED = """
    SELECT threads.thread_id, owner, runs, updated FROM threads JOIN runs ON runs.id = threads.newest
    ORDER BY updated DESC, runs.id DESC LIMIT ?
"""


def infos(reader: Reader, owners: Owners, limit: int | None, *, sweep: bool) -> list[ThreadInfo]:
    """The threads that have runs, last updated first; ``sweep`` removes what dead owners left."""
    listed = reader.connection.execute(_LISTED, (-1 if limit is None else limit,)).fetchall()
    alive = {owner: owners.is_alive(owner, sweep=sweep) for _, owner, _, _ in listed if owner is not None}
    found: list[ThreadInfo] = []
    for thread_id, owner, runs, _ in listed:
        newest = reader.latest(thread_id)
        if newest is not None:
            steps, size = weigh_thread(reader.connection, thread_id)
            found.append(ThreadInfo(thread_id, newest.entry, newest.status, runs, steps, size, newest.updated, alive.get(owner, False)))
    return found


def copy(connection: Connection, reader: Reader, source: str, target: str) -> None:
    """Copy all that a thread has, under new run ids. What was traced is the original's.

    Raises:
        StoreError: There is no such source, or there is a target.
    """
    runs = reader.runs(source, None, None)
    if not runs:
        raise StoreError(f"there is no thread {source!r} to copy")
    if is_known(connection, target):
        raise StoreError(f"there is a thread {target!r} already: choose another name, or delete it first")
    add_thread(connection, target)
    writer = Writer(connection, None, str)
    ids = {run.run_id: uuid7(clock.current.time_ns()) for run in reversed(runs)}
    for run in reversed(runs):
        copied = run._replace(run_id=ids[run.run_id], thread_id=target, base=ids.get(run.base, run.base), trace="")
        writer.put_steps(writer.put_run(copied), reader.steps(run.run_id))
        writer.finish()
