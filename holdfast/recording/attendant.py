"""Who attends a cache's folder: one `Attendant` for each in a process, and one thread for all of them, which looks after each once a second."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from holdfast import _evidence
from holdfast.recording.hashes import Hasher
from holdfast.recording.recorder import Recorder
from holdfast.recording.rules import Rules
from holdfast.recording.switches import is_recording_off, is_tuning_off
from holdfast.values import forks
from holdfast.values.endings import at_end
from holdfast.values.secret import load_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from holdfast.recording.taps import KeyTap
    from holdfast.typing import CacheKey

PERIOD = 0.8
"""Seconds between two looks: what is promised within a second is done by then."""
_PATIENCE = 5.0
"""Seconds that a fork waits for the thread to finish what it is writing."""


class GiveTap(Protocol):
    """See `holdfast._evidence.Witness.tap`."""

    def __call__(self, key: CacheKey, payload: bytes | None = None) -> KeyTap | None:
        """What notes the hits of a key; None when nothing is recorded."""
        ...


def _no_tap(key: CacheKey, payload: bytes | None = None) -> KeyTap | None:
    del key, payload
    return None


class Attendant:
    """Attends the cache in one folder (`holdfast._evidence.Witness`).

    Args:
        folder: The cache's.
        is_recorded: Whether it is written down what is asked of it.

    Attributes:
        tap: See `Witness.tap`.
        taps: See `Witness`.
        recorder: Writes it down; None when nothing is to be.
        rules: Which overrides are in force.
    """

    def __init__(self, folder: Path, *, is_recorded: bool) -> None:
        self.folder = folder
        hasher = Hasher(load_secret())
        self.recorder = Recorder(folder, hasher) if is_recorded else None
        self.tap: GiveTap = _no_tap if self.recorder is None else self.recorder.tap  # no method around it: a hit on disk waits for this
        self.taps: Mapping[CacheKey, KeyTap] = {} if self.recorder is None else self.recorder.taps
        self.rules = Rules(folder, hasher.hash_of)
        self.rules.look()
        if self.recorder is not None:
            weakref.finalize(self, _left.append, self.recorder).atexit = False
        forks.protect(self)

    def computed(
        self, key: CacheKey, began: float, seconds: float, *, ok: bool, kind: str, cause: str, modified: float | None, policy: Any
    ) -> None:
        """See `Witness.computed`."""
        if _watch.is_wanted:
            _watch.start()
        if self.recorder is not None:
            self.recorder.computed(key, began, seconds, ok=ok, kind=kind, cause=cause, modified=modified, policy=policy)

    def evicted(self, ages: Mapping[tuple[str, int], int]) -> None:
        """See `Witness.evicted`."""
        if self.recorder is not None:
            self.recorder.evicted(ages)

    def in_force(self, policy: Any, key: CacheKey) -> Any:
        """See `Witness.in_force`."""
        return self.rules.in_force(policy, key)

    def in_force_for_most(self, policy: Any, task: str) -> Any:
        """See `Witness.in_force_for_most`."""
        return self.rules.in_force_for_most(policy, task)

    def look(self) -> None:
        """Write down what waits, see which overrides there are, and have the times to live looked after."""
        if self.recorder is not None:
            self.recorder.flush()
        self.rules.look()
        tasks = [] if self.recorder is None else self.recorder.looked_after
        if tasks and not is_tuning_off():
            _evidence.look_after(self.folder, tasks)

    def before_fork(self) -> None:
        """Let no thread be at work: its connection would come along."""
        _watch.stop()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        _watch.start()

    def after_fork_in_child(self) -> None:
        """Start over; the thread is started by whoever opens the cache here."""
        if self.recorder is not None:
            self.recorder.after_fork_in_child()


class _Watch:
    """The thread. It waits in real time: what it looks for is what other processes do, and what calls left to be written.

    Attributes:
        is_wanted: True where there was none to be had. Then whatever is computed asks again.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self.after_fork_in_child()

    def start(self) -> None:
        """Have the thread run; where the system allows no more threads, another time."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stopping = threading.Event()
                thread = threading.Thread(target=self._run, args=(self._stopping,), name="holdfast-recording", daemon=True)
                self.is_wanted = True
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread, self.is_wanted = thread, False

    def stop(self) -> None:
        """Have it end, and wait for that."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None and thread is not threading.current_thread():
                self._stopping.set()
                thread.join(_PATIENCE)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(PERIOD):
            look_at_all()

    def after_fork_in_child(self) -> None:
        """Threads do not come along."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread, self.is_wanted = None, False


def attend(folder: Path, *, is_recorded: bool) -> Attendant:
    """Who attends the cache in ``folder``, in this process.

    Args:
        folder: The cache's.
        is_recorded: Whether it is written down what is asked of it, unless ``HOLDFAST_RECORD`` forbids it.
    """
    wanted = folder, is_recorded and not is_recording_off()
    with _lock:
        found = _attendants.get(wanted)
        if found is None:
            found = _attendants[wanted] = Attendant(folder, is_recorded=wanted[1])
    _watch.start()
    return found


def look_at_all() -> None:
    """Write down everything that waits, for every cache of this process."""
    for each in list(_attendants.values()):
        each.look()
    _close_left()


def write_down(folder: Path) -> None:
    """Write down what waits of the cache in ``folder``, so that whoever reads its recording in this process misses no call."""
    _close_left()
    for each in list(_attendants.values()):
        if each.recorder is not None and each.folder.resolve() == folder.resolve():
            each.recorder.flush()


def _close_left() -> None:
    """Write down what waits of caches that are gone: a program may have dropped one within a second of its last call."""
    while _left:
        with contextlib.suppress(IndexError):  # another thread took it
            _left.popleft().close()


def _new_lock() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()
    _left.clear()  # the parent's to write
    _watch.after_fork_in_child()


_lock = threading.Lock()
_left: deque[Recorder] = deque()
"""Of caches that are gone."""
_attendants: weakref.WeakValueDictionary[tuple[Path, bool], Attendant] = weakref.WeakValueDictionary()
_watch = _Watch()
at_end(look_at_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
