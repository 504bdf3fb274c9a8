"""Bounded JSON of arguments and results, for spans.

Capture is off by default. ``shape`` records types and sizes, ``values`` the values. Never more than `LIMIT` bytes, never deeper than
`DEPTH`, always valid JSON; secrets are masked by the name of their parameter or key. No ``repr`` of the user's runs: built-in types, dataclasses,
named tuples, attrs classes, msgspec structs and pydantic models are read field by field, everything else is shown as its class.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import msgspec

from holdfast import _secrets
from holdfast._secrets import Secret, hidden
from holdfast.tracing.safety import redact
from holdfast.tracing.spans.stack import class_name
from holdfast.values.marks import secret_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 2048
DEPTH = 6
CHOICES = ("none", "shape", "values")

_PRINTED = frozenset({
    dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID,
    pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
})  # fmt: skip
_LISTED = (list, tuple, set, frozenset)
_SIZED = frozenset({str, bytes, bytearray, list, tuple, set, frozenset, dict})
_BYTES = (bytes, bytearray)
_SCALARS = (bool, int, float, type(None))
_ELLIPSIS = "…"
_BIG_INT_BITS = 256

_encode = msgspec.json.Encoder().encode


class _Budget:
    """Bytes left, and whether anything was cut for lack of them."""

    __slots__ = ("is_cut", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.is_cut = False

    def cut(self) -> str:
        self.is_cut = True
        return _ELLIPSIS


_OVERHEAD = 6  # quotes, comma, colon, and the brackets of a container or the mark of a cut


def arguments(names: tuple[str, ...], values: tuple[Any, ...], mode: str) -> tuple[str, bool]:
    """Render bound arguments as a JSON object.

    Args:
        names: Parameter names.
        values: One value for each.
        mode: ``shape`` or ``values``.

    Returns:
        The JSON, and whether anything was cut.
    """
    if mode == "shape":
        return _render(dict(zip(names, map(shape, values), strict=False)))
    budget = _Budget(LIMIT - _OVERHEAD)
    rendered: dict[str, Any] = {}
    for left, (name, value) in zip(range(len(names), 0, -1), zip(names, values, strict=False), strict=False):
        share = _Budget(budget.left // left)  # a huge first argument leaves room for the others
        rendered[name] = redact.MASK if redact.is_secret(name) else _guarded(value, share, len(_encode(name)) + _OVERHEAD)
        budget.left -= budget.left // left - max(0, share.left)
        budget.is_cut = budget.is_cut or share.is_cut
    return _text(rendered), budget.is_cut


def result(value: Any, mode: str) -> tuple[str, bool]:
    """Render one value as JSON: ``shape`` or ``values``; the second item tells whether anything was cut."""
    return _render(shape(value)) if mode == "shape" else _render(value)


def shape(value: Any) -> str:
    """Type and size of a value.

    >>> shape([1, 2, 3]), shape("Oslo"), shape(None), shape(3)
    ('list[3]', 'str[4]', 'None', 'int')
    """
    if value is None:
        return "None"
    if value is Secret:
        return redact.MASK
    if type(value) in _SIZED:
        return f"{type(value).__name__}[{len(value)}]"
    return class_name(value)


def _render(value: Any) -> tuple[str, bool]:
    budget = _Budget(LIMIT - _OVERHEAD)
    return _text(_guarded(value, budget, 0)), budget.is_cut


def _guarded(value: Any, budget: _Budget, cost: int) -> Any:
    try:
        return _plain(value, DEPTH, budget, cost)
    except Exception as error:  # noqa: BLE001 - odd metaclasses, containers that change while they are read
        return f"<{class_name(value)} cannot be shown: {type(error).__name__}>"[:200]


def _text(plain: Any) -> str:
    return _encode(plain).decode("utf-8", "replace")


def _plain(value: Any, depth: int, budget: _Budget, cost: int) -> Any:
    """``value`` as JSON types within the budget, which pays ``cost`` and the value."""
    budget.left -= cost
    if _is(value, str):
        return _string(str.__str__(value), budget)
    if type(value) in _SCALARS:
        return _scalar(value, budget)
    if _is(value, enum.Enum):
        return _string(f"{type(value).__qualname__}.{value._name_}", budget)
    if type(value) in _PRINTED:
        return _string(str(value), budget)
    if type(value) in _BYTES:
        return _string(f"<{shape(value)}>", budget)
    return _container(value, depth, budget)


def _scalar(value: Any, budget: _Budget) -> Any:
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124 - NaN
        return _string(str(value), budget)
    if isinstance(value, int) and value.bit_length() > _BIG_INT_BITS:
        return _string(f"<int of {value.bit_length()} bits>", budget)
    budget.left -= len(_encode(value)) if not isinstance(value, int) or -(2**63) <= value < 2**64 else len(str(value))
    if budget.left < 0:
        return budget.cut()
    return value


def _string(text: str, budget: _Budget) -> str:
    room = max(0, budget.left)
    text, is_cut = _secrets.masked_beginning(text, redact.MASK, room + 1)[: room + 1], len(text) > room + 1
    text = redact.scrub(text.encode("utf-8", "replace").decode())
    if (used := len(_encode(text))) > room or is_cut:
        text = _fit(text, room) + budget.cut()
        used = len(_encode(text))
    budget.left -= used
    return text


def _fit(text: str, room: int) -> str:
    """The longest beginning of ``text`` whose JSON is at most ``room`` bytes: escapes and UTF-8 count."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_encode(text[:middle])) <= room else (low, middle - 1)
    return text[:low]


