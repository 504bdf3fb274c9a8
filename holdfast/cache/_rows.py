# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# diskcache has no types; what it returns is checked here.
"""The rows of one cache database: written through diskcache, read by a SELECT of our own. The one file that imports diskcache.

Theory of operation. diskcache gives the table, its indexes and the transaction around a write. Three things are replaced:

- *What is stored*: `OwnBytes` lets bytes through and nothing else, so that pickle is never reached (CVE-2025-69872) and no column is
  ever used as the path of a file. A row that says otherwise was not written by us: `Rows.read` reports it as poisoned.
- *Connections*: diskcache keeps one per thread, made by that thread and closed by nobody. `_Table` gives it a single one, opened the
  house's way (`holdfast.values._sqlite`), used under a lock and closed before a fork. This overrides ``Cache._con`` and ``Cache.close``,
  whose meaning tests/cache/test_rows.py guards.
- *Eviction*: diskcache removes at most ten rows at each write, so a few large values after many small ones grow the file without bound,
  and its ``cull`` has no bound on time. `Rows` sweeps after every `SWEEP_EVERY` bytes written, at most `SWEEP_ROWS` rows at a time.

Reads borrow a connection from a small pool: 3.3 us instead of 5.7 with ``Cache.get``, and readers do not wait for a writer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import diskcache

from holdfast.cache._folder import DATABASE
from holdfast.cache._notes import Trouble
from holdfast.errors import StoreError
from holdfast.values._sqlite import Connection, Database, Schema, is_corrupt

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

BUSY_TIMEOUT = 0.05
"""Seconds that a call waits for another process's write lock."""
PURGE_PATIENCE = 40
"""How many times `BUSY_TIMEOUT` a purge waits: nobody's task stands behind it."""
FORK_PATIENCE = 1.0
"""Seconds that a fork waits for each write or read under way."""
SWEEP_EVERY = 1 << 20
SWEEP_ROWS = 2000
PURGE_ROWS = 1000
_RAW = diskcache.core.MODE_RAW
_SCHEMA = Schema("cache", 0x48464361, ("SELECT 1;",))  # "HFca"; diskcache makes the tables itself
_CACHE_SIZE = -8000  # KiB; with SQLite's 2 MB, values of 1 MB take five times as long
_SETTINGS = {
    **diskcache.DEFAULT_SETTINGS,  # all of them, so that none is taken from the file
    "cull_limit": 0,  # see Eviction above
    "sqlite_mmap_size": 0,  # a damaged file is then an error, not a SIGBUS
    "sqlite_cache_size": _CACHE_SIZE,
}
_KNOWN_SETTINGS = {*diskcache.DEFAULT_SETTINGS, *diskcache.core.METADATA}
_READ = "SELECT raw, mode, filename, value FROM Cache WHERE key = ?"
_SCAN = (
    "SELECT rowid, key, store_time, expire_time, tag, length(value) FROM Cache"
    " WHERE rowid > ? AND key >= ? AND key < ? ORDER BY rowid LIMIT 500"
)
_PURGE = "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache WHERE rowid <= ? AND {where} LIMIT ?)"
_REASONS = {5: "locked", 6: "locked", 8: "read_only", 11: "broken", 13: "full", 26: "broken"}  # SQLite's primary result codes
_ERRNOS = {errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EFBIG: "full", errno.EROFS: "read_only", errno.EACCES: "read_only"}


_abandoned: list[Rows] = []


class Row(NamedTuple):
    """What `Rows.scan` tells about a row; its value is not read."""

    name: bytes
    stored_at: float
    remove_after: float | None
    tags: str
    size: int


