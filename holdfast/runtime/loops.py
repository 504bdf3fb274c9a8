"""The event loop of this thread, and waking the loops of others: one wake-up for all that gathers until a loop looks."""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

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


def refuse_to_block(future: object) -> None:
    """Raise asyncio's error for somebody who is about to wait for ``future`` on the thread of a loop."""
    import asyncio

    msg = f"{future!r} is not done, and .result() would block the event loop it is needed on: write `await future`"
    raise asyncio.InvalidStateError(msg)


_Letter = tuple["Callable[[Any], object]", Any, "Context | None"]


class _Box:
    """Mail for one loop.

    Without a lock, as a deque's own steps are atomic: the loop, once woken, would find it held by the very thread that woke it, and a thread
    that has to wait for another costs 25 us.
    """

    __slots__ = ("_is_awake", "_letters")

    def __init__(self) -> None:
        self._letters: deque[_Letter] = deque()
        self._is_awake = False  # the loop is sure to come and look

    def post(self, loop: asyncio.AbstractEventLoop, letter: _Letter) -> None:
        self._letters.append(letter)
        if self._is_awake:
            return
        try:
            self._is_awake = True
            loop.call_soon_threadsafe(self._deliver, loop)
        except BaseException as error:  # a box that nobody comes to empty would swallow all later mail
            self._is_awake = False
            if not isinstance(error, RuntimeError):  # Ctrl-C
                raise
            self._letters.clear()  # the loop was closed: nobody is left to hear

    def _deliver(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_awake = False  # before looking: whoever posts from now on wakes the loop again
        count = len(self._letters)
        if count == 1:  # now, as one more round of the loop would look at its sockets first
            fn, argument, context = self._letters.popleft()
            fn(argument) if context is None else context.run(fn, argument)
            return
        for _ in range(count):
            fn, argument, context = self._letters.popleft()
            loop.call_soon(fn, argument, context=context)


_boxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Box] = WeakKeyDictionary()


def forget_closed(kept: WeakKeyDictionary[asyncio.AbstractEventLoop, Any]) -> None:
    """Let go of what is kept for loops that were closed. Mail that was never delivered leads to the loop that it is for, and would keep it for ever."""
    for reference in kept.keyrefs():
        loop = reference()
        if loop is not None and loop.is_closed():
            kept.pop(loop, None)


def post(loop: asyncio.AbstractEventLoop, fn: Callable[[Any], object], argument: Any, context: Context | None = None) -> None:
    """Call ``fn(argument)`` on ``loop`` soon. Posts from other threads are delivered together: one wake-up of the loop for many."""
    box = _boxes.get(loop)
    if box is None:
        forget_closed(_boxes)
        box = _boxes.setdefault(loop, _Box())
    box.post(loop, (fn, argument, context))


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_boxes.clear)  # the thread that was about to wake a loop is not there
