"""Does the computation we wait for wait for this very thread?

What a call is inside of, `holdfast.runtime.flight` knows from context variables, and a `ThreadPoolExecutor` or `Thread` of the body's own
starts without them. A call made there, with the key of the computation that waits for it, would wait for ever. Nothing but the threads'
stacks tells: one stands in a `result`, `wait`, `as_completed`, `map`, `join` or ``with`` that names another thread, or the future which
another is working for, and so on to ours. Nobody is taken for waiting who does not. Not seen is a wait through something else: a queue,
an event loop.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

_WAITING = frozenset({"threading", "concurrent.futures._base", "concurrent.futures.thread", "holdfast.runtime.future"})
"""Modules of which the innermost frames of a waiting thread are."""
_WORKING = frozenset({("concurrent.futures.thread", "_WorkItem.run"), ("holdfast.runtime.state", "Call.work")})
"""Where a thread works for the ``future`` of ``self``."""
_COLLECTIONS = (list, tuple, set, frozenset, dict, deque)


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of every thread, by its identifier; `sys._current_frames` without the garbage collector.

    CPython takes the lock of all threads' states for it. A collection in the middle of it runs Python code, another thread gets the GIL, and if
    that one starts a thread, it waits for the lock with the GIL in its hands, for ever: https://github.com/python/cpython/issues/106883.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
    finally:
        if is_collecting:
            gc.enable()


def waits_for_this_thread(ident: int, computing: Iterable[tuple[Any, int]]) -> bool:
    """True when a thread cannot go on before the calling thread has ended what it does.

    Args:
        ident: The thread's identifier.
        computing: Futures of computations, and the identifiers of the threads they are made on.
    """
    frames = current_frames()
    threads = {thread.ident: thread for thread in threading.enumerate()}
    works = {each: {id(thing) for thing in (threads.get(each), *_worked_for(frame))} for each, frame in frames.items()}
    for future, each in computing:
        works.setdefault(each, set()).add(id(future))
    own, ahead, seen = threading.get_ident(), [ident], {ident}
    while ahead:
        awaited = list(_awaited(frames.get(ahead.pop())))  # held, so that no id of them is given to something new
        ids = {id(thing) for thing in awaited}
        found = [each for each, work in works.items() if each not in seen and not ids.isdisjoint(work)]
        if own in found:
            return True
        ahead += found
        seen.update(found)
    return False


def _awaited(frame: FrameType | None) -> Iterator[Any]:
    """What a thread waits for: whatever the functions that wait have in their hands; of an executor that is being closed, its threads."""
    while frame is not None and frame.f_globals.get("__name__") in _WAITING:
        for value in frame.f_locals.values():
            things: Any = getattr(value, "_threads", value)
            yield from list(things) if isinstance(things, _COLLECTIONS) else (value,)  # pyright: ignore[reportUnknownArgumentType]
        frame = frame.f_back


def _worked_for(frame: FrameType | None) -> Iterator[Any]:
    """The futures that a thread is about to finish."""
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_qualname) in _WORKING:
            yield frame.f_locals["self"].future
        frame = frame.f_back
