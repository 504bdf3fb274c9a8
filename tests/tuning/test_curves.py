"""Hits, sliding and refreshing: equal to caches played event by event, to closed forms, to diskcache and to our own caches."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter

import diskcache
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast import CachePolicy, DiskCache, InMemoryCache, PolicyError, resilient
from holdfast.errors import TraceError
from holdfast.tuning import Access, Trace
from holdfast.tuning._chain import Layout
from holdfast.tuning._scalar import ScalarIndex
from holdfast.tuning._vector import VectorIndex
from tests.tuning.simulation import accesses, play

FOREVER = float("inf")
STEPS = st.sampled_from((0, 0, 1, 1, 2, 3, 7, 30))
TTLS = (1, 2, 3, 4, 5, 7, 8, 10, 16, 30, 60, 200, None)


@st.composite
def traces(draw, computes=(None, 0, 1, 2, 5, 40)):
    """Few keys, many accesses at one moment, and computing that takes none of the time, or long."""
    rows = draw(st.lists(st.tuples(STEPS, st.integers(1, 4), st.sampled_from(computes)), min_size=1, max_size=40))
    now, made = 0, []
    for step, key, compute in rows:
        now += step
        made.append(Access(key, now, compute=compute))
    return made


def on(index, made):
    """The trace, answered by one of the two ways of counting."""
    trace = Trace(made)
    trace.__dict__["_index"] = index(trace._columns)
    return trace


def in_short_lines(columns):
    """NumPy with three keys on each line, as where times are far apart."""
    return VectorIndex(columns, capacity=3 * Layout.of(columns.times[-1] - columns.times[0]).width)


@pytest.fixture(params=[ScalarIndex, VectorIndex, in_short_lines])
def index(request):
    """Each way of counting."""
    return request.param


INDEXES = (ScalarIndex, VectorIndex, in_short_lines)
BURST = [Access(1, 0), *(Access(1, time) for time in range(1, 60)), Access(1, 300)]
SLOW = [
    Access(1, 0, compute=40),
    Access(1, 1, compute=0),
    Access(1, 41),
    Access(2, 41, compute=5),
    Access(1, 42),
    Access(2, 44),
    Access(1, 99),
]


def counted(point):
    """An outcome in the words of the simulation, zeros left out."""
    return +Counter(hit=point.hits, coalesced=point.coalesced, call=point.calls, blocking=point.calls, compute=point.compute)


def counted_refresh(point):
    """The same of a refreshed entry."""
    parts = {"hit": point.hits, "stale": point.stale_hits, "coalesced": point.coalesced, "blocking": point.blocking}
    return +Counter(parts, call=point.calls, compute=point.compute)


@given(traces())
@example(BURST)
@example(SLOW)
def test_hits_are_those_of_a_cache_played_access_by_access(made):
    """Hits, waits, calls and time of computing, for each TTL and each way of counting."""
    expected = [+play(made, ttl or FOREVER) for ttl in TTLS]

    assert [expected] * len(INDEXES) == [[counted(point) for point in on(index, made).hits(TTLS)] for index in INDEXES]


@given(traces())
@example(BURST)
@example(SLOW)
def test_sliding_is_a_cache_whose_hits_renew(made):
    """Likewise."""
    expected = [+play(made, ttl or FOREVER, is_sliding=True) for ttl in TTLS]

    assert [expected] * len(INDEXES) == [[counted(point) for point in on(index, made).sliding(TTLS)] for index in INDEXES]


@given(traces(), st.sampled_from(TTLS[:-1]))
@example(BURST, 3)
@example(SLOW, 1)
def test_refreshing_behind_is_a_cache_that_serves_stale_entries(made, soft):
    """Likewise, for each hard limit."""
    hards = [hard for hard in TTLS if hard is None or hard >= soft]
    expected = [+play(made, soft, hard=hard or FOREVER) for hard in hards]

    assert [expected] * len(INDEXES) == [[counted_refresh(point) for point in on(index, made).swr(soft, hards)] for index in INDEXES]


@pytest.mark.parametrize("keys", [1, 40, 1_500])
@pytest.mark.parametrize("compute", [None, (0, 1, 3, 100)])
def test_long_traces_agree_too(index, keys, compute):
    """Long bursts, many bursts at once, keys on many lines."""
    made = accesses(6_000, keys, seed=keys, compute=compute)
    few, hards = (1, 5, 40, 700, 9_000), (40, 100, None)

    trace = on(index, made)

    assert [+play(made, ttl) for ttl in few] == [counted(point) for point in trace.hits(few)]
    assert [+play(made, ttl, is_sliding=True) for ttl in few] == [counted(point) for point in trace.sliding(few)]
    assert [+play(made, 40, hard=hard or FOREVER) for hard in hards] == [counted_refresh(point) for point in trace.swr(40, hards)]


def test_without_numpy_the_answers_are_the_same(monkeypatch):
    """The extra is for speed alone."""
    made = accesses(500, 20, seed=3, compute=(0, 2))
    expected = Trace(made).hits(TTLS), Trace(made).sliding(TTLS), Trace(made).swr(5, [5, None])
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.delitem(sys.modules, "holdfast.tuning._vector")
    trace = Trace(made)

    assert expected == (trace.hits(TTLS), trace.sliding(TTLS), trace.swr(5, [5, None]))
    assert isinstance(trace._index, ScalarIndex)


def test_numpy_is_used_where_there_is_one():
    """Nothing else would notice that it is not."""
    assert isinstance(Trace([Access("a", 0)])._index, VectorIndex)


@pytest.mark.parametrize("ttl", [3, 10, 45])
def test_diskcache_hits_as_often(ttl, tmp_path, monkeypatch):
    """A real cache, of another maker, under a clock that stands still between accesses."""
    made, now, hits = accesses(300, 12, seed=ttl), [0.0], 0
    monkeypatch.setattr("diskcache.core.time.time", lambda: now[0])
    with diskcache.Cache(tmp_path) as cache:
        for access in made:
            now[0] = 1e9 + access.time
            if cache.get(access.key) is None:
                cache.set(access.key, b"value", expire=ttl)
            else:
                hits += 1

    assert hits == Trace(made).hits([ttl])[0].hits


@pytest.mark.parametrize("make", [lambda folder: InMemoryCache(), DiskCache], ids=["memory", "disk"])
@pytest.mark.parametrize("ttl", [3, 10, 45])
def test_a_cached_function_is_called_as_often(ttl, make, tmp_path, clock):
    """The curve is one of ``CachePolicy(ttl=...)``; an entry's age begins when computing has ended."""
    made = [Access(access.key, 3 * access.time, compute=2) for access in accesses(150, 12, seed=ttl) if access.time]
    made = list({access.time: access for access in made}.values())  # one thread: nobody comes while another one computes
    calls, cache = [], make(tmp_path)

    @resilient(cache_policy=CachePolicy(ttl=ttl), cache=cache)
    def fetch(key):
        calls.append(key)
        clock.advance(2)
        return key

    start = clock.time()
    for access in made:
        clock.advance(start + access.time - clock.time())
        fetch(access.key)
    cache.close()

    assert len(calls) == Trace(made).hits([ttl])[0].calls


