"""The file of evidence beside a cache: kept times and answers in packed segments, exact counts by the hour.

Several processes write it. A process that records little adds a small segment a second, and replaces them with one when they are many. What is over
the budget goes, oldest first.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from holdfast.recording import packing
from holdfast.recording.schema import SCHEMA
from holdfast.recording.taps import ALL, Answer, Counts
from holdfast.values._sqlite import Connection, Database, EmptyStoreError
from holdfast.values._turns import take_turn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from holdfast.policies.cache import CachePolicy

FILE = "recording.db"
BUDGET = 64 << 20
"""Bytes of segments: seven million accesses."""
HOUR = 3600
KEPT_HOURS = 366 * 24
ROW = 64
"""Bytes that a segment takes beside its content."""
BUSY_TIMEOUT = 1.0
"""Seconds that the recording's own thread waits for another process's."""
TIMES, ANSWERS = "times", "answers"
_COUNTED = Counts.__struct_fields__
_COUNT = (
    f"INSERT INTO counts (task, hour, {', '.join(_COUNTED)}) VALUES (?, ?{', ?' * len(_COUNTED)}) ON CONFLICT (task, hour) DO UPDATE SET "  # noqa: S608 - constants
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTED)
)
_AGES = (  # of a task that is not recorded nothing is kept
    "INSERT INTO evictions SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM counts WHERE task = ?)"
    " ON CONFLICT (task, hour, age) DO UPDATE SET entries = entries + excluded.entries"
)
_POLICY = (
    "INSERT INTO policies VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (task) DO UPDATE SET"
    " since = CASE WHEN ttl IS excluded.ttl THEN since ELSE excluded.since END,"
    " ttl = excluded.ttl, least = excluded.least, most = excluded.most, seen = excluded.seen,"
    " revalidated = excluded.revalidated, spare = excluded.spare"
)


class Counted(NamedTuple):
    """What was counted of one task.

    Attributes:
        task: Module and qualified name.
        policy: In force for most keys at the last computation; None before there was one.
        counts: Since the last time.
        ages: Of entries that were evicted since then: how many, by `holdfast._evidence.age_class`.
    """

    task: str
    policy: CachePolicy | None
    counts: Counts
    ages: Mapping[int, int] = MappingProxyType({})


class Thinned(NamedTuple):
    """Which keys of a task are kept.

    Attributes:
        shift: Of each ``2 ** shift`` one.
        salt: Tells salts apart; hashes of different ones cannot be compared.
        hot: And these: a packed `HotNote`.
    """

    shift: int = 0
    salt: int = 0
    hot: bytes = b""


class Segment(NamedTuple):
    """Times or answers of one task, as they are stored.

    Attributes:
        task: Module and qualified name.
        what: `TIMES` or `ANSWERS`.
        salt: Tells salts apart; hashes of different ones cannot be compared.
        shift: Of each ``2 ** shift`` keys one was kept.
        first: Microseconds since the epoch.
        last: The same.
        number: How many.
        data: Packed.
        hot: A packed `HotNote`: which keys were kept beside those.
    """

    task: str
    what: str
    salt: int
    shift: int
    first: int
    last: int
    number: int
    data: bytes
    hot: bytes = b""

    def samples(self, key: int) -> bool:
        """Whether a key is of the share that was kept by its hash; the others in here are hot."""
        return key < ALL >> self.shift


def segment_of_times(task: str, salt: int, shift: int, times: list[tuple[int, float]], hot: bytes = b"") -> Segment:
    """Pack kept times; not none."""
    moments = [moment for _, moment in times]
    first, last = round(min(moments) * 1e6), round(max(moments) * 1e6)
    return Segment(task, TIMES, salt, shift, first, last, len(times), packing.pack_times(times), hot)


def segment_of_answers(task: str, salt: int, shift: int, answers: list[Answer], hot: bytes = b"") -> Segment:
    """Pack answers; not none."""
    moments = [each.began for each in answers]
    first, last = round(min(moments) * 1e6), round(max(moments) * 1e6)
    return Segment(task, ANSWERS, salt, shift, first, last, len(answers), packing.pack_answers(answers), hot)


class Ledger:
    """The file, for writing.

    Args:
        folder: Of the cache.
        budget: Most bytes of segments.

    Every method raises `holdfast.StoreError` for whatever goes wrong.
    """

    def __init__(self, folder: Path, budget: int = BUDGET) -> None:
        self.path = folder / FILE
        self._budget = budget
        self._file = Database(self.path, SCHEMA, synchronous="NORMAL", busy_timeout=BUSY_TIMEOUT)
        self._identity: tuple[int, int] | None = None  # of the open file

    def write(self, segments: Iterable[tuple[Segment, Sequence[int]]], counted: Sequence[Counted], now: float) -> list[int]:
        """Store all in one transaction.

        Args:
            segments: What to add, each with the ids of those that it takes the place of.
            counted: What was counted of tasks since the last time.
            now: Seconds since the epoch.

        Returns:
            The ids of the segments, in their order.
        """
        hour = int(now // HOUR) * HOUR
        with self._file.transaction() as connection:
            ids = [self._add(connection, segment, replaced) for segment, replaced in segments]
            connection.executemany(_COUNT, [(each.task, hour, *_row(each.counts)) for each in counted if each.counts != Counts()])
            connection.executemany(_AGES, [(each.task, hour, *row, each.task) for each in counted for row in each.ages.items()])
            connection.executemany(_POLICY, [_policy_row(each.task, each.policy, now) for each in counted if each.policy is not None])
            self._drop_oldest(connection, hour)
        self._identity = self._identity or _identity_of(self.path)
        return ids

    def _add(self, connection: Connection, segment: Segment, replaced: Sequence[int]) -> int:
        grown = len(segment.data) + len(segment.hot) + ROW
        for old in replaced:
            row = connection.execute("DELETE FROM segments WHERE id = ? RETURNING length(data) + length(hot)", (old,)).fetchone()
            grown -= 0 if row is None else row[0] + ROW
        added = connection.execute("INSERT INTO segments VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", segment)
        connection.execute("UPDATE size SET bytes = bytes + ?", (grown,))
        return added.lastrowid or 0

    def _drop_oldest(self, connection: Connection, hour: int) -> None:
        excess = connection.execute("SELECT bytes FROM size").fetchone()[0] - self._budget
        if excess <= 0:
            return
        freed, doomed = 0, list[tuple[int]]()
        for oldest, size in connection.execute("SELECT id, length(data) + length(hot) FROM segments ORDER BY id"):
            doomed.append((oldest,))
            freed += size + ROW
            if freed >= excess:
                break
        connection.executemany("DELETE FROM segments WHERE id = ?", doomed)
        connection.execute("UPDATE size SET bytes = bytes - ?", (freed,))
        for table in ("counts", "evictions"):
            connection.execute(f"DELETE FROM {table} WHERE hour < ?", (hour - KEPT_HOURS * HOUR,))  # noqa: S608 - constants

    def take_turn(self, task: str, now: float, interval: float) -> tuple[bool, float]:
        """Take the turn at asking a task's source only to look, if it is anybody's now.

        Args:
            task: Module and qualified name.
            now: Seconds since the epoch.
            interval: Seconds between two turns.

        Returns:
            Whether it is the caller's, and when the next one is, seconds since the epoch.
        """
        with self._file.transaction() as connection:
            return take_turn(connection, task, now, interval)

    def thinned(self, since: float) -> dict[str, Thinned]:
        """How each task's keys were kept since then, seconds since the epoch: where most thinly, and there last."""
        query = "SELECT task, shift, salt, hot, max((shift << 40) | id) FROM segments WHERE last > ? GROUP BY task"  # SQLite: of the row with the most
        with self._file.snapshot() as connection:
            rows = connection.execute(query, (round(since * 1e6),)).fetchall()
        return {task: Thinned(*rest) for task, *rest, _ in rows}

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()
        self._identity = None

    def has_moved(self) -> bool:
        """Whether somebody deleted or replaced the file under us."""
        return self._identity is not None and self._identity != _identity_of(self.path)

    def is_foreign(self) -> bool:
        """Whether the file is somebody else's."""
        return self._file.is_foreign()


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _policy_row(task: str, policy: CachePolicy, now: float) -> tuple[str | float | None, ...]:
    least, most = policy.ttl_range or (None, None)
    return task, policy.ttl, least, most, now, now, *policy.windows


