"""SIGTERM while a loop of ours runs: a handler of the program's that raises, as `sys.exit` does, must not do so in the middle of asyncio.

Python calls a signal's handler between any two instructions of the main thread. What it raises there takes the wake-up of a task with it, or half of
what a callback does, and then asyncio's own clearing up waits for that task for ever. For Ctrl-C `asyncio.Runner` provides, this is for
the signals that end a process: the handler is called by the loop, between two callbacks.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]

T = TypeVar("T")

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class _Polite:
    """Has the loop call a handler; whoever signals again before that, or after it has raised, does not want to wait."""

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler
        self.loop = loop
        self._first: asyncio.Handle | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self._first is None and not self.loop.is_closed():
            self._first = self.loop.call_soon_threadsafe(self._call, signum, frame)
            return
        if self._first is not None:
            self._first.cancel()
        self.handler(signum, frame)

    def _call(self, signum: int, frame: FrameType | None) -> None:
        self.handler(signum, frame)
        self._first = None


def run(body: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, for the length of which the program's handlers of signals that end a process are called between two callbacks.

    Args:
        body: What to run. No loop may be running on this thread.

    Returns:
        What it returns.
    """
    import asyncio

    runner = asyncio.Runner()
    with _between_callbacks(runner.get_loop()), runner:
        return runner.run(body)


@contextlib.contextmanager
def _between_callbacks(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    if threading.current_thread() is threading.main_thread():  # no other is interrupted
        _install(loop)
    try:
        yield
    finally:
        for signum in _ENDING:
            handler = signal.getsignal(signum)
            if isinstance(handler, _Polite) and handler.loop is loop:  # not one that was set meanwhile
                signal.signal(signum, handler.handler)


def _install(loop: asyncio.AbstractEventLoop) -> None:
    for signum in _ENDING:
        handler = signal.getsignal(signum)
        if callable(handler):  # not what the system does by itself
            signal.signal(signum, _Polite(handler, loop))
