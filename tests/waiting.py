"""Waiting in tests: for a condition, as long as it takes, and never for an amount of time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