def _row(counts: Counts) -> tuple[int | float, ...]:
    return tuple(getattr(counts, name) for name in Counts.__struct_fields__)


class Reader:
    """The file, for reading; it is never changed.

    Args:
        path: The file.

    Every method raises `holdfast.StoreError` for whatever goes wrong; a file that is not there holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Database(path, SCHEMA, is_reader=True, busy_timeout=BUSY_TIMEOUT)

    def tasks(self) -> list[str]:
        """The tasks of which there is anything, by name."""
        with self._looking() as connection:
            if connection is None:
                return []
            rows = connection.execute("SELECT task FROM counts UNION SELECT task FROM segments ORDER BY 1").fetchall()
        return [task for (task,) in rows]

    def segments(self, task: str, what: str, since: int) -> Generator[Segment]:
        """What was kept of a task.

        Args:
            task: Module and qualified name.
            what: `TIMES` or `ANSWERS`.
            since: Only segments that end after it, microseconds since the epoch.

        Yields:
            Segments in the order in which they were written.
        """
        query = (
            "SELECT task, what, salt, shift, first, last, number, data, hot FROM segments"
            " WHERE task = ? AND what = ? AND last >= ? ORDER BY id"
        )
        with self._looking() as connection:
            for row in () if connection is None else connection.execute(query, (task, what, since)):
                yield Segment(*row)

    def counts(self, task: str, since: int) -> list[tuple[int, Counts]]:
        """What was counted of a task, by hours that end after ``since``, seconds since the epoch, in their order."""
        query = f"SELECT hour, {', '.join(Counts.__struct_fields__)} FROM counts WHERE task = ? AND hour > ? ORDER BY hour"  # noqa: S608 - constants
        with self._looking() as connection:
            rows = [] if connection is None else connection.execute(query, (task, since - HOUR)).fetchall()
        return [(hour, Counts(*rest)) for hour, *rest in rows]

    def evicted(self, task: str, since: int) -> Counter[int]:
        """How many entries of a task were evicted in hours that end after ``since``, seconds since the epoch, by `holdfast._evidence.age_class`."""
        query = "SELECT age, sum(entries) FROM evictions WHERE task = ? AND hour > ? GROUP BY age"
        with self._looking() as connection:
            return Counter(dict(() if connection is None else connection.execute(query, (task, since - HOUR))))

    def since_last(self, task: str, number: int) -> float:
        """From when on no more than so many of a task's kept times, and a segment's, are kept; seconds since the epoch, 0 for all of them."""
        with self._looking() as connection:
            query = "SELECT first, number FROM segments WHERE task = ? AND what = ? ORDER BY id DESC"
            for first, held in () if connection is None else connection.execute(query, (task, TIMES)):
                number -= held
                if number <= 0:
                    return float(first / 1e6)
        return 0.0

    def first_seen(self, task: str) -> float | None:
        """When the oldest kept time or answer of a task was, seconds since the epoch; None when nothing is kept."""
        with self._looking() as connection:
            row = None if connection is None else connection.execute("SELECT min(first) FROM segments WHERE task = ?", (task,)).fetchone()
        return None if row is None or row[0] is None else row[0] / 1e6

    def policy(self, task: str) -> tuple[float | None, float | None, float | None] | None:
        """The time to live in force for most of a task's keys at its last computation, in seconds (None never expires), and the least and the most that it may be.

        None for a task that never computed.
        """
        with self._looking() as connection:
            return (
                None
                if connection is None
                else connection.execute("SELECT ttl, least, most FROM policies WHERE task = ?", (task,)).fetchone()
            )

    def windows(self, task: str) -> tuple[float, float]:
        """For how many seconds past its ttl an old value of a task is served while it is renewed, and for how many if computing fails."""
        with self._looking() as connection:
            row = (
                None
                if connection is None
                else connection.execute("SELECT revalidated, spare FROM policies WHERE task = ?", (task,)).fetchone()
            )
        return (0.0, 0.0) if row is None else row

    def ttl_since(self, task: str) -> float:
        """From when on a task's policy has had the time to live of `policy`, seconds since the epoch; 0 where that is not known."""
        with self._looking() as connection:
            row = None if connection is None else connection.execute("SELECT since FROM policies WHERE task = ?", (task,)).fetchone()
        return 0.0 if row is None else row[0]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextlib.contextmanager
    def _looking(self) -> Generator[Connection | None]:
        try:
            with self._file.snapshot() as connection:
                yield connection
        except EmptyStoreError:
            yield None
