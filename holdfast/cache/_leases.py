"""One computation per key among processes: whoever computes holds a lock on one byte that stands for the key.

The kernel drops the lock when its holder dies, so the next in line goes on at once and no clock is asked. The byte's place is 58 bits of the key, in a
file that need not be that long: two keys never share one, and nested computations cannot meet on a byte that means something else.

A holder that is stopped (SIGSTOP, a frozen container) keeps its lock and does nothing. So each holder writes a stamp that it changes every `BEAT`
seconds, and who waits and sees none change for `EXPIRY` seconds of its own clock passes by: it competes for the next byte, with those that do likewise.
A stamp tells one computation from the next as well, where they take longer than a beat: who has seen two of them come and go, and found no value, need
not wait for a third.

Locks are those of an open file (Linux, F_OFD_SETLK), which exclude two caches in one process, too, and do not go when another descriptor of the file is
closed. Elsewhere they are the process's (fcntl.lockf): there, two `DiskCache` of one folder in one process do not wait for each other.
Taking and dropping one costs 1.5 us each, with a thousand held in one file 5; that is why there are `PARTS` files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import threading
import time
import weakref
import zlib
from typing import TYPE_CHECKING

from holdfast.cache._folder import open_private
from holdfast.values import forks
from holdfast.values._private import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.typing import CacheKey

PARTS = 8
BEAT = 1.0
"""Seconds between two stamps of a holder."""
EXPIRY = 10.0
"""Seconds without a new stamp after which others pass by."""
IDLE_BEATS = 10
"""How many beats the thread that stamps outlives the last lease."""
RANKS = 4
"""Bytes of a key: how many stopped holders are passed by before one computes without a lease."""
IN_VAIN = 2
"""How many computations of others come and go without a value before one computes without a lease."""
_STAMPS = 1 << 12
_STAMP = struct.Struct("=QQ")  # whose it is, and which computation's in all but the lowest 16 bits
_FIRST = _STAMPS * _STAMP.size
_PLACES = (1 << 58) - 1
_HAS_OFD = hasattr(fcntl, "F_OFD_SETLK") and sys.maxsize > 1 << 32
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class LockFile:
    """A file whose bytes are locked, and whose beginning has the stamps.

    Args:
        path: Made when missing, in a folder that is known to be private.

    Raises:
        StoreError: It is a symbolic link, or not a file of ours.
        OSError: It cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._fd = open_private(path)
        self._close = weakref.finalize(self, os.close, self._fd)
        self._close.atexit = False  # see `holdfast.cache._generations.Generations`
        self._lock = threading.Lock()
        # Another one, so that who takes or drops a byte, maybe an event loop, does not wait while a slow disk is written to.
        self._stamping = threading.Lock()

    def take(self, place: int) -> bool:
        """Lock one byte, without waiting; True as well once the file is closed, as nobody can be waited for then."""
        with self._lock:  # once closed, the number of the descriptor may be that of another file
            try:
                if self._close.alive:
                    _lock_byte(self._fd, fcntl.LOCK_EX, place)
            except (BlockingIOError, PermissionError):  # what POSIX allows for "somebody else has it"
                return False
        return True

    def drop(self, place: int) -> None:
        """Unlock one byte."""
        with self._lock:
            if self._close.alive:
                _lock_byte(self._fd, fcntl.LOCK_UN, place)

    def stamp(self, place: int, stamp: int) -> None:
        """Leave a stamp for a byte; others may share the room for it."""
        with self._stamping:
            if self._close.alive:
                os.pwrite(self._fd, _STAMP.pack(place, stamp), place % _STAMPS * _STAMP.size)

    def stamp_of(self, place: int) -> int | None:
        """The stamp of a byte; None while another's is in its room."""
        with self._lock:
            data = os.pread(self._fd, _STAMP.size, place % _STAMPS * _STAMP.size) if self._close.alive else b""
        if len(data) < _STAMP.size:
            return None
        whose, stamp = _STAMP.unpack(data)
        return stamp if whose == place else None

    def close(self) -> None:
        """Close it; whatever is locked is free."""
        with self._stamping, self._lock:
            self._close()

    def after_fork_in_child(self) -> None:
        """Close the inherited file, which would hold the parent's locks when the parent is dead; no other thread exists here to wait for."""
        self._lock, self._stamping = threading.Lock(), threading.Lock()
        self._close()


def _lock_byte(fd: int, kind: int, place: int) -> None:
    if _HAS_OFD:
        kind = fcntl.F_WRLCK if kind == fcntl.LOCK_EX else fcntl.F_UNLCK
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
    else:
        fcntl.lockf(fd, kind | fcntl.LOCK_NB, 1, place)


