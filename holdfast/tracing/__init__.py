"""Watches the runtime: spans, lines and where they go.

    import holdfast.tracing

    holdfast.tracing.configure()  # into the local trace store: `holdfast runs`, `holdfast show`
    holdfast.tracing.configure("jaeger")  # and to Jaeger on this machine

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.tracing.logs.log_processor import OTelLogProcessor
    from holdfast.tracing.logs.text import warn
    from holdfast.tracing.safety.firewall import flush
    from holdfast.tracing.sampling.interesting import KeepInteresting
    from holdfast.tracing.setup._configure import configure, measure
    from holdfast.tracing.setup._session import Handle
    from holdfast.tracing.spans.propagation import carried, child_env

__all__ = ["Handle", "KeepInteresting", "OTelLogProcessor", "carried", "child_env", "configure", "flush", "measure", "warn"]

_HOMES = {
    "Handle": "setup._session",
    "KeepInteresting": "sampling.interesting",
    "OTelLogProcessor": "logs.log_processor",
    "carried": "spans.propagation",
    "child_env": "spans.propagation",
    "configure": "setup._configure",
    "flush": "safety.firewall",
    "measure": "setup._configure",
    "warn": "logs.text",
}


def __getattr__(name: str) -> Any:
    """Import what is used, when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
