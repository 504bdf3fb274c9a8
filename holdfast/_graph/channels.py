"""One key of a graph's state, and what becomes of it when the nodes of a superstep write to it."""

from __future__ import annotations

import collections.abc
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.errors import InvalidUpdateError
from holdfast.runtime.foreign import add_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast._graph.schema import Update

MISSING: Any = object()
_CONCRETE: dict[Any, Callable[[], Any]] = {
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}


class Channel(NamedTuple):
    """One key of the state.

    Attributes:
        name: The key.
        annotation: What its values are.
        reducer: Joins what is there and what is new; None: the last value stands, and a superstep may write one only.
        start: Makes what is there before anything is written; None: nothing is.
    """

    name: str
    annotation: Any
    reducer: Callable[[Any, Any], Any] | None = None
    start: Callable[[], Any] | None = None

    def reduced(self, value: Any, node: str, new: Any) -> Any:
        """What the reducer makes of what is there, which may be `MISSING`, and what ``node`` has written.

        Raises:
            Exception: What the reducer raised.
        """
        if value is MISSING or self.reducer is None:
            return new
        try:
            return self.reducer(value, new)
        except Exception as error:
            what = "the input" if node == "__start__" else f"what node {node!r} wrote"
            add_note(error, f"holdfast: raised by the reducer of {self.name!r} on {what}; the superstep changed nothing")
            raise


def starting_value(annotation: Any) -> Callable[[], Any] | None:
    """What makes the value that a reducer starts from, as LangGraph has it: an empty one of the annotated type, where there is such a thing."""
    make: Any = _CONCRETE.get(typing.get_origin(annotation) or annotation, annotation)
    try:
        make()
    except Exception:  # noqa: BLE001 - any class may be annotated; one that needs arguments has no empty value
        return None
    return make  # type: ignore[no-any-return]


def _two_writers(key: str, nodes: list[str]) -> InvalidUpdateError:
    names = sorted(set(nodes))
    if len(names) == 1:
        who = f"node {names[0]!r} writes to {key!r} {len(nodes)} times in one superstep"
    else:
        who = f"nodes {', '.join(map(repr, names))} write to {key!r} in one superstep"
    msg = f"{who}, and it holds one value: say how to join them, e.g. {key}: Annotated[list, operator.add]"
    return InvalidUpdateError(msg, node=names[0], key=key)


def applied(channels: dict[str, Channel], values: dict[str, Any], writes: Sequence[tuple[str, Update]]) -> dict[str, Any]:
    """The state after the writes of one superstep, each a node and its update; ``values`` is left as it is.

    Raises:
        InvalidUpdateError: The writes do not go together: there are two to a key without a reducer.
        Exception: What a reducer raised.
    """
    changed = values.copy()
    settled: set[str] = set()  # `set[str]()` takes six times as long
    for node, update in writes:
        for key, value in update:
            channel = channels[key]
            if channel.reducer is not None:
                changed[key] = channel.reduced(changed.get(key, MISSING), node, value)
            elif key in settled:
                raise _two_writers(key, [who for who, update in writes for name, _ in update if name == key])
            else:
                settled.add(key)
                changed[key] = value
    return changed


def beginning(channels: dict[str, Channel]) -> dict[str, Any]:
    """The state before anything is written."""
    return {name: channel.start() for name, channel in channels.items() if channel.start is not None}
