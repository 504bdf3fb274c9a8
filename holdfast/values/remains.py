"""What is left of an attribute of an error that could not be stored: its few plain parts, and a clear word about the rest."""

from __future__ import annotations

from typing import Any

_PARTS = ("status_code", "status", "code", "reason", "reason_phrase")
_LONGEST = 200


class Remains:
    """Stands where a response, a request or a file was, in an error that is raised again from a store.

    It has of the original what says how it went: ``status_code``, ``status``, ``code``, ``reason`` and ``reason_phrase``, where they were
    numbers or text. Headers and bodies may hold secrets and have no bound, so they are not kept; asking for them is an AttributeError
    that says so. ``close`` does nothing.

    >>> response = Remains("httpx.Response", {"status_code": 404})
    >>> response.status_code, response
    (404, <what is left of httpx.Response: status_code=404>)
    >>> response.headers
    Traceback (most recent call last):
    AttributeError: 'headers' was not kept: this error was remembered, and of its httpx.Response there is only status_code
    """

    _kind = "object"

    def __init__(self, kind: str, parts: dict[str, int | str]) -> None:
        self._kind = kind
        self.__dict__.update({name: value for name, value in parts.items() if name in _PARTS})

    def __getattr__(self, name: str) -> Any:
        left = ", ".join(self._parts()) or "nothing"
        raise AttributeError(f"{name!r} was not kept: this error was remembered, and of its {self._kind} there is only {left}")

    def __repr__(self) -> str:
        left = ", ".join(f"{name}={value!r}" for name, value in self._parts().items())
        return f"<what is left of {self._kind}: {left or 'nothing'}>"

    def close(self) -> None:
        """Nothing is open."""

    def _parts(self) -> dict[str, int | str]:
        return {name: value for name, value in self.__dict__.items() if name in _PARTS}


def describe(thing: object) -> tuple[str, dict[str, int | str]]:
    """The name of a thing's class, and its parts that are kept: what `Remains` is made of."""
    if isinstance(thing, Remains):
        return thing._kind, thing._parts()  # noqa: SLF001 - same module
    cls = type(thing)
    package = cls.__module__.partition(".")[0]
    kind = cls.__qualname__ if package == "builtins" else f"{package}.{cls.__qualname__}"
    return kind, {name: value for name in _PARTS if (value := _plain(thing, name)) is not None}


def _plain(thing: object, name: str) -> int | str | None:
    try:
        value = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a property that raises has nothing to keep
        return None
    if isinstance(value, str):
        return str(value[:_LONGEST])
    return int(value) if isinstance(value, int) and abs(value) < 1 << 63 else None
