"""Going through the rows of a cache without reading values: what `DiskCache.entries` and the commands tell of them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from holdfast.cache import _fates
from holdfast.cache._folder import DATABASE
from holdfast.cache._names import key_of, range_of, row_name, tags_from_text
from holdfast.cache._table import File
from holdfast.cache._trouble import Trouble, telling
from holdfast.cache.info import CacheStats, EntryInfo, matches
from holdfast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from holdfast.typing import CacheKey
    from holdfast.values._sqlite import Connection

_DAY = 86_400.0
_SCAN = (
    "SELECT rowid, key, store_time, expire_time, CAST(tag AS BLOB), length(value) FROM Cache"
    " WHERE rowid > ? AND key >= ? AND key < ? ORDER BY rowid LIMIT 500"
)
_TAGS = "SELECT CAST(tag AS BLOB) FROM Cache WHERE key = ?"
COUNT = "SELECT (SELECT count(*) FROM Cache), page_count * page_size FROM pragma_page_count, pragma_page_size"


def lifetime_of(ttl: float | None) -> float | None:
    """Seconds until a sweep may remove an entry: long after it expired, because a policy's ttl may be raised meanwhile."""
    return None if ttl is None else 2 * ttl + _DAY


def _ttl_of(lifetime: float) -> float:
    """The inverse of `lifetime_of`, to the millisecond: the times were added to the time of day."""
    return round(max(0.0, (lifetime - _DAY) / 2), 3)


def entries(reading: Callable[[], AbstractContextManager[Connection]], namespace: str | None) -> Iterator[EntryInfo]:
    """What is stored, in the order in which it first was.

    Args:
        reading: Lends a connection for one batch of rows.
        namespace: Only this one; a ``*``, wherever it stands, matches anything. None takes all.
    """
    low, high = range_of(namespace)
    last = 0
    while True:
        with reading() as connection:
            rows = connection.execute(_SCAN, (last, low, high)).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        for _, name, stored_at, remove_after, tags, size in rows:
            key = key_of(name)
            if key is not None and (namespace is None or matches(namespace, key.namespace)):
                ttl = None if remove_after is None else _ttl_of(remove_after - stored_at)
                yield EntryInfo(key, stored_at, ttl, size, _tags(tags))


def tags_of(connection: Connection, key: CacheKey) -> tuple[str, ...]:
    """The tags that an entry was stored with; none where there is no entry."""
    return _tags(*(connection.execute(_TAGS, (row_name(key),)).fetchone() or (None,)))


def _tags(text: bytes | None) -> tuple[str, ...]:
    return tags_from_text((text or b"").decode(errors="replace"))


class Look:
    """Reads a cache that may be in use, and changes nothing in it: no file is made, and nothing is set aside.

    Args:
        folder: That of a `DiskCache`.

    Every method raises StoreError when there is no cache of holdfast's, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = File(folder, is_reader=True)

    def entries(self, namespace: str | None = None) -> Iterator[EntryInfo]:
        """What is stored; see `DiskCache.entries`."""
        return entries(self.reading, namespace)

    def stats(self) -> CacheStats:
        """How much there is; see `DiskCache.stats`."""
        with self.reading() as connection:
            evicted = _fates.totals(connection).get("evicted", (0, 0)) if self._has_fates(connection) else (0, 0)
            entries, size = connection.execute(COUNT).fetchone()
            return CacheStats(self.folder, entries, size, *evicted)

    def known_keys(self, start: str) -> list[CacheKey]:
        """The keys that are stored or remembered, and whose digest begins so, in hexadecimal; the latest first."""
        with self.reading() as connection:
            fates = _fates.between(connection, b"", b"\xff") if self._has_fates(connection) else []
        names = [fate.name for fate in fates] + [row_name(info.key) for info in self.entries()]
        keys = (key_of(name) for name in dict.fromkeys(names))
        return [key for key in keys if key is not None and key.digest.hex().startswith(start)]

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection that only reads, for the length of the block."""
        try:
            with telling(self._file.path):
                self._need_file()
                with closing(self._file.open()) as connection:
                    yield connection
        except Trouble as trouble:
            raise StoreError(trouble.text) from None

    def _need_file(self) -> None:
        if not self._file.path.exists():
            raise Trouble("refused", f"there is no cache in {self.folder}: it has no {DATABASE}")

    def _has_fates(self, connection: Connection) -> bool:
        """Whether a holdfast that keeps in mind what became of keys has written to it."""
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'HoldfastCount'").fetchone() is not None
