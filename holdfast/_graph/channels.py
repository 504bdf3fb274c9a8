"""One key of a graph's state, and what becomes of it when the nodes of a superstep write to it."""

from __future__ import annotations

import collections.abc
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.errors import InvalidUpdateError
from holdfast.runtime.foreign import add_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Write = tuple[str, Any]
    """Which node writes, and what."""

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

    def written(self, value: Any, writes: Sequence[Write]) -> Any:
        """The value after a superstep's writes, in order.

        Args:
            value: What is there, or `MISSING`.
            writes: At least one.

        Raises:
            InvalidUpdateError: There are two, and no reducer.
            Exception: What the reducer raised.
        """
        reducer = self.reducer
        if reducer is None:
            if len(writes) > 1:
                raise _two_writers(self.name, [node for node, _ in writes])
            return writes[0][1]
        for node, new in writes:
            if value is MISSING:
                value = new
                continue
            try:
                value = reducer(value, new)
            except Exception as error:
                what = "the input" if node == "__start__" else f"what node {node!r} wrote"
                add_note(error, f"holdfast: raised by the reducer of {self.name!r} on {what}; the superstep changed nothing")
                raise
        return value


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


def applied(channels: dict[str, Channel], values: dict[str, Any], writes: Sequence[tuple[str, str, Any]]) -> dict[str, Any]:
    """The state after the writes of one superstep, each as (node, key, value); ``values`` is left as it is.

    Raises:
        InvalidUpdateError: The writes do not go together.
        Exception: What a reducer raised.
    """
    if not writes:
        return values
    if len(writes) == 1:
        ((node, key, value),) = writes
        return {**values, key: channels[key].written(values.get(key, MISSING), [(node, value)])}
    by_key: dict[str, list[Write]] = {}
    for node, key, value in writes:
        by_key.setdefault(key, []).append((node, value))
    changed = dict(values)
    for key, wanted in by_key.items():
        changed[key] = channels[key].written(values.get(key, MISSING), wanted)
    return changed


def beginning(channels: dict[str, Channel]) -> dict[str, Any]:
    """The state before anything is written."""
    return {name: channel.start() for name, channel in channels.items() if channel.start is not None}
