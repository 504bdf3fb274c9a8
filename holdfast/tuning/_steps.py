"""What `holdfast.Tune` does of its own accord: whether it may do anything, which step comes next, and when one is taken back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.tuning._rule import bound
from holdfast.tuning._words import percent, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.overrides import Override
    from holdfast.tuning.report import Point, Report

DAY = 86_400.0
WEEK = 7 * DAY
LASTS = WEEK
"""Seconds after which the policy in the code holds again, if nobody has looked meanwhile."""
TRIAL = 2 * DAY
"""Seconds in which a step is watched over; then it is renewed, without its guard."""
_MORE_ERRORS = 0.1
"""Share of failures that a shorter ttl, and so more calls, may bring: it is taken back for more."""


class Step(NamedTuple):
    """A change to make.

    Attributes:
        ttl: Seconds.
        reason: Why, for the history.
        guard: What takes it back.
        expected: What should come of it.
    """

    ttl: float
    reason: str
    guard: str
    expected: str


def is_left_alone(history: Sequence[Override], now: float) -> bool:
    """Whether a person has decided: an override of theirs is in force, or they have taken one back within the last week.

    Args:
        history: Of the task, the oldest first.
        now: Seconds since the epoch.
    """
    if not history or history[-1].is_automatic(history):
        return False
    return history[-1].is_in_force(now) or (history[-1].action == "rollback" and now - history[-1].created < WEEK)


def may_move(history: Sequence[Override], now: float) -> bool:
    """Whether nothing was changed, by whomever, for a day."""
    return all(now - each.created >= DAY for each in history if each.action != "renew")


def may_raise(history: Sequence[Override], now: float) -> bool:
    """Whether no step was taken back, and none made down, for a week: what goes up and down by turns settles nothing.

    Steps down are those that are guarded against failures, see `_down`.
    """
    lately = [each for each in history if now - each.created < WEEK]
    return not any(each.action == "rollback" or (each.guard is not None and each.guard.errors is not None) for each in lately)


def is_on_trial(override: Override, history: Sequence[Override], now: float) -> bool:
    """Whether it is a step up of ours that is young enough to be taken back, see `_up`."""
    is_up = override.guard is not None and override.guard.stale is not None
    return is_up and override.is_automatic(history) and 0 <= now - override.created < TRIAL


def next_step(report: Report, *, errors: float, may_go_up: bool) -> Step | None:
    """What to do, if anything.

    Down as soon as the live ttl may be over its budget; up only where that is certain to be within it, and measured: evidence A, or B and the hard bound,
    too. Never on evidence D.

    Args:
        report: With a budget, on what was recorded lately.
        errors: Share of the source's answers that were failures, from 0 to 1.
        may_go_up: See `may_raise`.
    """
    budget, advice = report.question.stale_budget, report.recommendation
    live = _point(report, report.live_ttl)
    if budget is None or live is None or live.grade == "D":
        return None
    if bound(live) > budget:
        return _down(live, _point(report, advice.ttl if advice.move == "lower" else advice.step), budget, errors)
    best = _point(report, advice.ttl)
    if advice.move != "raise" or not may_go_up or best is None or best.grade not in {"A", "B"}:
        return None
    return _up(best, budget)


def _down(live: Point, to: Point | None, budget: float, errors: float) -> Step | None:
    if to is None or to.ttl >= live.ttl or to.grade == "D":
        return None
    reason = (
        f"up to {percent(bound(live))} of answers stale at {shown(live.ttl)}, over the budget of {percent(budget)} (evidence {live.grade})"
    )
    return Step(to.ttl, reason, f"errors<={100 * min(1.0, errors + _MORE_ERRORS):.0f}%", to.expected)


def _up(best: Point, budget: float) -> Step:
    reason = f"at most {percent(bound(best))} of answers stale at {shown(best.ttl)}, within the budget of {percent(budget)} (evidence {best.grade})"
    return Step(best.ttl, reason, f"stale<={100 * budget:g}%", best.expected)


def spoiled(report: Report) -> str:
    """Why a step up is to be taken back, by what was recorded since; empty when it is not."""
    budget, live = report.question.stale_budget, _point(report, report.live_ttl)
    if budget is None or live is None:
        return ""
    if live.certain > budget:
        return f"{percent(live.certain)} of answers were certainly stale: over the budget of {percent(budget)}"
    if live.grade in {"A", "B"} and live.low is not None and live.low > budget:
        return f"{percent(live.low)} of answers were stale or more: over the budget of {percent(budget)} (evidence {live.grade})"
    return ""


def _point(report: Report, ttl: float | None) -> Point | None:
    return None if ttl is None else next((point for point in report.curve if point.ttl == ttl), None)
