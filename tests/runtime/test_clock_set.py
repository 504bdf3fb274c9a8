"""The clock of the machine is set, by hours or by years, while a cache is in use: nothing is raised, nothing served that should not be, and it mends itself."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import CachePolicy, InMemoryCache, resilient
from holdfast.testing import FakeClock
from tests.runtime.stale import Setup
from tests.waiting import until

HOUR, YEAR = 3600.0, 365.25 * 86_400
POLICY = {"ttl": 60, "stale_while_revalidate": "10m", "stale_if_error": "1h", "refresh_ahead": 0.8, "ttl_jitter": 0.2}


class Set(FakeClock):
    """Time whose date can be set, as an operator or NTP does; durations go on."""

    wrong_by = 0.0

    def time(self) -> float:
        return super().time() + self.wrong_by

    def time_ns(self) -> int:
        return super().time_ns() + round(self.wrong_by * 1e9)


@pytest.fixture
def still() -> Any:
    """Such a clock, installed."""
    with Set() as still:
        yield still


@pytest.mark.parametrize("by", [HOUR + 660, YEAR, 50 * YEAR, -HOUR, -50 * YEAR])
def test_a_clock_that_is_set_and_set_right_again(colour: Any, kind: str, cache: Any, still: Set, by: float) -> None:
    """What was stored under another time is computed anew, once each time: its age is not known."""
    fetch = Setup(colour, kind, cache, cache_policy=POLICY)
    assert 1 == fetch.call()
    still.wrong_by = by
    assert (2, 2, 2) == (fetch.call(), fetch.call(), fetch.source.asked)
    still.wrong_by = 0.0

    assert (3, 3, 3) == (fetch.call(), fetch.call(), fetch.source.asked)


@pytest.mark.parametrize("by", [-30.0, -1.0])
def test_a_clock_that_is_set_back_a_little(colour: Any, cache: Any, still: Set, by: float) -> None:
    """As between two hosts, or by NTP: what was stored a moment ago is fresh."""
    fetch = Setup(colour, "resilient", cache, cache_policy=POLICY)
    fetch.call()
    still.wrong_by = by

    assert (1, 1) == (fetch.call(), fetch.source.asked)


@pytest.mark.parametrize("by", [1200.0, -30.0])
def test_a_throttle_holds_for_as_long_as_it_says(colour: Any, cache: Any, still: Set, by: float) -> None:
    """Whatever the time of day is meanwhile."""
    fetch = Setup(colour, "resilient", cache, cache_policy={"ttl": 60, "stale_if_error": "1h", "fail_safe_throttle": 30})
    fetch.call()
    still.advance(100)
    fetch.source.broken = ConnectionError("down")
    assert (1, 2) == (fetch.call(), fetch.source.asked)
    still.wrong_by = by
    still.advance(29)
    assert (1, 2) == (fetch.call(), fetch.source.asked)
    still.advance(1)

    assert (1, 3) == (fetch.call(), fetch.source.asked)


def test_a_refresh_under_way_while_it_is_set(colour: Any, still: Set) -> None:
    """Is stored with the time there is when it ends."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy={"ttl": 60, "stale_while_revalidate": "10m"})
    fetch.call()
    still.advance(61)
    fetch.source.gate.clear()
    assert 1 == fetch.call()
    if not colour.is_async:  # whose refresh begins anew when its loop has ended
        until(lambda: fetch.source.asked == 2)
    still.wrong_by = -2 * HOUR
    fetch.source.gate.set()
    fetch.source.settled(2)
    latest = fetch.source.asked

    assert (latest, latest) == (fetch.call(), fetch.source.asked)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 59.0, 61.0, 4000.0]), st.floats(-10 * YEAR, 10 * YEAR) | st.just(0.0), st.booleans()),
        max_size=12,
    )
)
def test_no_value_is_older_than_may_be_served(steps: list[tuple[float, float, bool]]) -> None:
    """By the date on it and that of the call, whatever happened to the clock between; and a source that answers is never in vain."""
    with Set() as still:
        stored: list[float] = []
        is_broken, failed_at = False, -HOUR

        @resilient(
            retry_policy=[], cache=InMemoryCache(), cache_policy=CachePolicy(ttl=60, stale_if_error="1h", ttl_jitter=0.3, version="1")
        )
        def fetch() -> int:
            nonlocal failed_at
            if is_broken:
                failed_at = still.monotonic()
                raise ConnectionError("down")
            stored.append(still.time())
            return len(stored) - 1

        for passed, wrong_by, is_broken in steps:
            still.advance(passed)
            still.wrong_by = wrong_by
            before = len(stored)
            try:
                number = fetch()
            except ConnectionError:
                assert is_broken
                continue
            age, is_held_off = still.time() - stored[number], still.monotonic() - failed_at < 30
            assert -60 <= age < 60 + is_held_off * HOUR
            assert number in (before, before - 1)


def test_what_comes_from_the_future_makes_room_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stored while the clock was wrong, and can hardly be served: else it would stay for years, and what is new would have to go."""
    import holdfast.cache._rows as rows
    from holdfast import DiskCache
    from holdfast.typing import CacheKey
    from holdfast.values.codec import codec_for

    now, wrong_by = rows.time.time, [YEAR]
    monkeypatch.setattr(rows.time, "time", lambda: now() + wrong_by[0])
    cache, codec, chance = DiskCache(tmp_path, size_limit=1 << 18, memory_entries=0), codec_for(), random.Random(1)

    def store(name: str) -> CacheKey:
        key = CacheKey("app.f@1", name.encode().rjust(16, b"."))
        cache.set(key, chance.randbytes(4000), codec, ttl=60)
        thread = cache._store._rows._sweeper if cache._store is not None else None
        if thread is not None:
            thread.join()
        return key

    for n in range(80):
        store(f"future{n}")
    wrong_by[0] = 0.0
    new = [store(f"new{n}") for n in range(20)]

    assert all(cache.get(key, codec) is not None for key in new)
    cache.close()
