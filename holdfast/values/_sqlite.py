"""One way to open, lock, fork and migrate SQLite files.

Theory of operation. A `Database` owns one connection, made on first use and guarded by one lock; whoever wants to read beside its
writes opens a second one with ``is_reader=True``, which changes nothing. Files are private: folders that are made
here get 0700, the database 0600, and SQLite gives ``-wal`` and ``-shm`` the database's own mode (findCreateFileMode in os_unix.c).

- A file descriptor on a database that is open elsewhere in this process must never be closed: POSIX drops *all* of the process's locks on
  the file with it (https://sqlite.org/howtocorrupt.html, 2.2). So a descriptor is only ever opened to create the file, under
  ``Connections.creating``, and everything else asks by path. That is safe because the folder is checked first: nobody else can swap files in it.
- A connection must not cross a fork (same page, 2.6). Not even unused: SQLite's list of open files comes along, so a connection that the
  child opens believes that this process holds the locks already and takes none; when the parent then closes, the log is deleted under
  the child and its commits are lost (seen with 3.40; test_sqlite.py shows it). So every connection is closed just before a fork and
  opened again on next use, in parent and child. Where a transaction does not end within ``_FORK_PATIENCE``, or is the forking
  thread's own, the child abandons the connection, closing nothing, and refuses that file.
- A sync that fails leaves a hole in the log that no later one fills; see `holdfast.values._log`.
- A new file gets its identity (``application_id``), schema and version (``user_version``) in one transaction, so that no other process
  sees half of it. What carries another identity is never touched.
- Reading makes ``-wal`` and ``-shm`` where there are none, and SQLite removes them when the last connection closes, if that one may
  write. So a reader that finds none opens the file for writing, and leaves it at ``query_only``; where there is a log, somebody may be
  at work or have been killed, and checkpointing is for the writers. In a folder that is read-only nobody can be writing: there, the
  file is ``immutable``.
- SQLite cannot share memory, and so no WAL, over a network file system; where Linux tells us that it is one we refuse.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Literal

from holdfast.errors import StoreError
from holdfast.values import forks
from holdfast.values._connections import Connections
from holdfast.values._log import Log
from holdfast.values._private import check_file, check_folder, create_file, make_folder, make_private
from holdfast.values._schema import EmptyStoreError, OldStoreError, Schema
from holdfast.values.endings import at_last

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Connection", "Database", "EmptyStoreError", "OldStoreError", "Schema", "is_corrupt", "version_warning"]

_FORK_PATIENCE = 2.0  # seconds
_STEP = 5  # milliseconds of one wait for another process: SQLite asks after 1, 3 and 5, and in a longer wait only every 100
_MOST_PATIENCE = (2**31 - 1) // 1000  # seconds, 24 days: SQLite counts milliseconds in an int, and one that overflows is no patience at all
_FOR_WRITING = "BEGIN IMMEDIATE"
_LOG_PAGES = 1000  # of the log, at which its content goes to the file: SQLite's own default
_MOST_UNSYNCED = 100  # transactions in a row that need not last: the log would grow for ever
_WAL_RESET_FIXED = (3, 51, 3)


class Database:
    """One private SQLite file in WAL mode, opened on first use; safe for threads and forks.

    Args:
        path: The file; missing folders are made when it is opened for writing.
        schema: Identity and migrations.
        synchronous: ``"FULL"`` keeps commits through power loss, ``"NORMAL"`` through the death of the process.
        busy_timeout: Seconds to wait for another process's lock.
        is_reader: Only read: the file must exist (else `EmptyStoreError`), is never changed, and never checkpointed.

    Every method raises `StoreError` for whatever SQLite or the file system refuses.
    """

    _connection: Connection | None = None
    _patience = -1  # the connection's busy timeout, milliseconds
    _level = ""  # how the connection syncs
    _unsynced = 0  # how many transactions have been committed since one that lasts

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema,
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        busy_timeout: float = 30.0,
        is_reader: bool = False,
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the symlink that we refuse
        self.schema = schema
        self._synchronous = synchronous
        self._busy_timeout = min(busy_timeout, _MOST_PATIENCE)
        self._is_reader = is_reader
        self._log = Log(self.path, is_kept=synchronous == "FULL" and not is_reader)
        self._lock = threading.Lock()
        self._next = threading.Lock()  # held while waiting for the lock: a thread that never rests keeps nobody else out, nor a fork
        self._owner = 0  # the thread that holds the lock
        self._is_held_for_fork = False
        with forks.door:
            forks.protect(self, is_file=True)

    def transaction(self, *, is_lasting: bool = True) -> contextlib.AbstractContextManager[Connection]:
        """Hold the write lock: commit when the block ends, roll back when it raises. Do not nest.

        Args:
            is_lasting: False for what power loss may undo until the next lasting transaction, which keeps both: nobody waits for the disk.
        """
        return self._borrow(_FOR_WRITING, self._synchronous if is_lasting else "NORMAL")

    def snapshot(self) -> contextlib.AbstractContextManager[Connection]:
        """See one unchanging state of the file for the length of the block. Do not nest."""
        return self._borrow("BEGIN")

    def close(self) -> None:
        """Close the connection, if any; the next use opens another one."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _connections.let_go(connection)
            _shut(connection, self._log)

    def close_if_idle(self) -> None:
        """Close the connection unless a thread is at work on it, or a fork: the end of a process, or of an owner, waits for none."""
        if self._lock.acquire(blocking=False):
            self._disconnect()
            self._lock.release()

    def is_foreign(self) -> bool:
        """Whether there is a file that is no SQLite database, or does not carry our identity: nothing that may be moved or changed."""
        try:
            with self._lock, contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("PRAGMA writable_schema = ON")  # so the identity is read of a damaged file, too
                identity = connection.execute("PRAGMA application_id").fetchone()[0]
                if identity == 0:
                    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0])
                return bool(identity != self.schema.application_id)
        except sqlite3.Error as error:
            return is_corrupt(error)  # any other error, a missing file for one, proves nothing

    @contextlib.contextmanager
    def _borrow(self, begin: str, level: str = "") -> Generator[Connection]:
        with self._next:
            lock = self._lock
            lock.acquire()
        try:
            self._owner = threading.get_ident()
            connection = self._connection
            if connection is None:
                connection = self._connect()
                _connections.hold(connection, self, self.path, functools.partial(_shut, connection, self._log))
                self._connection = connection
            try:
                self._sync_as(connection, level)
                self._begin(connection, begin)
                yield connection
                self._refuse_after_fork(connection)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(connection)
                if _code(error) == sqlite3.SQLITE_IOERR:
                    self._log.failed()
                raise StoreError(f"{self.schema.name} {self.path}: {error}") from error
            except BaseException:
                self._roll_back(connection)
                raise
        finally:
            self._owner = 0
            lock.release()

    def _begin(self, connection: Connection, begin: str) -> None:
        """Wait for other processes as long as was asked; for the write lock in short steps, or one that never rests keeps us out."""
        if begin != _FOR_WRITING:
            self._wait_for(connection, int(self._busy_timeout * 1000))
            connection.execute(begin)
            return
        self._wait_for(connection, _STEP)
        give_up = time.monotonic() + self._busy_timeout  # real time on purpose: another process holds the lock
        while True:
            try:
                connection.execute(begin)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            else:
                self._settle()
                return

    def _settle(self) -> None:
        try:
            self._log.settle()
        except OSError as error:
            raise StoreError(f"{self.schema.name} {self.path}: {error}") from error

    def _wait_for(self, connection: Connection, milliseconds: int) -> None:
        if milliseconds != self._patience:
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._patience = milliseconds

    def _sync_as(self, connection: Connection, level: str) -> None:
        """Have the next commit synced, or not; without that nothing is taken over into the file either: of a sync that fails there nobody is told."""
        if not level:
            return
        self._unsynced = 0 if level == self._synchronous else self._unsynced + 1
        if self._unsynced > _MOST_UNSYNCED:
            level = self._synchronous
            self._unsynced = 0
        if level != self._level:
            connection.execute(f"PRAGMA synchronous = {level}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES if level == self._synchronous else 0}")
            self._level = level

    def _refuse_after_fork(self, connection: Connection) -> None:
        if connection is not self._connection:
            raise StoreError(f"this process was forked inside a transaction on {self.path}: what the child wrote is not kept")

    def _roll_back(self, connection: Connection) -> None:
        if connection is self._connection and connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the error that brought us here says more
                connection.execute("ROLLBACK")

    def _connect(self) -> Connection:
        self._patience = -1  # not known of this connection
        try:
            self._prepare()
            self._log.found()
            address = f"{self.path.as_uri()}?{self._mode()}"
            connection = sqlite3.connect(address, uri=True, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False)
            try:
                self._configure(connection)
            except BaseException:
                connection.close()
                raise
        except StoreError:
            raise
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open the {self.schema.name} {self.path}: {error}") from error
        return connection

    def _mode(self) -> str:
        """How to open the file, so that a reader leaves nothing beside it; see the module."""
        if not self._is_reader:
            return "mode=rw"
        if self._log.exists():
            return "mode=ro"
        return "mode=rw" if os.access(self.path.parent, os.W_OK) else "mode=ro&immutable=1"

    def _prepare(self) -> None:
        """Check the folder and the file, and make them when they are missing."""
        if self.path in _connections.abandoned:
            raise StoreError(f"this process was forked while {self.path} was being written: it cannot use that {self.schema.name} safely")
        if not self._is_reader:
            make_folder(self.path.parent)
        elif not self.path.is_symlink() and not self.path.exists():
            raise EmptyStoreError(f"there is no {self.schema.name} {self.path} yet")
        check_folder(self.path.parent, self.schema.name)
        if not self._is_reader:
            with _connections.creating:
                create_file(self.path)
        check_file(self.path, self.schema.name)

    def _configure(self, connection: Connection) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")  # a file cannot make us call functions
        connection.execute("PRAGMA mmap_size = 0")  # a damaged file is then an error, not a SIGBUS
        with _within(connection, "BEGIN"):  # one snapshot, as another process may be creating the schema now
            version = self._version(connection)
        if self._is_reader:
            for statement in _statements(self.schema.for_reader(version, self.path)):
                connection.execute(statement)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            return
        for companion in ("", "-wal", "-shm"):
            make_private(self.path.with_name(self.path.name + companion))
        _use_wal(connection, self._busy_timeout)
        self._level = ""
        self._sync_as(connection, self._synchronous)
        if version < len(self.schema.migrations):
            self._migrate(connection)

    def _version(self, connection: Connection) -> int:
        """The file's schema version; see `Schema.checked`. Call it in a transaction."""
        identity = int(connection.execute("PRAGMA application_id").fetchone()[0])
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        has_tables = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
        return self.schema.checked(self.path, identity, version, is_empty=not has_tables)

    def _migrate(self, connection: Connection) -> None:
        with _within(connection, "BEGIN IMMEDIATE"):
            self._settle()
            for script in self.schema.migrations[self._version(connection) :]:  # asked again: now nobody else can change it
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self.schema.application_id}")
            connection.execute(f"PRAGMA user_version = {len(self.schema.migrations)}")

    def before_fork(self) -> None:
        """Close the connection and keep the lock, unless a transaction is in the way."""
        patience = 0.0 if self._owner == threading.get_ident() else _FORK_PATIENCE
        if self._next.acquire(timeout=patience):
            self._is_held_for_fork = self._lock.acquire(timeout=patience)
            self._next.release()
        if self._is_held_for_fork:
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._is_held_for_fork:
            self._is_held_for_fork = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """A lock of its own, and nothing of the parent's; `Connections.after_fork_in_child` sees to what came along."""
        if self._lock.locked() and not self._is_held_for_fork:  # a thread was opening it, at work on it or closing it
            _connections.abandoned.add(self.path)
        self._lock, self._next = threading.Lock(), threading.Lock()
        self._owner = 0
        self._is_held_for_fork = False
        self._connection = None


