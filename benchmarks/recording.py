"""What recording costs a call: the same cache with it, as it is by default, and without."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from typing import Any

from benchmarks import caches
from benchmarks.harness import Contestant, Guard, Make, Measure, Row, async_loop, loop

KEYS = 1000
_VARIABLE = "HOLDFAST_RECORD"


def recorded(word: str, fn: Callable[..., Any], *, cities: int = 1, is_async: bool = False, **options: Any) -> Make:
    """Hits of so many keys in turn.

    Args:
        word: ``on`` or ``off``.
        fn: What is cached.
        cities: How many keys.
        is_async: Its colour.
        options: Of the DiskCache.
    """

    def make(stack: ExitStack) -> Measure:
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = word  # looked at when the cache is opened
        try:
            decorated = caches.holdfast(**options)(stack)(fn)
            names = [f"{caches.CITY} {number}" for number in range(cities)]
            if is_async:
                measure = async_loop(stack, decorated, names[0])
                measure(1)
                return measure
            for name in names:
                decorated(name)
        finally:
            os.environ.pop(_VARIABLE)
            if before is not None:
                os.environ[_VARIABLE] = before
        if cities == 1:
            return loop(decorated, names[0])
        turn = cycle(names)
        return loop(lambda: decorated(next(turn)))

    return make


def row(name: str, fn: Callable[..., Any], most: float, **options: Any) -> Row:
    """The two beside each other."""
    contestants = {
        "not recorded": Contestant(recorded("off", fn, **options)),
        "holdfast": Contestant(recorded("on", fn, **options)),
    }
    return Row(name=f"recording: {name}", contestants=contestants, guards=(Guard("not recorded", most),))


ROWS = [
    row("a hit in memory, a text, sync", caches.text, 1.3),
    row("a hit in memory, a text, async", caches.text_async, 1.3, is_async=True),
    row(f"hits of {KEYS} keys in memory", caches.text, 1.5, cities=KEYS),
    row("a hit on disk, a small dict, sync", caches.record, 1.3, memory_entries=0),
    row(f"hits of {KEYS} keys on disk", caches.record, 1.3, memory_entries=0, cities=KEYS),
]
