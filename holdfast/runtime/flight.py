"""Single-flight: among the threads and tasks of a process, one computation for one missing key.

The first to board computes; the others wait for its future. A call that sits inside the computation of the same key (a task that calls
itself with equal arguments) computes on its own instead of waiting for itself. A cancelled computation hands over to one of those waiting.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from holdfast.runtime.future import TaskFuture

if TYPE_CHECKING:
    from holdfast.runtime.state import Call
    from holdfast.typing import CacheKey

Landed = tuple[Any, "BaseException | None"]

_flights: dict[tuple[int, CacheKey], tuple[TaskFuture[Landed], Call]] = {}
_lock = threading.Lock()


def _name(call: Call) -> tuple[int, CacheKey]:
    if call.key is None:
        msg = "only calls with a key fly"
        raise RuntimeError(msg)
    return id(call.cache), call.key


def board(call: Call) -> TaskFuture[Landed] | None:
    """Join the computation of this key that is under way, or become it (None)."""
    name = _name(call)
    with _lock:
        found = _flights.get(name)
        if found is None:
            _flights[name] = (TaskFuture(), call)
            return None
    future, leader = found
    return None if _is_inside(call, leader) else future


def leave(call: Call) -> None:
    """Step back from leading: the value was there after all. Whoever waits looks for itself."""
    _finish(call, None)


def land(call: Call, value: Any, error: BaseException | None) -> None:
    """Tell those who wait how the computation ended; cancellation lets one of them take over."""
    _finish(call, (value, error) if error is None or isinstance(error, Exception) else None)


def _finish(call: Call, outcome: Landed | None) -> None:
    name = _name(call)
    with _lock:
        found = _flights.get(name)
        if found is None or found[1] is not call:  # it computed on its own inside a leader
            return
        del _flights[name]
    if outcome is None:
        found[0].settle_cancelled()
    else:
        found[0].set_result(outcome)


def _is_inside(call: Call, leader: Call) -> bool:
    scope = call.parent
    while scope is not None:
        if scope.call is leader:
            return True
        scope = scope.call.parent
    return False


def _forget_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()
    _flights.clear()


os.register_at_fork(after_in_child=_forget_in_child)
