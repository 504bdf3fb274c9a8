"""Which threads of this process may still go on by themselves: what a `FakeClock` must know before it lets virtual time pass.

A snapshot of all threads' innermost frames (`sys._current_frames`) is taken while holding the GIL. A thread is *parked* when its frame
stands at one of the few places below, where only another thread can free it, and nobody has done so yet: a notified waiter, or a loop
with callbacks ready, is about to run although its frame has not moved. Whatever is not provably parked counts as *busy*. A busy thread
that stays at one instruction for many looks sits in a C call (a socket, a real sleep, a lock); how long to respect that is up to the caller.
Where the system tells, one that has the processor or waits for a turn on it does not stand still, whatever its frame says.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.runtime.standstill import current_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import CodeType, FrameType

Position = tuple[int, int]
"""Identity of a frame and the instruction it stands at."""
Stack = list[tuple["CodeType", int]]
"""What a thread is in, the innermost first, and the line each stands at: the head of a loop is at one instruction first and at another one later."""

_SETTLED_LOOKS = 100
"""Looks after which a thread rests again that has come back to where it blocked at the start; sooner it may just pass by there."""
_TASKS = Path("/proc/self/task")
"""What Linux knows of this process's threads."""
_FAR = 1.0
"""Seconds: an event loop's own timer further off than this does not keep it from counting as parked."""


class Watch:
    """Looks at the other threads again and again, and remembers since how many looks each has not moved."""

    def __init__(self) -> None:
        """Know no thread yet."""
        self._unmoved: dict[int, tuple[Position, float]] = {}
        self._resting: dict[int, Stack] = {}

    def excuse_present(self) -> None:
        """Take the places where other threads block right now for places of rest: helpers of the test runner, servers, old pools."""
        own = threading.get_ident()
        frames = {ident: frame for ident, frame in current_frames().items() if ident != own}
        self._unmoved = {ident: (_position(frame), math.inf) for ident, frame in frames.items()}
        self._resting = {ident: _stack(frame) for ident, frame in frames.items()}

    def stillness(self, ignored: Collection[int], *, calm: float, is_look: bool) -> float:
        """Say for how many looks the most restless thread has stood still.

        Args:
            ignored: Identifiers of threads that need no judging.
            calm: Looks since the clock last did anything. An event loop in `select` stands still for no longer than this: unlike other
                calls, one `select` cannot be told from the next.
            is_look: True when real time has passed since the last look, so that standing still means something.

        Returns:
            Infinity when every thread is parked (or excused), else the smallest number of looks that a busy thread has not moved for.
        """
        frames = {ident: frame for ident, frame in current_frames().items() if ident not in ignored}
        before = {ident: _position(frame) for ident, frame in frames.items()}
        still = math.inf
        for ident, frame in frames.items():
            looks = self._still(ident, frame, before[ident], is_look=is_look)
            still = min(still, looks if looks == math.inf or frame.f_code.co_name != "select" else min(looks, calm))
        if any(thread.ident is None for thread in threading.enumerate()):
            return 0  # started, but its first instruction is still to come; asked between the looks, or it could begin unseen by either
        after = {ident: _position(frame) for ident, frame in current_frames().items() if ident not in ignored}
        return still if before == after else 0  # else another thread got the GIL meanwhile, and the answer is of no use

    def _still(self, ident: int, frame: FrameType, position: Position, *, is_look: bool) -> float:
        if is_parked(frame):
            return math.inf
        if _place(frame) in _PLACES or _is_loop_awake(frame):
            return 0  # freed already, and about to run: not even a place excused at the start is one of rest then
        known, looks = self._unmoved.get(ident, (None, 0))
        looks = looks + is_look if known == position and not (is_look and is_runnable(ident)) else 0
        if looks == _SETTLED_LOOKS and self._resting.get(ident) == _stack(frame):
            looks = math.inf  # one that reads what it is sent, and has come back to its place of rest
        self._unmoved[ident] = (position, looks)
        return looks


def is_parked(frame: FrameType) -> bool:
    """Tell whether the thread whose innermost frame this is cannot go on before another thread does something."""
    check = _PLACES.get(_place(frame))
    if check is not None:
        return check(frame.f_locals)
    if frame.f_code.co_name == "select" and frame.f_back is not None:
        return _is_selector_parked(frame.f_back)
    return False


