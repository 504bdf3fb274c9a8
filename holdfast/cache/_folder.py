"""The folder of a disk cache: private, ours, changed by one process at a time, and what is broken in it set aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from holdfast.cache._trouble import Trouble
from holdfast.values._private import check_file, check_folder, create_file, make_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

DATABASE = "cache.db"
GENERATIONS = "generations"
LOCK = "lock"
BROKEN = f"{DATABASE}.broken-"
PATIENCE = 0.25
"""Seconds to wait for another process that is opening or repairing the same cache."""
KEPT_BROKEN = 3
"""How many broken databases are kept for a look; older ones are deleted."""


def prepare(folder: Path) -> None:
    """Make the folder where it is missing, and check that it is ours alone; the database is checked when it is opened.

    Raises:
        Trouble: The folder is a symbolic link, which somebody may have planted.
        StoreError: Somebody else could change the files.
        OSError: They cannot be made.
    """
    if folder.is_symlink():
        raise Trouble("refused", f"{folder} is a symbolic link: give the folder that it points to")
    make_folder(folder)
    check_folder(folder, "cache")
    create_file(folder / LOCK)
    check_file(folder / LOCK, "cache")


@contextlib.contextmanager
def exclusive(folder: Path) -> Generator[None]:
    """Be the only process that opens or repairs the cache in ``folder``, for the length of the block.

    The kernel drops the lock when its holder dies. Raises Trouble when another process holds it for longer than `PATIENCE`.
    """
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give_up = time.monotonic() + PATIENCE  # real time on purpose: another process holds the lock
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise Trouble("locked", f"another process is opening the cache in {folder}") from None
                time.sleep(0.002)
        yield
    finally:
        os.close(fd)


def set_aside(folder: Path) -> Path:
    """Rename a broken database to ``cache.db.broken-<n>`` and return its new path. Call it inside `exclusive`.

    The log and index go first: beside a fresh database they would be replayed into it. Processes that still have the old file open keep
    it; SQLite sees that it has moved and leaves its companions alone when they close it (databaseIsUnmoved in pager.c).
    """
    number = max(_broken(folder), default=0) + 1
    for old in _broken(folder):
        if old <= number - KEPT_BROKEN:
            _move_or_delete(folder / f"{BROKEN}{old}", None)
    target = folder / f"{BROKEN}{number}"
    _move_or_delete(folder / DATABASE, target)
    return target


def _broken(folder: Path) -> list[int]:
    """Numbers of the databases that were set aside."""
    return [int(path.name[len(BROKEN) :]) for path in folder.glob(f"{BROKEN}*") if path.name[len(BROKEN) :].isdecimal()]


def _move_or_delete(database: Path, target: Path | None) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        path = database.with_name(database.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            if target is None:
                path.unlink()
            else:
                path.rename(target.with_name(target.name + suffix))
