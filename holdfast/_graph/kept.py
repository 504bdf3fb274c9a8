"""What a checkpointer keeps of a graph, and how: what a run begins with, what its nodes have written, and the state it ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast._graph.routes import Send, Written
from holdfast.errors import CorruptRecord, NotSerializable
from holdfast.runtime.naming import node_step
from holdfast.typing import StepRecord
from holdfast.values.codec import MsgpackCodec, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdfast._graph.schema import Update
    from holdfast._graph.walk import Walk
    from holdfast.typing import Codec, StepId

    Waiting = tuple[tuple[tuple[int, tuple[str, ...]], ...], tuple[str, ...]]

NOTED = "noted"
"""Kind of a record that is no node's result: a breakpoint that was reached, a command, which node has failed."""


class Ended(NamedTuple):
    """What a finished run leaves to the thread's next one.

    Attributes:
        values: The state.
        step: How many supersteps the thread has made, counted as LangGraph does: the input of the first run is -1.
        number: How many the run has made.
        ran: The nodes that ran last.
    """

    values: dict[str, Any]
    step: int
    number: int
    ran: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        """The state, as observers see it."""
        return self.values


@dataclass(slots=True)
class Start:
    """What a run of a graph begins with.

    Attributes:
        update: What is written to the state first: the input, or what a `Command` says.
        goto: The nodes to begin with; None: where the edges of `START` lead.
        values: The state to begin with; None: what the thread's last run ended with.
        step: The number of its first superstep.
        source: Where it comes from: ``input``, ``loop`` (a command), ``fork`` or ``update``.
        parent: The checkpoint it comes after, when it begins with a state of its own.
        ran: The nodes that made the state it begins with.
        waiting: For a state in the middle of a run: which sources of which joins have run, and which deferred nodes wait.
        walk: Where the run is, once it has begun: for whoever has started it, in this process.
        before: Nodes to stop before; after: nodes to stop after.
    """

    update: Update = ()
    goto: tuple[str | Send, ...] | None = None
    values: dict[str, Any] | None = None
    step: int = -1
    source: str = "input"
    parent: str = ""
    waiting: Waiting = ((), ())
    ran: tuple[str, ...] = ()
    walk: Walk | None = field(default=None, repr=False, compare=False)
    before: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    after: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def __holdfast_key__(self) -> tuple[Any, ...]:
        """What it counts as where a graph is a step of another run: all it says."""
        goto = None if self.goto is None else tuple(_lowered(target) for target in self.goto)
        return self.update, goto, self.values


class GraphCodec:
    """Encodes what is kept of a graph, by a codec that knows the classes its schemas name.

    Attributes:
        id: As of the codec inside.
    """

    id: int = MsgpackCodec.id

    def __init__(self, annotations: Iterable[Any]) -> None:
        """Admit the classes named in ``annotations``."""
        self._inner: Codec = MsgpackCodec(tuple[tuple(annotations)])  # type: ignore[misc]

    def encode(self, value: Any, /) -> bytes:
        """Encode a `Written`, an `Ended`, or a list with a `Start`.

        Raises:
            NotSerializable: A part of it would not come back the same; the text names node and key.
        """
        quick = _packed(value) if isinstance(value, Written) else None
        if quick is not None:
            return quick
        try:
            return self._inner.encode(_parts(value))
        except NotSerializable as error:
            raise self._named(value, error) from error

    def decode(self, data: bytes, /) -> Any:
        """Decode what `encode` made.

        Raises:
            CorruptRecord: It is something else.
        """
        parts = self._inner.decode(data)
        try:
            return _rebuilt(parts)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            msg = f"what is kept of a state graph cannot be decoded: {error}"
            raise CorruptRecord(msg) from error

    def _named(self, value: Any, error: NotSerializable) -> NotSerializable:
        """The refusal in words of the state: which key it is."""
        given = value[0] if isinstance(value, list) and value else value  # pyright: ignore[reportUnknownVariableType]
        update = given.update if isinstance(given, (Written, Start)) else given.values.items() if isinstance(given, Ended) else ()
        goto = (given.goto or ()) if isinstance(given, (Written, Start)) else ()
        parts = [(f"key {key!r} of the state", key, each, f"the annotation of {key!r} in the state") for key, each in update]
        sent = [target for target in goto if isinstance(target, Send)]
        parts += [(f"what is sent to node {each.node!r}", "arg", each.arg, "the annotation of a key of the state") for each in sent]
        for what, name, each, annotation in parts:
            try:
                self._inner.encode([each])
            except NotSerializable as problem:
                where = f"{name}{problem.where.removeprefix('result[0]')}"
                text = str(problem).removeprefix(problem.where).replace("the task's return annotation", annotation)
                return NotSerializable(f"{what}: {where}{text}", where=where)
        return error