class Leases:
    """The lock files of one cache, all open: an event loop may take a lease, and shall not wait for the disk.

    Args:
        folder: Where they are; made when missing, in a folder that is known to be private.

    Raises:
        StoreError: See `LockFile`.
        OSError: The same.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._files = [LockFile(folder / str(part)) for part in range(PARTS)]

    def place_of(self, key: CacheKey) -> tuple[LockFile, int]:
        """Where a key's first byte is; its others follow. The same in every process."""
        spread = zlib.crc32(key.namespace.encode()) * 0x9E3779B1  # equal arguments of two tasks have equal digests
        digest = int.from_bytes(key.digest[8:], "little") ^ spread
        return self._files[digest % PARTS], _FIRST + (digest // PARTS & _PLACES) * RANKS

    def close(self) -> None:
        """Close all files; whatever is locked is free."""
        for file in self._files:
            file.close()

    def after_fork_in_child(self) -> None:
        """See `LockFile.after_fork_in_child`."""
        for file in self._files:
            file.after_fork_in_child()


class Lease:
    """One caller's turn at computing one key; see `holdfast.runtime.turns.KeyLease`.

    Args:
        file: Has the key's bytes.
        place: The first of them.
        has_news: Says whether somebody may have stored a value since it was last looked for.
    """

    __slots__ = ("_changes", "_file", "_has_news", "_has_waited", "_is_held", "_place", "_seen", "_seen_at", "_stamp")

    def __init__(self, file: LockFile, place: int, has_news: Callable[[], bool]) -> None:
        self._file = file
        self._place = place
        self._has_news = has_news
        self._is_held = self._has_waited = False
        self._stamp = self._changes = 0
        self._seen: int | None = None
        self._seen_at = 0.0

    def take(self) -> bool:
        """Try to get the turn; True when this caller is to look again, and to compute if nothing is there: alone, if that is possible."""
        if self._file.take(self._place):
            self._is_held = True
            _pulse.add(self)
            return True
        if not self._has_waited:
            self._has_waited, self._seen_at = True, time.monotonic()  # real time on purpose: another process is waited for
        return self._has_failed()

    def has_news(self) -> bool:
        """Whether a value may be there by now."""
        return self._has_news()

    def _has_failed(self) -> bool:
        """Whether waiting has led to nothing: those that computed had no value to store, or too many were stopped."""
        now, stamp = time.monotonic(), self._file.stamp_of(self._place)
        if stamp is not None and stamp != self._seen:
            if self._seen is not None and stamp >> 16 != self._seen >> 16:
                self._changes += 1
            self._seen, self._seen_at = stamp, now
        elif now - self._seen_at >= EXPIRY:  # nobody is at work
            self._place, self._seen, self._seen_at = self._place + 1, None, now
        return self._changes >= IN_VAIN or (self._place - _FIRST) % RANKS == RANKS - 1

    def beat(self) -> None:
        """Show that the holder is alive, if it holds yet."""
        if not self._is_held:
            return
        self._stamp = self._stamp + 1 if self._stamp else int.from_bytes(os.urandom(6), "little") << 16 | 1
        self._file.stamp(self._place, self._stamp)

    def release(self) -> None:
        """Let the next one have its turn, if this one has it."""
        if self._is_held:
            self._is_held = False
            _pulse.remove(self)
            self._file.drop(self._place)


class Pulse:
    """A thread that stamps for all leases of this process, while there are any."""

    def __init__(self) -> None:
        self._held: set[Lease] = set()
        self._lock = threading.Lock()
        self._has_thread = False
        forks.protect(self)

    def add(self, lease: Lease) -> None:
        """Stamp for a lease from now on."""
        with self._lock:
            self._held.add(lease)
            if self._has_thread:
                return
            self._has_thread = True
        try:
            threading.Thread(target=self._run, name="holdfast-leases", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter ends: without stamps, others pass by in the end
            self._has_thread = False

    def remove(self, lease: Lease) -> None:
        """Stamp no more."""
        with self._lock:
            self._held.discard(lease)

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(BEAT)
            with self._lock:
                idle = 0 if self._held else idle + 1
                if idle >= IDLE_BEATS:
                    self._has_thread = False  # under the lock: whoever comes next starts another
                    return
                held = list(self._held)
            for lease in held:  # not under the lock: see `LockFile`
                with contextlib.suppress(OSError):  # a full disk: without stamps, others pass by in the end
                    lease.beat()

    def before_fork(self) -> None:
        """Nothing: the child holds no leases."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Begin anew, without thread and leases; the parent's may have held the lock."""
        self._held, self._lock, self._has_thread = set(), threading.Lock(), False


_pulse = Pulse()
