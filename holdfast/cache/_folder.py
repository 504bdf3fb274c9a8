"""The folder of a disk cache: private, ours, made and mended by one process at a time, and what is broken in it set aside."""

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
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

DATABASE = "cache.db"
GENERATIONS = "generations"
LEASES = "leases"
LOCK = "lock"
GENERATIONS_SIZE = 1 << 15
"""Bytes of the file of generations."""
PATIENCE = 0.75
"""Seconds to wait for another process that is making or repairing the same cache."""


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


def alone(folder: Path) -> AbstractContextManager[bool]:
    """Be the only process that makes, opens or repairs the cache in ``folder``, for the length of the block.

    The kernel drops the lock when its holder dies. Raises Trouble when others hold it for longer than `PATIENCE`.
    """
    return _locked(folder, lambda: True)


def opening(folder: Path) -> AbstractContextManager[bool]:
    """Have nobody else make or repair the cache in ``folder``, for the length of the block; raises like `alone`.

    What is whole is opened by many processes at once: those that start together would else stand in line, until some do without. The value of the
    context is True where it is not whole: then this process is the only one.
    """
    return _locked(folder, lambda: not _is_whole(folder))


@contextlib.contextmanager
def _locked(folder: Path, is_alone: Callable[[], bool]) -> Generator[bool]:
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give_up = time.monotonic() + PATIENCE  # real time on purpose: another process holds the lock
        while True:
            wants_all = is_alone()
            try:
                fcntl.flock(fd, (fcntl.LOCK_EX if wants_all else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise Trouble("locked", f"another process is making the cache in {folder}") from None
                time.sleep(0.002)
        yield wants_all
    finally:
        os.close(fd)


def set_aside(folder: Path) -> Path:
    """Rename a broken database; see `holdfast.values._aside.set_aside`. Call it inside `alone`."""
    return _aside.set_aside(folder / DATABASE)


def is_ours(folder: Path) -> bool:
    """Whether a cache of holdfast's was open in ``folder`` before. Where none was, a strange file is somebody else's, not a broken one of ours."""
    return (folder / GENERATIONS).exists()


def _is_whole(folder: Path) -> bool:
    """Whether a cache of holdfast's is in ``folder``, with nothing missing; whether it is broken shows when it is opened."""
    try:
        return (folder / GENERATIONS).stat().st_size >= GENERATIONS_SIZE and (folder / DATABASE).exists()
    except FileNotFoundError:
        return False
