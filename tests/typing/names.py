"""A misspelt name is an error to a type checker, though the names load late: checked by mypy and pyright, never run."""

from __future__ import annotations

import holdfast
from holdfast import events, testing, tracing

VERSION: str = holdfast.__version__
MISSPELT: list[object] = [
    holdfast.retsilient,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    events.CallFax,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    testing.Clok,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    tracing.confgure,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
]
