"""The folder of a disk cache: private, ours, changed by one process at a time, and what is broken in it set aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from holdfast.cache._trouble import Trouble
from holdfast.values import _aside
from holdfast.values._private import check_file, check_folder, create_file, make_folder, make_private

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

DATABASE = "cache.db"
GENERATIONS = "generations"
LEASES = "leases"
LOCK = "lock"
PATIENCE = 0.25
"""Seconds to wait for another process that is opening or repairing the same cache."""


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


def open_private(path: Path) -> int:
    """Open a file for reading and writing that is ours alone, made when missing; return its descriptor.

    Raises:
        StoreError: It is a symbolic link, or not a file of ours.
        OSError: It cannot be opened or made.
    """
    create_file(path)
    check_file(path, "cache")
    make_private(path)
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


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
    """Rename a broken database; see `holdfast.values._aside.set_aside`. Call it inside `exclusive`."""
    return _aside.set_aside(folder / DATABASE)


def is_ours(folder: Path) -> bool:
    """Whether a cache of holdfast's was open in ``folder`` before. Where none was, a strange file is somebody else's, not a broken one of ours."""
    return (folder / GENERATIONS).exists()