def _shut(connection: Connection, log: Log) -> None:
    """Close a connection; a log that may have a hole is written once more before. What fails loses nothing: the log stays, for the next opening."""
    with contextlib.suppress(OSError, sqlite3.Error), contextlib.closing(connection):
        if log.is_in_doubt:
            connection.execute(f"PRAGMA busy_timeout = {_STEP}")
            with _within(connection, _FOR_WRITING):
                log.settle()


def is_corrupt(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, says that the file is damaged or no database at all."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        error = error.__cause__
    return False


def version_warning(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str:
    """A sentence to note where several processes write one file with a SQLite older than 3.51.3; ``""`` for a newer one.

    Older ones can lose a commit when two processes reset the write-ahead log at the same moment (https://sqlite.org/releaselog/3_51_3.html).
    """
    if version >= _WAL_RESET_FIXED:
        return ""
    return f"SQLite {'.'.join(map(str, version))} has a rare fault when several processes write one file; 3.51.3 mends it"


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of the Python module's own, which has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _use_wal(connection: Connection, patience: float) -> None:
    """Switch to WAL. Where two processes switch a new file at once SQLite says "locked" without waiting, so ask again."""
    give_up = time.monotonic() + patience  # real time on purpose: another process holds the lock
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise sqlite3.OperationalError(f"this file system cannot hold a write-ahead log (journal mode stays {mode})")


@contextlib.contextmanager
def _within(connection: Connection, begin: str) -> Generator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """Split a script, since `sqlite3.Connection.executescript` would commit the transaction that it belongs to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"a migration ends without a semicolon: {statement.strip()!r}")


def _close_all() -> None:
    """What is still referred to, by a thread that did not end for example. Whoever closes a file last leaves all of it in one."""
    for database in _connections.owners():
        database.close_if_idle()


_connections: Connections[Database] = Connections()
at_last(_close_all)
