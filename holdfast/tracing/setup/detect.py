"""detect: whether somebody wants to watch although nobody said so to holdfast."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.events import Observer

_module = sys.modules.get
_OFF = frozenset({"off", "0", "false", "no", "none"})
_METRICS = "metrics"

_has_read_environment = False
_is_off = False
_trace: Any = None  # opentelemetry.trace and structlog's answer, once both are loaded
_is_configured: Callable[[], bool] | None = None


def detect() -> Observer | None:
    """Install and return our observer when there is a reason to observe, else None. Never raises.

    Reasons: ``HOLDFAST_TRACING`` names a backend (looked at once), the application has set a tracer provider, or it has configured
    structlog. Called for each call and run while nobody observes: 0.1 us when neither library is loaded, or both, or OpenTelemetry alone.
    """
    if _is_configured is not None:
        if _trace._TRACER_PROVIDER is None and _has_read_environment and not _is_configured():  # noqa: SLF001 - see _look
            return None
    elif _has_read_environment and _module("structlog") is None:
        trace: Any = _module("opentelemetry.trace")
        if trace is None or getattr(trace, "_TRACER_PROVIDER", trace) is None:
            return None
    return None if _is_off else _look()


def _look() -> Observer | None:
    global _trace, _is_configured  # noqa: PLW0603 - looked up once per process
    trace: Any = _module("opentelemetry.trace")
    log: Any = _module("structlog")
    try:
        provider = None if trace is None else trace._TRACER_PROVIDER  # noqa: SLF001 - the public getter reads the environment each time
        is_configured = None if log is None else log.is_configured
    except AttributeError:  # a module is being imported by another thread, or has changed
        return None if _has_read_environment else _read_environment()
    if provider is not None and not getattr(provider, "is_of_holdfast", False):
        return _install()
    if is_configured is not None and is_configured():
        return _install()
    if trace is not None and is_configured is not None:
        _is_configured = is_configured
        _trace = trace
    return None if _has_read_environment else _read_environment()


def _install() -> Observer | None:
    """The application traces or logs already: join in, unless it was told not to."""
    if not _has_read_environment and (observer := _read_environment()) is not None:
        return observer
    if _is_off:
        return None
    from holdfast.tracing.setup._configure import observe

    return _guarded(observe)


def _read_environment() -> Observer | None:
    global _has_read_environment, _is_off  # noqa: PLW0603 - read once per process
    names = _named()
    if not names:
        _has_read_environment = True
        return None
    _is_off = not _OFF.isdisjoint(names)
    try:
        return None if _is_off else _guarded(lambda: _configure(names))
    finally:
        _has_read_environment = True  # after the work: a second thread may do it again, to no effect, rather than miss its first call


def backends() -> list[str]:
    """The backends that ``HOLDFAST_TRACING`` names: none when it says that nothing is to be traced."""
    names = _named()
    return [] if not _OFF.isdisjoint(names) else [name for name in names if name != _METRICS]


def _named() -> list[str]:
    return [name.strip().lower() for name in os.environ.get("HOLDFAST_TRACING", "").split(",") if name.strip()]


def _configure(names: list[str]) -> Observer | None:
    """Set up each; one of several that cannot be does not keep the others from it."""
    from holdfast import events

    for name in names:
        try:
            _begin(name)
        except Exception as error:
            if len(names) == 1:
                raise
            from holdfast.tracing.safety import firewall

            firewall.stderr(f"holdfast: {name} of HOLDFAST_TRACING could not be set up, and is left out: {firewall.describe(error)}")
    return events.observer


def _begin(name: str) -> None:
    from holdfast.tracing.setup._configure import check_backend, configure, measure

    if name == _METRICS:
        measure()
    else:
        check_backend(name, where="HOLDFAST_TRACING")
        configure(name)


def _guarded(work: Any) -> Observer | None:
    """What goes wrong here is said once, and nothing is observed: it is no fault of the call."""
    global _is_off  # noqa: PLW0603 - said once per process
    try:
        observer: Observer | None = work()
    except Exception as error:  # noqa: BLE001 - see above
        from holdfast.tracing.safety import firewall

        _is_off = True
        firewall.stderr(f"holdfast: tracing could not be set up, calls go on without it: {firewall.describe(error)}")
        return None
    return observer
