"""Variables of the environment that switch off what nobody asked for in the code."""

from __future__ import annotations

import os

_OFF = frozenset({"off", "0", "false", "no"})


def is_recording_off() -> bool:
    """Whether ``HOLDFAST_RECORD`` says so."""
    return _is_off("HOLDFAST_RECORD")


def is_tuning_off() -> bool:
    """Whether ``HOLDFAST_TUNE`` says so."""
    return _is_off("HOLDFAST_TUNE")


def _is_off(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _OFF
