"""The options of `configure` that hold for every backend: what they may be, and what the environment says of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.errors import PolicyError
from holdfast.events import INFO
from holdfast.tracing.logs.lines import LEVELS
from holdfast.tracing.observers.settings import known_attempt_spans, usual_attempt_spans, usual_hit_spans
from holdfast.tracing.spans import capture as capturing

if TYPE_CHECKING:
    from collections.abc import Callable


def usual_capture() -> str:
    """What ``HOLDFAST_CAPTURE`` says, else ``none``."""
    return _known_capture("HOLDFAST_CAPTURE", os.environ.get("HOLDFAST_CAPTURE", "").strip().lower() or "none")


def _known_capture(where: str, choice: str) -> str:
    if choice not in capturing.CHOICES:
        raise PolicyError(f"{where}={choice!r} is not known: use one of {', '.join(map(repr, capturing.CHOICES))}")
    return choice


def check(capture: str | None, attempt_spans: str | None, max_hit_spans: int | None, lines: bool | str | None) -> None:  # noqa: FBT001 - an option's own value
    """Refuse what cannot work, before anything is set up; None is left to earlier calls.

    Raises:
        PolicyError: One of them, or the variable that stands for it, is no choice.
    """
    if capture is None:
        usual_capture()
    else:
        _known_capture("capture", capture)
    if attempt_spans is None:
        usual_attempt_spans()
    else:
        known_attempt_spans("attempt_spans", attempt_spans)
    number = usual_hit_spans() if max_hit_spans is None else max_hit_spans
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise PolicyError(f"max_hit_spans={number!r} must be a whole number from 0")
    if lines is not None:
        level(lines)


def check_others(service_name: str | None, redact: Callable[[str], str] | None) -> None:
    """Refuse a name that is none, and a redactor that cannot be called.

    Raises:
        PolicyError: One of them is that.
    """
    if service_name is not None and (not isinstance(service_name, str) or not service_name.strip()):
        raise PolicyError(f"service_name={service_name!r} is no name: leave it out for what the environment says, else the script's")
    if redact is not None and not callable(redact):
        raise PolicyError(f"redact={redact!r} cannot be called: give a function that takes a text and returns what may leave of it")


def level(lines: bool | str) -> int | None:  # noqa: FBT001 - it is the option's own value
    """The least level of lines that ``lines`` asks for; None for none.

    Raises:
        PolicyError: It is no level.
    """
    if isinstance(lines, bool):
        return INFO if lines else None
    if lines not in LEVELS:
        raise PolicyError(f"lines={lines!r} is not known: use True, False or one of {', '.join(map(repr, LEVELS))}")
    return LEVELS[lines]
