"""What `stream` and `astream` yield: the chunks of LangGraph's modes, except those for language models.

A call has a start and an end in the ``tasks`` mode wherever its outcome comes from, the body, the cache or the journal; between them stands
a chunk for each retry. The three are told apart by their keys: ``input``, ``result``, ``retry_in``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from holdfast import clock
from holdfast.errors import PolicyError, RunInterrupted
from holdfast.runtime.foreign import shown
from holdfast.runtime.idempotency import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.questions import Interrupt
    from holdfast.runtime.state import Call

    Sink = Callable[[str, Any], None]

MODES = ("updates", "values", "custom", "tasks", "checkpoints", "debug")


def chosen_modes(stream_mode: str | Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The modes asked for, and whether chunks come as ``(mode, chunk)`` pairs because a list was given.

    Raises:
        PolicyError: There is no such mode.
    """
    is_single = isinstance(stream_mode, str)
    given: Any = stream_mode
    modes: tuple[str, ...] = tuple(cast("Sequence[str]", given)) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        msg = f"stream_mode={stream_mode!r}: choose one or several of {', '.join(map(repr, MODES))}"
        raise PolicyError(msg)
    return modes, not is_single


class Choice:
    """Passes on the chunks of the modes that were asked for."""

    def __init__(self, modes: tuple[str, ...], put: Callable[[tuple[str, Any]], None]) -> None:
        """Pass chunks of ``modes`` to ``put``, as ``(mode, chunk)``."""
        self._modes = modes
        self._put = put
        self._numbers = count(1)

    def __call__(self, mode: str, chunk: Any) -> None:
        """Take a chunk (this is a `Sink`); what the modes ``tasks`` and ``checkpoints`` tell, ``debug`` does too, in an envelope."""
        if mode in self._modes:
            self._put((mode, chunk))
        if "debug" in self._modes and mode in {"tasks", "checkpoints"}:
            kind = "checkpoint" if mode == "checkpoints" else _kind(chunk)
            now = timestamp(clock.current.time())
            self._put(("debug", {"type": kind, "timestamp": now, "step": next(self._numbers), "payload": chunk}))


def _kind(chunk: dict[str, Any]) -> str:
    return "task" if "input" in chunk else "task_retry" if "retry_in" in chunk else "task_result"


def timestamp(seconds: float) -> str:
    """A time in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _is_told(call: Call) -> bool:
    """Whether streams tell of a call: not of a graph's own body, nor of the nodes of a graph inside another one, or inside a task."""
    if call.plan.is_node:
        return call.parent is not None and call.parent.call.is_body and call.plan.name != "__start__"
    return not call.plan.is_graph


def task_started(call: Call) -> None:
    """Tell the stream that a call began."""
    if call.run is None or call.run.sink is None or not _is_told(call):
        return
    given: Any = (call.args, call.kwargs)
    if call.is_body:
        given = call.args[0] if call.args else None
    triggers = ("__start__",) if call.is_body else ("call",)
    if call.plan.is_node:
        (node,) = cast("tuple[Any]", call.args[:1])
        given, triggers = node.state, (node.trigger,)
    call.run.sink("tasks", {"id": key_of(call.run, call), "name": call.plan.name, "input": given, "triggers": triggers})


def task_retried(call: Call, error: BaseException | None, delay: float) -> None:
    """Tell the stream that an attempt was not the last: what it ended in (None: a result that the policy dislikes), and the wait in seconds."""
    if call.run is not None and call.run.sink is not None and _is_told(call):
        text = None if error is None else shown(error)
        payload = {"id": key_of(call.run, call), "name": call.plan.name, "attempt": call.number, "error": text, "retry_in": delay}
        call.run.sink("tasks", payload)


def task_ended(call: Call, value: Any, *, origin: str = "body") -> None:
    """Tell the stream how a call ended; ``origin`` is where its outcome comes from: ``body``, ``cache`` or ``journal``.

    What is replayed has been an update when it was done, and is none again (as in LangGraph): who resumes a stream is told what is new.
    """
    if call.run is None or call.run.sink is None or not _is_told(call):
        return
    questions: list[Interrupt] = []
    if isinstance(call.error, RunInterrupted) and call.run.journal is not None and call.step is not None:
        questions = call.run.journal.questions.waiting(call.step)
    if call.plan.is_node and value is not None:
        value = value.shown()  # what it writes, without where it goes
    _ended(call, value, call.error, questions)
    if call.error is None and origin != "journal":
        update: dict[str, Any] = {call.plan.name: value}
        if origin == "cache":
            update["__metadata__"] = {"cached": True}
        call.run.sink("updates", update)


def body_ended(call: Call, value: Any, error: BaseException | None, questions: Sequence[Interrupt]) -> None:
    """Tell the stream how the run of a body's call ended."""
    _ended(call, None if questions else value, error, questions)


def _ended(call: Call, value: Any, error: BaseException | None, questions: Sequence[Interrupt]) -> None:
    """A question is no error."""
    if call.run is None or call.run.sink is None:
        return
    text = None if error is None or isinstance(error, RunInterrupted) else shown(error)
    asked = [asked_as(question) for question in questions]
    call.run.sink("tasks", {"id": key_of(call.run, call), "name": call.plan.name, "error": text, "result": value, "interrupts": asked})


def asked_as(question: Interrupt) -> dict[str, Any]:
    """A question as plain data."""
    return {"value": question.value, "id": question.id, "error": question.error}
