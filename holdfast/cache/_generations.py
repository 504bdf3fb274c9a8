"""One word of shared memory per bucket of keys: how a process learns that another one has written or purged.

Whoever changes an entry stores a fresh word in its bucket *after* the change is committed. Whoever keeps an entry in memory keeps the word
it read *before* reading the entry, and trusts the entry while the word stands. So an entry that was changed by anybody since it was read
is never served, and one that was not may at worst be read again. Looking costs 0.05 us; asking SQLite whether anything changed costs 2.

Words are read through a shared mapping and written with ``pwrite``, which sees the same pages: a full disk is then an error, not a SIGBUS.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import threading
import weakref
from typing import TYPE_CHECKING

from holdfast.cache._folder import GENERATIONS_SIZE, open_private

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.typing import CacheKey

_WORD = 8
BUCKETS = GENERATIONS_SIZE // _WORD  # 4096, 12 bits of the digest
_MASK = (1 << 64) - 1


def bucket_of(key: CacheKey) -> int:
    """Which word stands for ``key``; the same in every process."""
    digest = key.digest
    return digest[0] << 4 | digest[1] & 15  # 0.1 us, a third of int.from_bytes(digest[:2]) % BUCKETS


class Generations:
    """The words in a file of 32 KiB, open and mapped.

    Args:
        path: The file; made when missing, in a folder that is known to be private.

    Raises:
        StoreError: It is a symbolic link, or not a file of ours.
        OSError: It cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        self._close = weakref.finalize(self, os.close, self._fd)
        self._close.atexit = False  # daemon threads may be writing to the end, and the number may by then be that of another file
        self._lock = threading.Lock()
        mapping = mmap.mmap(self._fd, GENERATIONS_SIZE, prot=mmap.PROT_READ)
        self.words = memoryview(mapping).cast("Q")
        self._fresh = itertools.count(int.from_bytes(os.urandom(8), "little"))

    def bump(self, bucket: int) -> int:
        """Store a fresh word for one bucket and return it."""
        word = next(self._fresh) & _MASK
        self._write(struct.pack("=Q", word), bucket * _WORD)
        return word

    def bump_all(self) -> None:
        """Store a fresh word for every bucket."""
        word = next(self._fresh) & _MASK
        self._write(struct.pack("=Q", word) * BUCKETS, 0)

    def is_deleted(self) -> bool:
        """Whether the file has gone from its folder: other processes look at another one, or will."""
        with self._lock:
            return self._close.alive and os.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Close the file. The mapping goes with the last thread that still looks at `words`."""
        with self._lock:
            self._close()

    def after_fork_in_child(self) -> None:
        """Close the inherited file; no other thread exists here to wait for."""
        self._close()

    def _write(self, data: bytes, offset: int) -> None:
        with self._lock:  # once closed, the number of the descriptor may be that of another file
            if not self._close.alive:
                raise ValueError("the generations file is closed")
            os.pwrite(self._fd, data, offset)


def _open(path: Path) -> int:
    """Open the file, and make it full size by writing, so that every page of the mapping has its place on the disk."""
    fd = open_private(path)
    try:
        size = os.fstat(fd).st_size
        if size < GENERATIONS_SIZE:
            os.pwrite(fd, bytes(GENERATIONS_SIZE - size), size)
    except BaseException:
        os.close(fd)
        raise
    return fd
