"""InMemorySaver: checkpoints for as long as the process lives."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from holdfast.typing import Saved

if TYPE_CHECKING:
    from holdfast.typing import StepId


class InMemorySaver:
    """Keeps checkpoints in this process's memory: for tests, notebooks and body retries; nothing survives a restart.

    Values are kept encoded, exactly as a file would hold them, so what works here works with a durable saver.

    >>> InMemorySaver()
    InMemorySaver(0 threads)
    """

    is_blocking = False

    def __init__(self) -> None:
        """Start empty."""
        self._threads: dict[str, Saved] = {}
        self._lock = threading.Lock()
        _alive.add(self)

    def __repr__(self) -> str:
        """How many threads it knows."""
        count = len(self._threads)
        return f"InMemorySaver({count} thread{'' if count == 1 else 's'})"

    def renew_lock(self) -> None:
        """In a forked child, where whoever held it is gone."""
        self._lock = threading.Lock()

    def load(self, thread_id: str, /) -> Saved | None:
        """The thread's latest run, or None."""
        with self._lock:
            saved = self._threads.get(thread_id)
            return None if saved is None else saved._replace(steps=dict(saved.steps))

    def begin(self, thread_id: str, run_id: str, input_: bytes, /) -> None:
        """Start a new run of the thread."""
        with self._lock:
            before = self._threads.get(thread_id)
            self._threads[thread_id] = Saved(run_id, "running", input_, {}, None if before is None else before.previous)

    def commit(self, thread_id: str, run_id: str, steps: list[tuple[StepId, bytes]], /) -> None:
        """Add finished steps to the run; ignored when a newer run of the thread has begun."""
        with self._lock:
            saved = self._threads[thread_id]
            if saved.run_id == run_id:
                saved.steps.update(steps)

    def end(self, thread_id: str, run_id: str, status: str, previous: bytes | None, /) -> None:
        """Record how the run ended."""
        with self._lock:
            saved = self._threads[thread_id]
            if saved.run_id == run_id:
                self._threads[thread_id] = saved._replace(status=status, previous=saved.previous if previous is None else previous)


_alive: weakref.WeakSet[InMemorySaver] = weakref.WeakSet()


def _renew_locks_in_child() -> None:
    for saver in _alive:
        saver.renew_lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_locks_in_child)
