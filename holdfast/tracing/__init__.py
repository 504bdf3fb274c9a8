"""Watches the runtime: spans, lines and where they go.

    import holdfast.tracing

    holdfast.tracing.configure()  # into the local trace store: `holdfast runs`, `holdfast show`
    holdfast.tracing.configure("jaeger")  # and to Jaeger on this machine

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast._lazy import lazy

if TYPE_CHECKING:
    from holdfast.tracing.logs.log_processor import OTelLogProcessor
    from holdfast.tracing.logs.text import warn
    from holdfast.tracing.safety.firewall import flush
    from holdfast.tracing.sampling.interesting import KeepInteresting
    from holdfast.tracing.setup._configure import configure, measure
    from holdfast.tracing.setup._session import Handle
    from holdfast.tracing.spans.propagation import carried, child_env

__all__ = ["Handle", "KeepInteresting", "OTelLogProcessor", "carried", "child_env", "configure", "flush", "measure", "warn"]

if not TYPE_CHECKING:
    __getattr__ = lazy(
        globals(),
        {
            "logs.log_processor": ("OTelLogProcessor",),
            "logs.text": ("warn",),
            "safety.firewall": ("flush",),
            "sampling.interesting": ("KeepInteresting",),
            "setup._configure": ("configure", "measure"),
            "setup._session": ("Handle",),
            "spans.propagation": ("carried", "child_env"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
