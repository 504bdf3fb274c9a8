"""The process's background event loop: where async tasks of sync runs execute."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_loop: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop, running on a daemon thread of its own; made at the first call."""
    global _loop  # noqa: PLW0603 - one per process is the point
    import asyncio

    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="holdfast-loop", daemon=True).start()
        return _loop


def _forget_in_child() -> None:
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_in_child)
