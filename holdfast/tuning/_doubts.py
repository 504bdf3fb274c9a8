"""What a recommendation stands on and might not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.tuning._words import shown, shown_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tuning.question import Question
    from holdfast.tuning.report import Facts, Point

_FEW_KEYS = 20
_NEARLY_A_WEEK = 6.9 * 86400
_UNSTEADY = 0.1
_TOO_MANY, _FEW_CALLS = 1.3, 30
"""So many times the calls that the live TTL takes, and so many more, are no chance, nor `refresh_ahead` or `ttl_jitter` as people use them."""
_LONG_ENOUGH = 10
"""So many TTLs in a trace, and the first access to each key hardly counts."""


def doubts(best: Point | None, points: Sequence[Point], live: float | None, facts: Facts, question: Question) -> tuple[str, ...]:
    """Sentences, the gravest first."""
    about = best or next((point for point in points if point.ttl == live), points[0])
    longest = points[-1].ttl
    found = [
        _about_lives(next((point for point in points if point.ttl == live), None), facts),
        _about_prices(best, question),
        _about_evidence(about, facts),
        _about_steadiness(about),
        f"the traffic is of {shown_time(facts.span)}: other days may differ" if facts.span < _NEARLY_A_WEEK else "",
        f"the traffic lasted less than {_LONG_ENOUGH} times {shown(longest)}: first accesses weigh as calls, so hits look rarer than they will be"
        if facts.span < _LONG_ENOUGH * longest
        else "",
        f"{facts.keys} {'key' if facts.keys == 1 else 'keys'} only: one of them can move every figure" if facts.keys < _FEW_KEYS else "",
        _about_room(facts),
    ]
    return tuple(line for line in found if line)


def _about_evidence(point: Point, facts: Facts) -> str:
    if point.grade == "D" and facts.changed:
        return f"too little was recorded to say how often the source changes: {facts.changed} changes were seen"
    if point.grade == "D":
        return "how often the source changes was never seen: of staleness, only ages and hard bounds are known"
    if point.grade == "A":
        return "probes were made at the live TTL; away from it, changes are taken to come at any moment between two looks alike"
    unseen = "values that change and change back, or in bursts, look steadier than they are: by 10 to 45 % where it was measured"
    return unseen if point.grade == "B" else f"only {facts.changed} changes were seen; and {unseen}"


def _about_lives(at_live: Point | None, facts: Facts) -> str:
    """What is replayed takes entries to live for the TTL; the source's own TTLs, for one, are in no recording."""
    if at_live is None or facts.calls is None or facts.calls - at_live.calls < _FEW_CALLS or facts.calls < _TOO_MANY * at_live.calls:
        return ""
    return (
        f"{facts.calls:,} calls were made, where entries that live for {shown(at_live.ttl)} take {at_live.calls:,}: results were not "
        "stored (failures, or refused by cache_if), they end earlier (by a TTL of the source's own, or invalidated, refreshed, evicted), or the TTL was "
        "another one for a while; hits and calls are not as said here then"
    )


def _about_prices(best: Point | None, question: Question) -> str:
    if best is None or question.prices is None or question.weighs_staleness or question.max_age is not None:
        return ""
    return (
        "a stale answer was given no price, nor a limit: so the longest TTL within reach is the cheapest, however often the source changes"
    )


def _about_room(facts: Facts) -> str:
    if not facts.evicted:
        return "a cache that has room for everything is assumed: evictions would cost hits"
    went = f"{facts.evicted} {'entry' if facts.evicted == 1 else 'entries'} had to make room for others"
    return (
        f"the cache was full: {went}, half of them younger than {shown_time(facts.evicted_age)}; a TTL beyond that gains less than is shown"
    )


def _about_steadiness(point: Point) -> str:
    if point.hits_high - point.hits_low <= _UNSTEADY:
        return ""
    return f"hits are unsteady: from {100 * point.hits_low:.0f}% to {100 * point.hits_high:.0f}%, by keys and by parts of the time"
