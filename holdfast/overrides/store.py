"""The overrides of one cache, in a file beside it: no change is ever taken out of it, so it is the history, too; and what was advised last."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.errors import OverrideConflict, PolicyError
from holdfast.overrides.advice import Advice
from holdfast.overrides.expected import Expected
from holdfast.overrides.guard import Guard
from holdfast.overrides.override import Override
from holdfast.policies.duration import positive_seconds, spoken
from holdfast.values._sqlite import Connection, Database, EmptyStoreError, Schema
from holdfast.values._turns import take_turn

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from holdfast.policies.duration import Duration

FILE = "overrides.db"
BUSY_TIMEOUT = 5.0
_NO_EXPECTED = "CREATE TEMP VIEW overrides AS SELECT *, NULL AS expected FROM main.overrides;"
_NO_ADVICE = (
    "CREATE TEMP VIEW advice AS SELECT '' AS task, 0.0 AS made, 0.0 AS live, NULL AS ttl, '' AS grade, 0.0 AS budget, '' AS said WHERE 0;"
)
SCHEMA = Schema(
    name="list of overrides",
    application_id=0x48464F56,  # "HFOV"
    migrations=(
        """
        CREATE TABLE overrides (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            task TEXT NOT NULL,
            action TEXT NOT NULL,                      -- set, promote, renew or rollback
            ttl REAL,                                  -- NULL: the policy in the code
            share REAL NOT NULL,
            guard TEXT,
            author TEXT NOT NULL, reason TEXT NOT NULL,
            created REAL NOT NULL, expires REAL,
            previous INTEGER NOT NULL, base INTEGER NOT NULL
        );
        CREATE INDEX overrides_by_task ON overrides (task, id);
        """,
        "ALTER TABLE overrides ADD COLUMN expected TEXT;",
        """
        CREATE TABLE advice (
            task TEXT PRIMARY KEY, made REAL NOT NULL, live REAL NOT NULL,
            ttl REAL,                                  -- NULL: none can be recommended
            grade TEXT NOT NULL, budget REAL NOT NULL, said TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE turns (                           -- when a task may next be looked after
            task TEXT PRIMARY KEY, next REAL NOT NULL  -- seconds since the epoch
        ) WITHOUT ROWID;
        """,
    ),
    views=MappingProxyType({1: f"{_NO_EXPECTED}\n{_NO_ADVICE}", 2: _NO_ADVICE}),
)
_INSERT = "INSERT INTO overrides VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LATEST = "SELECT * FROM overrides WHERE task = ? ORDER BY id DESC LIMIT 1"
_NO_TTL = "to cache nothing, change the code"


class Overrides:
    """The overrides of the cache in a folder.

    Args:
        folder: Of a `holdfast.DiskCache`.

    Every method raises `holdfast.errors.StoreError` where the file cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder).absolute() / FILE
        self._writer = Database(self.path, SCHEMA, busy_timeout=BUSY_TIMEOUT)
        self._reader = Database(self.path, SCHEMA, is_reader=True, busy_timeout=BUSY_TIMEOUT)

    def current(self, task: str | None = None) -> list[Override]:
        """What is in force now, by task.

        Args:
            task: Module and qualified name; None takes all.

        Returns:
            At most one for each task.
        """
        latest = {each.task: each for each in self.history(task)}
        now = clock.current.time()
        return [each for _, each in sorted(latest.items()) if each.is_in_force(now)]

    def history(self, task: str | None = None) -> list[Override]:
        """Every change there was, the oldest first.

        Args:
            task: Module and qualified name; None takes all.

        Returns:
            Changes, whether in force or not.
        """
        with self._reading() as connection:
            if connection is None:
                return []
            return [
                _override(row) for row in connection.execute("SELECT * FROM overrides WHERE ? IN (task, '') ORDER BY id", (task or "",))
            ]

    def set(
        self,
        task: str,
        ttl: Duration,
        *,
        share: float = 1.0,
        guard: str | None = None,
        author: str,
        reason: str = "",
        expires_in: Duration | None = None,
        expected: str | None = None,
        after: int = 0,
        dry_run: bool = False,
    ) -> Override:
        """Override the time to live of a task.

        Args:
            task: Module and qualified name.
            ttl: Seconds, timedelta or text such as ``"45m"``.
            share: Of the keys, above 0 to 1.
            guard: What takes it back, such as ``"errors<=5%, changed<=20%"``; None for nothing. See `Guard`.
            author: Who does it.
            reason: Why.
            expires_in: After how long the policy in the code holds again; None for never.
            expected: What should come of it, such as ``"hits=73.4%, stale=2%"``, for the history to hold it against; None for nothing. See `Expected`.
            after: Id of what is in force and is to be replaced; 0 for nothing. So of two operators the second is told of the first.
            dry_run: Check all of it, and change nothing.

        Returns:
            What holds from now on.

        Raises:
            PolicyError: A value cannot be. What was in force stays so.
            OverrideConflict: Something else is in force than ``after``.
        """
        seconds = positive_seconds(ttl, what="ttl", instead=_NO_TTL)
        _check_share(share)
        limits = None if guard is None else Guard.parse(guard)
        if limits is not None and limits.calls is not None and share == 1:
            raise PolicyError(f"guard={guard!r}: calls are compared with those of other keys, so give a share below 1")
        hopes = None if expected is None else Expected.parse(expected)
        lasts = None if expires_in is None else positive_seconds(expires_in, what="expires_in", instead="leave it out for no end")
        now = clock.current.time()
        with self._changing(task, after, now, dry_run=dry_run) as (connection, latest):
            previous = 0 if latest is None else latest.id
            expires = None if lasts is None else now + lasts
            return _add(connection, Override(0, task, "set", seconds, share, limits, author, reason, now, expires, previous, 0, hopes))

    def promote(self, task: str, share: float = 1.0, *, author: str, reason: str = "", after: int, dry_run: bool = False) -> Override:
        """Apply what is in force to more of the keys, or all: its guard and its end stay.

        Args:
            task: Module and qualified name.
            share: Of the keys, more than now.
            author: Who does it.
            reason: Why.
            after: Id of what is in force.
            dry_run: Check all of it, and change nothing.

        Returns:
            What holds from now on.

        Raises:
            PolicyError: ``share`` is not more than now, or nothing is in force.
            OverrideConflict: Something else is in force than ``after``.
        """
        _check_share(share)
        now = clock.current.time()
        with self._changing(task, after, now, dry_run=dry_run) as (connection, latest):
            if latest is None:
                raise PolicyError(f"no override of {task} is in force, so there is none to promote")
            if share <= latest.share:
                raise PolicyError(f"override {latest.id} of {task} applies to {latest.share:.0%} of the keys already")
            guard = latest.guard if latest.guard is None or share < 1 else latest.guard._replace(calls=None)
            guard = guard if guard is not None and any(limit is not None for limit in guard) else None
            promoted = latest._replace(action="promote", share=share, guard=guard, author=author, reason=reason)
            return _add(connection, promoted._replace(created=now, previous=latest.id))

    def renew(self, task: str, *, expires_in: Duration, author: str, reason: str = "", after: int) -> Override:
        """Let what is in force last longer, without its guard: it has proved itself.

        Args:
            task: Module and qualified name.
            expires_in: After how long, from now on, the policy in the code holds again.
            author: Who does it.
            reason: Why.
            after: Id of what is in force.

        Returns:
            What holds from now on.

        Raises:
            PolicyError: Nothing is in force, or ``expires_in`` is no duration.
            OverrideConflict: Something else is in force than ``after``.
        """
        lasts = positive_seconds(expires_in, what="expires_in", instead="give how long it is to last")
        now = clock.current.time()
        with self._changing(task, after, now, dry_run=False) as (connection, latest):
            if latest is None:
                raise PolicyError(f"no override of {task} is in force, so there is none to renew")
            longer = latest._replace(action="renew", guard=None, author=author, reason=reason)
            return _add(connection, longer._replace(created=now, expires=now + lasts, previous=latest.id))

    def rollback(self, task: str, *, author: str, reason: str = "", after: int, dry_run: bool = False) -> Override:
        """Take back what is in force: what it had replaced holds again, an earlier override or the policy in the code.

        Args:
            task: Module and qualified name.
            author: Who does it.
            reason: Why.
            after: Id of what is in force.
            dry_run: Check all of it, and change nothing.

        Returns:
            What holds from now on.

        Raises:
            PolicyError: Nothing is in force.
            OverrideConflict: Something else is in force than ``after``.
        """
        now = clock.current.time()
        with self._changing(task, after, now, dry_run=dry_run) as (connection, latest):
            if latest is None:
                raise PolicyError(f"no override of {task} is in force, so there is none to take back")
            back_to = _replaced_by(connection, latest)
            known = Override(0, task, "rollback", None, 1.0, None, author, reason, now, None, latest.id, 0)
            if back_to is not None and back_to.is_in_force(now):
                known = known._replace(
                    ttl=back_to.ttl, share=back_to.share, guard=back_to.guard, expires=back_to.expires, base=back_to.base
                )
            return _add(connection, known)

    def beneath(self, override: Override) -> Override | None:
        """What holds for the keys that an override does not apply to, though it may have ended; None for the policy in the code.

        Args:
            override: One in force.

        Returns:
            What it had replaced.
        """
        with self._reading() as connection:
            return None if connection is None else _replaced_by(connection, override)

    def advice(self) -> list[Advice]:
        """What was found the last time that each task's ttl was looked after (`holdfast.Tune`), by task."""
        with self._reading() as connection:
            rows = [] if connection is None else connection.execute("SELECT * FROM advice ORDER BY task").fetchall()
        return [Advice(*row) for row in rows]

    def advise(self, advice: Advice) -> None:
        """Keep what was found, in the place of what was found before.

        Args:
            advice: About a task.
        """
        with self._writer.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO advice VALUES (?, ?, ?, ?, ?, ?, ?)", advice)

    def take_turn(self, task: str, interval: float) -> tuple[bool, float]:
        """Take the turn at looking after a task's ttl, if it is anybody's now.

        Args:
            task: Module and qualified name.
            interval: Seconds between two turns.

        Returns:
            Whether it is the caller's, and when the next one is, seconds since the epoch.
        """
        with self._writer.transaction() as connection:
            return take_turn(connection, task, clock.current.time(), interval)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._writer.close()
        self._reader.close()

    @contextlib.contextmanager
    def _changing(self, task: str, after: int, now: float, *, dry_run: bool) -> Generator[tuple[Connection, Override | None]]:
        """The write lock, and what is in force under it."""
        with contextlib.suppress(_NotMeant), self._writer.transaction() as connection:
            row = connection.execute(_LATEST, (task,)).fetchone()
            latest = None if row is None else _override(row)
            if latest is not None and not latest.is_in_force(now):
                latest = None
            if after != (0 if latest is None else latest.id):
                raise OverrideConflict(_conflict(task, after, latest), current=0 if latest is None else latest.id)
            yield connection, latest
            if dry_run:
                raise _NotMeant

    @contextlib.contextmanager
    def _reading(self) -> Generator[Connection | None]:
        try:
            with self._reader.snapshot() as connection:
                yield connection
        except EmptyStoreError:
            yield None


