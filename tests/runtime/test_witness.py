"""What the runtime tells whoever attends a cache: hits, what the source answered, and whose policy holds."""

from __future__ import annotations

import pytest

from holdfast import CachePolicy, InMemoryCache, resilient, task
from holdfast._evidence import POLICIES_CHANGED
from holdfast.runtime import witness


class Tally:
    """Counts of a task."""

    gets = 0


class Tap:
    """Keeps the time of a hit once a minute."""

    def __init__(self, tally):
        self.until, self.tally, self.kept = 0.0, tally, []

    def keep(self, now):
        self.tally.gets += 1
        self.until = now + 60
        self.kept.append(now)


class Witness:
    """Remembers what it was told; ``ttl`` overrides every policy's."""

    def __init__(self):
        self.log, self.asked, self.ttl, self.taps = Tally(), [], None, {}
        self.only = Tap(self.log)

    def tap(self, key, payload=None):
        return self.only

    def computed(self, key, began, seconds, *, ok, kind, cause, modified, policy):
        self.asked.append((began, seconds, ok, kind))

    def in_force(self, policy, key):
        return policy if self.ttl is None else policy.replace(ttl=self.ttl)

    def in_force_for_most(self, policy, task):
        return self.in_force(policy, task)


class AttendedCache(InMemoryCache):
    """A cache in memory that is attended as a disk cache is."""

    def __init__(self):
        super().__init__()
        self.witness = Witness()

    def peek(self, key, codec, /):
        entry = super().peek(key, codec)
        return None if entry is None else entry._replace(tap=self.witness.only)


@pytest.fixture
def cache():
    """An attended one."""
    return AttendedCache()


@pytest.fixture(params=["resilient", "task"])
def cached(request, cache, colour, clock):
    """A function of either colour that takes two seconds, cached for a minute, and how to call it."""

    def decorate(body, **policy):
        if request.param == "resilient":
            decorated = resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m", **policy), cache=cache)(colour.define(body))
            return lambda *args: colour.run(decorated, *args)
        decorated = task(retry_policy=(), cache_policy=CachePolicy(ttl="1m", **policy))(colour.define(body))
        return lambda *args: colour.invoke(decorated, *args)

    from holdfast.cache.default import set_default_cache

    previous = set_default_cache(cache)
    yield decorate
    set_default_cache(previous)


def test_a_source_is_asked_once_and_hits_are_counted(cached, cache, clock):
    """The first call is a fill with its time and duration; of those after it all are counted, and one a minute is kept."""

    def fetch():
        clock.advance(2)
        return "rain"

    call, start = cached(fetch), clock.time()

    assert ["rain", "rain", "rain"] == [call(), call(), call()]
    assert [(start, 2.0, True, "fill")] == cache.witness.asked
    assert 2 == cache.witness.log.gets
    assert [start + 2] == cache.witness.only.kept


def test_a_failure_is_told_as_one(cached, cache):
    """A source that raised did not answer with a value."""

    def fetch():
        raise OSError("down")

    call = cached(fetch)
    with pytest.raises(OSError, match="down"):
        call()

    assert [(False, "fill")] == [asked[2:] for asked in cache.witness.asked]


def test_an_expired_entry_is_no_hit(cached, cache, clock):
    """What is found and may not be served is asked for anew."""
    call = cached(lambda: "rain")
    call()
    clock.advance(60)
    call()

    assert 2 == len(cache.witness.asked)
    assert 0 == cache.witness.log.gets


def test_an_override_acts_on_entries_that_are_there(cached, cache, clock, tmp_path):
    """Both ways: a shorter time to live ends an entry early, and a longer one revives it."""
    call = cached(lambda: "rain")
    call()
    clock.advance(30)
    POLICIES_CHANGED.add(tmp_path)
    try:
        cache.witness.ttl = 20
        call()
        shortened = len(cache.witness.asked)
        clock.advance(90)
        cache.witness.ttl = 120
        call()
    finally:
        POLICIES_CHANGED.clear()

    assert 2 == shortened
    assert 2 == len(cache.witness.asked)


def test_a_cache_without_a_witness_needs_none(clock):
    """A cache of somebody else's has no such attribute."""

    @resilient(cache_policy=CachePolicy(ttl="1m"), cache=InMemoryCache())
    def fetch() -> str:
        return "rain"

    assert ["rain", "rain"] == [fetch(), fetch()]


def test_a_function_made_anew_all_the_time_leaves_no_numbers_behind(monkeypatch):
    """Beyond so many tasks the process counts as another one, whose calls are numbered from 1."""
    monkeypatch.setattr(witness, "MOST_NAMES", 3)
    monkeypatch.setattr(witness, "_numbers", witness._new_numbers())
    told = [witness.ordinal(name).partition("-") for name in ("a", "b", "c", "a", "d", "a", "d")]
    tokens = [token for token, _, _ in told]

    assert ["1", "1", "1", "2", "1", "1", "2"] == [number for _, _, number in told]
    assert [1, 1] == [len(set(tokens[:4])), len(set(tokens[4:]))]
    assert 2 == len(set(tokens))
    assert 2 == len(witness._numbers[1])
