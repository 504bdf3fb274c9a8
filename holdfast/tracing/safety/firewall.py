"""The firewall between calls and everything that leaves the process: lines, trace rows, exported spans.

A sink may hang, raise, be slow or be closed; no call may notice. So each sink has a `Lane`: a bounded queue and one daemon thread.

- ``send`` appends and returns; it never blocks and never raises. A full lane drops what is newest, counts it, and says so once.
- What a sink raises is counted and said once, then swallowed: the one place, with `holdfast.tracing.safety.guard`, where errors may end.
- A lane of its own for each sink, so that a dead collector cannot hold back the local trace store or the lines.
- The thread lingers a moment before it writes, so that bursts become batches and a busy producer wakes it a few times per second only.
- A child process made by fork starts with empty lanes and no threads; what was queued belongs to the parent. No write is under way
  while the process forks (unless its sink hangs), so no lock of a sink is inherited locked.
- At exit all lanes together have `EXIT_TIMEOUT` seconds, and close their files within them, on their threads; what is lost is said then.

Time here is the real one on purpose: a fake clock is for what calls do.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from holdfast.clock import waitable
from holdfast.errors import HoldfastError
from holdfast.policies.duration import patience
from holdfast.tracing.safety import redact
from holdfast.values.endings import at_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.duration import Duration

CAPACITY = 10_000
EXIT_TIMEOUT = 2.0
LAST_WORDS = 0.25  # seconds of them that are left for saying what is lost: a busy machine runs no thread at once
FORK_TIMEOUT = 0.1
BATCH = 512
REASON_LIMIT = 300
PULSE = 1.0

_lanes: list[Lane] = []
_synchronous = False


class _Mark(NamedTuple):
    """Travels through a lane behind what was sent before it; ``arrived`` is set then, after the sink was closed where it is the last."""

    arrived: threading.Event
    is_last: bool


class Pulse(Protocol):
    """Something to be done on a lane's thread now and then."""

    def is_needed(self) -> bool:
        """Whether there is anything to do; until there is, nobody looks at the clock."""
        ...

    def beat(self) -> None:
        """Do it."""


