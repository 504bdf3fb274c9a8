"""What `stream` and `astream` yield: the chunks of LangGraph's ``updates``, ``values``, ``custom`` and ``tasks`` modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.errors import PolicyError
from holdfast.runtime.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.state import Call

    Sink = Callable[[str, Any], None]

MODES = ("updates", "values", "custom", "tasks")


def chosen_modes(stream_mode: str | Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The modes asked for, and whether chunks come as ``(mode, chunk)`` pairs because a list was given.

    Raises:
        PolicyError: There is no such mode.
    """
    is_single = isinstance(stream_mode, str)
    modes = (stream_mode,) if isinstance(stream_mode, str) else tuple(stream_mode)
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        msg = f"stream_mode={stream_mode!r}: choose one or several of {', '.join(map(repr, MODES))}"
        raise PolicyError(msg)
    return modes, not is_single


def task_id(call: Call) -> str:
    """Names a call within its stream: the run and the ordinal of the call."""
    run = call.run
    return "" if run is None else f"{run.facts.run_id}:{id(call):x}"


def task_started(call: Call) -> None:
    """Tell the stream that a call began."""
    if call.run is not None and call.run.sink is not None:
        payload = {"id": task_id(call), "name": call.plan.name, "input": (call.args, call.kwargs), "triggers": ("call",)}
        call.run.sink("tasks", payload)


def task_ended(call: Call, value: Any, *, origin: str = "body") -> None:
    """Tell the stream how a call ended; ``origin`` is where its outcome comes from: ``body``, ``cache`` or ``journal``.

    What is replayed has been an update when it was done, and is none again (as in LangGraph): who resumes a stream is told what is new.
    """
    if call.run is None or call.run.sink is None:
        return
    error = None if call.error is None else shown(call.error)
    call.run.sink("tasks", {"id": task_id(call), "name": call.plan.name, "error": error, "result": value, "interrupts": []})
    if call.error is None and origin != "journal":
        update: dict[str, Any] = {call.plan.name: value}
        if origin == "cache":
            update["__metadata__"] = {"cached": True}
        call.run.sink("updates", update)
