"""What policies ask of the functions they are given, and how they name them."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator


def plain_function(value: object, *, what: str, example: str) -> None:
    """Refuse what is not a plain function.

    Policies decide inside sync and async calls alike, so their functions are called and never awaited.

    Args:
        value: What the user gave.
        what: Name of the parameter, for the error.
        example: A value that would work, for the error.

    Raises:
        PolicyError: It is not callable, or a coroutine function, or a coroutine or generator function's call.
    """
    if not callable(value):
        raise PolicyError(f"{what}={value!r} is not a function: give for example {what}={example}")
    if _is_lazy(value):
        raise PolicyError(f"{what}={name_of(value)} is async or a generator: give a plain function, for example {what}={example}")


def name_of(value: Any) -> str:
    """Name a function, class or other callable the way its author wrote it.

    >>> name_of(ValueError), name_of(len), name_of(partial(round, ndigits=1))
    ('ValueError', 'len', 'partial(round)')
    """
    if isinstance(value, partial):
        return f"partial({name_of(value.func)})"
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return name.rpartition("<locals>.")[2]
    if type(value).__module__.startswith("tenacity."):
        return f"{type(value).__qualname__}({', '.join(_parts(value))})"
    text = repr(value)
    return f"{type(value).__qualname__}()" if " object at 0x" in text else text


def _parts(strategy: Any) -> Iterator[str]:
    """The numbers, functions and strategies that one of tenacity's strategies is made of; tenacity gives them no repr."""
    for part in strategy.__dict__.values():
        parts: tuple[Any, ...] = part if isinstance(part, tuple) else (part,)  # pyright: ignore[reportUnknownVariableType]
        yield from map(name_of, parts)


def _is_lazy(value: Any) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    call = getattr(value, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    return any(is_kind(target) for target in (value, call) for is_kind in kinds)
