"""Files and folders that are this user's alone: made so whatever the umask, and checked before they are trusted."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

from holdfast.errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.rclone", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs")
)
_MOUNTS = Path("/proc/self/mountinfo")


def file_system(device: int, mounts: str) -> str:
    """The type of the file system that is ``device``.

    Args:
        device: As in ``os.stat_result.st_dev``.
        mounts: Text of ``/proc/self/mountinfo`` (see man 5 proc).

    Returns:
        For example ``ext4``; ``""`` when the device is not in the list.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        fields = line.split()
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return ""


def make_folder(folder: Path) -> None:
    """Make ``folder`` and its missing parents, each 0700 whatever the umask and there to stay after power loss."""
    if folder.exists():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):  # another process was faster
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    _sync_names(folder.parent)


def _sync_names(folder: Path) -> None:
    """Have the disk keep the names in ``folder``: syncing what they stand for does not (man 2 fsync). SQLite does this for its own files."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # a file system that syncs no folders, or one that we may not read: as in SQLite's unixSync
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_folder(folder: Path, name: str) -> None:
    """Refuse a folder in which another user could swap files, or that is on a network file system.

    Args:
        folder: An existing folder.
        name: What is to stand in it, for the text of the error: ``trace store``.

    Raises:
        StoreError: It says what is wrong and what to do.
    """
    info = folder.stat()
    if _MOUNTS.exists():
        kind = file_system(info.st_dev, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
        if kind in NETWORK_FILE_SYSTEMS:
            raise StoreError(f"{folder} is on a network file system ({kind}), where SQLite loses data: keep the {name} on a local disk")
    if sys.platform == "win32":
        return
    if info.st_uid not in (os.geteuid(), 0):
        raise StoreError(
            f"{folder} belongs to user {info.st_uid}, not to you ({os.geteuid()}), who could replace the {name}: choose a folder of your own"
        )
    if info.st_mode & stat.S_IWOTH:
        raise StoreError(f"{folder} is writable by everyone, who could replace the {name}: choose another folder, or chmod o-w {folder}")


def check_file(path: Path, name: str) -> None:
    """Refuse what is not a file, or is another user's; ``name`` says in the error what it is wanted for.

    Raises:
        StoreError: It says what is wrong and what to do.
    """
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        raise StoreError(f"{path} is a symbolic link: give the path of the {name} itself")
    if not stat.S_ISREG(info.st_mode):
        raise StoreError(f"{path} is not a file: give the path of a {name}")
    if sys.platform != "win32" and info.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to user {info.st_uid}, not to you ({os.geteuid()}): choose a {name} of your own")


def create_file(path: Path) -> None:
    """Make an empty file that is 0600 whatever the umask, unless there is something already."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)  # O_EXCL does not follow a symbolic link
        try:
            if sys.platform != "win32":
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def make_private(path: Path) -> None:
    """Take an existing file of ours away from other users; a missing one is left missing."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
