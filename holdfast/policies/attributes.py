"""Reading attributes of foreign errors without being hurt by them."""

from __future__ import annotations

from typing import Any


def attribute(thing: Any, name: str) -> Any:
    """Read one attribute; None when it is missing or its property raises.

    Some libraries' properties raise (`httpx.RequestError.request` when unset). Looking at an error must never replace it.
    """
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - see above
        return None


def origin(error: BaseException) -> BaseException | None:
    """What an error was raised from: its ``__cause__``, else the error being handled when it was raised (not after ``from None``)."""
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def type_name(error: BaseException) -> str:
    """Name an error's class with its top package: ``httpx.ConnectError``, ``TimeoutError``."""
    cls = type(error)
    package = cls.__module__.partition(".")[0]
    return cls.__qualname__ if package in {"builtins", "__main__"} else f"{package}.{cls.__qualname__}"
