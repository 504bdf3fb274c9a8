"""What one task does, in order."""

from __future__ import annotations

import pytest

from holdfast.policies import CachePolicy, RetryPolicy
from holdfast.policies.plan import Plan

TWO, THREE = RetryPolicy(max_attempts=2), RetryPolicy(max_attempts=3)
ENDLESS = RetryPolicy(max_attempts=None, deadline=9)


def fetch(city):
    return city


def plan(**fields):
    """The plan of a plain task, and more."""
    return Plan(
        **{
            "fn": fetch,
            "name": "fetch",
            "function": "app.fetch",
            "is_async": False,
            "names": ("city",),
            "bind": lambda city: (city,),
        }
        | fields
    )


def test_a_plain_task_has_nothing_around_it():
    """What a decorator without options makes."""
    plain = plan()

    assert ((), frozenset(), (), None, None, None, None, None, "", "internal") == (
        plain.injected,
        plain.required,
        plain.retry,
        plain.cache,
        plain.keys,
        plain.codec,
        plain.timeout,
        plain.deadline,
        plain.capture,
        plain.kind,
    )
    assert (None, False, False, False) == (plain.positional, plain.is_once, plain.is_node, plain.is_graph)
    assert "<Plan of fetch: app.fetch>" == repr(plain)


def test_a_plan_reads_in_the_order_of_a_call():
    """Outermost first."""
    full = plan(cache=CachePolicy(ttl=60), deadline=90, retry=(TWO, THREE), timeout=5, is_async=True)

    assert (
        "<Plan of fetch: CachePolicy(ttl=1m) -> single-flight -> deadline 1m30s -> RetryPolicy(max_attempts=2) -> RetryPolicy()"
        " -> timeout 5s per attempt -> async app.fetch>"
    ) == repr(full)


@pytest.mark.parametrize(("retry", "expected"), [((), 1), ((TWO,), 2), ((THREE,), 3), ((TWO, THREE), 4), ((TWO, ENDLESS), None)])
def test_attempts_add_up(retry, expected):
    """Each policy allows its own beyond the first."""
    assert expected == plan(retry=retry).max_attempts


@pytest.mark.parametrize(
    ("retry", "expected"),
    [((), False), ((TWO,), False), ((TWO, RetryPolicy(retry_on_result=bool)), True)],
)
def test_results_are_judged_when_a_policy_asks(retry, expected):
    """One is enough."""
    assert expected == plan(retry=retry).checks_result


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ((), False),
        ((TWO, RetryPolicy(retry_on=OSError), RetryPolicy(retry_on=(OSError, KeyError)), RetryPolicy(retry_on_result=bool)), False),
        ((TWO, RetryPolicy(retry_on=lambda error: True)), True),
        ((RetryPolicy(before_retry=print),), True),
        ((RetryPolicy(wait=lambda state: 0.0),), True),
        ((RetryPolicy(stop=lambda state: False, max_attempts=2),), True),
        ((RetryPolicy(retry=lambda state: False),), True),
    ],
)
def test_functions_that_look_at_failures_are_known(retry, expected):
    """For them an error is made presentable before it is the caller's."""
    assert expected == plan(retry=retry).shows_errors


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"retry": (TWO,)}, True),
        ({"retry": (RetryPolicy(retry_on_result=bool),)}, False),
        ({"cache": CachePolicy()}, False),
        ({"timeout": 5}, False),
        ({"deadline": 5}, False),
    ],
)
def test_what_a_call_that_succeeds_at_once_needs(fields, expected):
    """A policy about failures only is not in its way."""
    assert expected == plan(**fields).is_plain


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, set()),
        ({"injected": ("config",)}, {"config"}),
        ({"injected": ("config",), "cache": CachePolicy(ignore=("client",))}, {"config", "client"}),
    ],
)
def test_what_no_trace_shows(fields, expected):
    """What the runtime fills in, and what the key leaves out."""
    assert expected == plan(**fields).unshown


def test_a_changed_plan_leaves_the_first_alone():
    """Plans are frozen."""
    first = plan()

    assert ("other", "fetch") == (first.replace(name="other").name, first.name)


class Counted:
    """Keys that remember which injected parameters count."""

    namespace = "app.fetch"

    def __init__(self, names=frozenset()) -> None:
        self.names = names

    def make(self, args, kwargs):
        raise NotImplementedError

    def counting(self, names):
        return Counted(names)


INJECTED = {"names": ("city", "config", "store"), "injected": ("config", "store"), "positional": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (("Oslo",), {}, {}),
        (("Oslo", "mine"), {}, {"config": "mine"}),
        (("Oslo",), {"store": 1, "config": "mine"}, {"config": "mine", "store": 1}),
        (("Oslo", "mine", "too many"), {"store": 1}, {"config": "mine", "store": 1}),
    ],
)
def test_what_a_call_passes_itself_is_told_apart(args, kwargs, expected):
    """Of the injected parameters only, and by position as far as positions reach."""
    assert expected == plan(**INJECTED).passing(args, kwargs)


def test_a_parameter_that_a_call_passes_is_one_like_any_other():
    """It counts in the key; the others are still filled in, and the plan itself stays as it is."""
    first = plan(**INJECTED, keys=Counted())

    variant = first.given(frozenset({"config"}))

    assert (("store",), {"store"}, {"config"}) == (variant.injected, variant.unshown, variant.keys.names)
    assert ("config", "store") == first.injected
    assert variant is first.given(frozenset({"config"}))
    assert first is first.given(frozenset())
    assert first == first.replace()
    assert None is plan(**INJECTED).given(frozenset({"config"})).keys
