"""CachePolicy: what it may be built from, how it reads, and what is fresh."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PolicyError
from holdfast.policies import CachePolicy, Probe, Tune
from holdfast.policies.cache import CLOCK_SLACK

AUTO = Tune(mode="auto", stale_budget=0.02)


class Plain:
    """A codec, as far as a policy can tell."""

    id = 200

    def encode(self, value):
        return value

    def decode(self, data):
        return data


def lower(city):
    return city.lower()


async def lower_async(city):
    return city.lower()


@pytest.mark.parametrize("ttl", [3600, 3600.0, timedelta(hours=1), "1h", "60m"])
def test_ttl_may_be_written_in_any_form(ttl):
    """Seconds, timedelta and text are one."""
    assert CachePolicy(ttl=3600.0) == CachePolicy(ttl=ttl)


def test_the_default_remembers_every_result_for_ever():
    """As in LangGraph, where ttl is None too."""
    given = {name: value for name, value in dataclasses.asdict(CachePolicy()).items() if value is not None}

    assert {"ignore": (), "fail_safe_throttle": 30.0, "tags": (), "is_recorded": True, "is_simple": True} == given


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"ttl": 0}, "ttl=0 is no time at all: leave it out to keep entries for ever"),
        ({"ttl": -5}, "ttl=-5 is negative"),
        ({"ttl": True}, "ttl=True is not a duration"),
        ({"ttl": "1 hour"}, "ttl='1 hour' is not a duration"),
        ({"ttl": [60]}, "ttl=[60] is not a duration"),
        ({"negative_ttl": 0}, "negative_ttl=0 is no time at all: leave it out to remember no failures"),
        ({"key_func": lower_async}, "key_func=lower_async is async or a generator: give a plain function"),
        ({"key_func": "city"}, "key_func='city' is not a function"),
        ({"cache_if": lower_async}, "cache_if=lower_async is async or a generator"),
        ({"cache_if": True}, "cache_if=True is not a function"),
        ({"ignore": "client"}, "ignore='client' is one text: give a tuple, ignore=('client',)"),
        ({"ignore": 5}, "ignore=5 is not a tuple of texts"),
        ({"ignore": ("client", 5)}, "ignore=('client', 5) holds 5"),
        ({"ignore": ("",)}, "holds ''"),
        ({"tags": "weather"}, "tags='weather' is one text: give a tuple, tags=('weather',)"),
        ({"tags": [" "]}, "tags=[' '] holds ' '"),
        ({"version": ""}, "version='' names no version"),
        ({"version": True}, "version=True names no version"),
        ({"version": 1.5}, "version=1.5 names no version"),
        ({"codec": object}, "codec=object is a class: give an instance, codec=object(...)"),
        ({"codec": "pickle"}, "codec='pickle' has no id and no decode"),
        (
            {"ttl": 60, "stale_while_revalidate": 0},
            "stale_while_revalidate=0 is no time at all: leave it out to serve nothing past its ttl",
        ),
        ({"ttl": 60, "stale_if_error": "1 day"}, "stale_if_error='1 day' is not a duration"),
        ({"stale_while_revalidate": 5}, "stale_while_revalidate=5.0 does nothing without a ttl, for nothing expires: add ttl='1h'"),
        ({"stale_if_error": 5}, "stale_if_error=5.0 does nothing without a ttl"),
        ({"refresh_ahead": 0.5}, "refresh_ahead=0.5 does nothing without a ttl"),
        ({"ttl_jitter": 0.5}, "ttl_jitter=0.5 does nothing without a ttl"),
        (
            {"ttl": 60, "refresh_ahead": 1},
            "refresh_ahead=1 is no part of the ttl: give a number between 0 and 1, for example refresh_ahead=0.8",
        ),
        ({"ttl_range": (5, 60)}, "ttl_range=(5.0, 60.0) does nothing without a ttl"),
        ({"ttl": 60, "ttl_range": "5m"}, "ttl_range='5m' is no pair of durations: give for example ttl_range=('5m', '6h')"),
        ({"ttl": 60, "ttl_range": (60, 5)}, "ttl_range=(60, 5) begins after its end: give the smaller one first"),
        ({"ttl": 90, "ttl_range": (5, "1m")}, "ttl=1m30s is beyond ttl_range, 5s to 1m: change one of them"),
        ({"ttl": 90, "ttl_range": (0, "1m")}, "ttl_range=0"),
        ({"ttl": 60, "probe": 0.1}, "probe=0.1 is no Probe: give for example probe=Probe("),
        ({"ttl": 60, "tune": "auto"}, "tune='auto' is no Tune: give for example tune=Tune(mode='suggest', stale_budget=0.02)"),
        ({"tune": Tune(mode="suggest", stale_budget=0.1)}, "does nothing without a ttl, for nothing expires: add ttl='1h'"),
        ({"ttl": 60, "tune": AUTO}, "tune=Tune(mode='auto') may not go anywhere: say how far, for example ttl_range=('5m', '6h')"),
        (
            {"ttl": 60, "ttl_range": (30, 90), "stale_while_revalidate": 60, "tune": AUTO},
            "tune=Tune(mode='auto') does not count what stale_while_revalidate serves past the ttl",
        ),
        ({"ttl": 60, "probe": Probe(), "tune": Tune(mode="off")}, "probe does nothing beside tune=Tune(mode='off'), which records nothing"),
        ({"ttl": 60, "ttl_jitter": True}, "ttl_jitter=True is no part of the ttl"),
        (
            {"ttl": 60, "ttl_jitter": "10%"},
            "ttl_jitter='10%' is no part of the ttl: give a number between 0 and 1, for example ttl_jitter=0.1",
        ),
        (
            {"ttl": 60, "soft_timeout": 5},
            "soft_timeout=5.0 does nothing where no old value may be served: add stale_if_error='1d', or give",
        ),
        ({"ttl": 60, "stale_if_error": 60, "soft_timeout": 5, "hard_timeout": 5}, "soft_timeout=5.0 does nothing beside hard_timeout=5.0"),
        ({"hard_timeout": 0}, "hard_timeout=0 is no time at all: leave it out to wait as long as it takes"),
        (
            {"ttl": 60, "fail_safe_throttle": 5},
            "fail_safe_throttle=5.0 does nothing where no old value may be served: add stale_if_error='1d'",
        ),
        ({"ttl": 60, "stale_if_error": 5, "fail_safe_throttle": 0}, "fail_safe_throttle=0 is no time at all"),
        ({"key_func": lower, "ignore": ("client",)}, "ignore=('client',) does nothing beside key_func"),
    ],
)
def test_what_cannot_work_is_refused_when_built(wrong, text):
    """The error names the parameter, its value and the fix."""
    with pytest.raises(PolicyError) as caught:
        CachePolicy(**wrong)

    assert text in str(caught.value)


def test_a_range_of_ttls_may_be_a_single_one():
    """It leaves operators nothing to choose, and that can be meant."""
    assert (60.0, 60.0) == CachePolicy(ttl=60, ttl_range=(60, "1m")).ttl_range


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CachePolicy(), "CachePolicy()"),
        (CachePolicy(ttl="1h"), "CachePolicy(ttl=1h)"),
        (CachePolicy(ttl=90, negative_ttl="5s", key_func=lower), "CachePolicy(ttl=1m30s, key_func=lower, negative_ttl=5s)"),
        (
            CachePolicy(ttl=90, stale_while_revalidate=60, stale_if_error="1d", fail_safe_throttle=5, refresh_ahead=0.8, ttl_jitter=0.1),
            "CachePolicy(ttl=1m30s, stale_while_revalidate=1m, stale_if_error=1d, fail_safe_throttle=5s, refresh_ahead=0.8, ttl_jitter=0.1)",
        ),
        (CachePolicy(ignore=["client"], version=2, tags=("a", "b")), "CachePolicy(ignore=('client',), version='2', tags=('a', 'b'))"),
    ],
)
def test_reads_as_what_differs_from_the_defaults(policy, expected):
    """Short enough for a plan."""
    assert expected == repr(policy)


def test_is_a_value():
    """Equal fields, equal policy: as a dict key, through pickle and through copies."""
    policy = CachePolicy(ttl="1h", key_func=lower, tags=["a"])

    assert [policy] * 4 == [
        CachePolicy(ttl=3600, key_func=lower, tags=("a",)),
        pickle.loads(pickle.dumps(policy)),
        copy.copy(policy),
        policy.replace(),
    ]
    assert {policy: 1} == {policy.replace(ttl=3600): 1}
    assert policy != policy.replace(ttl=60)


def test_is_frozen():
    """Tasks share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        CachePolicy().ttl = 5


