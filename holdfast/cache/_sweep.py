"""Removing what may go: invalidated, long expired, and over the limit what was stored longest ago. In small transactions, so that writers come between.

diskcache removes at most ten rows at each write, so a few large values after many small ones would grow the file without bound, and its ``cull`` has
no bound on time.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from holdfast._evidence import age_class
from holdfast.cache import _fates, _marks
from holdfast.cache._names import key_of
from holdfast.cache._scan import COUNT
from holdfast.policies.freshness import CLOCK_SLACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cache._table import Table
    from holdfast.typing import CacheKey
    from holdfast.values._sqlite import Connection

BATCH = 250
"""Rows of one transaction: some 5 ms."""

_FUTURE = "SELECT rowid, ifnull(length(value), 0), store_time, key FROM Cache WHERE store_time > ? ORDER BY store_time DESC LIMIT ?"
_OLDEST = "SELECT rowid, ifnull(length(value), 0), store_time, key FROM Cache WHERE store_time <= ? ORDER BY store_time LIMIT ?"


class Swept(NamedTuple):
    """What one transaction removed.

    Attributes:
        cause: As in `holdfast.cache._fates.Fate`.
        entries: How many.
        bytes: Of how many bytes.
        oldest: When the first of them was stored, seconds since the epoch.
        ages: Of those that were evicted: how many, by namespace and `age_class`.
    """

    cause: str
    entries: int
    bytes: int
    oldest: float
    ages: Counter[tuple[str, int]]

    def plus(self, other: Swept) -> Swept:
        """Both together."""
        oldest = min(self.oldest, other.oldest)
        return Swept(self.cause, self.entries + other.entries, self.bytes + other.bytes, oldest, self.ages + other.ages)


_Row = tuple[int, int, float, bytes]
"""Number, bytes, when it was stored, name."""
_Chosen = tuple[str, list[_Row]]
"""Why, and the rows."""


def sweep(table: Table, size_limit: int) -> Swept | None:
    """Remove one batch; None when there is nothing left to remove."""
    connection = table.connection
    with table.transact():
        cause, rows = _invalidated(connection) or _expired(connection) or _excess(connection, size_limit)
        if not rows:
            return None
        size = sum(size for _, size, *_ in rows)
        remove(connection, [number for number, *_ in rows], cause, size)
        _fates.trim(connection, _fates.most_of(size_limit))
    # A row that is not ours may say anything.
    stored = [(key_of(name), stored_at) for _, _, stored_at, name in rows if isinstance(stored_at, int | float)]
    oldest = min((stored_at for _, stored_at in stored), default=time.time())
    return Swept(cause, len(rows), size, oldest, _ages(stored) if cause == "evicted" else Counter())


def _ages(stored: Sequence[tuple[CacheKey | None, float]]) -> Counter[tuple[str, int]]:
    """Of all but those from when the clock was wrong."""
    latest = time.time() + CLOCK_SLACK
    return Counter((key.namespace, age_class(latest - CLOCK_SLACK - at)) for key, at in stored if key is not None and at <= latest)


def remove(connection: Connection, rowids: list[int], cause: str, size: int) -> None:
    """Delete rows, and keep in mind why. Call it in a transaction."""
    _fates.note_gone(connection, rowids, cause, size)
    connection.executemany("DELETE FROM Cache WHERE rowid = ?", [(rowid,) for rowid in rowids])


def _invalidated(connection: Connection) -> _Chosen | None:
    while (mark := _marks.oldest(connection)) is not None:
        number, text = mark
        rows = connection.execute(
            "SELECT rowid, length(value), store_time, key FROM Cache WHERE instr(tag, ?) AND CAST(tag AS INTEGER) < ? LIMIT ?",
            (text, number, BATCH),
        ).fetchall()
        if rows:
            return "invalidated", rows
        _marks.remove(connection, number)
    return None


def _expired(connection: Connection) -> _Chosen | None:
    rows = connection.execute(
        "SELECT rowid, length(value), store_time, key FROM Cache WHERE expire_time < ? ORDER BY expire_time LIMIT ?",
        (time.time(), BATCH),  # diskcache reckons expire_time from time.time()
    ).fetchall()
    return ("expired", rows) if rows else None


def _excess(connection: Connection, size_limit: int) -> _Chosen:
    """What was stored longest ago; but first what comes from the future, of when the clock was wrong. It would stay until then, and all that is new go."""
    count, size = connection.execute(COUNT).fetchone()
    excess = size - size_limit
    doomed: list[_Row] = []
    if excess > 0 and count:
        soon = time.time() + CLOCK_SLACK
        for row in itertools.chain(connection.execute(_FUTURE, (soon, BATCH)), connection.execute(_OLDEST, (soon, BATCH))):
            if excess <= 0 or len(doomed) == BATCH:
                break
            doomed.append(row)
            excess -= row[1]
    return "evicted", doomed
