"""The process's background event loops: where async tasks of sync runs execute.

One is enough as long as nobody blocks it. A body on it that invokes a sync run does: that run's own async tasks then go to a second loop,
one level up, and so on.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_loops: list[asyncio.AbstractEventLoop] = []
_lock = threading.Lock()


def background_loop(level: int = 0) -> asyncio.AbstractEventLoop:
    """The loop of a level, running on a daemon thread of its own; made at the first call.

    Raises:
        RuntimeError: The system allows no more threads, or no more open files, of which a loop has some.
    """
    with _lock:
        while len(_loops) <= level:
            try:
                import asyncio  # which may be the first time

                loop = asyncio.new_event_loop()
            except OSError as error:
                msg = f"there is no event loop for async tasks: {error}"
                raise RuntimeError(msg) from error
            try:
                threading.Thread(target=loop.run_forever, name="holdfast-loop", daemon=True).start()
            except RuntimeError:
                loop.close()
                raise
            _loops.append(loop)
        return _loops[level]


def level_above(loop: asyncio.AbstractEventLoop | None) -> int:
    """The lowest level whose loop goes on while ``loop`` is blocked."""
    with _lock:
        return next((level for level, each in enumerate(_loops, 1) if each is loop), 0)


def _forget_in_child() -> None:
    global _loops, _lock
    _loops, _lock = [], threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
