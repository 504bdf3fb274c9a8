"""The closed table of standard value types: how each is taken apart into simpler values, and put together again.

Keys use the first half of a row, the codec both. A row names its class by module and name, so that nothing is imported before a value of
that class, or a record of one, turns up; both stand in this file, never in data. Codes are written into stores: never reuse one.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from holdfast.values import arrays
from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(NamedTuple):
    """One standard type.

    Attributes:
        code: Its MessagePack extension type, 1-127; also its tag in a key.
        module: Where the class stands.
        name: What it is called there.
        reduce: Takes a value, returns plain values or values of other kinds that say all there is to say about it.
        restore: Takes the class and what ``reduce`` returned, returns an equal value of the same type; any exception means bad data.
    """

    code: int
    module: str
    name: str
    reduce: Callable[[Any], Any]
    restore: Callable[[Any, Any], Any]

    def load_class(self) -> Any:
        """The class itself; imports its module, which this file names."""
        return getattr(importlib.import_module(self.module), self.name)


def kind_of(cls: type) -> Kind | None:
    """The row of exactly this class, or None."""
    try:
        return _known[cls]
    except KeyError:
        kind = _known[cls] = _find(cls)
        return kind


def _find(cls: type) -> Kind | None:
    for kind in KINDS:
        if getattr(sys.modules.get(kind.module), kind.name, None) is cls:
            return kind
    if arrays.is_scalar_class(cls):
        return BY_CODE[_NUMPY_SCALAR]
    return None


def _call(cls: Any, payload: Any) -> Any:
    return cls(payload)


def _spread(cls: Any, payload: Any) -> Any:
    return cls(*payload)


def _pairs(value: Any) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def _from_pairs(cls: Any, payload: Any) -> Any:
    parts = iter(payload)
    return cls(zip(parts, parts, strict=True))


def _big_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _from_big_int(_: Any, payload: bytes) -> int:
    return int.from_bytes(payload, "big", signed=True)


def _wide_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _from_wide_text(_: Any, payload: bytes) -> str:
    return payload.decode("utf-8", "surrogatepass")


_FACTORIES: dict[str, Callable[[], Any]] = {c.__name__: c for c in (list, dict, set, tuple, frozenset, int, float, bool, str, bytes)}


def _default_dict(value: Any) -> list[Any]:
    factory = value.default_factory
    if factory is None:
        return ["", dict(value)]
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is not factory:
        raise Refused("is a defaultdict whose factory is not a builtin type", fix="return dict(value)")
    return [name, dict(value)]


def _from_default_dict(cls: Any, payload: Any) -> Any:
    name, content = payload
    return cls(_FACTORIES[name] if name else None, content)


def _deque(value: Any) -> list[Any]:
    return [value.maxlen, *value]


def _from_deque(cls: Any, payload: Any) -> Any:
    maxlen, *items = payload
    return cls(items, maxlen)


def _date(value: Any) -> list[int]:
    return [value.year, value.month, value.day]


def _time(value: Any) -> list[Any]:
    return [[value.hour, value.minute, value.second, value.microsecond, value.fold], value.tzinfo]


def _datetime(value: Any) -> list[Any]:
    clock, zone = _time(value)
    return [_date(value) + clock, zone]


def _from_time(cls: Any, payload: Any) -> Any:
    (*parts, fold), zone = payload
    return cls(*parts, tzinfo=zone, fold=fold)


def _timedelta(value: Any) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _timezone(value: Any) -> list[Any]:
    return list(value.__getinitargs__())  # the offset, and the name if one was given: what pickle keeps


def _zone(value: Any) -> str:
    if value.key is None:
        raise Refused("is a ZoneInfo without a key", fix="make it with ZoneInfo(key)")
    return str(value.key)


def _range(value: Any) -> list[int]:
    return [value.start, value.stop, value.step]


def _pattern(value: Any) -> list[Any]:
    return [value.pattern, value.flags]


def _compile(_: Any, payload: Any) -> Any:
    import re  # noqa: PLC0415 - a module of rows; each imports its own class late

    pattern, flags = payload
    return re.compile(pattern, flags)


def _nothing(_: Any) -> None:
    return None


_NUMPY_ARRAY, _NUMPY_SCALAR = 40, 41

KINDS: tuple[Kind, ...] = (
    Kind(1, "builtins", "tuple", list, _call),
    Kind(2, "builtins", "set", list, _call),
    Kind(3, "builtins", "frozenset", list, _call),
    Kind(4, "builtins", "dict", _pairs, _from_pairs),
    Kind(5, "builtins", "int", _big_int, _from_big_int),
    Kind(6, "builtins", "str", _wide_text, _from_wide_text),
    Kind(7, "builtins", "complex", lambda value: [value.real, value.imag], _spread),
    Kind(8, "builtins", "bytearray", bytes, _call),
    Kind(9, "collections", "OrderedDict", _pairs, _from_pairs),
    Kind(10, "collections", "Counter", dict, _call),
    Kind(11, "collections", "defaultdict", _default_dict, _from_default_dict),
    Kind(12, "collections", "deque", _deque, _from_deque),
    Kind(13, "decimal", "Decimal", str, _call),
    Kind(14, "fractions", "Fraction", lambda value: [value.numerator, value.denominator], _spread),
    Kind(15, "datetime", "date", _date, _spread),
    Kind(16, "datetime", "time", _time, _from_time),
    Kind(17, "datetime", "datetime", _datetime, _from_time),
    Kind(18, "datetime", "timedelta", _timedelta, _spread),
    Kind(19, "datetime", "timezone", _timezone, _spread),
    Kind(20, "zoneinfo", "ZoneInfo", _zone, _call),
    Kind(21, "uuid", "UUID", lambda value: value.bytes, lambda cls, payload: cls(bytes=payload)),
    Kind(22, "pathlib", "PurePosixPath", str, _call),
    Kind(23, "pathlib", "PureWindowsPath", str, _call),
    Kind(24, "pathlib", "PosixPath", str, _call),
    Kind(25, "pathlib", "WindowsPath", str, _call),
    Kind(26, "builtins", "range", _range, _spread),
    Kind(27, "builtins", "slice", _range, _spread),
    Kind(28, "re", "Pattern", _pattern, _compile),
    Kind(29, "ipaddress", "IPv4Address", str, _call),
    Kind(30, "ipaddress", "IPv6Address", str, _call),
    Kind(31, "ipaddress", "IPv4Network", str, _call),
    Kind(32, "ipaddress", "IPv6Network", str, _call),
    Kind(33, "ipaddress", "IPv4Interface", str, _call),
    Kind(34, "ipaddress", "IPv6Interface", str, _call),
    Kind(35, "types", "EllipsisType", _nothing, lambda _cls, _payload: ...),
    Kind(_NUMPY_ARRAY, "numpy", "ndarray", arrays.reduce_array, arrays.restore_array),
    Kind(_NUMPY_SCALAR, "numpy", "generic", arrays.reduce_scalar, arrays.restore_scalar),
)

BY_CODE = {kind.code: kind for kind in KINDS}

_known: WeakKeyDictionary[type, Kind | None] = WeakKeyDictionary()
