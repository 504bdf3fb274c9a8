"""What watches the runtime: facts come in, spans begin and end."""

from __future__ import annotations
