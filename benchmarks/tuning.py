"""What TTLs would have done with a trace: a million accesses, 64 TTLs at once."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import cache
from typing import Any

from benchmarks.harness import MILLISECONDS, Contestant, Guard, Make, Measure, Row, once

ACCESSES = 1_000_000
KEYS = 10_000
SHORTEST = 0.01
TTLS = 64


@cache
def trace(accesses: int) -> Any:
    """One access each millisecond or so, to keys of which few are asked for often."""
    from holdfast.tuning import Access, Trace

    chance, now, made = random.Random(1), 0.0, []
    for _ in range(accesses):
        now += chance.expovariate(1_000)
        made.append(Access(min(KEYS, int(chance.paretovariate(0.5))), now))
    return Trace(made)


def ttls(of: Any) -> list[int]:
    """From 10 ms to the trace's span, each longer than the one before by the same factor; microseconds."""
    return [round(1e6 * SHORTEST * (of.span / SHORTEST) ** (step / (TTLS - 1))) for step in range(TTLS)]


def by_dict(stack: ExitStack) -> Measure:
    """One loop over all accesses with a dict, as anybody would write it, for one of the TTLs."""
    played = trace(ACCESSES)
    keys, times, ttl = played._columns.keys, played._columns.times, ttls(played)[TTLS // 2]

    def play() -> int:
        stored: dict[int, int] = {}
        hits = 0
        for key, now in zip(keys, times, strict=True):
            since = stored.get(key)
            if since is not None and now - since < ttl:
                hits += 1
            else:
                stored[key] = now
        return hits

    return once(play)


def curve(name: str) -> Make:
    """Laying the trace out, and all TTLs, by one of the two ways of counting."""

    def make(stack: ExitStack) -> Measure:
        from holdfast.tuning._scalar import ScalarIndex

        if name == "vector":
            from holdfast.tuning._vector import VectorIndex as Index
        else:
            Index = ScalarIndex  # noqa: N806 - a class
        played = trace(ACCESSES)
        wanted = ttls(played)
        return once(lambda: Index(played._columns).fixed(wanted))

    return make


def row(name: str, way: str, *, target: float, guards: tuple[Guard, ...] = ()) -> Row:
    """Beside one pass of the simple loop, of which 64 would be the simple way."""
    return Row(
        name=f"64 TTLs, 1,000,000 accesses, {name}",
        unit=MILLISECONDS,
        target=target,
        most_rounds=3,
        guards=guards,
        contestants={"a dict, one TTL": Contestant(by_dict, 1), "holdfast": Contestant(curve(way), 1)},
    )


ROWS = [
    row("NumPy", "vector", target=4_000, guards=(Guard("a dict, one TTL", 32),)),
    row("without NumPy", "scalar", target=12_000),
]
