"""The rows of one cache database: written through diskcache's table, read by a SELECT of our own.

Reads borrow a connection from a small pool: half the cost of ``diskcache.Cache.get``, and readers do not wait for a writer.

After every `SWEEP_EVERY` bytes written, what may go is removed (`holdfast.cache._sweep`) on a thread that ends with that: no caller waits for it, unless
so much is written meanwhile that the limit would not hold.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.cache import _fates, _marks
from holdfast.cache._names import tag_text
from holdfast.cache._scan import COUNT
from holdfast.cache._sweep import Swept, remove, sweep
from holdfast.cache._table import OPENING_PATIENCE, File, Table
from holdfast.cache._trouble import Trouble, judge, telling

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from holdfast.values._sqlite import Connection

T = TypeVar("T")

PURGE_PATIENCE = 40
"""How many times as long as a call a purge waits: nobody's task stands behind it."""
FORK_PATIENCE = 1.0
"""Seconds that a fork waits for each write or read under way."""
SWEEP_EVERY = 1 << 20
TRIM_EVERY = 256
PURGE_ROWS = 1000
_OURS = "raw = 1 AND mode = 1 AND filename IS NULL AND typeof(value) = 'blob'"
_BLOB = "CASE WHEN typeof(value) = 'blob' THEN value END"  # text is never decoded: it may be no UTF-8
_MAY_BE_INVALID = "CASE WHEN tag IS NOT NULL AND EXISTS (SELECT 1 FROM HoldfastMark) THEN CAST(tag AS BLOB) END"  # marks are swept soon
_READ = f"SELECT {_OURS}, {_BLOB}, {_MAY_BE_INVALID} FROM Cache WHERE key = ?"  # noqa: S608 - constants
_EVICTED = "SELECT entries, bytes FROM HoldfastCount WHERE cause = 'evicted'"
_CHOOSE = "SELECT rowid, ifnull(length(value), 0) FROM Cache WHERE rowid <= ? AND {where} LIMIT ?"


