"""The test kit: a clock that obeys, failures by script, and what holdfast did as plain literals.

Also a pytest plugin with fixtures, see `holdfast.testing.plugin`. How to use it all: docs/testing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast._lazy import lazy

if TYPE_CHECKING:
    from holdfast.testing._virtual import StuckClockError
    from holdfast.testing.capture import Captured, captured
    from holdfast.testing.clock import Draw, FakeClock, NoWaits, no_waits
    from holdfast.testing.contract import CheckpointerContract
    from holdfast.testing.recording import RecordingObserver, recorded
    from holdfast.testing.script import (
        Flake,
        Scripted,
        ScriptedAsync,
        ScriptedCall,
        ScriptEndedError,
        after,
        flaky,
        flaky_async,
        scripted,
        scripted_async,
    )

__all__ = [
    "Captured",
    "CheckpointerContract",
    "Draw",
    "FakeClock",
    "Flake",
    "NoWaits",
    "RecordingObserver",
    "ScriptEndedError",
    "Scripted",
    "ScriptedAsync",
    "ScriptedCall",
    "StuckClockError",
    "after",
    "captured",
    "flaky",
    "flaky_async",
    "no_waits",
    "recorded",
    "scripted",
    "scripted_async",
]

if not TYPE_CHECKING:  # pytest loads this package, through the plugin, at every start
    __getattr__ = lazy(
        globals(),
        {
            "_virtual": ("StuckClockError",),
            "capture": ("Captured", "captured"),
            "clock": ("Draw", "FakeClock", "NoWaits", "no_waits"),
            "contract": ("CheckpointerContract",),
            "recording": ("RecordingObserver", "recorded"),
            "script": (
                *("Flake", "ScriptEndedError", "Scripted", "ScriptedAsync", "ScriptedCall"),
                *("after", "flaky", "flaky_async", "scripted", "scripted_async"),
            ),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