class Lane:
    """A bounded queue and a daemon thread in front of one sink.

    Args:
        name: What leaves here, for messages; for example ``lines``.
        write: Takes a list of items, on the lane's thread. May hang or raise; returns False when it has lost them and has said so itself.
        capacity: Most items waiting; further ones are dropped and counted.
        batch: Most items in one ``write``.
        linger: Seconds to collect items before writing.
        say: Told once when items are first dropped, and once when ``write`` first raises; None says it on stderr.
        pulse: Done every `PULSE` seconds, between writes, while it is needed; call `wake` when that begins.
        at_end: Closes what the sink has open, on the lane's thread, when the process ends; what is sent later opens it again.

    Attributes:
        dropped: Items dropped because the lane was full or closed.
        failed: Items lost because ``write`` raised or returned False.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[Any]], object],
        *,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        linger: float = 0.02,
        say: Callable[[str], object] | None = None,
        pulse: Pulse | None = None,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self.name = name
        self._pulse = pulse
        self._at_end = at_end
        self._write = write
        self._capacity, self._room = capacity, capacity - capacity // 10
        self._batch = batch
        self._linger = linger
        self._say = stderr if say is None else say
        self._is_closed = False
        self._has_complained = False
        self.reset()
        _lanes.append(self)

    def reset(self) -> None:
        """Start afresh in a forked child: nothing queued or lost, no thread, locks nobody holds."""
        self.dropped = self.failed = 0
        self._lost_before = 0  # at the last flush
        self._items: deque[Any] = deque()
        self._taken = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._is_awake = False  # what the event says, without the call that asks it
        self._hurry = threading.Event()
        self.writing = threading.Lock()
        self._next_beat = 0.0

    def send(self, item: Any) -> None:
        """Queue ``item``. Never blocks, never raises."""
        if _synchronous:
            self._deliver([item])
            return
        if self._is_closed or (len(self._items) >= self._room and self._is_full_for(item)):
            self._drop()
            return
        self._items.append(item)
        if not self._is_awake:
            self._rouse()

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far was handed to the sink.

        Returns:
            False when ``timeout`` seconds were not enough, or when anything was lost since the last flush.
        """
        has_arrived = self.mark().wait(waitable(timeout))
        return not self.has_lost_more() and has_arrived

    @property
    def lost(self) -> int:
        """How many items were dropped, or refused by the sink."""
        return self.dropped + self.failed

    def has_lost_more(self) -> bool:
        """Whether anything was lost since this was last asked."""
        before, self._lost_before = self._lost_before, self.lost
        return self._lost_before > before

    def mark(self, *, is_last: bool = False) -> threading.Event:
        """Hurry, and return an event that is set when everything sent so far was handed to the sink, and that was closed if asked for."""
        mark = _Mark(threading.Event(), is_last and self._at_end is not None and self._thread is not None)
        if not (self._items or mark.is_last or self.writing.locked()):
            mark.arrived.set()
            return mark.arrived
        self._items.append(mark)
        self._hurry.set()
        self._rouse()
        return mark.arrived

    def waiting(self) -> int:
        """How many items have not been handed to the sink, or not been taken by it."""
        return self._taken + sum(not isinstance(item, _Mark) for item in list(self._items))

    def close(self, timeout: float) -> bool:
        """Flush, say how much was lost, then take nothing more. A closed lane is not waited for at exit."""
        is_flushed = self.flush(timeout)
        if not self._is_closed:
            self.tell_losses(self._say)
        self._is_closed = True
        with suppress(ValueError):  # closed before
            _lanes.remove(self)
        return is_flushed

    def tell_losses(self, say: Callable[[str], object]) -> None:
        """Say how many items have not arrived and will not."""
        if left := self.waiting():
            were, they = ("item was", "it is") if left == 1 else ("items were", "they are")
            say(f"holdfast: {left} {were} still waiting for {self.name} at the end; {they} lost")
        if lost := self.lost:
            what, were = ("item", "was") if lost == 1 else ("items", "were")
            say(f"holdfast: {lost} {what} for {self.name} {were} lost on the way")

    def wake(self) -> None:
        """Have the pulse looked at. Never blocks, never raises."""
        if not (self._is_awake or self._is_closed or _synchronous):
            self._rouse()

    def _rouse(self) -> None:
        if self._thread is None and not self._start():
            return
        self._is_awake = True
        self._wake.set()

    def _start(self) -> bool:
        """Have the thread; False where none is to be had: whoever sends the next item tries again."""
        with self._starting:
            if self._thread is not None:
                return True
            thread = threading.Thread(target=self._work, name=f"holdfast-{self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._is_closed = not threading.main_thread().is_alive()  # the interpreter is shutting down: nothing can leave any more
                return False
            self._thread = thread
        if self is _stderr:  # so once in a process
            _look_after_multiprocessing()
        elif _stderr._thread is None:  # at exit, when there may be something to say, Python 3.12 makes no threads
            _stderr._start()
        return True

    def _work(self) -> None:
        while True:
            if self._wake.wait(self._until_beat()):
                self._hurry.wait(self._linger)
                self._hurry.clear()
                self._wake.clear()
                self._is_awake = False  # before draining: whoever appends from now on wakes us again
                while self._items:
                    self._drain_batch()
            if self._until_beat() == 0.0 and self._pulse is not None:
                self._beat(self._pulse)

    def _until_beat(self) -> float | None:
        """Seconds until the next beat of the pulse; None while none is needed."""
        if self._pulse is None or self._is_closed or not self._pulse.is_needed():
            return None
        return max(0.0, self._next_beat - time.monotonic())

    def _beat(self, pulse: Pulse) -> None:
        self._next_beat = time.monotonic() + PULSE
        with self.writing:
            self._do(pulse.beat)

    def _do(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - a firewall: said once
            self.complain(describe(error))

    def _drain_batch(self) -> None:
        batch: list[Any] = []
        mark: _Mark | None = None
        with self.writing:  # taken before anything leaves the queue, so that flush can tell an idle lane
            while self._items and len(batch) < self._batch:
                item = self._items.popleft()
                if isinstance(item, _Mark):
                    mark = item
                    break
                batch.append(item)
            self._taken = len(batch)
            if batch:
                self._deliver(batch)
            self._taken = 0
            if mark is not None and mark.is_last and self._at_end is not None:
                self._do(self._at_end)
        if mark is not None:
            mark.arrived.set()

    def _deliver(self, batch: list[Any]) -> None:
        try:
            if self._write(batch) is False:
                self.failed += len(batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a firewall: counted and said once
            self.failed += len(batch)
            self.complain(describe(error))

    def complain(self, reason: str) -> None:
        """Say, once, that this sink does not work."""
        if not self._has_complained:
            self._has_complained = True
            self._say(f"holdfast: {self.name} does not work, calls go on without it: {redact.scrub(reason)[:REASON_LIMIT]}")

    def _is_full_for(self, item: Any) -> bool:
        """The last tenth is not for spans inside others: a trace's root ends last, and without it the trace has no name."""
        return len(self._items) >= self._capacity or getattr(item, "parent", None) is not None

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped == 1:
            reason = "it was closed" if self._is_closed else f"{len(self._items):,} items are waiting"
            self._say(f"holdfast: {self.name} is being dropped because {reason}; calls go on")


def describe(error: BaseException) -> str:
    """Class and text of an error, whatever its own ``__str__`` does."""
    try:
        return str(error) if type(error) is HoldfastError else f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose text raises is still to be reported
        return type(error).__name__


def _write_stderr(lines: list[object]) -> None:
    stream = sys.stderr
    if stream is None:  # so it is under pythonw
        return
    stream.write("".join(redact.printable(str(line)) + "\n" for line in lines))
    stream.flush()


_stderr = Lane("stderr", _write_stderr, linger=0.005, say=lambda _: None)  # stderr cannot tell of its own trouble


def stderr(line: object) -> None:
    """Write ``str(line)`` to stderr as one line; control characters are escaped, so that nothing can forge a second one."""
    _stderr.send(line)


_said: set[str] = set()


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        stderr(line)


redact.complain = _say_once


def flush(timeout: Duration = EXIT_TIMEOUT) -> bool:
    """Wait until everything that was to leave has left.

    Args:
        timeout: The most to wait, for all sinks together: seconds, a timedelta or text like ``"1.5s"``.

    Returns:
        False when a sink did not take everything in time, or when anything was lost since the last flush.

    Raises:
        PolicyError: ``timeout`` is no duration.
    """
    ends = time.monotonic() + waitable(patience(timeout, what="timeout"))
    has_left = _flush_sinks(ends)
    return _stderr.flush(max(0.05, ends - time.monotonic())) and has_left  # last: the others may have had to say something


def _flush_sinks(ends: float, *, is_last: bool = False) -> bool:
    """Wait for all but stderr, until ``ends`` of the monotonic clock; False when that was not enough, or anything was lost since the last time."""
    lanes = [lane for lane in list(_lanes) if lane is not _stderr]
    marks = [lane.mark(is_last=is_last) for lane in lanes]
    are_flushed = [arrived.wait(max(0.0, ends - time.monotonic())) for arrived in marks]
    return all([*are_flushed, *[not lane.has_lost_more() for lane in lanes]])


def _at_exit() -> None:
    """Give everything `EXIT_TIMEOUT` seconds to leave and to be closed, and say what did not leave."""
    ends = time.monotonic() + EXIT_TIMEOUT
    _flush_sinks(ends - LAST_WORDS, is_last=True)
    for lane in [each for each in _lanes if each is not _stderr]:
        lane.tell_losses(stderr)
    _stderr.flush(max(0.05, ends - time.monotonic()))


def synchronous(value: bool) -> bool:  # noqa: FBT001 - a switch
    """Write on the caller's thread instead of the lanes' (for tests); return the previous setting."""
    global _synchronous
    previous, _synchronous = _synchronous, value
    return previous


_forking: list[Lane] = []


def _before_fork() -> None:
    """Wait for writes under way to finish, so that the child inherits no sink's lock; a hanging sink is not waited for."""
    ends = time.monotonic() + FORK_TIMEOUT
    _forking.extend(lane for lane in list(_lanes) if lane.writing.acquire(timeout=max(0.0, ends - time.monotonic())))


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().writing.release()


def _after_fork_in_child() -> None:
    _forking.clear()
    for lane in _lanes:
        lane.reset()


def _look_after_multiprocessing() -> None:
    """Children of multiprocessing leave by ``os._exit``, past atexit; their own finalizers do run."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        with suppress(Exception):  # only spans at stake
            util.Finalize(None, _at_exit, exitpriority=100)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
at_end(_at_exit)
