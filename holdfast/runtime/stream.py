"""What `stream` and `astream` yield: the chunks of LangGraph's modes, except those for language models.

A call has a start and an end in the ``tasks`` mode wherever its outcome comes from, the body, the cache or the journal; between them stands
a chunk for each retry. The three are told apart by their keys: ``input``, ``result``, ``retry_in``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, cast

from holdfast import clock
from holdfast.errors import PolicyError, RunInterrupted
from holdfast.runtime.foreign import shown
from holdfast.runtime.idempotency import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.context import Scope
    from holdfast.runtime.questions import Interrupt
    from holdfast.runtime.state import Call

    Chunk = tuple[str, Any, tuple[str, ...]]
    """A mode, what it tells, and in which inner graph that happened."""

INTERRUPT = "__interrupt__"
MODES = ("updates", "values", "custom", "tasks", "checkpoints", "debug")


def as_told(chunk: Chunk, *, as_pairs: bool, shows_inner: bool) -> Any:
    """A chunk as its reader gets it: with where it comes from, when inner graphs are shown, and with its mode, when several were asked for."""
    mode, told, inside = chunk
    place = (inside,) if shows_inner else ()
    named = (mode,) if as_pairs else ()
    return (*place, *named, told) if place or named else told


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


class Sink(Protocol):
    """Takes what happens in a run.

    Attributes:
        shows_inner: Whether it wants to be told what happens in graphs inside others, too.
    """

    shows_inner: bool

    def __call__(self, mode: str, chunk: Any, inside: tuple[str, ...] = ()) -> None:
        """Take a chunk of a mode; ``inside`` are the nodes around the graph in which it happened, the outermost first."""
        ...


class Choice:
    """Passes on the chunks of the modes that were asked for (this is a `Sink`)."""

    def __init__(self, modes: tuple[str, ...], put: Callable[[Chunk], None], *, shows_inner: bool = False) -> None:
        """Pass chunks of ``modes`` to ``put``, and with ``shows_inner`` those of graphs inside others, too."""
        self._modes = modes
        self._put = put
        self._numbers = count(1)
        self.shows_inner = shows_inner

    def __call__(self, mode: str, chunk: Any, inside: tuple[str, ...] = ()) -> None:
        """Take a chunk; what the modes ``tasks`` and ``checkpoints`` tell, ``debug`` does too, in an envelope."""
        if mode in self._modes:
            self._put((mode, chunk, inside))
        if "debug" in self._modes and mode in {"tasks", "checkpoints"}:
            kind = "checkpoint" if mode == "checkpoints" else _kind(chunk)
            now = timestamp(clock.current.time())
            self._put(("debug", {"type": kind, "timestamp": now, "step": next(self._numbers), "payload": chunk}, inside))


def _kind(chunk: dict[str, Any]) -> str:
    return "task" if "input" in chunk else "task_retry" if "retry_in" in chunk else "task_result"


def timestamp(seconds: float) -> str:
    """A time in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def nodes_around(scope: Scope | None) -> tuple[str, ...]:
    """The nodes of graphs in which a scope is, itself included, the outermost first, each as LangGraph names it: ``name:id``."""
    if scope is None:
        return ()
    nodes = [each.call for each in scope.outward() if each.call.plan.is_node]
    return tuple(f"{call.plan.name}:{key_of(scope.run, call)}" for call in reversed(nodes))


def _inside(call: Call) -> tuple[str, ...]:
    """In which graph a call was made: the nodes around that."""
    return nodes_around(call.parent) if call.plan.is_node else nodes_around(call.parent)[:-1]


def tell_custom(sink: Sink, scope: Scope | None, value: Any) -> None:
    """Tell the stream what a body has written, unless that is in a graph inside another one and only the outer one is listened to."""
    inside = nodes_around(scope)[:-1]
    if sink.shows_inner or not inside:
        sink("custom", value, inside)


def _is_told(call: Call, sink: Sink) -> bool:
    """Whether a stream is told of a call: not of a graph's own body, and of what is done by a graph inside another one, or inside a task, if it likes."""
    if call.plan.is_node and call.plan.name == "__start__":
        return False
    if sink.shows_inner:
        return not call.plan.is_graph
    if call.plan.is_node:
        return call.parent is not None and call.parent.call.is_body
    return not call.plan.is_graph and not _inside(call)


def task_started(call: Call) -> None:
    """Tell the stream that a call began."""
    sink = None if call.run is None else call.run.sink
    if call.run is None or sink is None or not _is_told(call, sink):
        return
    given: Any = (call.args, call.kwargs)
    if call.is_body:
        given = call.args[0] if call.args else None
    triggers = ("__start__",) if call.is_body else ("call",)
    if call.plan.is_node:
        (node,) = cast("tuple[Any]", call.args[:1])
        given, triggers = node.state, (node.trigger,)
    chunk = {"id": key_of(call.run, call), "name": call.plan.name, "input": given, "triggers": triggers}
    sink("tasks", chunk, _inside(call))


def task_retried(call: Call, error: BaseException | None, delay: float) -> None:
    """Tell the stream that an attempt was not the last: what it ended in (None: a result that the policy dislikes), and the wait in seconds."""
    sink = None if call.run is None else call.run.sink
    if call.run is not None and sink is not None and _is_told(call, sink):
        text = None if error is None else shown(error)
        payload = {"id": key_of(call.run, call), "name": call.plan.name, "attempt": call.number, "error": text, "retry_in": delay}
        sink("tasks", payload, _inside(call))


def task_ended(call: Call, value: Any, *, origin: str = "body") -> None:
    """Tell the stream how a call ended; ``origin`` is where its outcome comes from: ``body``, ``cache`` or ``journal``.

    What is replayed has been an update when it was done, and is none again (as in LangGraph): who resumes a stream is told what is new.
    """
    sink = None if call.run is None else call.run.sink
    if call.run is None or sink is None or not _is_told(call, sink):
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
        sink("updates", update, _inside(call))


def body_ended(call: Call, value: Any, error: BaseException | None, questions: Sequence[Interrupt]) -> None:
    """Tell the stream how the run of a body's call ended."""
    _ended(call, None if questions else value, error, questions)


def _ended(call: Call, value: Any, error: BaseException | None, questions: Sequence[Interrupt]) -> None:
    """A question is no error."""
    sink = None if call.run is None else call.run.sink
    if call.run is None or sink is None:
        return
    text = None if error is None or isinstance(error, RunInterrupted) else shown(error)
    asked = [asked_as(question) for question in questions]
    chunk = {"id": key_of(call.run, call), "name": call.plan.name, "error": text, "result": value, "interrupts": asked}
    sink("tasks", chunk, _inside(call))


def asked_as(question: Interrupt) -> dict[str, Any]:
    """A question as plain data."""
    return {"value": question.value, "id": question.id, "error": question.error}