def test_a_codec_is_kept():
    """An object with id, encode and decode."""
    codec = Plain()

    assert codec is CachePolicy(codec=codec).codec


@given(ttl=st.floats(0.001, 1e9), stored_at=st.floats(0, 4e9), age=st.floats(-1e6, 1e9), own_ttl=st.none() | st.floats(0.001, 1e9))
def test_an_entry_is_fresh_while_it_is_younger_than_the_ttl_in_force(ttl, stored_at, age, own_ttl):
    """The policy's present one, or that which its computation gave it. Up to a minute from the future is a clock that differs."""
    now = stored_at + age
    in_force = ttl if own_ttl is None else own_ttl

    assert (-CLOCK_SLACK <= now - stored_at < in_force) == CachePolicy(ttl=ttl).is_fresh(stored_at, own_ttl, now)


@pytest.mark.parametrize(("age", "expected"), [(0, True), (59.9, True), (60, False), (61, False), (-60, True), (-61, False)])
def test_the_bounds_of_fresh(age, expected):
    """The ttl itself is too old; more than a minute from the future is of unknown age."""
    assert expected == CachePolicy(ttl=60).is_fresh(1000.0, None, 1000.0 + age)


def test_without_a_ttl_an_entry_never_expires():
    """Not after years, and not when the clock was set back."""
    assert [True, True] == [CachePolicy().is_fresh(1000.0, None, now) for now in (1e12, 0.0)]


