"""Who works on a thread, and whether it still lives: a file for each process and saver, locked for as long as both do.

Theory of operation. A saver that claims a thread writes the name of its own file in ``<store>-owners/`` beside the thread. The file is
locked with flock(2), and the kernel drops the lock when the process dies, however it dies: no clock, no heartbeat, no waiting for a lease
to run out. A stopped process keeps its lock.

- Owners hold the lock alone, whoever looks asks for a shared one: two that look at once do not take one another for the owner.
- A lock belongs to the opened file, which a forked child shares: the child closes its descriptor at once, which unlocks nothing while
  the parent has it. Across exec it is closed by O_CLOEXEC.
- Since it is made at the first claim and stays, the folder also says that the store has been in use (`refuse_emptied`).
- Whoever finds a file without a lock removes it. A new file could be found so before it is locked; its maker then notices that it has
  no name any more, and makes another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from typing import TYPE_CHECKING

from holdfast.errors import StoreError
from holdfast.values._private import make_folder

if TYPE_CHECKING:
    from pathlib import Path

_BIRTH = 1.0  # seconds between the making of a file and its first page, at most


class Owners:
    """The owners of one store, and this saver's own mark among them.

    Args:
        folder: Where the files are; made at the first `enter`.
    """

    _descriptor: int | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token: str | None = None
        """Name of this saver's file; None until `enter`."""

    def __del__(self) -> None:
        self.leave()

    def enter(self) -> str:
        """Make this saver's file and lock it, unless that is done; return its name.

        Raises:
            StoreError: Somebody has put a symbolic link in its place.
            OSError: It cannot be made or locked.
        """
        if self.token is None:
            make_folder(self.folder)
            if self.folder.is_symlink():
                raise StoreError(f"{self.folder} is a symbolic link: remove it, and a folder is made in its place")
            self._sweep()
            while self.token is None:
                self._try_to_enter(os.urandom(16).hex())
        return self.token

    def leave(self) -> None:
        """Give everything back that is owned under this saver's name."""
        descriptor, token = self._descriptor, self.token
        self._descriptor = self.token = None
        if descriptor is not None and token is not None:
            with contextlib.suppress(OSError):  # gone, or in a folder that has become read-only: whoever finds it removes it
                (self.folder / token).unlink()
            os.close(descriptor)

    def abandon(self) -> None:
        """In a forked child: the name is the parent's."""
        descriptor, self._descriptor, self.token = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)

    def is_alive(self, token: str, *, sweep: bool = True) -> bool:
        """Whether the owner of that name lives.

        Args:
            token: Its name.
            sweep: Remove its file when it does not.

        Raises:
            OSError: The file cannot be looked at.
        """
        import fcntl

        if token == self.token:
            return True
        path = self.folder / token
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if sweep:
                path.unlink(missing_ok=True)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def describe(self, token: str) -> str:
        """Who that is: ``process 4711 on box``."""
        if token == self.token:
            return f"another run in this process ({os.getpid()})"
        try:
            facts = json.loads((self.folder / token).read_bytes())
            return f"process {int(facts['pid'])} on {str(facts['host'])[:255]}"
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that is gone"

    def _try_to_enter(self, token: str) -> None:
        import fcntl

        descriptor = os.open(self.folder / token, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits for nobody but who is looking at it right now
            os.write(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
            if os.fstat(descriptor).st_nlink:
                self._descriptor, self.token = descriptor, token
        finally:
            if self._descriptor != descriptor:
                os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what dead owners left behind."""
        for path in self.folder.iterdir():
            self.is_alive(path.name)


def refuse_emptied(path: Path, folder: Path) -> None:
    """Refuse a store that was in use and is empty now: to start anew silently would do all its runs again.

    Args:
        path: The file. A missing one is fine: somebody has removed it to start anew.
        folder: Its owners' folder.

    Raises:
        StoreError: The file has no bytes, though the folder is there, and stays so for `_BIRTH` seconds.
    """
    give_up = time.monotonic() + _BIRTH  # real time on purpose: another process may be making the file now
    while folder.is_dir() and path.is_file() and path.stat().st_size == 0:
        if time.monotonic() > give_up:
            raise StoreError(
                f"{path} is empty, but runs have been kept in it (there is {folder.name}): put it back from a copy, or delete it to start anew"
            )
        time.sleep(0.01)
