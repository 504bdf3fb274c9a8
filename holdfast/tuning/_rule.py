"""Which TTL to take: what may be taken at all, what is best of that, and what to say of the others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.tuning._doubts import doubts
from holdfast.tuning._words import percent, shown, shown_time
from holdfast.tuning.question import MOST_MOVE
from holdfast.tuning.report import Recommendation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tuning.question import Question
    from holdfast.tuning.report import Facts, Point

PROBES_WANTED = 250
_GETS_WANTED = 200
_SPANS_WANTED = 4
"""So many live TTLs a trace has to be long."""
_KNEE = 0.98
_STALE = ("over budget", "maybe over budget")
_NORMAL = 3.84
"""Square of the 97.5 % quantile of the normal distribution."""


class Rule:
    """Decides for one task.

    Args:
        points: What each candidate would have done, by TTL.
        live: The live TTL; None when unknown.
        question: What was asked.
        facts: What was recorded.
    """

    def __init__(self, points: Sequence[Point], live: float | None, question: Question, facts: Facts) -> None:
        self._points, self._live, self._question, self._facts = points, live, question, facts

    def decide(self) -> tuple[tuple[Point, ...], Recommendation]:
        """The points with their verdicts, and the recommendation."""
        refusal = self._refusal()
        objections = {point.ttl: self._objection(point) for point in self._points}
        best = None if refusal else self._best([point for point in self._points if not objections[point.ttl]])
        judged = tuple(replace(point, verdict=self._verdict(point, best, objections[point.ttl])) for point in self._points)
        if refusal:
            return judged, self._advice(None, (refusal,), ())
        if best is None:
            why, step = self._nothing(objections)
            return judged, self._advice(None, why, self._against(None, objections), step)
        return judged, self._advice(best, (self._for(best),), self._against(best, objections))

    def _advice(self, best: Point | None, why: tuple[str, ...], why_not: tuple[str, ...], step: float | None = None) -> Recommendation:
        about = best or self._at_live or self._points[0]
        return Recommendation(
            ttl=None if best is None else best.ttl,
            move=self._move(best),
            grade=about.grade,
            why=why,
            why_not=why_not,
            what_could_be_wrong=doubts(best, self._points, self._live, self._facts, self._question),
            step=step,
        )

    def _move(self, best: Point | None) -> str:
        if best is None or self._live is None:
            return "none"
        return "keep" if best.ttl == self._live else "raise" if best.ttl > self._live else "lower"

    @property
    def _at_live(self) -> Point | None:
        return next((point for point in self._points if point.ttl == self._live), None)

    def _refusal(self) -> str:
        """Why nothing at all can be recommended; empty when something may be."""
        if self._live is None:
            return "the TTL while this was recorded is not known, or has no end: give live_ttl, since a move is judged from there"
        missing = missing_evidence(self._facts.gets, self._facts.span, self._live)
        if missing:
            return f"there is too little to go by: record {missing}"
        if self._question.is_open:
            return "no limit is given: say what share of answers may be stale (stale_budget), name prices, or a max_age"
        if self._question.weighs_staleness and self._facts.volatile_interval is not None:
            return (
                f"the fingerprint is no signal of staleness: nearly every look found another value, even {shown_time(self._facts.volatile_interval)} after "
                "the one before. If values hold something that always differs (a time, an id, a model's wording), say what counts with fingerprint="
            )
        return ""

    def _objection(self, point: Point) -> str:
        """What speaks against a TTL; empty when nothing does."""
        budget, max_age = self._question.stale_budget, self._question.max_age
        if not point.is_near:
            return "extrapolated"
        if point.ttl < (self._facts.least_ttl or 0) or point.ttl > (self._facts.most_ttl or math.inf):
            return "outside ttl_range"
        if max_age is not None and point.ttl > max_age:
            return "older than max_age"
        if budget is not None and bound(point) > budget:
            return "over budget" if point.stale is not None and point.stale > budget else "maybe over budget"
        if self._live is not None and point.ttl > self._live and not self._may_raise(point):
            return "needs probes"
        return ""

    def _may_raise(self, point: Point) -> bool:
        """Longer TTLs than the live one were never seen at work: they take probes, or a bound that needs no model."""
        if not self._question.weighs_staleness or point.grade == "A":
            return True
        return self._question.stale_budget is not None and point.possible <= self._question.stale_budget

    def _best(self, feasible: list[Point]) -> Point | None:
        if not feasible:
            return None
        if self._question.prices is not None:
            return min(feasible, key=lambda point: (point.cost or 0.0, point.ttl))
        most = self._facts.gets - min(point.calls for point in feasible)
        return next(point for point in feasible if self._facts.gets - point.calls >= _KNEE * most)

    def _verdict(self, point: Point, best: Point | None, objection: str) -> str:
        parts = ["recommended"] if point is best else []
        parts += ["live"] if point.ttl == self._live else []
        return ", ".join([*parts, *([objection] if objection else [])])

    def _for(self, best: Point) -> str:
        limits: list[str] = []
        if self._question.stale_budget is not None:
            limits.append(
                f"at most {percent(bound(best))} of answers stale (97.5 % bound), within the budget of {percent(self._question.stale_budget)}"
            )
        if self._question.max_age is not None:
            limits.append(f"no answer older than {shown(self._question.max_age)}")
        if self._question.prices is not None:
            limits.append(f"the cheapest of those allowed, at {best.cost:,.4g} {self._period}")
        else:
            limits.append(f"{percent(best.hits)} hits, 98 % or more of what the longest TTL allowed would give")
        return f"{shown(best.ttl)}: " + "; ".join(limits)

    def _against(self, best: Point | None, objections: dict[float, str]) -> tuple[str, ...]:
        """One sentence for each kind of objection, about the TTL nearest to the one taken."""
        near = best or self._at_live or self._points[0]
        said: dict[str, str] = {}
        for point in sorted(self._points, key=lambda point: abs(math.log(point.ttl / near.ttl))):
            objection = objections[point.ttl]
            if objection and objection not in said:
                said[objection] = f"{shown(point.ttl)}: {self._detail(point, objection)}"
        live = self._at_live
        if best is not None and live is not None and live is not best and not objections[live.ttl]:
            said["live"] = f"{shown(live.ttl)}, the live one: {self._less(live, best)}"
        return tuple(said.values())

    def _less(self, live: Point, best: Point) -> str:
        if self._question.prices is not None:
            return f"it costs {live.cost:,.4g} {self._period}"
        if live.ttl < best.ttl:
            return f"{self._calls(live.calls - best.calls)} more, and the limits allow {shown(best.ttl)}"
        more = f"{percent(live.hits)} hits are under 2 % more than {percent(best.hits)} ({self._calls(best.calls - live.calls)})"
        return f"{more}, for older answers (19 of 20 below {shown_time(live.age_p95)})"

    @property
    def _period(self) -> str:
        """What calls and costs are said of."""
        return "a day" if self._facts.days else f"in {shown_time(self._facts.span)}"

    def _calls(self, number: int) -> str:
        return f"{number / (self._facts.days or 1):,.0f} calls {self._period}"

    def _detail(self, point: Point, objection: str) -> str:
        budget = self._question.stale_budget
        if objection == "outside ttl_range":
            return "the policy of the code does not allow it: see its ttl_range"
        if objection == "older than max_age":
            return f"answers could be older than {shown(self._question.max_age)}"
        if objection == "extrapolated":
            return f"more than a factor of {MOST_MOVE:g} from the live one: go step by step, and measure again"
        if objection == "needs probes" or budget is None:
            hidden = f"up to {percent(point.possible)} of answers may have been stale without anybody seeing it"
            return f"longer than the live one, and {hidden}. {self._probes_for(point)}"
        if objection == "over budget" and point.stale is not None:
            return f"about {percent(point.stale)} of answers stale, over the budget of {percent(budget)}"
        return f"up to {percent(bound(point))} of answers stale (97.5 % bound). {self._settled_by(point, budget)}"

    def _probes_for(self, point: Point) -> str:
        wanted = max(1, PROBES_WANTED - self._facts.probes)
        share = wanted / max(1, point.calls)
        how = "" if self._facts.probes else ". CachePolicy(probe=Probe()) has them made"
        return (
            f"{wanted:,} probes{' more' if self._facts.probes else ''} would tell: {percent(share)} more calls over a time like this{how}"
        )

    def _settled_by(self, point: Point, budget: float) -> str:
        """How many probes would tell whether it is over the budget: ``n = 3.84 p (1 - p) / w ** 2``."""
        if point.stale is None:
            return "Nothing is known of the source's changes: record fingerprints"
        if not point.hits or point.stale >= budget:
            return "More probes would hardly bring it under"
        share = min(point.stale / point.hits, 0.5)
        width = (budget - point.stale) / point.hits
        more = max(0, math.ceil(_NORMAL * share * (1 - share) / width**2)) - self._facts.probes
        return (
            f"{more:,} more probes could settle it"
            if more > 0
            else "More probes would hardly bring it under: traffic itself varies that much"
        )

    def _nothing(self, objections: dict[float, str]) -> tuple[tuple[str, ...], float | None]:
        """Why nothing keeps to what was asked; and where to go from a live TTL that is over its budget, when all within reach are."""
        lowest = next((point for point in self._points if point.is_near), self._points[0])
        allowed = next((point for point in self._points if point.is_near and objections[point.ttl] in _STALE), None)
        said = f"no TTL within a factor of {MOST_MOVE:g} of the live one keeps to what was asked; the shortest"
        if allowed is None:
            return (f"{said}, {shown(lowest.ttl)}, is {objections[lowest.ttl]}",), None
        live = self._at_live
        is_step = live is not None and bound(allowed) < bound(live)
        said += f"{'' if allowed is lowest else ' allowed'}, {shown(allowed.ttl)}, has up to {percent(bound(allowed))} of answers stale"
        return (
            said + (". It is a step there: take it and measure again" if is_step else ""),
            "what helps where a TTL does not: invalidate entries when the source is written (tags), or let it answer 'not modified' (an ETag, a modified time)",
        ), allowed.ttl if is_step else None


def missing_evidence(gets: int, span: float, live: float) -> str:
    """What a trace lacks for anything to be said; empty when it is long enough.

    Args:
        gets: Its accesses.
        span: Seconds from the first to the last.
        live: The live TTL, seconds.
    """
    missing: list[str] = []
    if gets < _GETS_WANTED:
        missing.append(f"{_GETS_WANTED - gets:,} more gets (there are {gets:,})")
    if span < _SPANS_WANTED * live:
        missing.append(f"for {shown_time(_SPANS_WANTED * live - span)} longer (it is {shown_time(span)} so far)")
    return " and ".join(missing)


def bound(point: Point) -> float:
    """What a budget is held against: the 97.5 % quantile, or the hard bound where that is lower."""
    return point.possible if point.upper is None else min(point.upper, point.possible)
