"""Exceptions as data, and rebuilt from it without running an ``__init__`` of the user's."""

from __future__ import annotations

from typing import Any

VERDICT = "_holdfast_verdict"
"""Where an error that was raised again carries what the original was judged to be: whether it is transient, and why."""


def take_apart(error: BaseException) -> tuple[list[Any], dict[str, Any]]:
    """What Python itself would pickle of an exception: arguments and attributes, notes among them."""
    _cls, args, *state = _builtin_base(type(error)).__reduce__(error)
    return list(args), dict(state[0]) if state and state[0] else {}


def rebuild_exception(cls: type[BaseException], args: list[Any], state: dict[str, Any]) -> Any:
    """An exception of exactly this class from what `take_apart` returned.

    Python's own base class makes it and fills what is kept in C (``errno`` of an OSError); the user's ``__init__``, whose parameters
    often differ from ``args``, is not run.

    Raises:
        TypeError: The class was made by an extension, or its builtin base does not take ``args``.
    """
    base = _builtin_base(cls)
    error = base.__new__(cls, *args)
    if type(error) is not cls:
        raise TypeError(f"{base.__name__} made another class of these arguments")
    base.__init__(error, *args)
    if state:
        base.__setstate__(error, state)
    return error


def _builtin_base(cls: type[BaseException]) -> Any:
    return next(each for each in cls.__mro__ if each.__module__ == "builtins")
