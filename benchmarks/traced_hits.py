"""A hit in memory that is traced: what its caller waits for. Untraced it is a row of `benchmarks.caches`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

from benchmarks import caches, observed
from benchmarks.harness import Contestant, Guard, Make, Measure, Row

PEER = "lru_cache + OpenTelemetry"
ATTRIBUTES = {f"holdfast.attribute.{n}": "clear" for n in range(17)}
"""As many as a hit of ours has."""


def hit(*, is_async: bool, is_local: bool) -> Make:
    """Ours, over an InMemoryCache, traced to the local store or by the application's own provider."""

    def make(stack: ExitStack) -> Measure:
        import holdfast

        flush: Callable[[], object] = holdfast.flush
        if is_local:
            observed.configure_local(stack, lines=True)
        else:
            flush = observed.global_provider(stack).force_flush
        decorated = caches.in_memory(stack)(caches.text_async if is_async else caches.text)
        measure = observed.batches(stack, decorated, flush, is_async=is_async, until_written=False)
        measure(1)
        return measure

    return make


def hand_made(*, is_async: bool) -> Make:
    """A span of the SDK around functools.lru_cache."""

    def make(stack: ExitStack) -> Measure:
        provider = observed.batch_provider(stack)
        tracer, known = provider.get_tracer("benchmarks"), lru_cache(caches.text)

        def call(city: str) -> Any:
            with tracer.start_as_current_span("text", attributes=ATTRIBUTES):
                return known(city)

        async def call_async(city: str) -> Any:
            return call(city)

        return observed.batches(stack, call_async if is_async else call, provider.force_flush, is_async=is_async, until_written=False)

    return make


def row(where: str, colour: str, most: float, *, is_local: bool) -> Row:
    """Ours beside the other."""
    is_async = colour == "async"
    contestants = {
        "holdfast": Contestant(hit(is_async=is_async, is_local=is_local), observed.SDK_CALLS),
        PEER: Contestant(hand_made(is_async=is_async), observed.SDK_CALLS),
    }
    return Row(name=f"hit in memory, a text, {where}, {colour}", contestants=contestants, guards=(Guard(PEER, most),))


ROWS = [
    *[row("local store", colour, 1.0, is_local=True) for colour in observed.COLOURS],
    *[row("SDK batch export", colour, 1.0, is_local=False) for colour in observed.COLOURS],
]
