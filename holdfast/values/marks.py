"""What is marked with `Secret`: parameters, results, and fields of records."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from functools import lru_cache
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from holdfast._secrets import Secret
from holdfast.values.annotations import closure_of, resolve, unwrapped_partial

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = "return"
"""Stands for the result among the names of parameters, as in ``__annotations__``; no parameter can have this name."""

_SAYS_SECRET = re.compile(r"\bSecret\b")
_DEEPEST = 20


def secrets_of(fn: Callable[..., Any]) -> frozenset[str]:
    """Names of the marked parameters of ``fn``, and `RESULT` where its result is marked.

    An annotation that cannot be resolved, because it names something that only type checkers see, counts as marked if ``Secret`` stands in it.
    """
    inner = unwrapped_partial(fn)
    if not hasattr(inner, "__annotations__") and not isinstance(inner, type):
        inner = inner.__call__
    defined = inspect.unwrap(getattr(inner, "__func__", inner))
    if not isinstance(defined, FunctionType):
        return frozenset()
    closure = closure_of(defined)
    return frozenset(name for name, each in defined.__annotations__.items() if _is_marked(each, defined.__globals__, closure))


def secret_fields(record: object) -> frozenset[str]:
    """Names of the marked fields of a record, an instance of any class with annotations."""
    cls: Any = type(record)
    return _fields_of(cls)


@lru_cache(maxsize=1024)
def _fields_of(cls: Any) -> frozenset[str]:
    found: set[str] = set()
    for owner in cls.__mro__[:-1]:
        names = vars(sys.modules.get(owner.__module__, SimpleNamespace()))
        more: dict[str, Any] = {owner.__name__: owner, **vars(owner)}
        found.update(name for name, each in inspect.get_annotations(owner).items() if _is_marked(each, names, more))
    return frozenset(found)


def _is_marked(annotation: Any, names: dict[str, Any], more: dict[str, Any]) -> bool:
    if isinstance(annotation, typing.ForwardRef):  # what NamedTuple makes of text
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        resolved = resolve(annotation, names, more)
        if resolved is Any:  # so it is as well where it cannot be resolved
            return _SAYS_SECRET.search(annotation) is not None
        annotation = resolved
    return _holds_mark(annotation, _DEEPEST)


def _holds_mark(annotation: Any, depth: int) -> bool:
    """Whether the mark stands in it anywhere: ``Annotated[str, Secret] | None`` has it inside."""
    if depth == 0:
        return False
    marks = getattr(annotation, "__metadata__", ())
    if any(mark is Secret or isinstance(mark, Secret) for mark in marks):
        return True
    behind = getattr(annotation, "__value__", None)  # a ``type`` statement's
    return any(_holds_mark(each, depth - 1) for each in (*typing.get_args(annotation), *(() if behind is None else (behind,))))
