"""Single-flight: among the threads and tasks of a process, one computation for one missing key.

The first to board computes; the others wait for its future. A call made inside the computation of its own key (a task that calls itself with
equal arguments) computes on its own instead of waiting for itself: context variables say what it is inside of, in whichever thread or
asyncio task it is made; where a thread was started without them, `is_stuck` finds out. So does a call whose wait would close a ring of
computations that wait for one another. A computation that is given up (cancelled, or cut short by the end of its run) hands over to one
of those waiting.

Who waits gets a value of its own, as from the cache: the value goes to them as bytes, since not all is stored, or stays in memory. What no bytes can
be made of, such as an iterator or an open file, is its caller's alone, and each of the others computes.
"""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast import events
from holdfast.runtime.attempts import is_given_up
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.loops import running_loop
from holdfast.runtime.standstill import waits_for_this_thread

if TYPE_CHECKING:
    from holdfast.runtime.state import Call
    from holdfast.typing import CacheKey, Codec

Landed = tuple[Any, "BaseException | None", str, str]
"""Value, error, and the trace and span that produced them."""


ALONE: Any = object()
"""Takes the place of a value of which there is no second one."""


class Copies(NamedTuple):
    """Takes the place of a value, for those who wait.

    Attributes:
        codec: What encoded it.
        data: The value, encoded.
    """

    codec: Codec
    data: bytes

    def read(self) -> Any:
        """The value anew, or `ALONE`."""
        try:
            return self.codec.decode(self.data)
        except Exception:  # noqa: BLE001 - decoding builds the user's classes; who asks computes, and meets whatever is wrong with them
            return ALONE


_flights: dict[tuple[int, CacheKey], tuple[TaskFuture[Landed], Call, int]] = {}
"""For each key being computed: the future of its outcome, the call that computes, and its thread."""
_joined: set[tuple[int, CacheKey]] = set()
"""Those for which somebody waits."""
_waiting: dict[Call, tuple[tuple[Call, ...], Call]] = {}
"""Calls that wait inside a computation: which ones they are inside of, and whose they wait for."""
_lock = threading.Lock()
_inside: ContextVar[tuple[Call, ...]] = ContextVar("holdfast_flights", default=())


def name_of(call: Call) -> tuple[int, CacheKey]:
    """What tells apart which computations may share their outcome."""
    if call.key is None:
        msg = "only calls with a key fly"
        raise RuntimeError(msg)
    return id(call.cache), call.key


def board(call: Call) -> TaskFuture[Landed] | None:
    """Join the computation of this key that is under way, or compute (None)."""
    name, inside, stranded = name_of(call), _inside.get(), None
    with _lock:
        if name in _flights and _flights[name][1].is_stranded:
            stranded = _flights.pop(name)[0]
            _joined.discard(name)
        if name in _flights:
            future, leader, _ = _flights[name]
            if not _may_wait(call, inside, leader):
                return None
            if inside:
                _waiting[call] = (inside, leader)
            _joined.add(name)
            return future
        _flights[name] = (TaskFuture(), call, threading.get_ident())
    if stranded is not None:
        stranded.settle_cancelled()
    _inside.set((*inside, call))
    return None


def leads(call: Call) -> bool:
    """Whether the call computes for all who ask for its key; one inside a computation of the same key does not."""
    found = _flights.get(name_of(call))
    return found is not None and found[1] is call


def is_inside(call: Call) -> bool:
    """Whether the call is made inside the computation of another key."""
    return any(each is not call for each in _inside.get())


def _may_wait(call: Call, inside: tuple[Call, ...], leader: Call) -> bool:
    """False where waiting could go on for ever."""
    if not call.plan.is_async and running_loop() is not None:
        return False  # a sync call on a loop's own thread: the computation may need the very loop that waiting would block
    return not inside or not _closes_ring(inside, leader)


def _closes_ring(inside: tuple[Call, ...], leader: Call) -> bool:
    """Whether a call made inside these computations would, by waiting for ``leader``, wait for itself."""
    ahead = [leader]
    seen: set[Call] = set()
    while ahead:
        each = ahead.pop()
        if each in inside:
            return True  # directly, or because that computation waits for one that waits for this one
        if each not in seen:
            seen.add(each)
            ahead += [other for within, other in _waiting.values() if each in within]
    return False


def joins(call: Call, leader: Call | None) -> bool:
    """Join, for a limited time, a computation that does not go by `board`; False where the call would wait for itself. `alight` ends it."""
    if leader is not None and (inside := _inside.get()):
        with _lock:
            if _closes_ring(inside, leader):
                return False
            _waiting[call] = (inside, leader)
    return True


def is_stuck(call: Call) -> bool:
    """True when the computation that a sync call waits for waits, in its turn, for the thread of this call."""
    with _lock:
        found = _flights.get(name_of(call))
        computing = [(future, thread) for future, _, thread in _flights.values()]
    if found is None or not waits_for_this_thread(found[2], computing):
        return False
    name = call.plan.name
    events.note(
        "holdfast.cache.recursive",
        events.WARNING,
        f"{name} was called again with equal arguments by a thread that its own computation waits for: it is computed once more there. "
        f"Threads that are given the context, as in pool.submit(contextvars.copy_context().run, {name}, ...), need not be found out",
        call=call.facts,
        task=name,
    )
    return True


def alight(call: Call) -> None:
    """The wait that `board` asked for is over."""
    if call in _waiting:
        with _lock:
            _waiting.pop(call, None)


def leave(call: Call) -> None:
    """Step back from leading, if it does: the value was there after all, or will not come. Whoever waits looks for itself."""
    alight(call)
    _finish(call, None)


def land(call: Call, value: Any) -> None:
    """Tell those who wait how the computation ended; one that was given up lets one of them take over."""
    trace_id, span_id = ("", "") if call.facts is None else (call.facts.trace_id, call.facts.span_id)
    _finish(call, None if is_given_up(call) else (value, call.error, trace_id, span_id))


def _finish(call: Call, outcome: Landed | None) -> None:
    name = name_of(call)
    with _lock:
        found = _flights.get(name)
        if found is None or found[1] is not call:  # it computed on its own inside a leader
            return
        del _flights[name]
        is_awaited = name in _joined
        _joined.discard(name)
    _inside.set(tuple(each for each in _inside.get() if each is not call))
    if call.turn is not None:
        call.turn.end()
    if outcome is None:
        found[0].settle_cancelled()
    else:
        hand_out(found[0], call, outcome, is_shared=is_awaited)


def hand_out(future: TaskFuture[Landed], call: Call | None, outcome: Landed, *, is_shared: bool) -> None:
    """Settle what others wait for, with copies where there may be several, before the value's own caller can change it.

    Args:
        future: What they wait for.
        call: What has computed; None where that could not even begin.
        outcome: How it ended.
        is_shared: Whether somebody beside those who wait, or more than one of them, gets the value.
    """
    try:
        future.set_result(_copied(call, outcome) if is_shared and call is not None else outcome)
    except BaseException:  # a Ctrl-C: nobody else would end their wait
        future.settle_cancelled()
        raise


def _copied(call: Call, outcome: Landed) -> Landed:
    """The outcome as it is handed to several."""
    value, error, trace_id, span_id = outcome
    codec = call.plan.codec
    if error is not None or codec is None:
        return outcome
    try:
        copies: Any = Copies(codec, codec.encode(value))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, `lookup.write` has told
        copies = ALONE
    return copies, None, trace_id, span_id


def _forget_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()
    _flights.clear()
    _joined.clear()
    _waiting.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
