"""A sync attempt with a time limit: on a thread of its own, which may be given up but not stopped."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from holdfast.runtime.context import current
from holdfast.runtime.sight import place

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from holdfast.runtime.state import Call


class Detached:
    """Where the outcome of such an attempt is put down and picked up.

    Attributes:
        is_done: Set when the body has returned.
    """

    def __init__(self) -> None:
        """Nothing has begun."""
        self.is_done = threading.Event()
        self._lock = threading.Lock()
        self._leave: Callable[[], None] | None = None
        self._is_given_up = False
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self, context: Context, body: Callable[[], Any]) -> None:
        """Run ``body`` in ``context``, on the thread of its own."""
        if self._is_given_up:  # before its thread came to it
            self._end()
            return
        scope = context.get(current)
        if scope is not None and scope.place is not None:
            scope.place = place()
        try:
            self._value = context.run(body)
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread whatever it is
            self._error = error
        self._end()

    def _end(self) -> None:
        with self._lock:
            self.is_done.set()
            leave = self._leave
        if leave is not None:
            leave()

    def abandon(self, call: Call) -> bool:
        """Leave the thread to itself; it keeps the call's slot until it returns. False when it has just finished."""
        with self._lock:
            if self.is_done.is_set():
                return False
            self._is_given_up = True
            if call.slots is not None and call.slots.detach(call):
                self._leave = call.slots.leave
        scope = current.get()
        if scope is not None and scope.call is call:
            scope.is_abandoned = True
        if call.attempt is not None:
            call.attempt.abandoned = True
        return True

    def take(self) -> Any:
        """What the body returned; raises what it raised."""
        error, self._error = self._error, None  # kept here it would be a cycle with the frame of `run`
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error
