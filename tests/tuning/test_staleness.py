"""Shares of stale answers: histories that agree with what was seen, closed forms, simulated sources, and bounds that need no model."""

from __future__ import annotations

import math
import random
import sys
from bisect import bisect_left, bisect_right
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError, PolicyError, TraceError
from holdfast.tuning import Access, Sighting, Sightings, Trace
from holdfast.tuning._histories import History
from holdfast.tuning._looks import Looks
from holdfast.tuning._mixture import Mixture
from holdfast.tuning._staleness import Source
from holdfast.tuning._vector import VectorIndex
from tests.tuning.sources import World, world

TTLS = (30, 60, 120, 240)


@st.composite
def worlds(draw):
    """Few keys at whole seconds, some looks at them, and true histories; some say when they changed last."""
    accesses, seen, changes = [], [], {}
    for key in range(1, draw(st.integers(1, 3)) + 1):
        changes[key] = history = sorted(draw(st.sets(st.integers(1, 60), max_size=6)))
        times = draw(st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True))
        accesses += [Access(key, time) for time in times]
        for time in draw(st.lists(st.sampled_from(times), unique=True)):
            count = bisect_right(history, time)
            modified = history[count - 1] if count and draw(st.booleans()) else None
            seen.append(
                Sighting(key, time, fingerprint=1 + count, modified=modified, kind=draw(st.sampled_from(("fill", "refresh", "probe"))))
            )
    return World(sorted(accesses, key=lambda access: access.time), seen, changes)


@settings(deadline=None)  # what is drawn again 400 times takes as long as the machine is busy
@given(worlds(), st.sampled_from((1, 5, 20, 61)), st.booleans())
def test_the_truth_is_within_the_hard_bounds(made, ttl, is_sliding):
    """Whatever the source did, in each world; and the estimate is, too."""
    (found,) = Source(made.trace._columns, VectorIndex(made.trace._columns), made.sightings._columns, seed=1).staleness(
        [ttl], 5, is_sliding=is_sliding
    )

    assert found.certain <= made.stale(ttl, is_sliding=is_sliding) <= found.possible
    assert found.stale is None or found.certain <= found.low <= found.stale <= found.high <= found.upper <= found.possible


@settings(deadline=None)  # what is drawn again 400 times takes as long as the machine is busy
@given(worlds(), st.sampled_from((1, 5, 20, 61)))
def test_the_bounds_are_those_of_every_access_judged_by_itself(made, ttl):
    """A change wholly between call and access is certain; one that overlaps, or a time nobody saw, is possible."""
    looks = {key: sorted({each.time: each for each in made.seen if each.key == key}.items()) for key in made.changes}
    filled, certain, possible = {}, 0, 0
    for key, now, *_ in made.accesses:
        if key not in filled or now - filled[key] >= ttl:
            filled[key] = now
            continue
        since, seen = filled[key], looks[key]
        pairs = [(a, m if (m := y.modified) and m > a else None, b) for (a, x), (b, y) in pairwise(seen) if x[3] != y[3]]
        certain += any((since < m <= now) if m else (since <= a and b <= now) for a, m, b in pairs)
        is_unseen = not seen or now > seen[-1][0] or since < seen[0][0]
        possible += is_unseen or any(a < now and (m or b) > since for a, m, b in pairs)
    (found,) = made.trace.stale([ttl], made.sightings)

    assert (certain, possible) == (round(found.certain * len(made.accesses)), round(found.possible * len(made.accesses)))


@settings(deadline=None)  # what is drawn again 400 times takes as long as the machine is busy
@given(worlds(), st.integers(0, 99))
def test_each_history_agrees_with_every_look(made, seed):
    """None in between where the value stayed, one or more where it did not, and none after the one the source names."""
    looks = Looks.of(made.sightings._columns)
    index = VectorIndex(made.trace._columns)
    if not looks.are_enough or not index.lines:
        return
    chance, (line,) = np.random.default_rng(seed), index.lines
    drawn = History(index, line, looks).drawn(Mixture(looks, chance), chance)
    on_line = {int(key): rank * line.width - index.origin for rank, key in enumerate(line.keys)}

    assert list(drawn) == sorted(drawn)
    for place, owner in enumerate(looks.owners):
        if (offset := on_line.get(int(looks.keys[owner]))) is None:
            continue
        since, until, named = (int(column[place]) + offset for column in (looks.since, looks.until, looks.modified))
        between = drawn[bisect_right(drawn, since) : bisect_right(drawn, until)]
        assert bool(looks.changed[place]) == (len(between) > 0)
        if looks.changed[place] and named > since:
            assert named == between[-1]