class _NotMeant(Exception):  # noqa: N818 - never leaves this module: rolls back what was only tried
    pass


def _add(connection: Connection, override: Override) -> Override:
    """Write a change, and return it with its id."""
    guard, expected = (None if each is None else str(each) for each in (override.guard, override.expected))
    values = (*override[1:5], guard, *override[6:-1], expected)
    added = connection.execute(_INSERT, values).lastrowid or 0
    if override.action != "set":
        return override._replace(id=added)
    connection.execute("UPDATE overrides SET base = id WHERE id = ?", (added,))
    return override._replace(id=added, base=added)


def _replaced_by(connection: Connection, override: Override) -> Override | None:
    """What was in force before the ``set`` that an override goes back to."""
    base = connection.execute("SELECT * FROM overrides WHERE id = ?", (override.base,)).fetchone()
    row = None if base is None else connection.execute("SELECT * FROM overrides WHERE id = ?", (_override(base).previous,)).fetchone()
    return None if row is None else _override(row)


def _override(row: tuple[Any, ...]) -> Override:
    found = Override(*row)
    guard, expected = found.guard, found.expected  # as texts
    return found._replace(
        guard=None if guard is None else Guard.parse(str(guard)), expected=None if expected is None else Expected.parse(str(expected))
    )


def _check_share(share: float) -> None:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not math.isfinite(share) or not 0 < share <= 1:
        raise PolicyError(f"share={share!r} of the keys: give a number above 0 and at most 1, for example 0.1")


def _conflict(task: str, after: int, latest: Override | None) -> str:
    if latest is None or latest.ttl is None:
        return f"override {after} of {task} is no longer in force: nothing is"
    since = spoken(round(max(0.0, clock.current.time() - latest.created)) or 1)
    said = f"{latest.author} has set the ttl of {task} to {spoken(latest.ttl)} {since} ago"
    why = f" ({latest.reason})" if latest.reason else ""
    return f"{said}{why}: that is override {latest.id}, and {after or 'none'} was expected; look again, and name it to replace it"
