"""A thread that this process owns while it works on it, and gives back as soon as nothing is under way.

An entrypoint owns its thread from the run's beginning to its end. A run that somebody else conducts (`holdfast.runtime.hosted`) has no end that
we are told of: so the thread is claimed when a first call starts, shared by all that work on it in this process, and given back with the last.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from holdfast.runtime.journal import give_back
from holdfast.runtime.writer import Item, writer_of
from holdfast.typing import Commit

if TYPE_CHECKING:
    from holdfast.typing import Checkpointer, Lease


class Tenancy:
    """This process's hold on one thread of a saver.

    Attributes:
        changes: How often somebody else may have worked on the thread since this object was made.
    """

    def __init__(self, saver: Checkpointer, thread_id: str) -> None:
        """Nothing is claimed yet."""
        self.changes = 0
        self._saver = saver
        self._thread_id = thread_id
        self._writer = writer_of(saver)
        self._lease: Lease | None = None
        self._epoch: int | None = None
        self._users = 0
        self._lock = threading.Lock()

    def enter(self) -> Lease:
        """Own the thread, with whoever does so in this process.

        Raises:
            ThreadBusyError: Another process does, or a run of an entrypoint.
        """
        with self._lock:
            if self._lease is None:
                lease = self._saver.claim(self._thread_id)
                if self._epoch is not None and lease.epoch != self._epoch + 1:
                    self.changes += 1
                self._epoch, self._lease = lease.epoch, lease
            self._users += 1
            return self._lease

    def leave(self, run_id: str) -> None:
        """One user less; after the last, and after all that is still to be written (of ``run_id``, say), the thread is given back."""
        with self._lock:
            self._users -= 1
            lease = self._lease
            if self._users or lease is None:
                return
            if self._writer.is_idle:
                self._give_back(lease)
                return
        self._writer.put(_Leaving(Commit(lease, run_id), self))

    def end(self) -> None:
        """Give the thread back, unless somebody has come meanwhile."""
        with self._lock:
            if self._lease is not None and not self._users:
                self._give_back(self._lease)

    def _give_back(self, lease: Lease) -> None:
        self._lease = None
        give_back(self._saver, lease)


class _Leaving(Item):
    """An empty change that stands in line behind the last real one."""

    __slots__ = ("_tenancy",)

    def __init__(self, change: Commit, tenancy: Tenancy) -> None:
        super().__init__(change)
        self._tenancy = tenancy

    def tell(self) -> None:
        self._tenancy.end()


_tenancies: weakref.WeakValueDictionary[tuple[int, str], Tenancy] = weakref.WeakValueDictionary()  # each holds its saver
_making = threading.Lock()


def tenancy_of(saver: Checkpointer, thread_id: str) -> Tenancy:
    """This process's hold on a thread."""
    with _making:
        found = _tenancies.get((id(saver), thread_id))
        if found is None:
            found = _tenancies[id(saver), thread_id] = Tenancy(saver, thread_id)
        return found


def _forget_in_child() -> None:
    global _making  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _making = threading.Lock()
    _tenancies.clear()  # what is owned stays the parent's


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
