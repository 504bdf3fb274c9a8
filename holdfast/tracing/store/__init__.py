"""The local trace store: what ended, in one SQLite file, and what the commands read out of it.

from holdfast.tracing.store import Choice, TraceStore

[run.name for run in TraceStore().runs(choice=Choice(status="error"))]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast._lazy import lazy

if TYPE_CHECKING:
    from holdfast.tracing.store.choice import Choice
    from holdfast.tracing.store.database import RunSummary, TraceStore

__all__ = ["Choice", "RunSummary", "TraceStore"]

if not TYPE_CHECKING:
    __getattr__ = lazy(globals(), {"choice": ("Choice",), "database": ("RunSummary", "TraceStore")})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
