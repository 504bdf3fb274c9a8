"""What classes of the user's own hold: content inherited from a builtin, fields, and other attributes.

dataclasses, attrs, pydantic models and msgspec Structs are recognised by what they leave on their classes; no library is imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not by an extension that may hide state in C


def _slice_bytes(value: Any) -> bytes:
    return bytes.__getitem__(value, slice(None))


def _iterate(cls: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        return cls(cls.__iter__(value))

    return read


_items: Callable[[Any], Any] = dict[Any, Any].items


def _entries(value: Any) -> Any:
    return dict(_items(value))


CONTENT: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    bytes: _slice_bytes,
    **{cls: _iterate(cls) for cls in (bytearray, tuple, list, set, frozenset)},
    dict: _entries,
}
"""How to read the builtin content of a subclass, past any method it overrides."""


def builtin_base(cls: type, among: Callable[[type], object]) -> type | None:
    """The nearest base of ``cls`` that ``among`` says yes to, if ``cls`` and all classes between the two are made by class statements."""
    if not cls.__flags__ & _HEAP_TYPE or hasattr(cls, "n_sequence_fields"):  # time.struct_time holds more than its tuple shows
        return None
    for base in cls.__mro__[1:]:
        if among(base):
            return base
        if not base.__flags__ & _HEAP_TYPE and base is not object:
            return None
    return None


def is_pydantic(cls: type) -> bool:
    """True for pydantic (version 2) models."""
    main = sys.modules.get("pydantic.main")
    return main is not None and issubclass(cls, main.BaseModel)


def pydantic_fields(cls: Any) -> dict[str, Any]:
    """The declared fields of a pydantic model class."""
    fields: dict[str, Any] = getattr(cls, "__pydantic_fields__", None) or cls.model_fields  # the first is quicker, and newer
    return fields


def is_struct(cls: type) -> bool:
    """True for msgspec Structs."""
    return hasattr(cls, "__struct_fields__")


def field_names(cls: type) -> tuple[str, ...] | None:
    """Names of the fields that ``cls`` declares, in order; None for a class that declares none of the known ways."""
    if is_pydantic(cls):
        return tuple(pydantic_fields(cls))
    if is_struct(cls):
        names: tuple[str, ...] = getattr(cls, "__struct_fields__")  # noqa: B009 - type checkers do not know it
        return names
    attrs_fields = getattr(cls, "__attrs_attrs__", None)
    if attrs_fields is not None:
        return tuple(field.name for field in attrs_fields)
    if hasattr(cls, "__dataclass_fields__"):
        import dataclasses

        return tuple(field.name for field in dataclasses.fields(cls))
    return None


def read_fields(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The named attributes of ``value``; refuses one that was never set."""
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError as error:
        raise Refused(f"is a {type(value).__name__} with a field that is not set ({error})") from None


def other_attributes(value: Any, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Attributes in ``value``'s ``__dict__`` and slots beside ``names``."""
    found: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = _mangled(cls, slot)
            if slot not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    for name in names:
        found.pop(name, None)
    return found


def _mangled(cls: type, slot: str) -> str:
    is_private = slot.startswith("__") and not slot.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{slot}" if is_private else slot


def pydantic_extras(value: Any) -> dict[str, Any]:
    """Undeclared fields and private attributes of a pydantic model, both part of its equality."""
    return {**(value.__pydantic_extra__ or {}), **(value.__pydantic_private__ or {})}
