"""Damaged databases are set aside: kept for a look, each under a number of its own, never in the place of another."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEPT = 3
"""How many damaged databases are kept for a look; older ones are deleted."""


def set_aside(database: Path) -> Path:
    """Rename a database, with its log, to ``<name>.broken-<n>`` and return its new path.

    The log and index go first: beside a fresh database they would be replayed into it. Processes that still have the old file open keep
    it; SQLite sees that it has moved and leaves its companions alone when they close it (databaseIsUnmoved in pager.c).
    """
    numbers = _numbers(database)
    number = max(numbers, default=0) + 1
    for old in numbers:
        if old <= number - KEPT:
            _move_or_delete(_numbered(database, old), None)
    target = _numbered(database, number)
    _move_or_delete(database, target)
    return target


def _numbered(database: Path, number: int) -> Path:
    return database.with_name(f"{database.name}.broken-{number}")


def _numbers(database: Path) -> list[int]:
    """Of the databases that were set aside before."""
    start = f"{database.name}.broken-"
    return [
        int(path.name[len(start) :])
        for path in database.parent.iterdir()
        if path.name.startswith(start) and path.name[len(start) :].isdecimal()
    ]


def _move_or_delete(database: Path, target: Path | None) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        path = database.with_name(database.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            if target is None:
                path.unlink()
            else:
                path.rename(target.with_name(target.name + suffix))
