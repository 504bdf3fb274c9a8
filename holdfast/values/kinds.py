"""The closed table of standard value types: how each is taken apart into simpler values, and put together again.

Keys use the first half of a row, the codec both. A row names its class by module and name, so that nothing is imported before a value of
that class, or a record of one, turns up; both stand in this file, never in data. Codes are written into stores: never reuse one.
"""

from __future__ import annotations

import functools
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
        reduce: Takes a value, returns simpler values that say all there is to say about it.
        payload: The type of what ``reduce`` returns. Checked before ``restore``: ``bytearray(10**12)`` or ``tuple(range(10**12))`` would
            let a few bytes of bad data claim all memory.
        restore: Takes the class and the payload, returns an equal value of the same type; any exception means bad data.
    """

    code: int
    module: str
    name: str
    payload: type
    reduce: Callable[[Any], Any]
    restore: Callable[[Any, Any], Any]

    def rebuild(self, payload: Any) -> Any:
        """The value that ``reduce`` took apart. Imports its class's module, which this file names."""
        if type(payload) is not self.payload:
            raise TypeError(f"a {self.name} is not made of {type(payload).__name__}")
        return self.restore(_load_class(self.module, self.name), payload)


@functools.cache
def _load_class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


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


def _complex(value: Any) -> list[float]:
    return [value.real, value.imag]


def _fraction(value: Any) -> list[int]:
    return [value.numerator, value.denominator]


def _from_fraction(cls: Any, payload: Any) -> Any:
    if not all(type(part) is int for part in payload):  # Fraction("1e999999999") would be computed
        raise TypeError("a fraction is made of two integers")
    return cls(*payload)


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


def _uuid(value: Any) -> bytes:
    data: bytes = value.bytes
    return data


def _from_uuid(cls: Any, payload: Any) -> Any:
    return cls(bytes=payload)


def _zone(value: Any) -> str:
    if value.key is None:
        raise Refused("is a ZoneInfo without a key", fix="make it with ZoneInfo(key)")
    return str(value.key)


def _range(value: Any) -> list[int]:
    return [value.start, value.stop, value.step]


def _pattern(value: Any) -> list[Any]:
    return [value.pattern, value.flags]


def _compile(_: Any, payload: Any) -> Any:
    import re

    pattern, flags = payload
    return re.compile(pattern, flags)


def _nothing(_: Any) -> None:
    return None


def _ellipsis(_cls: Any, _payload: Any) -> Any:
    return ...


_NUMPY_ARRAY, _NUMPY_SCALAR = 40, 41

KINDS: tuple[Kind, ...] = (
    Kind(1, "builtins", "tuple", list, list, _call),
    Kind(2, "builtins", "set", list, list, _call),
    Kind(3, "builtins", "frozenset", list, list, _call),
    Kind(4, "builtins", "dict", list, _pairs, _from_pairs),
    Kind(5, "builtins", "int", bytes, _big_int, _from_big_int),
    Kind(6, "builtins", "str", bytes, _wide_text, _from_wide_text),
    Kind(7, "builtins", "complex", list, _complex, _spread),
    Kind(8, "builtins", "bytearray", bytes, bytes, _call),
    Kind(9, "collections", "OrderedDict", list, _pairs, _from_pairs),
    Kind(10, "collections", "Counter", dict, dict, _call),
    Kind(11, "collections", "defaultdict", list, _default_dict, _from_default_dict),
    Kind(12, "collections", "deque", list, _deque, _from_deque),
    Kind(13, "decimal", "Decimal", str, str, _call),
    Kind(14, "fractions", "Fraction", list, _fraction, _from_fraction),
    Kind(15, "datetime", "date", list, _date, _spread),
    Kind(16, "datetime", "time", list, _time, _from_time),
    Kind(17, "datetime", "datetime", list, _datetime, _from_time),
    Kind(18, "datetime", "timedelta", list, _timedelta, _spread),
    Kind(19, "datetime", "timezone", list, _timezone, _spread),
    Kind(20, "zoneinfo", "ZoneInfo", str, _zone, _call),
    Kind(21, "uuid", "UUID", bytes, _uuid, _from_uuid),
    Kind(22, "pathlib", "PurePosixPath", str, str, _call),
    Kind(23, "pathlib", "PureWindowsPath", str, str, _call),
    Kind(24, "pathlib", "PosixPath", str, str, _call),
    Kind(25, "pathlib", "WindowsPath", str, str, _call),
    Kind(26, "builtins", "range", list, _range, _spread),
    Kind(27, "builtins", "slice", list, _range, _spread),
    Kind(28, "re", "Pattern", list, _pattern, _compile),
    Kind(29, "ipaddress", "IPv4Address", str, str, _call),
    Kind(30, "ipaddress", "IPv6Address", str, str, _call),
    Kind(31, "ipaddress", "IPv4Network", str, str, _call),
    Kind(32, "ipaddress", "IPv6Network", str, str, _call),
    Kind(33, "ipaddress", "IPv4Interface", str, str, _call),
    Kind(34, "ipaddress", "IPv6Interface", str, str, _call),
    Kind(35, "types", "EllipsisType", type(None), _nothing, _ellipsis),
    Kind(_NUMPY_ARRAY, "numpy", "ndarray", list, arrays.reduce_array, arrays.restore_array),
    Kind(_NUMPY_SCALAR, "numpy", "generic", list, arrays.reduce_scalar, arrays.restore_scalar),
)

BY_CODE = {kind.code: kind for kind in KINDS}

_known: WeakKeyDictionary[type, Kind | None] = WeakKeyDictionary()
