"""Keeps our frames out of the user's tracebacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

E = TypeVar("E", bound=BaseException)

_PACKAGE = str(Path(__file__).parent.parent) + "/"
_RUNTIME = (str(Path(__file__).parent) + "/", _PACKAGE + "clock.py", _PACKAGE + "_")


def user_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Drop the leading frames that are holdfast's own, so that a traceback starts in the user's function.

    A traceback that never leaves holdfast (our own error) is kept whole.
    """
    frame = traceback
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_RUNTIME):
        frame = frame.tb_next
    return traceback if frame is None else frame


def stripped(error: E) -> E:
    """The error, its traceback without those frames. Set by `with_traceback`: a frozen dataclass does not let its attributes be assigned."""
    return error.with_traceback(user_frames(error.__traceback__))
