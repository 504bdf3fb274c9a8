"""A function's fingerprint: it changes when the code changes, and with nothing else; see `holdfast.values.code` for what counts."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast.errors import NotKeyable
from holdfast.values.canonical import encode
from holdfast.values.code import describe
from holdfast.values.names import qualified_name
from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable


def fingerprint(fn: Callable[..., Any]) -> str:
    """16 hex digits over what ``fn`` does: bytecode, constants, names, defaults, closure cells, and the functions it wraps or carries.

    The same in every process of one Python version. Functions and classes that the code merely names (globals) count by name.

    Args:
        fn: A function, method, partial, builtin, class, or an object with ``__call__``.

    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 1)
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    return blake2b(encode(_described(fn)), digest_size=8).hexdigest()


def code_fingerprint(fn: Callable[..., Any]) -> str:
    """`fingerprint` without the values that ``fn`` carries: of these only the types count, and the code of functions.

    Args:
        fn: As for `fingerprint`.
    """
    return blake2b(encode(_described(fn, lambda value: qualified_name(type(value)))), digest_size=8).hexdigest()


def _described(fn: Any, keep: Callable[[Any], Any] | None = None) -> Any:
    keep = _keep if keep is None else keep
    if isinstance(fn, type):
        return ["class", qualified_name(fn)]
    try:
        return describe(fn, keep)
    except Refused:
        return ["object", qualified_name(type(fn)), keep(fn), describe(type(fn).__call__, keep)]


def _keep(value: Any) -> Any:
    """A carried value as its canonical bytes, or as its type's name when it has none (a client in a closure)."""
    try:
        return encode(value)
    except NotKeyable:
        wrapped = getattr(value, "__wrapped__", None)
        name = qualified_name(type(value))
        return [name] if wrapped is None else [name, fingerprint(wrapped)]
