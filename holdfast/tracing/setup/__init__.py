"""From `configure` to a session: options, the tracer provider, and whether somebody wants to watch although nobody said so."""

from __future__ import annotations
