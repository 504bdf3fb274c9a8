"""What may change while observing, and what the environment says about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from holdfast.events import Called

ATTEMPT_SPANS = ("auto", "always", "failures")
_MAX_HIT_SPANS = 100


class Settings(msgspec.Struct):
    """What may change while observing.

    Attributes:
        capture: ``none``, ``shape`` or ``values``, for tasks and runs that leave it open.
        attempt_spans: ``auto``: a call that can have one attempt only is its own attempt; ``always``: every attempt has its own span;
            ``failures``: only a failed attempt has one, made when it has failed, and bodies run in the span of their call.
        max_hit_spans: Spans per run for calls answered by cache or journal; the others are only counted.
        salt: Keys the hash of cache keys, at most 64 bytes.
    """

    capture: str = "none"
    attempt_spans: str = "auto"
    max_hit_spans: int = _MAX_HIT_SPANS
    salt: bytes = b""

    def mode(self, wanted: str) -> str:
        """What may be captured where ``wanted`` is the task's or run's own choice, ``""`` when it made none."""
        return wanted or self.capture

    def is_own_attempt(self, max_attempts: int | None) -> bool:
        """Whether a call that may have so many attempts (None: any number) is its own attempt, in one span."""
        return max_attempts == 1 and self.attempt_spans != "always"

    def is_brief(self, called: Called) -> bool:
        """Whether its success can be told without records: as two spans that say nothing of its values."""
        return called.max_attempts != 1 and self.is_brief_in_run(called)

    def is_brief_in_run(self, called: Called) -> bool:
        """The same of a call in a run, whose span may be that of its attempt, too."""
        return self.attempt_spans != "failures" and (called.capture or self.capture) == "none"


def usual_attempt_spans() -> str:
    """What ``HOLDFAST_ATTEMPT_SPANS`` says, else ``auto``.

    Raises:
        PolicyError: It says something else than one of `ATTEMPT_SPANS`.
    """
    return known_attempt_spans("HOLDFAST_ATTEMPT_SPANS", os.environ.get("HOLDFAST_ATTEMPT_SPANS", "").strip().lower() or "auto")


def known_attempt_spans(where: str, choice: str) -> str:
    """``choice``, which ``where`` made.

    Raises:
        PolicyError: It is not one of `ATTEMPT_SPANS`.
    """
    if choice not in ATTEMPT_SPANS:
        raise PolicyError(f"{where}={choice!r} is not known: use one of {', '.join(map(repr, ATTEMPT_SPANS))}")
    return choice


def usual_hit_spans() -> int:
    """What ``HOLDFAST_HIT_SPANS`` says, else 100.

    Raises:
        PolicyError: It is no whole number from 0.
    """
    text = os.environ.get("HOLDFAST_HIT_SPANS", "").strip()
    if text and not (text.isascii() and text.isdecimal()):
        raise PolicyError(f"HOLDFAST_HIT_SPANS={text!r} must be a whole number from 0")
    return int(text) if text else _MAX_HIT_SPANS
