"""Virtual time: who waits until when, and when it may pass. The engine of `FakeClock`.

Theory of operation. Virtual time stands still while anyone computes. Whoever sleeps, waits for an event with a limit, or opens a timeout
is entered in an agenda ordered by virtual deadline. When nobody can go on without time passing, time jumps to the first deadline, that
one waiter is woken, and only when everything has come to rest again is the next one looked at. So the order of wake-ups is the order of
deadlines, however the operating system schedules the threads (ties: limits first, then first come first served).

"Nobody can go on" is judged for every thread of the process by where it stands (`_threads.py`): waiting on this clock; parked on a
condition, event, queue, future, join or as an idle pool worker; or running an event loop with nothing ready, no socket and no near timer.
All parked: the jump comes at once. A thread that is parked by none of these may be in a real socket call or a real sleep. Time then
waits for it, but not for ever: `_SLEEP_LOOKS` looks (of 1 ms) at the same instruction before a sleep ends, ``patience`` before a limit
expires (a real answer may be on its way), and a second or two for a thread that never stops moving, or that computes (Linux tells who has
the processor, or waits for a turn on it). Looks are counted rather than measured, so that a starved machine delays a jump instead of
making it wrong. What blocked before the clock was installed does not count.

Who drives: the thread that enters the agenda tries at once, on its own stack, so a program of one thread never switches. If others are
busy, a helper thread ("holdfast-fake-clock", alive only while something is pending) looks again every millisecond.

Compare trio's MockClock (autojump when the loop is idle) and Temporal's time-skipping test server.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError
from holdfast.testing._agenda import Agenda, Kind, Wait
from holdfast.testing._threads import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK = 0.001
"""Real seconds between two looks at the other threads."""
_SLEEP_LOOKS = 20
"""Looks that a thread must have stood still in an unknown call before a sleep may end."""
_RESTLESS_LOOKS = 250
"""Looks after which time passes whatever the other threads do; each takes some 6 ms while one computes, for want of the GIL."""
_LINGER = 0.2
"""Real seconds that the helper thread outlives the last pending wait."""


class StuckClockError(HoldfastError, AssertionError):
    """Virtual time stood still while someone waited: with ``auto=False``, a forgotten `FakeClock.advance`."""


class VirtualTime:
    """Moves virtual time and wakes those who wait for it. All methods are thread-safe."""

    def __init__(self, *, auto: bool, patience: float, stuck_after: float) -> None:
        """See `FakeClock`."""
        self.now_ns = 0
        self._auto = auto
        self._limit_looks = max(_SLEEP_LOOKS, round(patience / _LOOK))
        self._stuck_after = stuck_after
        self._changed = threading.Condition(threading.Lock())
        self._agenda = Agenda()
        self._blocked: dict[int, Wait] = {}  # thread -> the wait it is blocked in, until it has resumed
        self._watch = Watch()
        self._calm = 0  # looks since anything was entered, released or given up
        self._moved = time.monotonic()
        self._helper: threading.Thread | None = None
        self._advancing = threading.Lock()
        self._is_open = True

    def open(self) -> None:
        """Begin: where other threads block at this moment does not count as work."""
        self._is_open = True
        self._watch.excuse_present()

    def close(self) -> None:
        """Let go of everyone who still waits, and of everyone who will: timeouts never expire, all other waits end at once."""
        with self._changed:
            self._is_open = False
            for wait in self._agenda:
                wait.is_over = True
                if not wait.is_timeout:
                    _wake(wait)
            helper = self._helper
            self._changed.notify_all()
        if helper is not None and helper is not threading.current_thread():
            helper.join()

    def enter(self, seconds: float, make: Callable[[int], Wait]) -> Wait:
        """Enter a wait of ``seconds``, made by ``make(deadline)``; time may reach it before this returns (``wait.is_over``)."""
        length = nanoseconds(seconds)
        with self._changed:
            wait = make(self.now_ns + length)
            if not self._is_open or (wait.kind is Kind.SLEEP and length == 0):
                wait.is_over = True
                return wait
            self._agenda.add(wait)
            self._calm = 0
            if wait.thread is not None:
                self._blocked[wait.thread] = wait
                self._jump_if_quiet(is_look=False)
            if not wait.is_over:
                self._call_helper()
        return wait

    def leave(self, wait: Wait) -> None:
        """Say that the waiter runs again, for whatever reason; raise what it must learn of."""
        with self._changed:
            wait.is_over = True
            self._calm = 0
            if wait.thread is not None and self._blocked.get(wait.thread) is wait:
                del self._blocked[wait.thread]
            self._changed.notify_all()
        if wait.error is not None:
            raise wait.error

    def advance(self, seconds: float) -> None:
        """See `FakeClock.advance`."""
        length = nanoseconds(seconds)
        with self._advancing, self._changed:
            target = self.now_ns + length
            self._calm = 0
            while True:
                self._refuse_on_own_loop(target)
                self._settle()
                wait = self._agenda.next()
                if wait is None or wait.deadline > target:
                    break
                self._release()
            self.now_ns = max(self.now_ns, target)
            self._moved = time.monotonic()

    def _release(self) -> None:
        """Move time to the next deadline and wake who waits for it."""
        waits = self._agenda.take()
        self.now_ns = max(self.now_ns, waits[0].deadline)
        self._moved = time.monotonic()
        self._calm = 0
        for wait in waits:
            wait.is_over = True
            _wake(wait)

    # -- judging ------------------------------------------------------------------------------------------------------------------------

    def _jump_if_quiet(self, *, is_look: bool) -> None:
        wait = self._agenda.next()
        if wait is None or not self._auto or self._advancing.locked():
            return
        needed = self._limit_looks if wait.kind is Kind.LIMIT else _SLEEP_LOOKS
        if self._stillness(is_look=is_look) >= needed or self._calm >= max(needed, _RESTLESS_LOOKS):
            self._release()

    def _stillness(self, *, is_look: bool) -> float:
        """Looks since anyone moved, infinite when nobody can; see `Watch.stillness`."""
        self._calm += is_look
        if any(wait.is_over or (wait.event is not None and wait.event.is_set()) for wait in self._blocked.values()):
            return 0  # woken, but has not run yet
        ignored = {*self._blocked, threading.get_ident()}
        if self._helper is not None and self._helper.ident is not None:
            ignored.add(self._helper.ident)
        return self._watch.stillness(ignored, calm=self._calm, is_look=is_look)

    def _settle(self) -> None:
        """Wait until every other thread has come to rest; called with the lock held, gives it up meanwhile."""
        is_look = False
        while self._stillness(is_look=is_look) < _SLEEP_LOOKS and self._calm < _RESTLESS_LOOKS:
            is_look = not self._changed.wait(_LOOK)

    def _refuse_on_own_loop(self, target: int) -> None:
        loops = [wait.loop for wait in self._agenda if wait.loop is not None and wait.deadline <= target]
        if loops and _running_loop() in loops:
            raise RuntimeError("advance() would block the event loop whose task is due: use `await clock.advance_async(...)`")

    # -- the helper thread --------------------------------------------------------------------------------------------------------------

    def _call_helper(self) -> None:
        if self._helper is not None and self._helper.is_alive():
            self._changed.notify_all()
            return
        self._helper = threading.Thread(target=self._help, name="holdfast-fake-clock", daemon=True)
        self._helper.start()

    def _help(self) -> None:
        with self._changed:
            is_look = False
            while self._is_open:
                if self._agenda.next() is not None:
                    self._jump_if_quiet(is_look=is_look)
                    self._fail_if_stuck()
                elif not self._changed.wait(_LINGER) and self._agenda.next() is None:
                    break
                is_look = not self._changed.wait(_LOOK)
            self._helper = None

    def _fail_if_stuck(self) -> None:
        """Without this a forgotten `advance` would hang the test."""
        oldest = min((wait.since for wait in self._agenda if not wait.is_timeout), default=math.inf)
        if self._auto or time.monotonic() - max(oldest, self._moved) < self._stuck_after:
            return
        waits = [wait for wait in self._agenda if not wait.is_timeout]
        lines = "".join(f"\n  {wait}" for wait in waits)
        for wait in waits:
            wait.error = StuckClockError(
                f"virtual time stands at {self.now_ns / 1e9:g} s since {self._stuck_after:g} real seconds, and these wait for it:{lines}\n"
                "call clock.advance(seconds), or let time jump by itself with FakeClock(auto=True)"
            )
            wait.is_over = True
            _wake(wait)


def nanoseconds(seconds: float) -> int:
    """Convert a length of time, refusing what no clock can wait for."""
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"cannot wait {seconds!r} seconds: give a finite number, 0 or more")
    return round(seconds * 1e9)


def _wake(wait: Wait) -> None:
    with suppress(RuntimeError):  # the event loop was closed with the task still pending: nobody is left to wake
        wait.wake()


def _running_loop() -> object:
    import asyncio  # only called when a loop waits, so it is loaded already

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
