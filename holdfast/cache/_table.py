# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportIncompatibleMethodOverride=false, reportArgumentType=false
# diskcache has no types, and what pyright infers of them is too narrow.
"""The table of a cache, made and written by diskcache, with all that is unsafe in diskcache taken out. The one file that imports it.

diskcache gives the table, its indexes and the transaction around a write. Two things are replaced:

- *What is stored*: `OwnBytes` lets bytes through and nothing else, so that pickle is never reached (CVE-2025-69872) and no column is
  ever used as the path of a file.
- *Connections*: diskcache keeps one per thread, made by that thread and closed by nobody. `Table` gives it a single one, opened the
  house's way (`holdfast.values._sqlite`), used under a lock and closed before a fork. This overrides ``Cache._con`` and ``Cache.close``,
  whose meaning tests/cache/test_table.py guards.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import diskcache

from holdfast.cache import _fates, _marks
from holdfast.cache._folder import DATABASE
from holdfast.cache._trouble import Trouble
from holdfast.errors import StoreError
from holdfast.values._sqlite import Connection, Database, Schema

if TYPE_CHECKING:
    from pathlib import Path

BUSY_TIMEOUT = 0.05
"""Seconds that a call waits for another process's write lock."""
OPENING_PATIENCE = 4
"""How many times `BUSY_TIMEOUT` the first call of a process waits."""
SQLITE_BUSY = 5
PAGE = 4096
"""Bytes of a page of SQLite's."""
MOST_LOG = 1000 * PAGE
"""Bytes of the write-ahead log at which its content goes to the database: SQLite's own limit; a cache of less than 32 MB has an eighth of its own."""
RAW: int = diskcache.core.MODE_RAW
_SCHEMA = Schema("cache", 0x48464361, ("SELECT 1;",))  # "HFca"; diskcache makes the tables itself
_CACHE_SIZE = -8000  # KiB; with SQLite's 2 MB, values of 1 MB take five times as long
_SETTINGS = {
    **diskcache.DEFAULT_SETTINGS,  # all of them, so that none is taken from the file
    "cull_limit": 0,  # see holdfast.cache._sweep
    "sqlite_mmap_size": 0,  # a damaged file is then an error, not a SIGBUS
    "sqlite_cache_size": _CACHE_SIZE,
}
_KNOWN_SETTINGS = {*diskcache.DEFAULT_SETTINGS, *diskcache.core.METADATA}


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
        return 0, RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ARG002 - diskcache's signature
        """The value as it is; an empty one for a row that is not ours."""
        return value if mode == RAW and filename is None and type(value) is bytes else b""

    def filename(self, key: Any = None, value: Any = None) -> tuple[str, str]:  # noqa: ARG002 - diskcache's signature
        """No value has a file."""
        raise TypeError("cache values have no files")

    def remove(self, file_path: Any) -> None:
        """Nothing: a path that comes from a row is never used."""

    def _write(self, full_path: Any, iterator: Any, mode: Any, encoding: Any = None) -> int:  # noqa: ARG002 - diskcache's signature
        raise TypeError("cache values have no files")


class File(Database):
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


class Table(diskcache.Cache):  # type: ignore[misc]
    """diskcache on one connection that we open and close. Use it under `Rows`' lock."""

    def __init__(self, file: File, size_limit: int, patience: int = OPENING_PATIENCE) -> None:
        self._file = file
        self._connection: Connection | None = None
        self._log_pages = min(MOST_LOG, size_limit // 8) // PAGE
        connection = self._con
        try:
            _begin(connection, patience)  # processes that start at once take turns (diskcache issue 85); also 3 ms quicker
            _refuse_strange_settings(connection)
            # The directory is only used to find connections and files, which are ours; diskcache would expand $ and ~ in a real one.
            super().__init__(os.sep, timeout=BUSY_TIMEOUT, disk=OwnBytes, **{**_SETTINGS, "size_limit": size_limit})
            for statement in (*_fates.TABLES, *_marks.TABLES):
                connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            self.disconnect()
            raise

    @property
    def _con(self) -> Connection:
        if self._connection is None:
            self._connection = self._file.open()
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_pages}")
            self._connection.execute(f"PRAGMA journal_size_limit = {self._log_pages * PAGE}")  # else a log that was once long stays so
        return self._connection

    def put(self, name: bytes, value: bytes, *, tag: str | None, lifetime: float | None) -> None:
        """Store a row: one transaction of diskcache's."""
        self.set(name, value, expire=lifetime, tag=tag)

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


def _begin(connection: Connection, patience: int) -> None:
    """Take the write lock, trying so many times: the first time with more patience than a write has, as a new file is no cache without it."""
    for tries_left in range(patience, 0, -1):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except Exception as error:
            if getattr(error, "sqlite_errorcode", 0) != SQLITE_BUSY or tries_left == 1:
                raise
        else:
            return


def _refuse_strange_settings(connection: Connection) -> None:
    """Raise Trouble when the file has settings that diskcache would turn into pragmas and attributes."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone() is None:
        return
    strange = {name for (name,) in connection.execute("SELECT key FROM Settings")} - _KNOWN_SETTINGS
    if strange:
        raise Trouble("broken", f"the cache's settings table was changed by somebody else: {sorted(map(repr, strange))}")
