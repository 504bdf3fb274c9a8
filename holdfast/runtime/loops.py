"""The event loop of this thread, and waking the loops of others: one wake-up for all that gathers until a loop looks."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

_ask_loop: Callable[[], asyncio.AbstractEventLoop | None] | None = None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop running on this thread, without importing asyncio for those who do not use it."""
    global _ask_loop  # noqa: PLW0603 - filled once
    if _ask_loop is None:
        loaded: Any = sys.modules.get("asyncio")
        if loaded is None or not hasattr(loaded, "_get_running_loop"):
            return None
        _ask_loop = cast("Callable[[], asyncio.AbstractEventLoop | None]", loaded._get_running_loop)  # noqa: SLF001 - get_running_loop raises
    return _ask_loop()


_Letter = tuple["Callable[[Any], object]", Any, "Context | None"]
_mail: dict[int, tuple[asyncio.AbstractEventLoop, list[_Letter]]] = {}  # the loop is held, so that its id is not used again meanwhile
_mail_lock = threading.Lock()


def post(loop: asyncio.AbstractEventLoop, fn: Callable[[Any], object], argument: Any, context: Context | None = None) -> None:
    """Call ``fn(argument)`` on ``loop`` soon. Posts from other threads are delivered together: one wake-up of the loop for many."""
    letter = (fn, argument, context)
    with _mail_lock:
        box = _mail.get(id(loop))
        if box is not None:
            box[1].append(letter)
            return
        for key in [key for key, (other, _) in _mail.items() if other.is_closed()]:
            del _mail[key]
        try:
            _mail[id(loop)] = (loop, [letter])
            loop.call_soon_threadsafe(_deliver, loop)
        except BaseException as error:  # a box that nobody comes to empty would swallow all later mail
            _mail.pop(id(loop), None)
            if not isinstance(error, RuntimeError):  # Ctrl-C; a RuntimeError means that the loop was closed: nobody is left to hear
                raise


def _deliver(loop: asyncio.AbstractEventLoop) -> None:
    with _mail_lock:
        _, letters = _mail.pop(id(loop), (loop, []))
    for fn, argument, context in letters:
        loop.call_soon(fn, argument, context=context)


def _forget_in_child() -> None:
    global _mail_lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _mail_lock = threading.Lock()
    _mail.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
