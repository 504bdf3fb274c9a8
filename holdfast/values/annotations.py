"""Which classes an annotation names: directly, inside ``list[...] | None`` and the like, and in the fields of those classes."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from enum import Enum
from types import FunctionType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any

from holdfast.values import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def return_annotation(fn: Callable[..., Any]) -> Any:
    """The resolved return annotation of ``fn``; Any when it has none, or one that cannot be resolved.

    Only the return annotation is looked at, so that a parameter annotated with a name that exists for type checkers only does no harm,
    and the function's own closure is searched too. Names defined further down in a module are found once that has been run: call this
    late.
    """
    inner = unwrapped_partial(fn)
    if not hasattr(inner, "__annotations__") and not isinstance(inner, type):
        inner = inner.__call__
    annotation = getattr(inner, "__annotations__", {}).get("return", Any)
    defined = inspect.unwrap(getattr(inner, "__func__", inner))
    if not isinstance(defined, FunctionType):
        return annotation
    return resolve(annotation, defined.__globals__, closure_of(defined))


def unwrapped_partial(fn: Any) -> Any:
    """The function behind any partials."""
    while type(fn) is functools.partial:
        fn = fn.func
    return fn


def classes_in(annotations: Iterable[Any]) -> list[type]:
    """Every class that ``annotations`` name, each once, in order of appearance; fields of dataclasses and their like are followed."""
    found: dict[type, None] = {}
    met: dict[int, Any] = {}
    waiting = list(annotations)[::-1]
    while waiting:
        annotation = waiting.pop()
        if id(annotation) in met:
            continue
        met[id(annotation)] = annotation  # kept, so that the id is not used again
        if annotation is Any:
            continue
        if isinstance(annotation, type) and typing.get_origin(annotation) is None:
            found[annotation] = None
            waiting.extend(list(_field_annotations(annotation))[::-1])
        else:
            waiting.extend(list(_parts(annotation))[::-1])
    return list(found)


def _parts(annotation: Any) -> Iterator[Any]:
    """What an annotation that is no class is made of."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        yield from {type(value): None for value in typing.get_args(annotation) if isinstance(value, Enum)}
        return
    if isinstance(origin, type) and origin is not UnionType:
        yield origin
    for argument in typing.get_args(annotation):
        yield from argument if isinstance(argument, list) else (argument,)
    for name in ("__supertype__", "__bound__", "__value__"):  # a NewType, a TypeVar, a type alias
        behind = getattr(annotation, name, None)
        if behind is not None and not isinstance(annotation, str):
            yield behind
    yield from getattr(annotation, "__constraints__", ())


def _field_annotations(cls: Any) -> Iterator[Any]:
    if records.is_pydantic(cls):
        yield from (field.annotation for field in records.pydantic_fields(cls).values())
        return
    declares = records.field_names(cls) is not None or hasattr(cls, "_fields") or hasattr(cls, "__total__")
    if not declares or issubclass(cls, Enum):
        return
    for owner in cls.__mro__[:-1]:
        names = vars(sys.modules.get(owner.__module__, SimpleNamespace()))
        for annotation in inspect.get_annotations(owner).values():
            yield resolve(annotation, names, {owner.__name__: owner, **vars(owner)})


def resolve(annotation: Any, names: dict[str, Any], more: dict[str, Any]) -> Any:
    """``annotation`` with text evaluated in the names of its module and more; Any when it names something that is not there."""
    holder = SimpleNamespace(__annotations__={"return": annotation})
    try:
        return typing.get_type_hints(holder, names, more, include_extras=True)["return"]
    except Exception:  # noqa: BLE001 - an annotation may be any expression and fail in any way; such a class is then refused when met
        return Any


def closure_of(fn: FunctionType) -> dict[str, Any]:
    """The names that a function takes from the functions around it, with their values so far."""
    cells: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return cells