def test_poisson_traffic_meets_the_closed_forms():
    """Fixed: ``m / (1 + m)`` with ``m = rate * ttl`` (Jung, Berger, Balakrishnan 2003); sliding: ``1 - exp(-m)``."""
    chance, now, made = random.Random(5), 0.0, []
    for _ in range(60_000):
        now += chance.expovariate(100)
        made.append(Access(chance.randrange(1, 101), now))  # each key once a second
    ttls, trace = (0.1, 0.5, 1, 3), Trace(made)

    assert pytest.approx([ttl / (1 + ttl) for ttl in ttls], abs=0.01) == [point.hit_ratio for point in trace.hits(ttls)]
    assert pytest.approx([1 - math.exp(-ttl) for ttl in ttls], abs=0.01) == [point.hit_ratio for point in trace.sliding(ttls)]


def test_fresh_means_younger_than_the_ttl(index):
    """An access exactly one ttl later computes anew."""
    trace = on(index, [Access("a", 0), Access("a", 10)])

    assert [0, 1] == [point.hits for point in trace.hits([10, "10001ms"])]


def test_refreshing_at_once_is_a_plain_ttl(index):
    """With the hard limit at the soft one nothing is served stale."""
    trace = on(index, accesses(200, 5, seed=1, compute=(0, 3)))
    (plain,), (point,) = trace.hits([7]), trace.swr(7, [7])

    assert (0, plain.hits, plain.coalesced, plain.calls) == (point.stale_hits, point.hits, point.coalesced, point.blocking)


def test_ratios_are_shares_of_all_accesses():
    """A stale answer came at once, too."""
    trace = Trace([Access("a", 0), Access("a", 1), Access("a", 12), Access("a", 13)])

    assert 0.5 == trace.hits([10])[0].hit_ratio
    assert 0.75 == trace.swr(10, [60])[0].hit_ratio


def test_a_ttl_is_a_duration_and_outcomes_keep_its_order():
    """Text, seconds, or None for entries that never expire; twice the same is twice answered."""
    trace = Trace([Access("a", 0), Access("a", 3_600)])

    assert [(3_601.0, 1), (1.0, 0), (None, 1), (1.0, 0)] == [(point.ttl, point.hits) for point in trace.hits(["1h1s", 1, None, 1])]


def test_times_far_apart_lose_nothing(index):
    """Microseconds count even where accesses are years apart and keys are many."""
    far = 300 * 365 * 86_400
    made = [Access(key, time) for time in (0, 1, far, far + 1) for key in range(1, 300)]

    assert [0, 2 * 299] == [point.hits for point in on(index, made).hits([1, 1.000001])]


def test_what_computing_takes_is_capped_nowhere(index):
    """Sums of long times are exact."""
    year = 365 * 86_400
    made = [Access(key, 0, compute=200 * year) for key in range(1, 2_000)]

    assert 1_999 * 200.0 * year == on(index, made).hits([1])[0].compute


@pytest.mark.parametrize("ttl", [0, -1, "soon", math.inf, True])
def test_a_ttl_that_is_none_is_refused(ttl):
    """As in a policy."""
    trace = Trace([Access("a", 0)])

    for ask in (trace.hits, trace.sliding, lambda ttls: trace.swr(1, ttls), lambda ttls: trace.swr(ttls[0], [None])):
        with pytest.raises(PolicyError):
            ask([ttl])


def test_a_hard_limit_below_the_soft_one_is_refused():
    """Both are named."""
    with pytest.raises(PolicyError, match=r"hard=5 s is below soft=10 s"):
        Trace([Access("a", 0)]).swr(10, [20, 5])


def test_an_empty_trace_says_nothing_of_any_ttl():
    """No ratio of nothing."""
    with pytest.raises(TraceError, match="the trace holds no accesses"):
        Trace().hits([1])
