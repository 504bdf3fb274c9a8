"""The one place holdfast reads time, waits, and draws chance from; tests install another one.

``clock.current`` is the clock in force, for the whole process. `holdfast.testing.FakeClock` installs itself here.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractAsyncContextManager


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
        time.sleep(seconds)

    def pause(self, seconds: float, until: threading.Event) -> bool:
        """Block this thread for some time, or until something happens: a sleep that may be cut short, not a time limit.

        Args:
            seconds: For how long.
            until: What cuts it short.

        Returns:
            Whether the event is set.
        """
        return until.wait(seconds)

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
        return event.wait(seconds)

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
