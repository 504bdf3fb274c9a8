"""The test kit: a clock that obeys, failures by script, and what holdfast did as plain literals.

Also a pytest plugin with fixtures, see `holdfast.testing.plugin`. How to use it all: docs/testing.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.testing.clock import Draw, FakeClock, NoWaits, no_waits

__all__ = [
    "Draw",
    "FakeClock",
    "NoWaits",
    "no_waits",
]

_HOMES = {
    "Draw": "clock",
    "FakeClock": "clock",
    "NoWaits": "clock",
    "no_waits": "clock",
}


def __getattr__(name: str) -> Any:  # whatever the module holds
    """Import a name when it is first used: pytest loads this package through the plugin at every start."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
