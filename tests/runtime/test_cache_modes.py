"""Calls that pass the cache by, and calls that renew what is in it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, PolicyError, entrypoint, resilient, task
from holdfast.runtime import flight
from holdfast.testing import FakeClock, recorded
from tests.runtime.stale import Source, Sync
from tests.waiting import until

POLICY = CachePolicy(ttl=60, version="1")


class Modes:
    """A function whose calls may say what they do with the cache."""

    def __init__(self, colour: Any, kind: str, cache: Any, policy: CachePolicy = POLICY) -> None:
        self.colour, self.cache, self.source = colour, cache, Source()
        body = self.source.body(colour)
        if kind == "resilient":
            self.function: Any = resilient(name="fetch", cache=cache, retry_policy=[], cache_policy=policy)(body)
        else:
            self.function = task(name="fetch", cache_policy=policy)(body)

    def call(self, mode: str = "") -> Any:
        function = self.function.options(cache=mode) if mode else self.function
        if hasattr(function, "func"):
            return self.colour.run(in_run(self.colour, function, self.cache))
        return self.colour.run(function)


def in_run(colour: Any, fetch: Any, cache: Any) -> Any:
    async def main_async() -> Any:
        return await fetch()

    def main() -> Any:
        return fetch().result()

    made = entrypoint(name="main", cache=cache)(main_async if colour.is_async else main)
    return made.ainvoke if colour.is_async else made.invoke


def test_bypass_neither_looks_nor_stores(colour: Any, kind: str, cache: Any) -> None:
    """The entry that is there stays as it is."""
    fetch = Modes(colour, kind, cache)
    with recorded() as told:
        assert [1, 2, 2, 3] == [fetch.call("bypass"), fetch.call(), fetch.call(), fetch.call("bypass")]
    assert 2 == fetch.call()

    assert ["bypass", "miss", "hit", "bypass"] == [each["cache"] for each in told.facts if each["kind"] == "call"]


def test_refresh_computes_whatever_is_there(colour: Any, kind: str, cache: Any) -> None:
    """And the next caller gets what it computed."""
    fetch = Modes(colour, kind, cache)
    with recorded() as told:
        assert [1, 2, 2, 3, 3] == [fetch.call(), fetch.call("refresh"), fetch.call(), fetch.call("refresh"), fetch.call("use")]

    assert ["miss", "refresh", "hit", "refresh", "hit"] == [each["cache"] for each in told.facts if each["kind"] == "call"]


def test_a_refresh_that_fails_leaves_the_entry_and_raises(colour: Any, kind: str, cache: Any) -> None:
    """Who asks for a new value wants no old one; the others keep what they have, although failures are remembered."""
    fetch = Modes(colour, kind, cache, POLICY.replace(negative_ttl=60, stale_if_error="1h"))
    assert 1 == fetch.call()
    fetch.source.broken = ConnectionError("down")
    with pytest.raises(ConnectionError, match="down"):
        fetch.call("refresh")

    assert (1, 2) == (fetch.call(), fetch.source.asked)


def test_a_bypass_remembers_no_failure(colour: Any, kind: str) -> None:
    """It has no key."""
    fetch = Modes(colour, kind, InMemoryCache(), POLICY.replace(negative_ttl=60))
    fetch.source.broken = ConnectionError("down")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            fetch.call("bypass")

    assert 2 == fetch.source.asked


def test_a_refresh_waits_for_what_is_under_way_and_then_computes() -> None:
    """What is under way may have begun before the call; and whichever ends last must be the newer."""
    modes = Modes(Sync, "resilient", InMemoryCache())
    fetch, source = modes.function, modes.source
    source.gate.clear()
    found: dict[str, int] = {}
    first = threading.Thread(target=lambda: found.update(first=fetch()))
    first.start()
    until(lambda: source.asked == 1)
    second = threading.Thread(target=lambda: found.update(second=fetch.options(cache="refresh")()))
    second.start()
    source.gate.set()
    first.join(60)
    second.join(60)

    assert {"first": 1, "second": 2} == found
    assert (2, {}) == (fetch(), flight._flights)


def test_a_failure_behind_leaves_a_value_that_can_be_served(still: FakeClock) -> None:
    """Remembered, it would take the place of the old value, and be everybody's."""
    policy = POLICY.replace(stale_while_revalidate=60, refresh_ahead=0.5, negative_ttl=600)
    modes = Modes(Sync, "resilient", InMemoryCache(), policy)
    fetch, source = modes.function, modes.source
    fetch()
    source.broken = ConnectionError("down")
    for age in (31, 31):
        still.advance(age)
        assert 1 == fetch()
        source.settled(2)
    still.advance(60)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            fetch()

    assert 4 == source.asked


def test_methods_have_modes() -> None:
    """The object comes first."""

    class Api:
        def __init__(self) -> None:
            self.asked = 0

        @resilient(cache_policy=CachePolicy(ttl=60, ignore=("self",)), cache=InMemoryCache())
        def get(self, n: int) -> int:
            self.asked += 1
            return self.asked

    api = Api()

    assert [1, 1, 2, 2] == [api.get(1), api.get(1), Api.get.options(cache="refresh")(api, 1), api.get(1)]


@pytest.mark.parametrize("make", [lambda: resilient(print).options, lambda: task(print).options], ids=["resilient", "task"])
def test_without_a_cache_there_is_nothing_to_say(make: Any) -> None:
    """An option that does nothing is refused."""
    with pytest.raises(
        PolicyError, match=r"cache='bypass': builtins.print has no cache policy, so there is nothing to bypass: leave it out, or"
    ):
        make()(cache="bypass")


@pytest.mark.parametrize("make", [lambda f: resilient(cache_policy=POLICY)(f).options, lambda f: task(cache_policy=POLICY)(f).options])
def test_other_words_are_refused(make: Any) -> None:
    """With those there are."""
    with pytest.raises(PolicyError, match="cache='no': choose one of 'use', 'bypass', 'refresh'"):
        make(lambda: 1)(cache="no")


def test_the_plan_says_so() -> None:
    """As it says everything else."""
    fetch = task(name="fetch", cache_policy=POLICY)(lambda: 1)

    assert "CachePolicy(ttl=1m, version='1') (bypass) -> single-flight" in repr(fetch.options(cache="bypass").plan)
    assert "bypass" not in repr(fetch.options(cache="bypass").options(cache="use").plan)
