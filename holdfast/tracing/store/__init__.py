"""The local trace store: what ended, in one SQLite file, and what the commands read out of it.

from holdfast.tracing.store import Choice, TraceStore

[run.name for run in TraceStore().runs(choice=Choice(status="error"))]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.tracing.store.choice import Choice
    from holdfast.tracing.store.database import RunSummary, TraceStore

__all__ = ["Choice", "RunSummary", "TraceStore"]

_HOMES = {"Choice": "choice", "RunSummary": "database", "TraceStore": "database"}


def __getattr__(name: str) -> Any:
    """Import what is used, when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
