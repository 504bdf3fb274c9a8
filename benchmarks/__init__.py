"""What calls cost, measured: see `benchmarks.__main__`."""

from __future__ import annotations
