"""What the record of a call says about its cache: where the answer came from, how old it was, who computed it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, entrypoint, events, resilient, task
from holdfast.events import CallFacts, Note, RunFacts
from holdfast.testing import FakeClock

POLICY = CachePolicy(ttl=60, version="1", negative_ttl=30)
TRACE, SPAN = "ab" * 16, "cd" * 8


class Kept:
    """Keeps the records of calls, which it gives a trace, and notes."""

    def __init__(self) -> None:
        self.calls: list[CallFacts] = []
        self.notes: list[Note] = []
        self.runs: list[RunFacts] = []

    def run_ended(self, run: RunFacts) -> None:
        self.runs.append(run)

    def call_started(self, call: CallFacts) -> None:
        call.trace_id, call.span_id = TRACE, SPAN

    def call_ended(self, call: CallFacts) -> None:
        self.calls.append(call)

    def noted(self, note: Note) -> None:
        self.notes.append(note)

    def __getattr__(self, name: str) -> Any:
        return lambda facts: None


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept()
    before = events.observe(kept)
    yield kept
    events.observe(before)


def fields(call: CallFacts) -> dict[str, Any]:
    """What is known of the cache; what is empty is left out."""
    names = ("cache", "cache_tier", "cache_age_s", "cache_stored", "cache_ttl_s", "origin_trace_id", "origin_span_id")
    return {name: getattr(call, name) for name in names if getattr(call, name) not in (None, "", False)}


def fetching(colour: Any, **settings: Any) -> Any:
    @resilient(name="fetch", cache=InMemoryCache() if "cache_policy" in settings else None, **settings)
    @colour.define
    def fetch(n: int) -> int:
        if n < 0:
            raise KeyError(n)
        return n

    return fetch


def test_a_miss_and_then_a_hit(colour: Any, kept: Kept) -> None:
    """The hit has the age of the value, its size, and the span of the call that computed it."""
    fetch = fetching(colour, cache_policy=POLICY)

    with FakeClock() as clock:
        colour.run(fetch, 1)
        clock.advance(5)
        colour.run(fetch, 1)

    miss, hit = kept.calls
    origin = {"origin_trace_id": TRACE, "origin_span_id": SPAN}
    assert {"cache": "miss", "cache_stored": True, "cache_ttl_s": 60.0} == fields(miss)
    assert {"cache": "hit", "cache_tier": "memory", "cache_age_s": 5.0, "cache_ttl_s": 60.0, **origin} == fields(hit)
    assert fetch.key(1) == (hit.cache_namespace, hit.cache_key) == (miss.cache_namespace, miss.cache_key)
    assert miss.cache_size == hit.cache_size == 1


def test_a_value_from_the_future_has_no_age(colour: Any, kept: Kept) -> None:
    """Clocks are set back; an age below zero would be nonsense."""
    fetch = fetching(colour, cache_policy=POLICY)

    with FakeClock(start=1_000_000_000.0):
        colour.run(fetch, 1)
    with FakeClock(start=999_999_990.0):
        colour.run(fetch, 1)

    assert ("hit", 0.0) == (kept.calls[1].cache, kept.calls[1].cache_age_s)


def test_a_run_counts_its_hits(kept: Kept) -> None:
    """Of five calls with two arguments, three."""
    fetch = task(cache_policy=POLICY)(lambda n: n)

    @entrypoint(cache=InMemoryCache())
    def main() -> list[int]:
        return [fetch(n).result() for n in (1, 2, 1, 2, 1)]

    assert [1, 2, 1, 2, 1] == main.invoke()
    assert [(5, 3)] == [(run.calls, run.cache_hits) for run in kept.runs]


@pytest.mark.parametrize("settings", [{}, {"timeout": 60}, {"cache_policy": POLICY}], ids=["plain", "timed", "cached"])
def test_a_ctrl_c_while_a_call_is_told_of_is_one(
    colour: Any, kept: Kept, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Nothing of ours takes its place, and there is no result."""

    def interrupted(call: CallFacts) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kept, "call_ended", interrupted)
    with pytest.raises(KeyboardInterrupt):
        colour.run(fetching(colour, **settings), 1)


def test_a_remembered_failure(colour: Any, kept: Kept) -> None:
    """It is a hit of its own kind, and raised as the first time."""
    fetch = fetching(colour, cache_policy=POLICY, retry_policy=())

    with FakeClock():
        for _ in range(2):
            with pytest.raises(KeyError):
                colour.run(fetch, -1)

    assert ["miss", "negative"] == [call.cache for call in kept.calls]
    assert ["error", "error"] == [call.outcome for call in kept.calls]


