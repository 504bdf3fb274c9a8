"""The life of a disk cache's store: opened on first use, left when its files go, set aside when broken, and closed around a fork."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from holdfast import _evidence, clock
from holdfast.cache._notes import StoreNotes
from holdfast.cache._trouble import Trouble, judge
from holdfast.values import forks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from holdfast._evidence import Witness
    from holdfast.cache._lru import Lru
    from holdfast.cache._store import Store
    from holdfast.cache._sweep import Swept
    from holdfast.typing import CacheKey

REST = 1.0
"""Seconds without a further try after the store could not be opened."""
FORK_PATIENCE = 1.0
"""Seconds that a fork waits for another thread that is just opening the store."""


class KeptStore:
    """What `holdfast.cache.disk.DiskCache` is besides looking up and storing.

    Args:
        path: The folder.
        size_limit: See `holdfast.cache._rows.Rows`.
        memory: What is known of the store, and forgotten when that is left.
        is_recorded: Whether it is to be written down what is asked of it.
    """

    def __init__(self, path: Path, size_limit: int, memory: Lru, *, is_recorded: bool) -> None:
        self.path = path
        self.size_limit = size_limit
        self._memory = memory
        self._is_recorded = is_recorded
        self._missed: dict[CacheKey, int] = {}  # the word of each key that was looked for in vain, until it is computed
        self._causes: dict[CacheKey, str] = {}  # why they were looked for in vain, until they are computed
        self._notes = StoreNotes(path)
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._rest_from: float | None = None
        self._refused: Trouble | None = None  # why it could not be opened, the last time
        self._is_paused = self._is_closed = self._is_orphan = False
        self.witness: Witness | None = None  # while the store is open
        self._evicted: list[Mapping[tuple[str, int], int]] = []  # what it is still to be told
        forks.protect(self)

    def close(self) -> None:
        """Close all files and empty the memory tier. The next use opens them again."""
        store = self._store
        if store is not None:
            self._leave(store)

    def _open(self) -> Store | None:
        """The open store; None when it cannot be opened, after a note, or could not a moment ago."""
        store = self._store
        if store is not None:
            return store
        with self._lock:
            if self._store is not None or self._is_orphan or self._is_resting():
                return self._store
            opened = self._try_to_open()
            if isinstance(opened, Trouble):
                self._rest_from, self._refused = clock.current.monotonic(), opened
            else:
                self._rest_from = None
                self._memory.clear()
                self._store, self.witness = opened, _evidence.open_witness(self.path, self._is_recorded)
        if isinstance(opened, Trouble):
            self._notes.passed_by(opened)
            return None
        self._tell_of_evicted()
        if opened.repaired is not None:
            self._notes.set_aside(*opened.repaired)
        return opened

    def _try_to_open(self) -> Store | Trouble:
        try:
            from holdfast.cache._store import Store  # loads diskcache, on first use

            return Store(self.path, self.size_limit, self._swept)
        except Trouble as trouble:
            return trouble
        except OSError as error:  # from reading the module: too many files are open, say
            return judge(error, self.path)
        except ImportError as error:  # a Python without sqlite3, or without fcntl as on Windows
            return Trouble("refused", f"the disk cache needs the module {error.name}, which this Python does not have")

    def _swept(self, what: Swept | Trouble) -> None:
        self._notes.swept(what)
        if isinstance(what, tuple) and what.ages:
            self._evicted.append(what.ages)
            self._tell_of_evicted()

    def _tell_of_evicted(self) -> None:
        """Tell the witness, which comes only once the store is open; a sweep may come before."""
        witness = self.witness
        with contextlib.suppress(IndexError):  # another thread has taken the last
            while witness is not None and self._evicted:
                witness.evicted(self._evicted.pop())

    def _open_where_it_is(self) -> Store | None:
        """The open store; opened again when its files were deleted or replaced meanwhile."""
        store = self._open()
        if store is not None and store.has_moved():
            self._leave(store)
            store = self._open()
        return store

    def _is_resting(self) -> bool:
        return self._rest_from is not None and 0 <= clock.current.monotonic() - self._rest_from < REST

    def _handle(self, store: Store, trouble: Trouble, key: CacheKey | None = None) -> None:
        """Note what went wrong, and do what helps the next call."""
        if store is not self._store:  # another thread has closed it, or left it and said why
            return
        if store.has_moved():  # deleted, or set aside by another process: nothing is wrong with what is there now
            self._leave(store)
            return
        fields = {} if key is None else {"namespace": key.namespace}
        if trouble.reason == "poisoned" and key is not None:
            self._discard(store, key, None)
        elif trouble.reason == "broken":
            moved_to = self._set_aside(store)
            if moved_to is not None:
                self._notes.set_aside(trouble, moved_to, **fields)
                return
        elif trouble.reason == "refused":  # the folder has become somebody else's
            self._leave(store)
            self._rest_from = clock.current.monotonic()
        self._notes.passed_by(trouble, **fields)

    def _discard(self, store: Store, key: CacheKey, sealed: bytes | None) -> None:
        try:
            store.discard(key, sealed)
        except Trouble as trouble:
            self._notes.passed_by(trouble, namespace=key.namespace)

    def _leave(self, store: Store) -> bool:
        """Close ``store`` and forget what memory knows of it; False when another thread has done so."""
        with self._lock:
            if self._store is not store:
                return False
            self._store = None
            self._memory.clear()
            store.close()
            return True

    def _set_aside(self, store: Store) -> Path | None:
        if not self._leave(store):
            return None
        try:
            return store.set_aside()
        except Trouble as trouble:
            self._notes.passed_by(trouble)
            return None

    def before_fork(self) -> None:
        """Let nothing be open that a child could inherit."""
        self._is_paused = self._lock.acquire(timeout=FORK_PATIENCE)
        self._is_closed = self._is_paused and (self._store is None or self._store.pause())

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._store is not None:
            self._store.resume()
        was_paused, self._is_paused, self._is_closed = self._is_paused, False, False
        if was_paused:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Open everything anew on first use; do without the disk when a write took too long to wait for and its connection came along."""
        store, self._store = self._store, None
        came_along = (store is not None or self._lock.locked()) and not self._is_closed
        self._lock = threading.Lock()
        self._evicted.clear()  # the parent's to tell
        self._is_orphan = self._is_orphan or came_along
        if store is not None:
            store.after_fork_in_child(is_closed=self._is_closed)
