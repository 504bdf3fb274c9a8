"""Lines: one per event worth it, for structlog, for stderr and for OpenTelemetry's logs."""

from __future__ import annotations
