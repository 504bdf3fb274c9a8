"""How a key sees a value that is neither plain nor a builtin container: a name, its content and its attributes.

A class instance is named by its class, a function by its qualified name, and so on; what has no content to tell it by is refused.
The first rule that fits a class makes its view, once per class.
"""

from __future__ import annotations

import collections
import functools
import typing
from enum import Enum
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    MethodType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from holdfast.values import arrays, records
from holdfast.values.code import describe
from holdfast.values.kinds import kind_of
from holdfast.values.names import kind_name, qualified_name
from holdfast.values.plain import are_plain
from holdfast.values.refusal import MAX_DEPTH, Refused

if TYPE_CHECKING:
    from collections.abc import Callable


class View(NamedTuple):
    """What a key is made of.

    Attributes:
        head: What the value is: unique bytes that end themselves.
        content: A simpler value.
        attributes: Named parts, in a fixed order; None where there can be none.
    """

    head: bytes
    content: Any
    attributes: dict[str, Any] | None = None


if TYPE_CHECKING:
    Viewer = Callable[[Any], View]


def view_of(value: object) -> View:
    """The view of ``value``.

    Raises:
        Refused: It has no content to tell it by.
    """
    return _viewer_of(type(value))(value)


def _viewer_of(cls: type) -> Viewer:
    try:
        return _viewers[cls]
    except KeyError:
        viewer = _viewers[cls] = _find_viewer(cls)
        return viewer


def _find_viewer(cls: type) -> Viewer:
    if hasattr(cls, "__holdfast_key__"):
        return _view_by_own_method
    for base in _FUNCTION_TYPES:
        if issubclass(cls, base):
            return _view_function
    if cls.__module__ == "typing":
        return _view_typing
    for base, viewer in _BY_BASE.items():
        if issubclass(cls, base):
            return viewer
    if cls in _EXACT:
        return _EXACT[cls]
    kind = kind_of(cls)
    if kind is not None:
        head = b"@%d:" % kind.code
        reduce = arrays.key_of_array if kind.name == "ndarray" else kind.reduce
        return lambda value: View(head, reduce(value))
    return _find_class_viewer(cls)


def _find_class_viewer(cls: type) -> Viewer:
    head = _head(cls)
    base = records.builtin_base(cls, _is_content)
    if base is not None:
        return _subclass_viewer(head, base)
    if records.is_pydantic(cls):
        names = records.field_names(cls) or ()
        return lambda value: View(head, None, records.read_fields(value, names) | records.pydantic_extras(value))
    names_or_none = records.field_names(cls)
    if names_or_none is not None:
        fields = names_or_none
        return lambda value: View(head, None, records.read_fields(value, fields))
    return _view_time_zone if hasattr(cls, "utcoffset") else _refuse


def _subclass_viewer(head: bytes, base: type) -> Viewer:
    """A subclass of a builtin or standard type: the content of its base, and what its instances carry besides."""
    content = records.CONTENT.get(base)
    if content is not None:
        read = content
        return lambda value: View(head, read(value), records.other_attributes(value))
    viewer = _viewer_of(base)
    return lambda value: View(head, list(viewer(value)[:2]), _attributes_beyond(base, value))


def _attributes_beyond(base: type, value: Any) -> dict[str, Any]:
    inherited = {slot for cls in base.__mro__ for slot in cls.__dict__.get("__slots__", ())}
    return {name: part for name, part in records.other_attributes(value).items() if name not in inherited}


def _is_content(cls: type) -> bool:
    return cls in records.CONTENT or cls in _EXACT or kind_of(cls) is not None


def _head(thing: Any, form: bytes = b"#") -> bytes:
    name = qualified_name(thing).encode("utf-8", "surrogatepass")
    return b"%b%d:%b" % (form, len(name), name)


def _view_by_own_method(value: Any) -> View:
    return View(_head(type(value), b"#k"), value.__holdfast_key__())


def _view_enum(value: Any) -> View:
    """By class and name; by value too where that is plain, so that an edited value is another key."""
    content: Any = value.value
    return View(_head(type(value), b"#e"), [value.name, content if _is_simple(content) else None])


def _is_simple(content: Any) -> bool:
    items: Any = content if issubclass(type(content), tuple) else (content,)
    return are_plain(items, MAX_DEPTH)


def _view_class(value: Any) -> View:
    return View(_head(value, b"#c"), None)


def _view_module(value: Any) -> View:
    return View(_head(value, b"#m"), value.__name__)


def _view_function(value: Any) -> View:
    return View(_head(value, b"#f"), None, describe(value, _as_it_is))


def _as_it_is(value: Any) -> Any:
    return value


def _view_alias(value: Any) -> View:
    """``list[int]``, ``int | None``, ``Callable[[int], str]``: what it is applied to, and the arguments."""
    return View(b"#a:", [typing.get_origin(value), list(typing.get_args(value))])


def _view_typing(value: Any) -> View:
    return View(b"#y:", str(value)) if typing.get_origin(value) is None else _view_alias(value)


def _view_default_dict(value: Any) -> View:
    return View(b"#d:", [value.default_factory, dict(value)])


def _view_memory(value: memoryview) -> View:
    return View(b"#v:", [value.format, list(value.shape or ()), value.tobytes()])


def _view_time_zone(value: Any) -> View:
    """A time zone of another library that says its name (``zone`` in pytz), by its repr, which holds the name and offset."""
    if not isinstance(getattr(value, "zone", None), str):
        return _refuse(value)
    return View(_head(type(value), b"#z"), repr(value))


def _refuse(value: Any) -> View:
    raise Refused(f"is {kind_name(value)}")


_FUNCTION_TYPES: tuple[type, ...] = (
    FunctionType,
    MethodType,
    functools.partial,
    BuiltinFunctionType,
    WrapperDescriptorType,
    type(str.upper),
    type("".__len__),
    type(functools.lru_cache(len)),
)

_BY_BASE: dict[Any, Viewer] = {
    Enum: _view_enum,
    type: _view_class,
    ModuleType: _view_module,
    GenericAlias: _view_alias,
    UnionType: _view_alias,
}

_EXACT: dict[type, Viewer] = {
    collections.defaultdict: _view_default_dict,
    memoryview: _view_memory,
}

_viewers: WeakKeyDictionary[type, Viewer] = WeakKeyDictionary()
