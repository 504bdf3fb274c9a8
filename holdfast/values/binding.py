"""Binds call arguments to parameters, 10 times faster than `inspect.Signature.bind`, by compiling a function for it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Parameter


@dataclass(frozen=True, slots=True)
class Binder:
    """Turns the arguments of a call into one value per parameter.

    Attributes:
        names: The parameters, in order.
        bind: Takes what the function takes, returns one value per name: defaults filled in, ``*args`` as a tuple, ``**kwargs`` as a
            dict. Raises the TypeError that calling the function would raise.
    """

    names: tuple[str, ...]
    bind: Callable[..., tuple[Any, ...]]


def compile_binder(fn: Callable[..., Any]) -> Binder:
    """The binder of ``fn``; of the signature it shows, when it is decorated.

    A builtin that tells no signature binds to two values: ``args`` and ``kwargs``.
    """
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (ValueError, TypeError):  # what inspect raises for builtins without a signature
        return Binder(("args", "kwargs"), _bind_anything)
    if any(iskeyword(parameter.name) for parameter in parameters):  # builtins may have such, positional-only
        return Binder(("args", "kwargs"), _bind_anything)
    return Binder(tuple(parameter.name for parameter in parameters), _compile(fn, parameters))


def _bind_anything(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return args, kwargs


def _compile(fn: Callable[..., Any], parameters: list[Parameter]) -> Callable[..., tuple[Any, ...]]:
    """A function with the signature of ``fn`` that returns its arguments as a tuple.

    Python itself then binds: 0.1 to 0.3 us for three arguments, where ``Signature.bind`` and ``apply_defaults`` take 4 us. Only parameter
    names (identifiers, as `inspect` checked) get into the source; defaults are set on the function afterwards.
    """
    names = [parameter.name for parameter in parameters]
    source = f"def bind({_signature_source(parameters)}):\n    return ({''.join(f'{each}, ' for each in names)})"
    scope: dict[str, Any] = {}
    exec(compile(source, "<holdfast binder>", "exec"), scope)  # noqa: S102 - names only; see above
    bind = scope["bind"]
    filled = [p for p in parameters if p.default is not p.empty]
    bind.__defaults__ = tuple(p.default for p in filled if p.kind is not p.KEYWORD_ONLY) or None
    bind.__kwdefaults__ = {p.name: p.default for p in filled if p.kind is p.KEYWORD_ONLY} or None
    bind.__qualname__ = getattr(fn, "__qualname__", type(fn).__qualname__)  # stands in its TypeErrors
    return bind  # type: ignore[no-any-return]


def _signature_source(parameters: list[Parameter]) -> str:
    parts: list[str] = []
    previous: Any = None
    for parameter in parameters:
        if previous is parameter.POSITIONAL_ONLY and parameter.kind is not previous:
            parts.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and previous not in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
            parts.append("*")
        default = "" if parameter.default is parameter.empty else "=None"
        parts.append(_STARS.get(parameter.kind.name, "") + parameter.name + default)
        previous = parameter.kind
    if parameters and previous is parameters[-1].POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


_STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
