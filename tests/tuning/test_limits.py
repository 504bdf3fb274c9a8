"""Hits of a cache with little room: equal to one played by hand, and to our own caches under a fake clock."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast import CachePolicy, InMemoryCache, PolicyError, resilient
from holdfast.errors import TraceError
from holdfast.tuning import Access, Trace
from holdfast.tuning._limited import EVICTIONS, Limited, Room
from tests.tuning.simulation import accesses, assumed

TTLS = (1, 3, 10, 60, None)


def play(made, ttl, *, most, size_of=lambda access: 1, is_bytes=False, evict=EVICTIONS[0]):
    """A list of what is held, the next one to go first, no cleverness; what is being computed is stored when it is ready."""
    held, pending, counts = [], [], Counter()
    for place, (access, takes) in enumerate(zip(made, assumed(made), strict=True)):
        now = access.time
        for done in sorted([each for each in pending if each[0] <= now]):
            pending.remove(done)
            store(held, done[2], done[0], done[3], most, is_bytes=is_bytes)
        entry = next((each for each in held if each[0] == access.key), None)
        if entry is not None and evict == EVICTIONS[0]:
            held.remove(entry)
            held.append(entry)
        if entry is not None and now - entry[1] < (ttl or float("inf")):
            counts["hit"] += 1
        elif any(each[2] == access.key for each in pending):
            counts["coalesced"] += 1
        else:
            counts["call"] += 1
            counts["compute"] += takes
            if takes:
                pending.append((now + takes, place, access.key, size_of(access)))
            else:
                store(held, access.key, now, size_of(access), most, is_bytes=is_bytes)
    return +counts


def store(held, key, now, size, most, *, is_bytes):
    """Put an entry last, and let go from the front."""
    held[:] = [each for each in held if each[0] != key]
    if is_bytes and size > most // 4:
        return
    held.append((key, now, size))
    while (sum(each[2] for each in held) if is_bytes else len(held)) > most:
        del held[0]


def counted(point):
    """An outcome in the same words."""
    return +Counter(hit=point.hits, coalesced=point.coalesced, call=point.calls, compute=point.compute)


@st.composite
def traces(draw):
    """More keys than fit, some computing that takes long, sizes of each."""
    rows = draw(
        st.lists(st.tuples(st.sampled_from((0, 0, 1, 2, 7)), st.integers(1, 6), st.sampled_from((None, 0, 3))), min_size=1, max_size=40)
    )
    now, made = 0, []
    for step, key, compute in rows:
        now += step
        made.append(Access(key, now, size=key * 5, compute=compute))
    return made


@settings(deadline=None)  # the first one loads NumPy
@given(traces(), st.integers(1, 6), st.sampled_from(EVICTIONS))
@example([Access(1, 0, size=5), Access(2, 0, size=10), Access(1, 1, size=5), Access(3, 1, size=15), Access(1, 2, size=5)], 2, EVICTIONS[0])
def test_hits_with_room_for_few_entries(made, most, evict):
    """Those of a cache played access by access, for each TTL and both ways of evicting."""
    expected = [play(made, ttl, most=most, evict=evict) for ttl in TTLS]

    assert expected == [counted(point) for point in Trace(made).hits(TTLS, max_entries=most, evict=evict)]


@given(traces(), st.integers(1, 200), st.sampled_from(EVICTIONS))
def test_hits_with_room_for_few_bytes(made, most, evict):
    """Likewise; what is larger than a quarter is not kept."""
    expected = [play(made, ttl, most=most, size_of=lambda access: access.size, is_bytes=True, evict=evict) for ttl in TTLS]

    assert expected == [counted(point) for point in Trace(made).hits(TTLS, max_bytes=most, evict=evict)]


@given(traces(), st.sampled_from(EVICTIONS))
def test_room_for_all_is_no_limit(made, evict):
    """Played or walked, the answer is the same."""
    trace, room = Trace(made), Room(6, 1_000, evict)
    played = [Limited(trace._columns, room).fixed(ttl and ttl * 1_000_000) for ttl in TTLS]

    assert room.is_enough(trace._columns)
    assert trace.hits(TTLS) == trace.hits(TTLS, max_entries=6, max_bytes=1_000, evict=evict)
    assert [(point.calls, point.coalesced) for point in trace.hits(TTLS)] == [each[:2] for each in played]


@pytest.mark.parametrize("ttl", [5, 60])
@pytest.mark.parametrize("most", [3, 8])
def test_a_cached_function_is_called_as_often(ttl, most, clock):
    """A real cache that holds few entries."""
    made = accesses(300, 12, seed=most)
    cache, calls = InMemoryCache(max_entries=most), []

    @resilient(cache_policy=CachePolicy(ttl=ttl), cache=cache)
    def fetch(key):
        calls.append(key)
        return key

    start = clock.time()
    for access in made:
        clock.advance(start + access.time - clock.time())
        fetch(access.key)
    trace = Trace(made)

    assert len(calls) == trace.hits([ttl], max_entries=most)[0].calls >= trace.hits([ttl])[0].calls


def test_a_size_is_that_of_the_keys_last_value():
    """Hits have none of their own."""
    made = [Access("a", 0, size=10), Access("b", 1, size=10), Access("a", 2), Access("b", 3), Access("a", 4)]

    assert 3 == Trace(made).hits([60], max_bytes=40)[0].hits
    assert 0 == Trace(made).hits([60], max_bytes=39)[0].hits


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"max_entries": 0}, "max_entries=0 is not a whole number from 1 on"),
        ({"max_bytes": 1.5}, "max_bytes=1.5 is not a whole number"),
        ({"max_entries": True}, "max_entries=True is not"),
        ({"max_entries": 5, "evict": "random"}, "evict='random' is neither of least-recently-used, least-recently-stored"),
        ({"evict": "random"}, "evict='random'"),
    ],
)
def test_a_limit_that_is_none_is_refused(limits, why):
    """With its value."""
    with pytest.raises(PolicyError, match=why):
        Trace([Access("a", 0)]).hits([1], **limits)


def test_bytes_need_sizes():
    """Without any there is nothing to add up."""
    with pytest.raises(TraceError, match="max_bytes needs sizes, and the trace has none"):
        Trace([Access("a", 0)]).hits([1], max_bytes=5)
    with pytest.raises(TraceError, match="the trace holds no accesses"):
        Trace().hits([1], max_bytes=5)
