"""What became of keys: a table beside the rows by which a miss is explained. It is written with them, in their transactions, and never read by a hit.

A key is there as in its row, by a digest; its arguments as salted digests, one for each parameter, so that two keys can be compared and nothing can be
read. The keys that were stored or removed last are kept, up to a number that goes by the size of the cache.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdfast.values._sqlite import Connection

MOST = 20_000
BYTES_EACH = 4_000
"""Of the cache's size limit, for each key that is remembered: its row takes a twentieth of that."""
TABLES = (
    # One index for two questions, as a key ends with its digest: each costs every store a page of the log.
    """CREATE TABLE IF NOT EXISTS HoldfastFate (id INTEGER PRIMARY KEY, key BLOB NOT NULL, digest BLOB NOT NULL, parts BLOB,
    stored_at REAL NOT NULL, cause TEXT NOT NULL, gone_at REAL, UNIQUE (digest, key))""",
    "CREATE TABLE IF NOT EXISTS HoldfastCount (cause TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL)",
)
_STORED = "INSERT OR REPLACE INTO HoldfastFate (key, digest, parts, stored_at, cause) VALUES (?, ?, ?, ?, '')"
_GONE = (
    "INSERT OR REPLACE INTO HoldfastFate (key, digest, parts, stored_at, cause, gone_at)"
    " SELECT row.key, substr(row.key, -16), fate.parts, row.store_time, ?, ?"
    " FROM Cache AS row LEFT JOIN HoldfastFate AS fate ON fate.digest = substr(row.key, -16) AND fate.key = row.key WHERE row.rowid = ?"
)
_COUNT = "INSERT INTO HoldfastCount VALUES (?, ?, ?) ON CONFLICT (cause) DO UPDATE SET entries = entries + excluded.entries, bytes = bytes + excluded.bytes"
_TRIM = "DELETE FROM HoldfastFate WHERE id <= (SELECT max(id) FROM HoldfastFate) - ?"
_COLUMNS = "SELECT key, parts, stored_at, cause, gone_at FROM HoldfastFate"


class Fate(NamedTuple):
    """What is known about one key.

    Attributes:
        name: That of its row.
        parts: Its parameters, each with the salted digest of its value; None where they are not known.
        stored_at: When it was last stored, seconds since the epoch.
        cause: Why it is gone: ``expired``, ``evicted``, ``invalidated`` or ``error``; ``""`` while it is there.
        gone_at: Since when; None while it is there.
    """

    name: bytes
    parts: dict[str, bytes] | None
    stored_at: float
    cause: str
    gone_at: float | None


def most_of(size_limit: int) -> int:
    """How many keys a cache of that size remembers."""
    return min(MOST, size_limit // BYTES_EACH)


def note_stored(connection: Connection, name: bytes, parts: dict[str, bytes] | None) -> None:
    """A row is stored. Call it in the transaction."""
    connection.execute(_STORED, (name, name[-16:], None if parts is None else msgspec.msgpack.encode(parts), time.time()))


def note_gone(connection: Connection, rowids: Sequence[int], cause: str, size: int) -> None:
    """Rows of so many bytes are about to be deleted. Call it in the transaction."""
    now = time.time()
    connection.executemany(_GONE, [(cause, now, rowid) for rowid in rowids])
    connection.execute(_COUNT, (cause, len(rowids), size))


def trim(connection: Connection, most: int) -> None:
    """Forget all but the newest. Call it in the transaction."""
    connection.execute(_TRIM, (most,))


def totals(connection: Connection) -> dict[str, tuple[int, int]]:
    """How many entries, of how many bytes, have gone for each cause."""
    return {cause: (entries, size) for cause, entries, size in connection.execute("SELECT cause, entries, bytes FROM HoldfastCount")}


def fate_of(connection: Connection, name: bytes) -> Fate | None:
    """What is known about the key of a row."""
    return next(_fates(connection.execute(f"{_COLUMNS} WHERE digest = ? AND key = ?", (name[-16:], name))), None)


def miss_cause(connection: Connection, name: bytes, namespace: bytes) -> str:
    """Why no valid row of this name was found, in one look: what `holdfast.cache.misses.explain` says, in a word.

    Args:
        connection: Reads the cache's database.
        name: Of the row; its end is the digest.
        namespace: What the names of its task's rows begin with, whatever the version.
    """
    cause = "cold"
    for other, why in connection.execute("SELECT key, cause FROM HoldfastFate WHERE digest = ?", (name[-16:],)):
        if other == name:
            return why or "invalidated"  # it is there, under a tag that was
        if other.startswith(namespace):
            cause = "version"
    return cause


def with_digest(connection: Connection, digest: bytes) -> list[Fate]:
    """What is known about calls with the same arguments, of all tasks and versions, the newest first."""
    return list(_fates(connection.execute(f"{_COLUMNS} WHERE digest = ? ORDER BY id DESC", (digest,))))


def between(connection: Connection, low: bytes, high: bytes) -> list[Fate]:
    """What is known about keys in a range of names, the newest first. It looks at all rows: no call waits for it."""
    return list(_fates(connection.execute(f"{_COLUMNS} WHERE key >= ? AND key < ? ORDER BY id DESC", (low, high))))


def _fates(rows: Iterable[tuple[bytes, bytes | None, float, str, float | None]]) -> Iterator[Fate]:
    for name, parts, stored_at, cause, gone_at in rows:
        yield Fate(name, None if parts is None else msgspec.msgpack.decode(parts, type=dict[str, bytes]), stored_at, cause, gone_at)
