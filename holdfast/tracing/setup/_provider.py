"""The tracer provider: the application's, or one of ours when it has none."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON

from holdfast.errors import HoldfastError, PolicyError
from holdfast.tracing.export import exporters
from holdfast.tracing.setup import _joined
from holdfast.tracing.spans.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import SpanProcessor

_TAKE_ALL = (DEFAULT_ON, ALWAYS_ON)
_SDK_SWITCHES = ("OTEL_SDK_DISABLED", "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED")


class OwnProvider(TracerProvider):
    """Set by holdfast: to `holdfast.tracing.setup.detect` no sign that the application traces.

    Args:
        resource: What the spans are of.
        changed: Called when `takes_light` has become False.

    Attributes:
        outlet: Takes holdfast's light spans past the SDK.
        takes_light: False where somebody wants what only the SDK does: processors that look at spans before they end, or, by environment,
            other samplers or limits. Then all spans that begin are the SDK's.
    """

    is_of_holdfast = True

    def __init__(self, resource: Resource, changed: Callable[[], bool]) -> None:
        super().__init__(resource=resource, id_generator=exporters.RunIdGenerator(), shutdown_on_exit=False)
        self.outlet = Outlet(self)
        self._all: tuple[SpanProcessor, ...] = ()
        self._changed = changed
        self.takes_light = self.sampler is DEFAULT_ON and not _asks_for_the_sdk()
        if self.sampler not in _TAKE_ALL:
            # One by ratio asks for an id's last 64 bits. A UUID's begin with 1, so of a half or less it would take none.
            self.id_generator = exporters.ChanceIdGenerator()

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add one. If it looks at spans before they end, all spans are the SDK's from then on."""
        super().add_span_processor(span_processor)
        self._send_to((*self._all, span_processor))
        if self.takes_light and not _joined.is_content(span_processor):
            self.takes_light = False
            self._changed()

    def drop(self, processor: exporters.LaneProcessor) -> None:
        """Send no more light spans to ours that is about to be shut down; the SDK has no such thing."""
        self._send_to(tuple(each for each in self._all if each is not processor))

    def shutdown(self) -> None:
        """Shut down all processors; what ends afterwards goes nowhere."""
        self._send_to(())
        super().shutdown()

    def _send_to(self, processors: tuple[SpanProcessor, ...]) -> None:
        self._all = processors
        takers = _joined.takers(processors)
        self.outlet.takers = tuple(each.lane if isinstance(each, exporters.LaneProcessor) else each for each in takers)  # 0.1 us less


def outlet_of(provider: Any, changed: Callable[[], bool]) -> Outlet | None:
    """Where light spans go on this tracer provider; None where all spans must be the SDK's.

    Args:
        provider: The one that is set.
        changed: See `holdfast.tracing.setup._joined.Joined`; a provider of ours has its own.
    """
    if isinstance(provider, OwnProvider):
        return provider.outlet if provider.takes_light else None
    return None if _asks_for_the_sdk() else _joined.joined(provider, changed)


def tracer_provider(service_name: str | None, changed: Callable[[], bool]) -> Any:
    """The application's tracer provider, or one of ours when it has none.

    Args:
        service_name: Name of the program in traces; None for what the environment says, else the script's name.
        changed: Called when spans are best made in another way from now on.

    Raises:
        HoldfastError: The application's takes no span processors.
        PolicyError: The application's has another service name.
    """
    current = trace.get_tracer_provider()
    if isinstance(current, trace.ProxyTracerProvider):
        current = OwnProvider(Resource.create(_resource(service_name)), changed)
        trace.set_tracer_provider(current)
    elif not hasattr(current, "add_span_processor"):
        kind = f"{type(current).__module__}.{type(current).__qualname__}"
        raise HoldfastError(f"the application's tracer provider, a {kind}, takes no span processors: set one of opentelemetry.sdk.trace")
    elif service_name is not None and _name_of(current) != service_name:
        raise PolicyError(
            f"service_name={service_name!r} comes too late: a tracer provider is set, with service.name={_name_of(current)!r}; "
            "name the service there, or where configure is called first"
        )
    return current


def _asks_for_the_sdk() -> bool:
    """Whether the environment wants what light spans do not do: limits of its own, metrics of the SDK about itself, or nothing at all."""
    has_limits = any(name.startswith("OTEL_") and name.endswith("_LIMIT") for name in os.environ)
    return has_limits or any(os.environ.get(name, "").strip().lower() == "true" for name in _SDK_SWITCHES)


def _name_of(provider: Any) -> Any:
    resource = getattr(provider, "resource", None)
    return None if resource is None else resource.attributes.get(SERVICE_NAME)


def _resource(service_name: str | None) -> dict[str, Any]:
    """The service's name, unless the environment has one: what is given here would win over it."""
    if service_name is None:
        if os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            return {}
        service_name = PurePath(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else "holdfast"
    return {SERVICE_NAME: service_name}