def _container(value: Any, depth: int, budget: _Budget) -> Any:
    if value is Secret:
        return _string(redact.MASK, budget)
    fields = _fields(value)
    if fields is None and not _is(value, _LISTED):
        return _string(f"<{class_name(value)}>", budget)
    if depth == 0:
        return budget.cut()
    budget.left -= _OVERHEAD
    if fields is not None and not _is(value, dict) and (marked := secret_fields(value)):
        fields = ((name, hidden(item) if name in marked else item) for name, item in fields)
    return _object(fields, depth, budget) if fields is not None else _array(value, depth, budget)


def _object(fields: Iterable[tuple[Any, Any]], depth: int, budget: _Budget) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in islice(fields, LIMIT):
        if budget.left < _OVERHEAD:
            plain[_ELLIPSIS] = budget.cut()
            break
        name = _string(key if isinstance(key, str) else _key(key), budget)
        plain[name] = redact.MASK if redact.is_secret(name) else _plain(item, depth - 1, budget, _OVERHEAD)
    return plain


def _array(items: Any, depth: int, budget: _Budget) -> list[Any]:
    plain: list[Any] = []
    for item in islice(_iterate(items), LIMIT):
        if budget.left < _OVERHEAD:
            plain.append(budget.cut())
            break
        plain.append(_plain(item, depth - 1, budget, 1))
    return plain


def _iterate(items: Any) -> Iterable[Any]:
    """Iterate with the built-in type's own method, whatever a subclass made of it."""
    base: Any = next(kind for kind in _LISTED if _is(items, kind))
    found: Iterable[Any] = base.__iter__(items)
    return found


def _key(key: Any) -> str:
    return str(key) if type(key) in _SCALARS or type(key) in _PRINTED else f"<{class_name(key)}>"


def _fields(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Keys and values of a mapping or a record, read without running the user's code; None for anything else."""
    cls = cast("Any", type(value))
    if _is(value, dict):
        return dict[Any, Any].items(value)
    if _is(value, tuple):
        names = getattr(cls, "_fields", None)
        return None if names is None else zip(names, tuple[Any, ...].__iter__(value), strict=False)
    if hasattr(cls, "__struct_fields__"):
        return ((name, _stored(value, name)) for name in cls.__struct_fields__)
    if hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__"):
        names = getattr(cls, "__dataclass_fields__", None) or [field.name for field in cls.__attrs_attrs__]
        return ((name, _stored(value, name)) for name in names)
    if hasattr(cls, "__pydantic_validator__"):
        fields: dict[str, Any] = _stored(value, "__dict__")
        return fields.items()
    return None


def _is(value: object, kinds: type | tuple[type, ...]) -> bool:
    """By the class itself: a ``__class__`` property, as mocks and proxies have, counts for nothing."""
    return issubclass(type(value), kinds)


def _stored(value: Any, name: str) -> Any:
    """A field, past ``__getattr__`` and ``__getattribute__``; a property of that name may still raise."""
    try:
        return object.__getattribute__(value, name)
    except Exception as error:  # noqa: BLE001 - the user's property
        return f"<{type(error).__name__}>"
