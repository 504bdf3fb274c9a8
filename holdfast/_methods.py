"""Decorated methods: of classes, of objects, and static ones.

What ``@resilient`` makes of a method is a function, as before: pydantic, ``mock.create_autospec`` and ``inspect.ismethod`` take nothing else for
a method. The price: ``api.get.key`` is an attribute of the function, and Python does not tell it the object. So it is asked of the class.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.errors import PolicyError
from holdfast.values.names import place, spoken_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.plan import Plan


class Missing:
    """Stands for a function that was not given: ``task(None)`` is a mistake, ``task()`` is none."""

    def __repr__(self) -> str:
        return "..."


MISSING = Missing()
F = TypeVar("F", bound="Callable[..., Any]")
_METHODS: tuple[type, ...] = (classmethod, property)


def of_entrypoint(method: F) -> F:
    """Name a method that another class holds for `Entrypoint` as its users know it, for error texts."""
    function: Any = method
    function.__qualname__ = f"Entrypoint.{function.__name__}"
    return method


def is_function(given: Any) -> bool:
    """True for what a bare ``@entrypoint`` decorates, or is asked to: a function, or a property or method object made of one."""
    return (callable(given) or isinstance(given, _METHODS)) and not hasattr(given, "claim")


class _ClassMethod:
    """A class method that binds whatever it holds, a task too: since Python 3.13 the built-in one binds functions only."""

    def __init__(self, made: Any) -> None:
        self.__func__ = made
        self.__wrapped__ = made

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        cls: type = type(instance) if owner is None else owner
        return self.__func__.__get__(cls)


def or_method(decorate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator that may stand above ``@staticmethod`` and ``@classmethod``, too: it then decorates the function in them."""

    @functools.wraps(decorate)
    def decorated(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            made = decorate(function.__func__)  # pyright: ignore[reportUnknownMemberType]
            if isinstance(function, classmethod) and not hasattr(made, "__get__"):
                msg = f"{place(made)} cannot be a class method: an entrypoint is called on no object. Make it a function, and its steps methods"
                raise PolicyError(msg)
            return _ClassMethod(made) if isinstance(function, classmethod) else staticmethod(made)
        return decorate(function)

    return decorated


def check_owner(wrapper: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse the question for a key of a method that names no object: the next argument would be taken for it.

    Raises:
        TypeError: The function's first parameter is ``self`` or ``cls``, and what was given for it has no such method.
    """
    first = plan.names[0] if plan.names else ""
    if first not in {"self", "cls"} or first in kwargs or (args and _has(args[0], wrapper)):
        return
    name = spoken_name(wrapper).rpartition("<locals>.")[2]
    owner = "Class" if first == "cls" else "object"
    msg = f"{name} is a method, and its keys need its {owner.lower()} as first argument: write {name}.key({owner}, ...), on the class"
    raise TypeError(msg)


def _has(owner: Any, wrapper: Any) -> bool:
    """True when a class of ``owner`` is the one the function was written in, or holds it under any name."""
    cls = owner if isinstance(owner, type) else owner.__class__  # not type(): a Mock(spec=Api) will do
    home = wrapper.__qualname__.rpartition(".")[0]
    return any(each.__qualname__ == home or any(_bare(value) is wrapper for value in vars(each).values()) for each in cls.__mro__)


def _bare(value: Any) -> Any:
    return value.__func__ if isinstance(value, (staticmethod, classmethod)) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
