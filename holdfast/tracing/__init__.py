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
    from holdfast.tracing._configure import configure, measure
    from holdfast.tracing._session import Handle
    from holdfast.tracing.firewall import flush
    from holdfast.tracing.log_processor import OTelLogProcessor
    from holdfast.tracing.propagation import carried, child_env
    from holdfast.tracing.sampling import KeepInteresting
    from holdfast.tracing.text import warn

__all__ = ["Handle", "KeepInteresting", "OTelLogProcessor", "carried", "child_env", "configure", "flush", "measure", "warn"]

_HOMES = {
    "Handle": "_session",
    "KeepInteresting": "sampling",
    "OTelLogProcessor": "log_processor",
    "carried": "propagation",
    "child_env": "propagation",
    "configure": "_configure",
    "flush": "firewall",
    "measure": "_configure",
    "warn": "text",
}


def __getattr__(name: str) -> Any:
    """Import what is used, when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
