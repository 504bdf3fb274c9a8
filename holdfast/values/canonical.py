"""Canonical bytes of values: typed, injective, the same in every process; what cache keys and journal fingerprints are digests of.

Two values have equal bytes when they are equal and of the same types all through, and different bytes otherwise: ``1``, ``1.0`` and
``True`` differ, as do a list and a tuple; the order of dict entries and set members does not count; NaN equals itself.

How it works. Every encoding starts with a byte that tells its form and is self-delimiting, so encodings can simply be joined:

======  ===========================================================================================================
``=``   a plain value (`holdfast.values.plain`), as MessagePack with sorted keys: one call of msgspec, the fast path
``(``   a tuple of plain values, as a MessagePack array
``T L D S F``  any other tuple, list, dict, set, frozenset: the number of members, and the members (dicts and sets sorted by encoding)
``i s N``      what MessagePack cannot hold: integers beyond 64 bits, text with lone surrogates, NaN
``@``   a standard type (`holdfast.values.kinds`): its code, and what it reduces to
``#``   anything named (`holdfast.values.views`): an instance, enum member, function, class or module: its name, content and attributes
======  ===========================================================================================================

Which form applies is a property of the value alone, never of how it is reached.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.errors import NotKeyable
from holdfast.values.plain import are_plain, is_plain
from holdfast.values.refusal import MAX_DEPTH, Refused, too_deep
from holdfast.values.views import view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Writer = Callable[[Any, int], bytes]

_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_BEYOND_MSGPACK = (UnicodeEncodeError, OverflowError)


def digest(data: bytes) -> bytes:
    """16 bytes of BLAKE2b over ``data``."""
    return blake2b(data, digest_size=16).digest()


def encode(value: Any, *, where: str = "value", remedy: str = "") -> bytes:  # Any: any value at all
    """The canonical bytes of ``value``.

    Args:
        value: Nested values of standard types, dataclasses, attrs, pydantic models, Structs, enums, numpy arrays, functions (by name and
            code), classes and modules (by name), or objects with a method ``__holdfast_key__()`` that returns such a value.
        where: What to call the value in an error: the parameter's name.
        remedy: What to do, for an error; "" for the ways out there are for an argument.

    Raises:
        NotKeyable: Some part has no content to tell it by (a client, a lock, a file). The text names the part and the ways out.

    >>> encode({"b": 1, "a": 2}) == encode({"a": 2, "b": 1})
    True
    >>> encode(1) == encode(1.0)
    False
    """
    try:
        return _write(value, MAX_DEPTH)
    except Refused as refused:
        raise _not_keyable(refused, where, remedy) from None
    except RecursionError:
        raise _not_keyable(too_deep(), where, remedy) from None


def encode_arguments(names: Sequence[str], values: Iterable[Any]) -> bytes:
    """The canonical bytes of bound arguments, as of the tuple of ``values``; errors name the parameter.

    About half the cost of encoding them one by one: 0.7 us for ``("Oslo", 3, {"units": "metric"})``, where that takes 1.6 us.

    Args:
        names: Parameter names, parallel to ``values``.
        values: The bound arguments.

    Raises:
        NotKeyable: See `encode`.
    """
    values = tuple(values)
    try:
        return _write(values, MAX_DEPTH)
    except (Refused, RecursionError):
        for name, value in zip(names, values, strict=True):
            encode(value, where=name)
        raise _not_keyable(too_deep(), names[0]) from None


def encode_together(values: tuple[Any, ...]) -> bytes | None:
    """What `encode_arguments` returns, or None where it would raise."""
    try:
        return _write(values, MAX_DEPTH)
    except (Refused, RecursionError):
        return None


def _not_keyable(refused: Refused, where: str, remedy: str = "") -> NotKeyable:
    path = refused.path(where)
    fix = refused.fix and f" ({refused.fix})"
    ways = (
        f'Leave it out of the key with CachePolicy(ignore=("{where}",)) if no result depends on it, '
        f"or make the key yourself with CachePolicy(key_func=...)."
    )
    if where == "self":
        ways = (
            "Give the class a method __holdfast_key__ that returns what its results depend on (a URL and an account, say), "
            'or leave self out of the key with CachePolicy(ignore=("self",)) if all objects may share their results.'
        )
    return NotKeyable(f"{path} {refused.problem}: no stable cache key can be made from it{fix}. {remedy or ways}", where=path)


def _write(value: object, depth: int) -> bytes:
    kind = type(value)
    try:
        if kind is tuple:
            if are_plain(value, depth):
                return b"(" + _pack(value)
        elif is_plain(value, depth):
            return b"=" + _pack(value)
    except _BEYOND_MSGPACK:
        pass
    if depth <= 0:
        raise too_deep()
    return _WRITERS.get(kind, _write_viewed)(value, depth - 1)


def _write_viewed(value: Any, depth: int) -> bytes:
    view = view_of(value)
    data = view.head + _write(view.content, depth)
    return data if view.attributes is None else data + _counted(b"A", _write_attributes(view.attributes, depth))


def _write_attributes(attributes: dict[str, Any], depth: int) -> list[bytes]:
    parts: list[bytes] = []
    for name, value in attributes.items():
        try:
            parts.append(_write_text(name, 0) + _write(value, depth))
        except Refused as refused:
            refused.through_attribute(name)
            raise
    return parts


def _counted(form: bytes, parts: list[bytes]) -> bytes:
    """``parts`` joined behind their form and number."""
    return b"%b%d:%b" % (form, len(parts), b"".join(parts))


def _write_items(values: Iterable[Any], depth: int) -> list[bytes]:
    """Each of ``values`` written, in order."""
    parts: list[bytes] = []
    try:
        for value in values:
            parts.append(_write(value, depth))  # noqa: PERF401 - the length is the index when one is refused
    except Refused as refused:
        refused.through_item(len(parts))
        raise
    return parts


def _write_members(values: Iterable[Any], depth: int) -> list[bytes]:
    try:
        return sorted([_write(value, depth) for value in values])
    except Refused as refused:
        refused.through_member()
        raise


def _write_entries(value: dict[Any, Any], depth: int) -> list[bytes]:
    entries: list[bytes] = []
    for key, item in value.items():
        try:
            entries.append(_write(key, depth) + _write(item, depth))
        except Refused as refused:
            refused.through_item(key)
            raise
    return sorted(entries)


def _write_int(value: int, _: int) -> bytes:
    return b"i%x;" % value


def _write_text(value: str, _: int) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _write_nan(_value: float, _: int) -> bytes:
    return b"N"


_WRITERS: dict[type, Writer] = {
    int: _write_int,
    str: _write_text,
    float: _write_nan,
    tuple: lambda value, depth: _counted(b"T", _write_items(value, depth)),
    list: lambda value, depth: _counted(b"L", _write_items(value, depth)),
    dict: lambda value, depth: _counted(b"D", _write_entries(value, depth)),
    set: lambda value, depth: _counted(b"S", _write_members(value, depth)),
    frozenset: lambda value, depth: _counted(b"F", _write_members(value, depth)),
}
