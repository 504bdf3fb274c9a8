"""What a state class says: which keys the state has, how each is reduced, how a state object is made and taken apart."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, cast

from holdfast._graph.channels import MISSING, Channel, starting_value
from holdfast._lookalikes import langgraphs
from holdfast.errors import InvalidUpdateError, PolicyError
from holdfast.values import records
from holdfast.values.names import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Update = tuple[tuple[str, Any], ...]

_MOST_OPERANDS = 2
_MARKS = {typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", typing.Required)}
"""Around the annotation of a TypedDict's key."""


class Schema:
    """A state class: a TypedDict, dataclass, msgspec Struct or pydantic model.

    Attributes:
        cls: The class.
        keys: Its fields' names, in order.
        channels: What its annotations say of each.
    """

    def __init__(self, cls: Any) -> None:
        """Read a class.

        Raises:
            PolicyError: It is no such class, an annotation cannot be resolved, or a reducer is none.
        """
        self.cls = cls
        self._is_mapping = hasattr(cls, "__total__")
        if not is_schema(cls):
            msg = f"{cls!r} is no state class: give a TypedDict, a dataclass, a msgspec Struct or a pydantic model"
            raise PolicyError(msg)
        self.channels = {name: _channel(cls, name, annotation) for name, annotation in _annotations(cls)}
        self.keys = tuple(self.channels)

    def build(self, values: dict[str, Any]) -> Any:
        """A state object of what is known of its keys so far: a dict, or an object of the class."""
        known = {key: values[key] for key in self.keys if key in values}
        return known if self._is_mapping else self.cls(**known)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is an object of this class."""
        return not self._is_mapping and isinstance(value, self.cls)


def is_schema(cls: Any) -> bool:
    """Whether a class can say what a state is made of."""
    if not isinstance(cls, type) or cls in {dict, list, tuple}:
        return False
    return hasattr(cls, "__total__") or records.is_pydantic(cls) or records.field_names(cls) is not None


def _annotations(cls: type) -> Iterator[tuple[str, Any]]:
    """The fields of a class, with their annotations."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        msg = f"an annotation of {place(cls)} cannot be resolved: {error}. Define what it names in the module, not inside a function"
        raise PolicyError(msg) from error
    names = records.pydantic_fields(cls) if records.is_pydantic(cls) else records.field_names(cls)
    yield from ((name, hints[name]) for name in (hints if names is None else names) if name in hints)


def _channel(cls: type, name: str, annotation: Any) -> Channel:
    plain = annotation
    while typing.get_origin(plain) in _MARKS:
        (plain,) = typing.get_args(plain)
    extras: tuple[Any, ...] = ()
    if typing.get_origin(plain) is typing.Annotated:
        plain, *rest = typing.get_args(plain)
        extras = tuple(rest)
    reducer = extras[-1] if extras and callable(extras[-1]) and not isinstance(extras[-1], type) else None
    if reducer is None:
        return Channel(name, plain)
    _check_reducer(cls, name, reducer)
    return Channel(name, plain, reducer, starting_value(plain))


def _check_reducer(cls: type, name: str, reducer: Callable[..., Any]) -> None:
    """A reducer takes what is there and what is new."""
    try:
        parameters = inspect.signature(reducer).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in positional if p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) > _MOST_OPERANDS or (len(positional) < _MOST_OPERANDS and not takes_any):
        msg = (
            f"{place(reducer)} reduces {name!r} of {place(cls)} and takes {len(required) or 'no'} argument{'s' * (len(required) != 1)}: a reducer takes two, what is there and "
            f"what is new, e.g. Annotated[list, operator.add]"
        )
        raise PolicyError(msg)


def taken_apart(value: Any, node: str) -> Update:
    """What an update says: the items of a dict, or the fields of a state object.

    Raises:
        InvalidUpdateError: It is neither.
    """
    if value is None:
        return ()
    if isinstance(value, dict):
        return tuple(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    cls: type = type(cast("object", value))
    theirs = langgraphs(cls)
    if theirs:
        raise InvalidUpdateError(f"{_said(node)} {theirs}", node=node)
    if records.is_pydantic(cls):
        return tuple(_set_fields(value))
    names = records.field_names(cls)
    if names is None:
        msg = f"{_said(node)} {value!r:.80}: give a dict of what is to change, an object of the state's class, or a Command"
        raise InvalidUpdateError(msg, node=node)
    return tuple((name, getattr(value, name)) for name in names if hasattr(value, name))


def _said(node: str) -> str:
    return "the input is" if node == "__start__" else f"node {node!r} returned"


def _set_fields(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a pydantic model that were set, or have a value by default."""
    for name in records.pydantic_fields(type(value)):
        found = getattr(value, name, MISSING)
        if found is not MISSING and (found is not None or name in value.model_fields_set):
            yield name, found
