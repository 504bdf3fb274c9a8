"""The one place holdfast reads time, waits, and draws chance from; tests install another one.

``clock.current`` is the clock in force, for the whole process. `holdfast.testing.FakeClock` installs itself here.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

LONGEST_WAIT = min(100 * 365 * 86_400.0, threading.TIMEOUT_MAX)
"""Seconds that a thread waits at most, a century (49 days on Windows): locks and sleeps take no more than ``threading.TIMEOUT_MAX``."""


def waitable(seconds: float) -> float:
    """A duration as a thread can wait for it: `LONGEST_WAIT` where it is longer, for nobody sees the end of that.

    >>> waitable(0.5), waitable(1e300) == LONGEST_WAIT
    (0.5, True)
    """
    return min(seconds, LONGEST_WAIT)


class Clock:
    """The system's clock. Durations are seconds, moments are seconds (or nanoseconds) since the epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def draw(self) -> float:
        """A random number in [0, 1), for jitter."""
        return random.random()  # noqa: S311 - jitter is not a secret

    def sleep(self, seconds: float) -> None:
        """Block this thread.

        Args:
            seconds: For how long.
        """
        time.sleep(waitable(seconds))

    def pause(self, seconds: float, until: threading.Event) -> bool:
        """Block this thread for some time, or until something happens: a sleep that may be cut short, not a time limit.

        Args:
            seconds: For how long.
            until: What cuts it short.

        Returns:
            Whether the event is set.
        """
        return until.wait(waitable(seconds))

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this asyncio task.

        Args:
            seconds: For how long.
        """
        import asyncio

        await asyncio.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until something happens, for a limited time.

        Args:
            event: What is waited for.
            seconds: For how long at most; None waits for ever.

        Returns:
            Whether the event is set.
        """
        return event.wait(None if seconds is None else waitable(seconds))

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Limit the time of a block.

        Args:
            seconds: The limit.

        Returns:
            An async context that raises TimeoutError when its body takes longer. The object entered has ``expired() -> bool``, as
            `asyncio.timeout` has.
        """
        import asyncio

        return asyncio.timeout(seconds)


current: Clock = Clock()


def install(clock: Clock) -> Clock:
    """Make ``clock`` the current one for the whole process and return the one it replaces."""
    global current
    previous, current = current, clock
    return previous
