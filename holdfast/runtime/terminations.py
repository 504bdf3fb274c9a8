"""SIGTERM while a loop of ours runs: a handler of the program's may raise, as `sys.exit` does, but not in the middle of asyncio.

Python calls a signal's handler between any two instructions of the main thread. What it raises there takes the wake-up of a task with it, or half of
what a callback does, and then asyncio's own clearing up waits for that task for ever. For Ctrl-C `asyncio.Runner` provides, this is for
the signals that end a process: the handler is called at once, as ever, and what it raises ends the loop between two callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]

T = TypeVar("T")

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class _Ending:
    """What handlers have raised while a loop ran, and how the loop is told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.error: BaseException | None = None
        self._loop = loop
        self._pid = os.getpid()
        self._is_running = True
        self._stop: asyncio.Handle | None = None

    def call(self, handler: Handler, signum: int, frame: FrameType | None) -> None:
        """Call a handler. Who signals again after it has raised does not want to wait; nor has a forked child anything to wait for."""
        try:
            handler(signum, frame)
        except BaseException as error:
            if self.error is not None or os.getpid() != self._pid:
                raise
            self.error = error
            if self._is_running:
                self._stop = self._loop.call_soon_threadsafe(self._loop.stop)

    def ran(self) -> None:
        """The body has ended, or was stopped: the rest of the loop's life is not to be cut short."""
        self._is_running = False
        if self._stop is not None:
            self._stop.cancel()


class _Held:
    """In the place of a handler of the program's."""

    def __init__(self, handler: Handler, ending: _Ending) -> None:
        self.handler = handler
        self.ending = ending

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.ending.call(self.handler, signum, frame)


def run(body: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`; what the program's handlers of signals that end a process raise meanwhile is raised from here.

    Args:
        body: What to run. No loop may be running on this thread.

    Returns:
        What it returns.
    """
    runner = asyncio.Runner()
    ending = _Ending(runner.get_loop())
    try:
        with _handlers_held(ending), runner:
            try:
                return runner.run(body)
            finally:
                ending.ran()
    finally:
        if ending.error is not None:
            raise ending.error from None  # what the stopped loop says of it


@contextlib.contextmanager
def _handlers_held(ending: _Ending) -> Generator[None]:
    if threading.current_thread() is threading.main_thread():  # no other is interrupted
        with contextlib.suppress(ValueError):  # Python takes another thread for the main one, as in a program that embeds it
            _hold(ending)
    try:
        yield
    finally:
        for signum in _ENDING:
            handler = signal.getsignal(signum)
            if isinstance(handler, _Held) and handler.ending is ending:  # not one that was set meanwhile
                signal.signal(signum, handler.handler)


def _hold(ending: _Ending) -> None:
    for signum in _ENDING:
        handler = signal.getsignal(signum)
        if callable(handler):  # not what the system does by itself
            signal.signal(signum, _Held(handler, ending))
