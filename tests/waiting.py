"""Waiting in tests: for a condition, as long as it takes, and never for an amount of time; and how a process is interrupted that waits."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

LIMIT = 60.0
"""Seconds. A test that waits so long has failed, however slow the machine."""


def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition()`` is true."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.001)


async def until_async(condition: Callable[[], object]) -> None:
    """The same, while the event loop goes on."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "waited too long"
        await asyncio.sleep(0.001)


LETS_BE_NUDGED = "import signal; signal.signal(signal.SIGURG, lambda *_: None)"
"""A line for programs that are given to `interrupt`."""


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C.

    CPython notices a signal that comes in the very instant before its main thread begins to wait when that wait is over, which may be never.
    Another signal ends the wait; one that does nothing is sent until the process has ended.
    """
    process.send_signal(signal.SIGINT)

    def nudge() -> None:
        while process.poll() is None:
            process.send_signal(signal.SIGURG)
            time.sleep(0.05)

    threading.Thread(target=nudge, daemon=True).start()
