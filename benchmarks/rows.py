"""All rows, in the order of the table."""

from __future__ import annotations

from benchmarks import (
    caches,
    calls,
    durable,
    fanout,
    freshness,
    graphs,
    imports,
    observed,
    quiet,
    recording,
    stampede,
    traced_hits,
    tuning,
)
from benchmarks.harness import Row

FAMILIES = (calls, observed, quiet, caches, traced_hits, freshness, recording, fanout, durable, graphs, stampede, tuning, imports)


def all_rows() -> list[Row]:
    """Every row of every family."""
    return [row for family in FAMILIES for row in family.ROWS]


def by_name() -> dict[str, Row]:
    """The same by name."""
    return {row.name: row for row in all_rows()}