@pytest.mark.parametrize(
    ("policy", "expected"), [(CachePolicy(), False), (CachePolicy(ttl=60, negative_ttl=5), False), (CachePolicy(negative_ttl=50), True)]
)
def test_a_remembered_failure_has_a_ttl_of_its_own(policy, expected):
    """Without ``negative_ttl`` none is served, also one that was stored before the policy changed."""
    assert expected == policy.is_fresh(1000.0, None, 1010.0, negative=True)


@pytest.mark.parametrize(
    ("policy", "own_ttl", "expected"),
    [
        (CachePolicy(), None, None),
        (CachePolicy(), 5.0, 5.0),
        (CachePolicy(ttl=60), None, 60.0),
        (CachePolicy(ttl=60), 5.0, 5.0),
        (CachePolicy(ttl=60, stale_while_revalidate=10), None, 70.0),
        (CachePolicy(ttl=60, stale_while_revalidate=10, stale_if_error=30), 5.0, 35.0),
    ],
)
def test_a_value_is_of_use_to_the_end_of_its_last_window(policy, own_ttl, expected):
    """For so long a store has to keep it."""
    assert expected == policy.longest(own_ttl)


@pytest.mark.parametrize(("field", "example"), [("ignore", "client"), ("tags", "weather")])
def test_words_that_are_none_are_refused_with_an_example(field, example):
    """It can be pasted."""
    with pytest.raises(PolicyError) as caught:
        CachePolicy(**{field: 5})

    assert f"{field}=5 is not a tuple of texts: give for example {field}=('{example}',)" == str(caught.value)


def test_functions_are_shown_by_name():
    """Not by address."""
    assert "CachePolicy(key_func=lower, cache_if=bool)" == repr(CachePolicy(key_func=lower, cache_if=bool))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "on"}, "mode='on': give one of 'off', 'record', 'suggest', 'auto'"),
        ({"mode": "auto"}, "mode='auto' needs a share of stale answers that you can bear: add for example stale_budget=0.02"),
        ({"mode": "suggest"}, "mode='suggest' needs a share"),
        (
            {"mode": "record", "stale_budget": 0.1},
            "stale_budget=0.1 does nothing in mode='record': leave it out, or give mode='suggest' or 'auto'",
        ),
        ({"mode": "off", "stale_budget": 0.1}, "stale_budget=0.1 does nothing in mode='off'"),
        ({"mode": "auto", "stale_budget": 2}, "stale_budget=2 is not a share of answers from 0 to 1: 0.02 is one in fifty"),
        ({"mode": "auto", "stale_budget": float("nan")}, "stale_budget=nan is not a share"),
        ({"mode": "auto", "stale_budget": True}, "stale_budget=True is not a share"),
        ({"mode": "auto", "stale_budget": "2%"}, "stale_budget='2%' is not a share"),
    ],
)
def test_a_mode_that_cannot_be_meant_is_refused(options, text):
    """What is wrong, and what to write."""
    with pytest.raises(PolicyError) as caught:
        Tune(**options)

    assert text in str(caught.value)


def test_who_looks_after_the_ttl_is_part_of_the_policy():
    """Shown, compared, and kept by a change of another field; and only "off" records nothing."""
    policy = CachePolicy(ttl="1h", ttl_range=("5m", "6h"), tune=AUTO)

    assert "CachePolicy(ttl=1h, ttl_range=(5m, 6h), tune=Tune(mode='auto', stale_budget=0.02))" == repr(policy)
    assert AUTO == policy.replace(ttl="2h").tune
    assert policy != policy.replace(tune=None)
    assert [True, True, False] == [each.is_recorded for each in (policy, CachePolicy(), CachePolicy(tune=Tune(mode="off")))]
    assert [True, True, False] == [AUTO.is_looking, Tune(mode="suggest", stale_budget=0).is_looking, Tune(mode="record").is_looking]
