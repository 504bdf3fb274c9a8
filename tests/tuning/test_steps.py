"""What a task's time to live does of its own accord, from a report and a history: pure decisions, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.overrides import Guard, Override
from holdfast.overrides.override import AUTO, GUARD
from holdfast.tuning import Report
from holdfast.tuning._rule import Rule
from holdfast.tuning._steps import is_left_alone, is_on_trial, may_move, may_raise, next_step, spoiled
from holdfast.tuning.question import Question
from tests.tuning.test_tuner import CURVE, FACTS, HOUR

DAY, NOW = 24 * HOUR, 1e9


def report(budget, curve=CURVE, facts=FACTS, live=HOUR):
    """What `tune` would say of a curve."""
    question = Question.asked(budget, None, None)
    points, advice = Rule(curve, live, question, facts).decide()
    return Report(task="fetch", live_ttl=live, question=question, facts=facts, curve=points, recommendation=advice)


def step(budget, *, may_go_up=True, errors=0.0, **how):
    found = next_step(report(budget, **how), errors=errors, may_go_up=may_go_up)
    return None if found is None else (found.ttl / HOUR, found.guard)


def graded(grade, *, possible=1.0):
    return [replace(each, grade=grade, possible=min(each.possible, possible)) for each in CURVE]


DEARER = [replace(each, calls=each.calls + (500 if each.ttl <= HOUR else 0)) for each in CURVE]
"""Where a longer ttl than the live one spares calls that are worth it."""


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (0.10, None),  # the live one is within it
        (0.04, None),  # just
        (0.038, (0.75, "errors<=10%")),
        (0.015, (0.5, "errors<=10%")),
        (0.001, (0.5, "errors<=10%")),  # nothing near is within it: as far as one step goes
    ],
)
def test_down_as_soon_as_the_live_one_may_be_over_its_budget(budget, expected):
    """By the bound, not the estimate; and not for a few calls."""
    assert expected == step(budget)


def test_failures_that_there_were_before_are_no_reason_to_take_a_step_back():
    """A tenth more than those."""
    assert (0.75, "errors<=42%") == step(0.038, errors=0.32)
    assert (0.75, "errors<=100%") == step(0.038, errors=0.95)


@pytest.mark.parametrize(
    ("curve", "may_go_up", "expected"),
    [
        (DEARER, True, (1.5, "stale<=7%")),  # evidence A
        (DEARER, False, None),
        ([replace(each, grade="B") for each in DEARER], True, None),
        ([replace(each, grade="B", possible=min(each.possible, 0.05)) for each in DEARER], True, (1.5, "stale<=7%")),
        ([replace(each, grade="C", possible=min(each.possible, 0.05)) for each in DEARER], True, None),
    ],
)
def test_up_only_on_what_was_measured(curve, may_go_up, expected):
    """Evidence A; or B, with the hard bound within the budget, too."""
    assert expected == step(0.07, curve=curve, may_go_up=may_go_up, facts=replace(FACTS, probes=100))


def test_never_on_evidence_d():
    """Not even down: neither from a ttl that nothing is known of, nor to one."""
    assert None is step(0.001, curve=graded("D"))
    assert None is not step(0.001, curve=graded("C"))
    assert None is step(0.001, curve=[replace(each, grade="D" if each.ttl == HOUR else "A") for each in CURVE])
    assert None is step(0.001, curve=[replace(each, grade="D" if each.ttl < HOUR else "A") for each in CURVE])


@pytest.mark.parametrize("facts", [replace(FACTS, gets=100), replace(FACTS, volatile_interval=1.0)])
def test_nothing_is_done_where_nothing_can_be_said(facts):
    """Too little traffic; values that always differ."""
    assert None is step(0.001, facts=facts)


def test_the_range_of_the_policy_ends_it():
    """The shortest that is allowed, and not beyond."""
    assert (0.75, "errors<=10%") == step(0.001, facts=replace(FACTS, least_ttl=0.75 * HOUR))
    assert None is step(0.001, facts=replace(FACTS, least_ttl=HOUR))
    fresher = [replace(each, upper=0.03) if each.ttl > HOUR else each for each in CURVE]
    assert None is step(0.001, curve=fresher, facts=replace(FACTS, least_ttl=1.25 * HOUR)), "the live one is too short, and down is not up"


def test_a_step_up_is_spoiled_by_what_is_certain_or_well_known():
    """By the lower end of the estimate on evidence A or B, or the hard bound."""
    assert "" == spoiled(report(0.035))  # from 3.2 % on
    assert "3.2% of answers were stale or more: over the budget of 3% (evidence A)" == spoiled(report(0.03))
    assert "3.2% of answers were stale or more: over the budget of 3% (evidence B)" == spoiled(report(0.03, curve=graded("B")))
    assert "" == spoiled(report(0.03, curve=graded("C")))
    certain = [replace(each, grade="C", certain=0.05) for each in CURVE]
    assert "5% of answers were certainly stale: over the budget of 3%" == spoiled(report(0.03, curve=certain))
    assert "" == spoiled(report(0.05, curve=certain))


def change(number, action="set", *, author=AUTO, ttl=1800.0, days_ago=0.0, guard=None, expires_in=7.0, base=None):
    created = NOW - days_ago * DAY
    limits = None if guard is None else Guard.parse(guard)
    expires = created + expires_in * DAY
    return Override(number, "fetch", action, ttl, 1.0, limits, author, "", created, expires, number - 1, number if base is None else base)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], False),
        ([change(1)], False),
        ([change(1, author="anna", days_ago=5)], True),
        ([change(1, author="anna", days_ago=8)], False),  # it has ended
        ([change(1), change(2, "rollback", author="anna", ttl=None, base=0, days_ago=6)], True),
        ([change(1), change(2, "rollback", author="anna", ttl=None, base=0, days_ago=8)], False),
        ([change(1), change(2, "promote", author="anna", base=1)], True),
        ([change(1), change(2), change(3, "rollback", author=GUARD, base=1)], False),
        ([change(1, author="anna"), change(2, author="anna"), change(3, "rollback", author=GUARD, base=1)], True),
        ([change(1), change(2, "rollback", author=GUARD, ttl=None, base=0)], False),
    ],
)
def test_what_a_person_has_decided_is_left_alone(history, expected):
    """While it holds; and for a week where they have taken something back."""
    assert expected is is_left_alone(history, NOW)


def test_one_change_a_day():
    """Of whomever; a renewal is none."""
    assert may_move([], NOW)
    assert may_move([change(1, days_ago=1), change(2, "renew", base=1)], NOW)
    assert not may_move([change(1, days_ago=0.9)], NOW)
    assert not may_move([change(1, days_ago=3), change(2, "rollback", author=GUARD, days_ago=0.1)], NOW)


def test_not_up_within_a_week_of_what_went_down():
    """A step down, or one that was taken back."""
    assert may_raise([change(1, guard="stale<=2%", days_ago=1.5)], NOW)
    assert not may_raise([change(1, guard="errors<=10%", days_ago=6.9), change(2, "renew", base=1, days_ago=4)], NOW)
    assert not may_raise([change(1, "rollback", author=GUARD, days_ago=6)], NOW)
    assert may_raise([change(1, guard="errors<=10%", days_ago=7.1), change(2, "rollback", author=GUARD, days_ago=7)], NOW)


def test_what_goes_up_is_watched_for_two_days():
    """Of our own steps, and only those."""
    up = change(1, guard="stale<=2%", days_ago=1.9)

    assert is_on_trial(up, [up], NOW)
    assert not is_on_trial(change(1, guard="errors<=10%"), [], NOW)
    assert not is_on_trial(change(1, guard="stale<=2%", days_ago=2.1), [], NOW)
    assert not is_on_trial(change(1, guard="stale<=2%", author="anna"), [], NOW)
    assert not is_on_trial(change(1), [], NOW)