def test_poisson_sources_meet_the_closed_form():
    """Fixed: ``(l T - (l / m) (1 - exp(-m T))) / (1 + l T)`` for accesses at rate l and changes at rate m, seen at 120 s only."""
    traffic, rate = 1 / 20, 1 / 300
    made = world(keys=150, traffic=traffic, rate=lambda chance: rate)
    expected = [(traffic * ttl - traffic / rate * -math.expm1(-rate * ttl)) / (1 + traffic * ttl) for ttl in TTLS]

    assert pytest.approx(expected, abs=0.01) == [each.stale for each in made.trace.stale(TTLS, made.sightings, live_ttl=120)]


def test_a_sliding_ttl_meets_its_closed_form_and_is_warned_of():
    """``p - (1 - p) f / (1 - f)`` with ``p = 1 - exp(-l T)``, ``f = l / (l + m) (1 - exp(-(l + m) T))``: a hot key is never computed again."""
    traffic, rate, ttl = 1 / 20, 1 / 300, 60
    made = world(keys=150, traffic=traffic, rate=lambda chance: rate)
    p, f = -math.expm1(-traffic * ttl), traffic / (traffic + rate) * -math.expm1(-(traffic + rate) * ttl)

    with pytest.warns(UserWarning, match="a sliding TTL of 1m gave an answer .* times as old"):
        (found,) = made.trace.stale([ttl], made.sightings, live_ttl=120, is_sliding=True)

    assert pytest.approx(p - (1 - p) * f / (1 - f), abs=0.015) == found.stale
    assert found.age_p95 > 2 * ttl
    assert found.oldest > 10 * ttl