class OwnBytes(diskcache.Disk):  # type: ignore[misc]
    """Keys and values are bytes and stand in the row; every way to pickle, text or files is closed."""

    def put(self, key: Any) -> tuple[bytes, bool]:
        """The key as it is."""
        if type(key) is not bytes:
            raise TypeError(f"a cache row is named by bytes, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> bytes:
        """The key as it is; an empty one for a key that is not ours."""
        return key if raw and type(key) is bytes else b""

    def store(self, value: Any, read: Any, key: Any = None) -> tuple[int, int, None, bytes]:  # noqa: ARG002 - diskcache's signature
        """The value as it is, in the row, whatever its size."""
        if type(value) is not bytes:
            raise TypeError(f"a cache row holds bytes, not {type(value).__name__}")
        return 0, _RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ARG002 - diskcache's signature
        """The value as it is; an empty one for a row that is not ours."""
        return value if mode == _RAW and filename is None and type(value) is bytes else b""

    def filename(self, key: Any = None, value: Any = None) -> tuple[str, str]:  # noqa: ARG002 - diskcache's signature
        """No value has a file."""
        raise TypeError("cache values have no files")

    def remove(self, file_path: Any) -> None:
        """Nothing: a path that comes from a row is never used."""

    def _write(self, full_path: Any, iterator: Any, mode: Any, encoding: Any = None) -> int:  # noqa: ARG002 - diskcache's signature
        raise TypeError("cache values have no files")


class _File(Database):
    """The database file, opened and checked the house's way."""

    def __init__(self, folder: Path, *, is_reader: bool = False) -> None:
        super().__init__(folder / DATABASE, _SCHEMA, synchronous="NORMAL", busy_timeout=BUSY_TIMEOUT, is_reader=is_reader)

    def open(self) -> Connection:
        """A new connection, which is the caller's to close."""
        return self._connect()

    def _configure(self, connection: Connection) -> None:
        if not self._is_reader:
            connection.execute("PRAGMA auto_vacuum = FULL")  # only possible in an empty file; eviction must shrink it
        connection.execute(f"PRAGMA cache_size = {_CACHE_SIZE}")
        try:
            super()._configure(connection)
        except StoreError as error:  # the file is somebody else's, or of another version
            raise Trouble("broken", str(error)) from error


class _Table(diskcache.Cache):  # type: ignore[misc]
    """diskcache on one connection that we open and close. Use it under `Rows`' lock."""

    def __init__(self, file: _File, size_limit: int) -> None:
        self._file = file
        self._connection: Connection | None = None
        connection = self._con
        try:
            connection.execute("BEGIN IMMEDIATE")  # processes that start at once take turns (diskcache issue 85); also 3 ms quicker
            _refuse_strange_settings(connection)
            # The directory is only used to find connections and files, which are ours; diskcache would expand $ and ~ in a real one.
            super().__init__(os.sep, timeout=BUSY_TIMEOUT, disk=OwnBytes, **{**_SETTINGS, "size_limit": size_limit})
            connection.execute("COMMIT")
        except BaseException:
            self.disconnect()
            raise

    @property
    def _con(self) -> Connection:
        if self._connection is None:
            self._connection = self._file.open()
        return self._connection

    @property
    def connection(self) -> Connection:
        """The one connection, opened when there is none."""
        return self._con

    def close(self) -> None:
        """Nothing: diskcache calls it while it sets up. `disconnect` closes."""

    def disconnect(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _refuse_strange_settings(connection: Connection) -> None:
    """Raise Trouble when the file has settings that diskcache would turn into pragmas and attributes."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone() is None:
        return
    strange = {name for (name,) in connection.execute("SELECT key FROM Settings")} - _KNOWN_SETTINGS
    if strange:
        raise Trouble("broken", f"the cache's settings table was changed by somebody else: {sorted(map(repr, strange))}")


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
    """

    def __init__(self, folder: Path, size_limit: int) -> None:
        self._file = _File(folder)
        self._reader_file = _File(folder, is_reader=True)
        self._size_limit = size_limit
        self._sweep_every = min(SWEEP_EVERY, size_limit // 16)
        self._unswept = 0
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._readers: list[_Reader] = []
        self._paused: list[threading.Lock] = []
        with telling(self._file.path):
            self._table = _Table(self._file, size_limit)
            self._identity = _identity(self._file.path)
        self._finalizer = weakref.finalize(self, _disconnect, self._table, self._readers)

    # reading

    def read(self, name: bytes) -> bytes | None:
        """The value of a row; None when there is none. A row that was not written by us is Trouble ``poisoned``."""
        row = self._select(_READ, (name,))
        if row is None:
            return None
        raw, mode, filename, value = row
        if raw != 1 or mode != _RAW or filename is not None or type(value) is not bytes:
            raise Trouble("poisoned", "a row of the cache was not written by holdfast")
        return value

    def holds(self, name: bytes, value: bytes) -> bool:
        """Whether the row holds exactly this value now."""
        return self._select("SELECT 1 FROM Cache WHERE key = ? AND value = ?", (name, value)) is not None

    def count(self) -> tuple[int, int]:
        """How many rows there are, and how many bytes the database has."""
        row = self._select("SELECT (SELECT count(*) FROM Cache), page_count * page_size FROM pragma_page_count, pragma_page_size", ())
        return (0, 0) if row is None else row

    def scan(self, low: bytes, high: bytes) -> Iterator[Row]:
        """All rows whose name is at least ``low`` and below ``high``, in the order they were first stored."""
        last = 0
        while True:
            with self._reading() as connection:
                rows = connection.execute(_SCAN, (last, low, high)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, name, stored_at, remove_after, tags, size in rows:
                yield Row(name, stored_at, remove_after, tags if isinstance(tags, str) else "", size)

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> Any:
        """The first row, or None. Written out for speed: it is the whole cost of a hit on disk."""
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = self._new_reader()
        try:
            with reader.lock:
                connection = reader.connection or self._connect(reader)
                return connection.execute(statement, parameters).fetchone()
        except Exception as error:  # SQLite's errors, and Python's for what it cannot convert
            reader.disconnect()
            raise _trouble(error, self._file.path) from error
        finally:
            self._idle.append(reader)

    @contextlib.contextmanager
    def _reading(self) -> Generator[Connection]:
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

    def write(self, name: bytes, value: bytes, *, tags: tuple[str, ...], lifetime: float | None) -> None:
        """Store a row, durable through the death of the process; sweep when enough was written.

        Args:
            name: Names the row.
            value: The bytes to keep.
            tags: Words to purge it by.
            lifetime: Seconds after which a sweep may remove the row; None keeps it until there is no more room.
        """
        with self._writing() as table:
            table.set(name, value, expire=lifetime, tag=tag_text(tags) or None)
            self._unswept += len(value)
            if self._unswept >= self._sweep_every:
                self._unswept = 0
                self._sweep(table.connection)

    def delete(self, name: bytes) -> bool:
        """Remove a row; True when there was one."""
        return self._remove("key = ?", (name,)) > 0

    def discard(self, name: bytes, value: bytes | None) -> None:
        """Remove a row that cannot be used, if it still holds ``value`` (None: if it was not written by us)."""
        ours = "raw = 1 AND mode = 1 AND filename IS NULL AND typeof(value) = 'blob'"
        if value is None:
            self._remove(f"key = ? AND ({ours}) IS NOT TRUE", (name,))
        else:
            self._remove("key = ? AND value = ?", (name, value))

    def purge(self, low: bytes, high: bytes, tag: str | None) -> int:
        """Remove all rows whose name is at least ``low`` and below ``high`` and that have the tag, if one is given; return how many."""
        where, parameters = "key >= ? AND key < ?", (low, high)
        return (
            self._remove(where, parameters) if tag is None else self._remove(f"{where} AND instr(tag, ?)", (*parameters, tag_text((tag,))))
        )

    def _remove(self, where: str, parameters: tuple[Any, ...]) -> int:
        """Remove rows in batches, so that others can write in between, and wait longer for a lock than a call would."""
        with self._reading() as connection:
            newest = connection.execute("SELECT max(rowid) FROM Cache").fetchone()[0] or 0
        removed, tries = 0, PURGE_PATIENCE
        while True:
            try:
                with self._writing() as table, table.transact():
                    count = table.connection.execute(_PURGE.format(where=where), (newest, *parameters, PURGE_ROWS)).rowcount
            except Trouble as trouble:
                tries -= 1
                if trouble.reason != "locked" or tries == 0:
                    raise
                continue
            removed += count
            if count < PURGE_ROWS:
                return removed

    def _sweep(self, connection: Connection) -> None:
        """Remove what may go: first what outlived its lifetime, then, over the limit, what was stored longest ago."""
        with self._table.transact():
            connection.execute(
                "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache WHERE expire_time < ? ORDER BY expire_time LIMIT ?)",
                (time.time(), SWEEP_ROWS),  # diskcache reckons expire_time from time.time()
            )
        rows, size = connection.execute(
            "SELECT (SELECT count(*) FROM Cache), page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        excess = size - self._size_limit
        if excess <= 0 or rows == 0:
            return
        oldest = connection.execute("SELECT rowid, length(value) FROM Cache ORDER BY store_time LIMIT ?", (SWEEP_ROWS,)).fetchall()
        doomed = []
        for rowid, length in oldest:
            if excess <= 0:
                break
            doomed.append((rowid,))
            excess -= length or 0
        with self._table.transact():
            connection.executemany("DELETE FROM Cache WHERE rowid = ?", doomed)

    @contextlib.contextmanager
    def _writing(self) -> Generator[_Table]:
        with self._lock, telling(self._file.path):
            try:
                yield self._table
            except BaseException:
                self._table.disconnect()  # whatever transaction was open is rolled back with it
                raise

    # the file

    def has_moved(self) -> bool:
        """Whether somebody deleted or replaced the file under us, which SQLite would not notice."""
        return _identity(self._file.path) != self._identity

    def close(self) -> None:
        """Close all connections once they are idle; the next use opens others."""
        with self._lock:
            for reader in self._readers:
                with reader.lock:
                    reader.disconnect()
            self._table.disconnect()

    def pause(self) -> bool:
        """Before a fork: wait for what is under way and close all connections; False when something took too long."""
        for lock in (self._lock, *(reader.lock for reader in self._readers)):
            if not lock.acquire(timeout=FORK_PATIENCE):
                return False
            self._paused.append(lock)
        with contextlib.suppress(Exception):  # a failing last checkpoint loses nothing: the log stays
            _disconnect(self._table, self._readers)
        return True

    def resume(self) -> None:
        """After the fork, in the parent: let reads and writes go on."""
        while self._paused:
            self._paused.pop().release()

    def abandon(self) -> None:
        """After a fork that could not wait, in the child: never touch these connections, not even to close them."""
        self._finalizer.detach()
        _abandoned.append(self)


def tag_text(tags: tuple[str, ...]) -> str:
    r"""Tags as one text for the tag column, such that ``instr`` of one tag's text finds exactly that tag.

    >>> tag_text(("a", "b"))
    '\na\n\nb\n'
    """
    return "".join(f"\n{tag.replace('%', '%25').replace(chr(10), '%0A')}\n" for tag in tags)


def tags_from_text(text: str) -> tuple[str, ...]:
    """The inverse of `tag_text`."""
    return tuple(part.replace("%0A", "\n").replace("%25", "%") for part in text[1:-1].split("\n\n")) if text else ()


def _disconnect(table: _Table, readers: list[_Reader]) -> None:
    for reader in readers:
        reader.disconnect()
    table.disconnect()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat
    except FileNotFoundError:
        return None
    return info.st_dev, info.st_ino


@contextlib.contextmanager
def telling(path: Path) -> Generator[None]:
    """Turn whatever goes wrong inside into Trouble about ``path``."""
    try:
        yield
    except Exception as error:  # diskcache lets TypeErrors and AssertionErrors out of a damaged file
        raise _trouble(error, path) from error


def _trouble(error: BaseException, path: Path) -> Trouble:
    """What an error means for the cache, judged by SQLite's result code or the errno that lies beneath it."""
    text = f"cache {path}: {str(error) or type(error).__name__}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Trouble):
            return cause
        code = getattr(cause, "sqlite_errorcode", None)
        if code is not None:
            text = f"cache {path}: {cause}"
            return Trouble(_REASONS.get(code & 0xFF, "broken" if is_corrupt(cause) or code == 1 else "io"), text)
        if isinstance(cause, OSError) and cause.errno is not None:
            return Trouble(_ERRNOS.get(cause.errno, "refused" if cause.errno == errno.ELOOP else "io"), text)
        cause = cause.__cause__ or cause.__context__
    return Trouble("refused" if isinstance(error, StoreError) else "broken", text)
