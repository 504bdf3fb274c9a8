"""A function's fingerprint: it changes when the code changes, and with nothing else; see `holdfast.values.code` for what counts."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast.errors import NotKeyable
from holdfast.values.canonical import encode
from holdfast.values.code import describe
from holdfast.values.identity import token
from holdfast.values.names import qualified_name
from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable


def fingerprint(fn: Callable[..., Any], private: list[str] | None = None) -> str:
    """16 hex digits over what ``fn`` does: bytecode, constants, names, defaults, closure cells, and the functions it wraps or carries.

    The same in every process of one Python version, unless a closure holds something without content, such as a client: two closures over
    two clients are two functions, and only identity tells them apart. Functions and classes that the code merely names (globals) count by name.

    Args:
        fn: A function, method, partial, builtin, class, or an object with ``__call__``.
        private: Gets the names of captured variables that count by identity, each with its type.

    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 1)
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """

    def capture(name: str, value: Any) -> Any:
        kept = _keep(value)
        if isinstance(kept, bytes) or len(kept) > 1:
            return kept
        if private is not None:
            private.append(f"{name} ({kept[0]})")
        return [*kept, token(value)]

    return blake2b(encode(_described(fn, capture=capture)), digest_size=8).hexdigest()


def code_fingerprint(fn: Callable[..., Any]) -> str:
    """`fingerprint` without the values that ``fn`` carries: of these only the types count, and the code of functions.

    Args:
        fn: As for `fingerprint`.
    """
    return blake2b(encode(_described(fn, lambda value: qualified_name(type(value)))), digest_size=8).hexdigest()


def _described(fn: Any, keep: Callable[[Any], Any] | None = None, capture: Callable[[str, Any], Any] | None = None) -> Any:
    keep = _keep if keep is None else keep
    if isinstance(fn, type):
        return ["class", qualified_name(fn)]
    try:
        return describe(fn, keep, capture)
    except Refused:
        return ["object", qualified_name(type(fn)), keep(fn), describe(type(fn).__call__, keep, capture)]


def _keep(value: Any) -> Any:
    """A carried value as its canonical bytes, or as its type's name when it has none (a client)."""
    try:
        return encode(value)
    except NotKeyable:
        wrapped = getattr(value, "__wrapped__", None)
        name = qualified_name(type(value))
        return [name] if wrapped is None else [name, fingerprint(wrapped)]