SOURCES = {
    "lognormal": {"rate": lambda chance: math.exp(chance.gauss(math.log(1 / 300), 1.2))},
    "mostly never": {"rate": lambda chance: 0 if chance.random() < 0.7 else 1 / 100},
    "periodic": {
        "changes": lambda chance, span: [each * 300.0 + phase for phase in [chance.uniform(0, 300)] for each in range(span // 300 + 1)]
    },
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("probes", [0.0, 0.02])
def test_the_estimate_is_near_the_truth_and_within_its_band(source, probes):
    """At and below the live TTL, and at twice that, from what a cache of the live TTL saw; a clockwork looks staler than it is."""
    made = world(keys=150, probes=probes, seed=7, **SOURCES[source])
    truth = [made.stale(ttl) for ttl in TTLS]
    found = made.trace.stale(TTLS, made.sightings, live_ttl=120)

    assert pytest.approx(truth, abs=0.03) == [each.stale for each in found]
    assert [] == [ttl for ttl, each, true in zip(TTLS, found, truth, strict=True) if true > each.upper]
    assert ["C" if ttl == 30 else "B" for ttl in TTLS] == [each.grade for each in found] or probes


def test_probes_mend_what_sightings_cannot_know():
    """Values that change in bursts and back to rest look as if they changed once: without probes the share is too low, with them it is not."""

    def bursts(chance, span):
        starts = [chance.uniform(0, span) for _ in range(span // 1500)]
        return sorted(round(start + step, 6) for start in starts for step in range(0, 100, 2) if start + step < span)

    made = world(keys=150, changes=bursts, probes=0.05, seed=3)
    truth = made.stale(120)
    (blind,) = made.trace.stale([120], Sightings([each for each in made.seen if each.kind != "probe"]), live_ttl=120)
    (probed,) = made.trace.stale([120], made.sightings, live_ttl=120)

    assert abs(probed.stale - truth) < abs(blind.stale - truth) + 0.002
    assert probed.low <= truth <= probed.high
    assert "A" == probed.grade


def test_probes_are_compared_with_the_last_look_that_was_stored():
    """A probe stores nothing; one before any call of its key says nothing."""
    looks = Looks.of(
        Sightings(
            [
                Sighting("a", 0, fingerprint="x", kind="probe"),
                Sighting("b", 0, fingerprint="x"),
                Sighting("b", 1, fingerprint="y", kind="probe"),
                Sighting("b", 2, fingerprint="y", kind="probe"),
                Sighting("b", 3, fingerprint="z", ok=False),
                Sighting("b", 4),
                Sighting("b", 5, fingerprint="x", kind="probe"),
                Sighting("c", 6, fingerprint="y", kind="probe"),
            ]
        )._columns
    )

    assert (3, 2) == looks.probes


def test_with_probes_the_share_at_the_live_ttl_is_what_they_found():
    """``stale / n`` of the hits, where there are many; what calls saw hardly counts then."""
    made = world(probes=0.05)
    looks = Looks.of(made.sightings._columns)
    (found,) = made.trace.stale([120], made.sightings, live_ttl=120)

    assert looks.probes.stale > 50
    assert pytest.approx(found.hits * looks.probes.stale / looks.probes.asked, rel=0.02) == found.stale


@pytest.mark.parametrize("stale", [0, 1, 2])
def test_two_probes_do_not_outweigh_what_calls_saw(stale):
    """Hundreds of changes were seen; two probes that happen to agree are no reason to believe that all hits are stale, or none."""
    made = world(keys=150, probes=0.05, seed=3)
    calls = [each for each in made.seen if each.kind != "probe"]
    told = {True: [], False: []}
    latest = {}
    for each in made.seen:
        if each.kind == "probe":
            told[latest[each.key] != each.fingerprint].append(each)
        else:
            latest[each.key] = each.fingerprint
    few = sorted([*calls, *told[True][:stale], *told[False][: 2 - stale]], key=lambda each: each.time)
    (blind,) = made.trace.stale([120], Sightings(calls), live_ttl=120)
    (found,) = made.trace.stale([120], Sightings(few), live_ttl=120)

    assert pytest.approx(blind.stale, rel=0.4) == found.stale
    assert found.low < blind.stale < found.high


def test_without_a_change_the_upper_bound_is_that_of_the_rule_of_three():
    """Nothing seen is not nothing there: the bound shrinks with the time watched, and is above zero."""
    few, many = (world(keys=20, rate=lambda chance: 0, span=span) for span in (1_000, 10_000))
    (short,), (long,) = (made.trace.stale([120], made.sightings, live_ttl=120) for made in (few, many))

    assert (0.0, 0.0) == (short.stale, long.stale)
    assert 0 < 3 * long.upper < short.upper < 0.05
    assert "C" == long.grade


def test_a_key_that_nobody_looked_at_has_the_rates_of_the_others():
    """The mixture stands in for it."""
    made = world(keys=100, seed=4)
    hidden = Sightings([each for each in made.seen if each.key > 50])

    (found,) = made.trace.stale([120], hidden, live_ttl=120)

    assert pytest.approx(made.stale(120), abs=0.02) == found.stale
    assert found.possible > 0.5


def test_without_sightings_nothing_is_said_of_staleness():
    """Grade D: ages, hits, and that every hit may be stale."""
    made = world(keys=5, span=1_000)
    (found,) = made.trace.stale([60], Sightings())

    assert (None, None, None, None, 0.0, found.hits, "D") == (
        found.stale,
        found.low,
        found.high,
        found.upper,
        found.certain,
        found.possible,
        found.grade,
    )
    assert pytest.approx(Trace(made.accesses).hits([60])[0].hit_ratio) == found.hits
    assert found.age_p95 <= found.oldest < 60


def test_one_look_at_each_key_is_none_at_changes():
    """Nor are two looks at once."""
    trace = Trace([Access("a", 0), Access("a", 1)])
    once = [Sighting("a", 0, fingerprint="x"), Sighting("a", 0.0005, fingerprint="y"), Sighting("b", 0, fingerprint="x")]

    assert "D" == trace.stale([60], Sightings(once))[0].grade


def test_fingerprints_that_always_differ_are_found_out():
    """However soon it is looked again: then they tell nothing of the source."""
    chance = random.Random(1)
    always = [Sighting("a", time, fingerprint=chance.randrange(1, 1 << 63)) for time in range(0, 600, 10)]
    slow = [Sighting("a", time, fingerprint=1 + time // 300) for time in range(0, 600, 10)]

    assert 10_000_000 == Looks.of(Sightings(always)._columns).volatile_interval
    assert None is Looks.of(Sightings(slow)._columns).volatile_interval
    assert None is Looks.of(Sightings(always[:8])._columns).volatile_interval


def test_the_seed_makes_the_answers_the_same():
    """And another one hardly others."""
    made = world(keys=40)
    first, again, other = (made.trace.stale([120], made.sightings, live_ttl=120, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    assert pytest.approx(first[0].stale, abs=0.01) == other[0].stale


def test_a_look_belongs_to_the_access_that_asked_for_it():
    """The call begins a little later than the access; that is no time in which anything could be missed."""
    made = world(keys=40)
    late = Sightings([each._replace(time=each.time + 0.01) for each in made.seen])

    expected = [each.possible for each in made.trace.stale(TTLS, made.sightings)]

    assert pytest.approx(expected, abs=1e-3) == [each.possible for each in made.trace.stale(TTLS, late)]


def test_those_who_wait_get_what_is_fresh():
    """Accesses while a value is computed are no hits, so none of them is stale."""
    made = Trace([Access("a", 0, compute=10), Access("a", 5), Access("a", 12), Access("a", 15)])
    seen = Sightings([Sighting("a", 0, fingerprint="x"), Sighting("a", 15, fingerprint="y", modified=11)])
    (found,) = made.stale([20], seen)

    assert (0.5, 0.5, 0.5) == (found.hits, found.certain, found.possible)
    assert 5 == found.oldest


@settings(max_examples=20)
@given(worlds())
def test_hits_are_those_of_the_curve(made):
    """One replay, two questions."""
    found = made.trace.stale([5, 20, None], made.sightings)

    assert pytest.approx([each.hit_ratio for each in made.trace.hits([5, 20, None])]) == [each.hits for each in found]
    assert all(each.hits_low <= each.hits <= each.hits_high for each in found)


def test_an_empty_trace_and_a_ttl_that_is_none_are_refused():
    """As everywhere."""
    with pytest.raises(TraceError, match="the trace holds no accesses"):
        Trace().stale([1], Sightings())
    with pytest.raises(PolicyError, match="live_ttl=0"):
        Trace([Access("a", 0)]).stale([1], Sightings(), live_ttl=0)


def test_without_numpy_the_extra_is_named(monkeypatch):
    """Staleness is estimated with NumPy alone; hits are counted without it."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    for name in ("_vector", "_staleness"):
        monkeypatch.delitem(sys.modules, f"holdfast.tuning.{name}", raising=False)
    trace = Trace([Access("a", 0)])

    with pytest.raises(HoldfastError, match=r"pip install 'holdfast\[tune\]'"):
        trace.stale([1], Sightings())


def test_rates_of_the_mixture_are_those_of_the_keys():
    """Most never change; the others once in 100 s."""
    made = world(keys=200, rate=lambda chance: 0 if chance.random() < 0.7 else 1 / 100)
    looks = Looks.of(made.sightings._columns)
    chance = np.random.default_rng(1)
    drawn = Mixture(looks, chance).drawn(np.arange(len(looks.keys)), chance) * 1e6
    moving = np.array([bool(made.changes[int(key)]) for key in looks.keys])

    assert pytest.approx(0, abs=1e-5) == drawn[~moving].mean()
    assert pytest.approx(1 / 100, rel=0.15) == drawn[moving].mean()
    assert bisect_left(sorted(drawn), 1e-4) == int((~moving).sum())