class _Reader:
    """A connection that only reads, with the lock that keeps a fork from happening in the middle of it."""

    __slots__ = ("connection", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


class Rows:
    """One open cache database; safe for threads. Every method raises `Trouble` for whatever goes wrong below.

    Args:
        folder: Where the database is.
        size_limit: Bytes the database may grow to before what was stored longest ago is removed.
        tell: Is told what was removed behind the callers' backs, and what went wrong there.
    """

    def __init__(self, folder: Path, size_limit: int, tell: Callable[[Swept | Trouble], None]) -> None:
        self._tell = tell
        self._file = File(folder)
        self._reader_file = File(folder, is_reader=True)
        self._size_limit = size_limit
        self._sweep_every = min(SWEEP_EVERY, size_limit // 16)
        self._unswept = self._written = 0
        self._sweeper: threading.Thread | None = None
        self._closed = 0  # how often
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._readers: list[_Reader] = []
        self._paused: list[threading.Lock] = []
        self._tables: list[Table] = []  # the one table, once it is set up
        self._finalizer = weakref.finalize(self, _disconnect_idle, self._lock, self._tables, self._readers)
        with telling(self._file.path):
            found = _identity(self._file.path)
            self._set_up_unless_locked()
            self._identity = found or _identity(self._file.path)  # replaced since: then the next look leaves it

    def _set_up_unless_locked(self) -> None:
        """Set up the table for writing; where another process holds the write lock, a file that can be read is enough to begin with."""
        try:
            with telling(self._file.path):
                self._set_up(OPENING_PATIENCE)
        except Trouble as trouble:
            if trouble.reason != "locked" or not self._is_readable():
                raise

    def _set_up(self, patience: int) -> Table:
        table = Table(self._file, self._size_limit, patience)
        self._tables.append(table)
        return table

    def _is_readable(self) -> bool:
        """Whether the file has a table of ours. What is wrong otherwise is told by the trouble that made us ask."""
        try:
            self._select("SELECT 1 FROM Cache, HoldfastMark LIMIT 1", ())
        except Trouble:
            self.close()
            return False
        return True

    # reading

    def read(self, name: bytes) -> bytes | None:
        """The value of a row; None when there is none, or a tag of it was invalidated. One that was not written by us is Trouble ``poisoned``."""
        row = self._select(_READ, (name,))
        if row is None:
            return None
        is_ours, value, tags = row
        if tags is not None and (value := self._unless_invalid(name)) is None:
            return None
        if is_ours != 1 or type(value) is not bytes:
            raise Trouble("poisoned", "a row of the cache was not written by holdfast")
        return value

    def _unless_invalid(self, name: bytes) -> bytes | None:
        """The value of a row, unless a tag of it was invalidated. In one snapshot: a sweep may remove the row, and then the mark that tells of it."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                _, value, tags = connection.execute(_READ, (name,)).fetchone() or (1, None, None)
                return None if tags is not None and _marks.is_invalid(connection, tags) else value
            finally:
                connection.execute("COMMIT")

    def count(self) -> tuple[int, int, int, int]:
        """How many rows there are, how many bytes the database has, and how many rows and bytes were evicted since it was made."""
        entries, size = self._select(COUNT, ()) or (0, 0)
        evicted, evicted_bytes = self._select(_EVICTED, ()) or (0, 0)
        return entries, size, evicted, evicted_bytes

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> Any:
        """The first row, or None. Written out for speed: it is the whole cost of a hit on disk."""
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = self._new_reader()
        try:
            with reader.lock:
                try:
                    connection = reader.connection or self._connect(reader)
                    return connection.execute(statement, parameters).fetchone()
                except Exception as error:  # SQLite's errors, and Python's for what it cannot convert
                    reader.disconnect()
                    raise judge(error, self._file.path) from error
        finally:
            self._idle.append(reader)

    @contextlib.contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection that only reads, for the length of the block."""
        reader = self._idle.pop() if self._idle else self._new_reader()
        try:
            with reader.lock, telling(self._file.path):
                yield reader.connection or self._connect(reader)
        finally:
            self._idle.append(reader)

    def _new_reader(self) -> _Reader:
        reader = _Reader()
        with self._lock:  # not while a fork is being prepared
            self._readers.append(reader)
        return reader

    def _connect(self, reader: _Reader) -> Connection:
        reader.connection = self._reader_file.open()
        return reader.connection

    # writing

    def write(
        self, name: bytes, value: bytes, *, tags: tuple[str, ...], lifetime: float | None, parts: dict[str, bytes] | None = None
    ) -> None:
        """Store a row, durable through the death of the process; have others removed when enough was written.

        Args:
            name: Names the row.
            value: The bytes to keep.
            tags: Words to purge it by.
            lifetime: Seconds after which a sweep may remove the row; None keeps it until there is no more room.
            parts: See `holdfast.cache._fates.Fate`.
        """
        with self._writing() as table:
            with table.transact():
                table.put(name, value, tag=_marks.text_of(table.connection, tags), lifetime=lifetime)
                _fates.note_stored(table.connection, name, parts)
                self._written += 1
                if self._written % TRIM_EVERY == 0:
                    _fates.trim(table.connection, _fates.most_of(self._size_limit))
            self._unswept += len(value)
            is_enough = self._unswept >= self._sweep_every
            if is_enough:
                self._unswept = 0
        if is_enough:
            self._request_sweep()

    def holds(self, name: bytes, value: bytes) -> bool:
        """Whether the row holds exactly this value now. Asks on the writer's connection, which has the page at hand (7 us, not 25)."""
        with self._writing() as table:
            return table.connection.execute("SELECT 1 FROM Cache WHERE key = ? AND value = ?", (name, value)).fetchone() is not None

    def delete(self, name: bytes) -> bool:
        """Remove a row; True when there was one."""
        return self._remove("key = ?", (name,)) > 0

    def discard(self, name: bytes, value: bytes | None) -> None:
        """Remove a row that cannot be used, if it still holds ``value`` (None: if it was not written by us)."""
        if value is None:
            self._remove(f"key = ? AND ({_OURS}) IS NOT TRUE", (name,), "error")
        else:
            self._remove("key = ? AND value = ?", (name, value), "error")

    def purge(self, low: bytes, high: bytes, tag: str | None, age: float | None) -> int:
        """Remove all rows whose name is at least ``low`` and below ``high``, that have the tag and are older, if those are given; return how many."""
        where = "key >= ? AND key < ?"
        parameters: list[bytes | str | float] = [low, high]
        if tag is not None:
            where += " AND instr(tag, ?)"
            parameters.append(tag_text((tag,)))
        if age is not None:
            where += " AND store_time < ?"
            parameters.append(time.time() - age)  # diskcache takes store_time from time.time()
        return self._remove(where, tuple(parameters))

    def _remove(self, where: str, parameters: tuple[Any, ...], cause: str = "invalidated") -> int:
        """Remove rows in batches, so that others can write in between, and wait longer for a lock than a call would."""
        with self.reading() as connection:
            newest = connection.execute("SELECT max(rowid) FROM Cache").fetchone()[0] or 0
        statement, removed = _CHOOSE.format(where=where), 0

        def remove_some(table: Table) -> int:
            rows = table.connection.execute(statement, (newest, *parameters, PURGE_ROWS)).fetchall()
            remove(table.connection, [rowid for rowid, _ in rows], cause, sum(size for _, size in rows))
            _fates.trim(table.connection, _fates.most_of(self._size_limit))
            return len(rows)

        while True:
            count = self._patiently(remove_some)
            removed += count
            if count < PURGE_ROWS:
                return removed

    def _patiently(self, work: Callable[[Table], T]) -> T:
        """Do something in a transaction; wait longer for a lock than a call would."""
        tries = PURGE_PATIENCE
        while True:
            try:
                with self._writing() as table, table.transact():
                    return work(table)
            except Trouble as trouble:
                tries -= 1
                if trouble.reason != "locked" or tries == 0:
                    raise

    def invalidate(self, tags: tuple[str, ...]) -> None:
        """Make all rows with one of the tags invalid, and remove them behind the caller's back; raises like `_remove`."""
        self._patiently(lambda table: _marks.mark(table.connection, tags))
        self._request_sweep()

    def _request_sweep(self) -> None:
        """Have what may go removed on another thread. Where that falls behind what is written, wait for it: the limit holds."""
        earlier = self._sweeper
        if earlier is not None and earlier.is_alive():
            earlier.join()
            return
        if not threading.main_thread().is_alive():  # the interpreter is ending, and waits for no thread that begins now
            self._sweep()
            return
        # No daemon: a program that ends now leaves no more than its limit.
        thread = threading.Thread(target=self._sweep, name="holdfast-sweep")
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            self._sweep()
        else:
            self._sweeper = thread

    def _sweep(self) -> None:
        """Remove until nothing is left to be removed; stop at whatever goes wrong, as the next writes will ask again."""
        swept: dict[str, Swept] = {}
        closed = self._closed
        try:
            while closed == self._closed:
                with self._writing() as table:
                    batch = sweep(table, self._size_limit)
                if batch is None:
                    break
                before = swept.get(batch.cause)
                swept[batch.cause] = batch if before is None else before.plus(batch)
        except Trouble as trouble:
            self._tell(trouble)
        finally:
            for each in swept.values():
                self._tell(each)

    @contextlib.contextmanager
    def _writing(self) -> Generator[Table]:
        with self._lock, telling(self._file.path):
            try:
                yield self._tables[0] if self._tables else self._set_up(1)
            except BaseException:
                for table in self._tables:
                    table.disconnect()  # whatever transaction was open is rolled back with it
                raise

    # the file

    def has_moved(self) -> bool:
        """Whether somebody deleted or replaced the file under us, which SQLite would not notice."""
        return _identity(self._file.path) != self._identity

    def close(self) -> None:
        """Close all connections once they are idle; the next use opens others."""
        with self._lock:
            self._closed += 1  # no more of a sweep
            for reader in self._readers:
                with reader.lock:
                    reader.disconnect()
            for table in self._tables:
                table.disconnect()

    def pause(self) -> bool:
        """Before a fork: wait for what is under way and close all connections; False when something took too long."""
        if not self._pause(self._lock):  # from here on there are no new readers
            return False
        if not all(self._pause(reader.lock) for reader in self._readers):
            return False
        with contextlib.suppress(Exception):  # a failing last checkpoint loses nothing: the log stays
            _disconnect(self._tables, self._readers)
        return True

    def _pause(self, lock: threading.Lock) -> bool:
        is_held = lock.acquire(timeout=FORK_PATIENCE)
        if is_held:
            self._paused.append(lock)
        return is_held

    def resume(self) -> None:
        """After the fork, in the parent: let reads and writes go on."""
        while self._paused:
            self._paused.pop().release()

    def abandon(self) -> None:
        """After a fork that could not wait, in the child: never touch these connections, not even to close them."""
        import ctypes  # only a child that inherits an open transaction needs it

        self._finalizer.detach()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # never freed, so never closed, not even at exit


def _disconnect(tables: list[Table], readers: list[_Reader]) -> None:
    for reader in readers:
        reader.disconnect()
    for table in tables:
        table.disconnect()


def _disconnect_idle(lock: threading.Lock, tables: list[Table], readers: list[_Reader]) -> None:
    """Close what is open, at the end of a process too; there another thread may be at work still, under whose hands SQLite must not be closed."""
    for reader in readers:
        if reader.lock.acquire(blocking=False):
            reader.disconnect()
            reader.lock.release()
    if lock.acquire(blocking=False):
        _disconnect(tables, [])
        lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat
    except FileNotFoundError:
        return None
    return info.st_dev, info.st_ino