@pytest.mark.parametrize("kind", ["value", "failure"])
def test_an_answer_that_was_waited_for(kind: str, kept: Kept) -> None:
    """Somebody else was computing it: neither a hit nor a miss."""
    argument = {"value": 1, "failure": -1}[kind]

    @resilient(name="fetch", cache_policy=POLICY, retry_policy=(), cache=InMemoryCache())
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        if n < 0:
            raise KeyError(n)
        return n

    async def both() -> None:
        await asyncio.gather(fetch(argument), fetch(argument), return_exceptions=True)

    asyncio.run(both())

    assert ["miss", "coalesced"] == [call.cache for call in kept.calls]


@pytest.mark.parametrize("is_stored", [True, False])
def test_an_answer_that_was_waited_for_names_the_call_that_gave_it(is_stored: bool, kept: Kept) -> None:
    """Its trace and span, whether or not what it gave was worth keeping."""

    @resilient(cache_policy=CachePolicy(ttl=60, version="1", cache_if=lambda _: is_stored), cache=InMemoryCache())
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def both() -> None:
        await asyncio.gather(fetch(1), fetch(1))

    asyncio.run(both())

    assert [{"cache": "coalesced", "origin_trace_id": TRACE, "origin_span_id": SPAN}] == [
        {name: value for name, value in fields(call).items() if name in {"cache", "origin_trace_id", "origin_span_id"}}
        for call in kept.calls
        if call.cache == "coalesced"
    ]


def test_an_answer_of_a_call_that_nobody_observed_names_none(kept: Kept) -> None:
    """It began before there was anybody to trace it."""

    @resilient(cache_policy=CachePolicy(ttl=60, version="1", cache_if=lambda _: False), cache=InMemoryCache())
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def both() -> list[int]:
        events.observe(None)
        first = asyncio.create_task(fetch(1))
        await asyncio.sleep(0)
        events.observe(kept)
        return [await fetch(1), await first]

    assert [1, 1] == asyncio.run(both())
    assert [{"cache": "coalesced"}] == [
        {name: value for name, value in fields(call).items() if name in {"cache", "origin_trace_id", "origin_span_id"}}
        for call in kept.calls
    ]


def test_a_key_function_that_fails(colour: Any, kept: Kept) -> None:
    """The call is computed and not cached; the record and a note say so."""

    def broken(**_: object) -> str:
        raise RuntimeError("no key")

    fetch = fetching(colour, cache_policy=CachePolicy(ttl=60, key_func=broken))

    assert 1 == colour.run(fetch, 1)
    assert ["error"] == [call.cache for call in kept.calls]
    assert [("holdfast.cache.key_failed", events.WARNING, {"task": "fetch"})] == [
        (note.event, note.level, note.fields) for note in kept.notes
    ]
    assert kept.notes[0].text.startswith("fetch was computed and not cached: ")


def refused(_: object) -> Any:
    """Fails as a function of a policy, whatever it is given."""
    raise RuntimeError("no")


TROUBLES = {
    "key_failed": {"cache_policy": CachePolicy(ttl=60, key_func=refused)},
    "predicate_failed": {"cache_policy": CachePolicy(ttl=60, version="1", cache_if=refused)},
    "not_serializable": {"cache_policy": CachePolicy(ttl=60, version="1")},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_keeps_every_result_out_of_the_cache_is_a_warning_once_a_minute(colour: Any, kept: Kept, trouble: str) -> None:
    """A busy function would fill the log; its traces say it at each call all the same, and another function has a warning of its own."""

    def defined() -> Any:
        @resilient(name="fetch", cache=InMemoryCache(), **TROUBLES[trouble])
        @colour.define
        def fetch(n: int) -> Any:
            return refused if trouble == "not_serializable" else n

        return fetch

    with FakeClock() as clock:
        fetch = defined()
        for n in range(31):
            colour.run(fetch, n)
            clock.advance(2)
        colour.run(defined(), 1)

    told = [(note.level, note.fields) for note in kept.notes if note.event == f"holdfast.cache.{trouble}"]
    again = (events.DEBUG, {"task": "fetch"})
    assert [(events.WARNING, {"task": "fetch"})] + [again] * 29 + [
        (events.WARNING, {"task": "fetch", "held_back": 29}),
        (events.WARNING, {"task": "fetch"}),
    ] == told
