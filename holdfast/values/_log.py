"""The write-ahead log of a SQLite file, after trouble.

When a sync fails, Linux takes what it should have kept for written: a later sync of the same file keeps what is new, and nobody is told of
the hole before it (https://wiki.postgresql.org/wiki/Fsync_Errors). In a log that is fatal: everything behind a hole is lost with the power, and
a database that is just being brought up to date from it is torn. SQLite goes on writing behind the hole all the same, when it was told
(the commit fails, the ones before it may have been waiting for that sync) and when it tells nobody (a checkpoint at the close of a file). What the
system still shows of the log is whole, though. So it is written once more, in place, before anything is added.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 20


class Log:
    """That of one database.

    Args:
        path: The database.
        is_kept: Whether it is to survive power loss; nothing is written again else.
    """

    def __init__(self, path: Path, *, is_kept: bool) -> None:
        self._path = path.with_name(f"{path.name}-wal")
        self._is_kept = is_kept and hasattr(os, "pwrite")  # Windows has other ways to fail
        self.is_in_doubt = False
        """Whether it may have a hole."""

    def exists(self) -> bool:
        """Whether it is there, and not empty: somebody is at work, was killed, or could not close the file well."""
        try:
            return self._path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def found(self) -> None:
        """The database is about to be opened for writing."""
        self.is_in_doubt = self._is_kept and self.exists()

    def failed(self) -> None:
        """The disk has failed while the database was changed."""
        self.is_in_doubt = self._is_kept

    def settle(self) -> None:
        """Write all of it again, so that SQLite's next sync keeps it, whatever earlier ones have come to. Call it under the database's write lock.

        A file descriptor of the log may be closed at any time: SQLite's locks are on the database and on ``-shm``.

        Raises:
            OSError: The disk fails again.
        """
        if not self.is_in_doubt:
            return
        with contextlib.suppress(FileNotFoundError), self._path.open("r+b") as log:
            _write_again(log.fileno())
        self.is_in_doubt = False


def _write_again(descriptor: int) -> None:
    place = 0
    while content := os.pread(descriptor, _CHUNK, place):
        place += os.pwrite(descriptor, content, place)
