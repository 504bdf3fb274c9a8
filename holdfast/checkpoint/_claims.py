"""Who may write to a thread: functions that work inside a transaction which holds the write lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.checkpoint._refusals import busy
from holdfast.typing import Lease

if TYPE_CHECKING:
    from holdfast.checkpoint._owners import Owners
    from holdfast.checkpoint._read import Reader
    from holdfast.values._sqlite import Connection


def claim(connection: Connection, reader: Reader, owners: Owners, thread_id: str, *, force: bool) -> Lease:
    """Write this saver's name beside the thread, and raise its epoch.

    Raises:
        ThreadBusyError: Somebody alive owns it, and ``force`` is not given.
        CorruptRecord: The thread is lost, but its runs are not.
    """
    token = owners.enter()
    if not is_known(connection, thread_id):
        reader.check_unknown(thread_id)
        add_thread(connection, thread_id)
    if not force:
        check_free(connection, owners, thread_id)
    epoch = int(connection.execute("SELECT epoch FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()[0])
    connection.execute("UPDATE threads SET epoch = ?, owner = ? WHERE thread_id = ?", (epoch + 1, token, thread_id))
    return Lease(thread_id, token, epoch + 1)


def release(connection: Connection, lease: Lease) -> None:
    """Take the name away again, and the thread with it when it has no runs."""
    found = connection.execute("SELECT epoch, owner, runs FROM threads WHERE thread_id = ?", (lease.thread_id,)).fetchone()
    if found is None or found[:2] != (lease.epoch, lease.owner):
        return
    if found[2]:
        connection.execute("UPDATE threads SET owner = NULL WHERE thread_id = ?", (lease.thread_id,))
    else:
        remove_thread(connection, lease.thread_id)


def check_free(connection: Connection, owners: Owners, thread_id: str) -> None:
    """Refuse a thread that has a living owner.

    Raises:
        ThreadBusyError: It has.
    """
    owner = _owner(connection, thread_id)
    if owner is not None and owners.is_alive(owner):
        raise busy(thread_id, owners.describe(owner))


def is_owned(connection: Connection, owners: Owners, thread_id: str) -> bool:
    """Whether somebody alive owns it."""
    owner = _owner(connection, thread_id)
    return owner is not None and owners.is_alive(owner, sweep=False)


def _owner(connection: Connection, thread_id: str) -> str | None:
    found = connection.execute("SELECT owner FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    return None if found is None else found[0]


def is_known(connection: Connection, thread_id: str) -> bool:
    """Whether there is such a thread, be it without runs yet."""
    return connection.execute("SELECT 1 FROM threads WHERE thread_id = ?", (thread_id,)).fetchone() is not None


def add_thread(connection: Connection, thread_id: str) -> None:
    """Add a thread that nobody owns."""
    connection.execute("INSERT INTO threads (thread_id, epoch, owner, newest, runs) SELECT ?, epoch, NULL, 0, 0 FROM meta", (thread_id,))


def remove_thread(connection: Connection, thread_id: str) -> None:
    """Remove a thread that has no runs."""
    connection.execute("UPDATE meta SET epoch = max(epoch, (SELECT epoch FROM threads WHERE thread_id = ?))", (thread_id,))
    connection.execute("DELETE FROM threads WHERE thread_id = ?", (thread_id,))
