"""What belongs to the user, asked so that its answer cannot harm a call: errors that refuse notes, texts that cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


def add_note(error: BaseException, note: str) -> None:
    """`BaseException.add_note`, where the class allows it: a frozen dataclass does not."""
    try:
        error.add_note(note)
    except Exception:  # noqa: BLE001 - the error itself matters more than what we have to say about it
        return


def call_back(fn: Callable[[Any], object], future: Future[Any]) -> None:
    """Call a callback of a future's. Its failure is its own, reported as `concurrent.futures` reports it."""
    try:
        fn(future)
    except Exception:
        import logging

        logging.getLogger("concurrent.futures").exception("exception calling callback for %r", future)


def shown(value: object) -> str:
    """The value's repr, or what can be said without asking it."""
    return _ask(repr, value)


def described(error: BaseException) -> str:
    """An error as ``ConnectionError: reset``."""
    text = _ask(str, error)
    return f"{type(error).__name__}: {text}"


def _ask(how: Callable[[Any], str], value: object) -> str:
    try:
        return how(value)
    except Exception as failure:  # noqa: BLE001 - the user's __repr__ or __str__
        return f"<{type(value).__qualname__} whose text cannot be had: {type(failure).__qualname__}>"