def _packed(written: Written) -> bytes | None:
    """What the codec would make of it, without a walk through tuples and names that are plain anyway; None when there is more in it."""
    update, goto, flags = written.update, written.goto, written.is_handled + 2 * written.is_for_parent
    return packed(("w", update, goto, flags), [*[value for _, value in update], *goto])


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Written):
        flags = value.is_handled + 2 * value.is_for_parent
        return ["w", [list(pair) for pair in value.update], [_lowered(target) for target in value.goto], flags]
    if isinstance(value, Ended):
        return ["e", value.values, value.step, value.number, list(value.ran)]
    if not value:
        return ["s"]
    start: Start = value[0]
    goto = None if start.goto is None else [_lowered(target) for target in start.goto]
    joins, deferred = start.waiting
    waiting = [[[number, list(names)] for number, names in joins], list(deferred)]
    return [
        "s",
        [list(pair) for pair in start.update],
        goto,
        start.values,
        start.step,
        start.source,
        start.parent,
        waiting,
        list(start.ran),
    ]


def _rebuilt(parts: list[Any]) -> Any:
    kind, *rest = parts
    if kind == "w":
        update, goto, flags = rest
        return Written(_pairs(update), tuple(map(_target, goto)), bool(flags & 1), bool(flags & 2))
    if kind == "e":
        values, step, number, ran = rest
        return Ended(values, step, number, tuple(ran))
    if not rest:
        return []
    update, goto, values, step, source, parent, (joins, deferred), ran = rest
    waiting = tuple((number, tuple(names)) for number, names in joins), tuple(deferred)
    return [Start(_pairs(update), None if goto is None else tuple(map(_target, goto)), values, step, source, parent, waiting, tuple(ran))]


def _pairs(update: list[Any]) -> Update:
    return tuple((key, value) for key, value in update)


def _lowered(target: str | Send) -> Any:
    return [target.node, target.arg] if isinstance(target, Send) else target


def _target(part: Any) -> str | Send:
    return part if isinstance(part, str) else Send(*part)


class Kept:
    """What is recorded of one run of a graph.

    Args:
        scope: The step whose body the graph is; empty for a run's own.
        lookup: Finds a record by its name.
        codec: That of the graph.
        claim: Is told of each result that is used.
    """

    def __init__(
        self, scope: bytes, lookup: Callable[[StepId], StepRecord | None], codec: Codec, claim: Callable[[StepRecord], None] | None = None
    ) -> None:
        """Look up records by ``lookup``."""
        self._claim = claim
        self._scope = scope
        self._lookup = lookup
        self._codec = codec

    def step(self, name: str, place: str) -> StepId:
        """Names a node's call, or a note."""
        return node_step(self._scope, name, place)

    def record(self, name: str, place: str) -> StepRecord | None:
        """The record of it."""
        return self._lookup(self.step(name, place))

    def within(self, scope: bytes, codec: Codec) -> Kept:
        """What is recorded of the graph that is one of this graph's nodes."""
        return Kept(scope, self._lookup, codec)

    def result(self, name: str, place: str) -> Written | None:
        """What a node has written; None when it has not run."""
        record = self.record(name, place)
        if record is None or record.kind != "ok":
            record = self.record(handler_name(name), place)
        if record is None or record.kind != "ok":
            return None
        if self._claim is not None:
            self._claim(record)
        return self._codec.decode(record.payload)  # type: ignore[no-any-return]

    def note(self, name: str, place: str) -> Any:
        """What was noted; None when nothing was."""
        record = self.record(name, place)
        return None if record is None or record.kind != NOTED else self._codec.decode(record.payload)


def noted(scope: bytes, codec: Codec, name: str, place: str, value: Any, at: float) -> StepRecord:
    """The record of a note: a `Start` in a list says what a command was, an empty list that something happened."""
    return StepRecord(node_step(scope, name, place), NOTED, codec.encode(value), at=at)


def handler_name(node: str) -> str:
    """Under which name a node's error handler runs, as LangGraph has it."""
    return f"__error_handler__{node}"