def is_runnable(ident: int) -> bool:
    """Tell whether a thread has the processor or waits for a turn on it, as far as the system tells: False where it does not.

    On a busy machine a thread may wait so for longer than any real call that is respected takes. See proc_pid_stat(5): the state
    is the field behind the name, which stands in brackets and may have some of its own.
    """
    native = next((thread.native_id for thread in threading.enumerate() if thread.ident == ident), None)
    with suppress(OSError):  # it has ended, or this is no Linux
        return (_TASKS / str(native) / "stat").read_bytes().rpartition(b") ")[2].startswith(b"R")
    return False


def _place(frame: FrameType) -> tuple[str, str]:
    return frame.f_globals.get("__name__", ""), frame.f_code.co_qualname


def _position(frame: FrameType) -> Position:
    return id(frame), frame.f_lasti


def _stack(frame: FrameType | None) -> Stack:
    found: Stack = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return found


def _in_condition(local: dict[str, Any]) -> bool:
    # `notify` takes the waiter's lock out of the list: from then on the thread is as good as running. The lock itself says nothing,
    # because the woken thread has taken it again before it gets the GIL.
    return "waiter" in local and local["waiter"] in local["self"]._waiters  # noqa: SLF001


def _in_join(local: dict[str, Any]) -> bool:
    # Not `is_alive`: it asks the very lock that the woken joiner holds before it gets the GIL.
    return local["self"] in threading.enumerate()


def _in_pool(local: dict[str, Any]) -> bool:
    jobs, executor = local["work_queue"], local["executor_reference"]()
    if "work_item" in local or not jobs.empty() or executor is None or executor._shutdown:  # noqa: SLF001
        return False  # has a job, or is about to find one, or to end
    count_idle: int = executor._idle_semaphore._value  # noqa: SLF001
    return _count_waiting(jobs) <= count_idle


def _count_waiting(jobs: object) -> int:
    """Workers at the queue of a pool.

    One of them may have a job that is neither in the queue nor in a variable yet: it waits for the GIL, or, since 3.13, was handed the job by
    the queue and has yet to wake. But `submit` has counted one idle worker less by then. Before 3.12 a worker that finds its next job in the
    queue counts itself idle all the same; where that has happened, the count is too high, and such a job may be overlooked.
    """
    frames = current_frames().values()
    return sum(_place(frame) == _POOL_WORKER and frame.f_locals["work_queue"] is jobs for frame in frames)


def _in_inbox(local: dict[str, Any]) -> bool:
    return "_token" not in local and not local["self"].has_items()


def _is_selector_parked(caller: FrameType) -> bool:
    place = _place(caller)
    if place == ("socketserver", "BaseServer.serve_forever"):
        return True  # waits for a client; a client of this process is itself busy, on its socket
    return place == _LOOP and _is_loop_parked(caller.f_locals["self"])


def _is_loop_awake(frame: FrameType) -> bool:
    """Tell whether a thread in `select` runs an event loop that has been given something to do."""
    caller = frame.f_back if frame.f_code.co_name == "select" else None
    return caller is not None and _place(caller) == _LOOP and bool(caller.f_locals["self"]._ready)  # noqa: SLF001


def _is_loop_parked(loop: Any) -> bool:  # the private parts of BaseEventLoop have no types
    """Nothing ready, no socket but its own wake-up pipe, no timer of its own that is due soon."""
    if loop._ready or len(loop._selector.get_map()) > 1:  # noqa: SLF001
        return False
    soon = loop.time() + _FAR
    return all(handle.cancelled() or handle.when() > soon for handle in loop._scheduled)  # noqa: SLF001


_LOOP = ("asyncio.base_events", "BaseEventLoop._run_once")
_POOL_WORKER = ("concurrent.futures.thread", "_worker")
_PLACES: dict[tuple[str, str], Callable[[dict[str, Any]], bool]] = {
    ("threading", "Condition.wait"): _in_condition,  # and so Event, Semaphore, Barrier, queue.Queue, Future.result
    ("threading", "Thread._wait_for_tstate_lock"): _in_join,  # join, until Python 3.12
    ("threading", "Thread.join"): _in_join,  # join, from Python 3.13
    _POOL_WORKER: _in_pool,
    ("holdfast.runtime.inbox", "Inbox.take"): _in_inbox,  # an idle worker thread of ours, or the reader of a stream
}
"""Module and function in which a thread blocks -> is it still blocked, judged by that function's local variables."""
