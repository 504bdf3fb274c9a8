"""What a report on one task's TTL says: a curve, a recommendation, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from holdfast.tuning._words import shown
from holdfast.tuning.outcomes import Staleness

if TYPE_CHECKING:
    from holdfast.tuning.outcomes import Grade
    from holdfast.tuning.question import Question


_DAY = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Staleness):
    """What one TTL would have done: what `Staleness` says, and this. Shares are of all gets, from 0 to 1.

    Attributes:
        ttl: Seconds.
        calls: How often the source would have been called.
        calls_per_day: The same for a day like the recorded time; None where that is shorter than a day, for minutes tell nothing of days.
        waits: Share of gets that would have waited for a call.
        blocking: The same if an entry were served for another ``ttl`` while it is refreshed behind.
        cost: A day's, at the prices asked for, or the recorded time's where that is shorter; None without prices.
        is_near: Whether the live TTL may be moved there at once: at most doubled or halved.
        verdict: ``recommended``, ``live``, what speaks against it, or nothing.
    """

    ttl: float
    calls: int
    calls_per_day: float | None
    waits: float
    blocking: float
    cost: float | None
    is_near: bool
    verdict: str = ""

    @property
    def expected(self) -> str:
        """Its shares as `holdfast.overrides.Expected` reads them."""
        return f"hits={100 * self.hits:.1f}%" + ("" if self.stale is None else f",stale={100 * self.stale:.1f}%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Which TTL to take.

    Attributes:
        ttl: Seconds; None when none can be recommended.
        move: ``raise``, ``lower`` or ``keep`` the live one, or ``none``.
        grade: How good the evidence is; see `Staleness`.
        why: What speaks for it, or why there is none; sentences.
        why_not: What speaks against the others; sentences.
        what_could_be_wrong: What it stands on and might not hold; sentences.
        step: Seconds; where no TTL keeps to what was asked: the shortest that may be taken at once, if it has fewer stale answers than the live one. From
            there it can be measured again. None for no such step.
    """

    ttl: float | None
    move: str
    grade: Grade
    why: tuple[str, ...]
    why_not: tuple[str, ...]
    what_could_be_wrong: tuple[str, ...]
    step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was recorded.

    Attributes:
        gets: Accesses.
        keys: How many keys they were to; an estimate where not all were kept.
        span: Seconds from the first to the last.
        looks: Real calls of the source that answered with a value, probes left out.
        changed: How often a look found another value than the one before it.
        probes: Hits chosen at random whose source was asked.
        stale_probes: How many of them were stale.
        least_ttl: Seconds; no TTL below it is allowed by the policy. None for no such bound.
        most_ttl: The same for TTLs above.
        evicted: How many entries had to make room for others; 0 also where that is not recorded, as in a file of accesses.
        evicted_age: Seconds; half of them were younger. None when there were none.
        rate: The share of the keys that was kept, to which `looks`, `changed`, `probes` and `stale_probes` belong; 1 for all.
        calls: How often the source was asked, probes left out, as it was counted; None where it was not, as in a file of accesses.
        volatile_interval: Seconds; where nearly every look finds another value, however soon it comes: how soon. None where fingerprints tell something.
    """

    gets: int
    keys: int
    span: float
    looks: int
    changed: int
    probes: int
    stale_probes: int
    volatile_interval: float | None
    least_ttl: float | None = None
    most_ttl: float | None = None
    evicted: int = 0
    evicted_age: float | None = None
    rate: float = 1.0
    calls: int | None = None

    @property
    def days(self) -> float | None:
        """How many days were recorded; None for less than one."""
        return self.span / _DAY if self.span >= _DAY else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What other TTLs would have done for one task, and which to take.

    Attributes:
        task: Its name; empty when the evidence has none.
        live_ttl: Seconds, while the evidence was recorded; None when unknown.
        question: What was asked.
        facts: What was recorded.
        curve: What each TTL would have done, by TTL.
        recommendation: Which to take, and why.
    """

    task: str
    live_ttl: float | None
    question: Question
    facts: Facts
    curve: tuple[Point, ...]
    recommendation: Recommendation

    def explain(self) -> str:
        """The recommendation in words.

        Returns:
            Lines of text: what to do, why, why nothing else, what could be wrong.
        """
        advice = self.recommendation
        told = [("why", advice.why), ("why not", advice.why_not), ("what could be wrong", advice.what_could_be_wrong)]
        return "\n".join([self.headline, *(f"{title}: {line}" for title, lines in told for line in lines)])

    @property
    def headline(self) -> str:
        """The recommendation in one line."""
        advice, name = self.recommendation, self.task or "this task"
        if advice.ttl is None:
            said = "no TTL can be recommended"
        elif advice.move == "keep":
            said = f"keep ttl={shown(advice.ttl)}"
        else:
            said = f"{advice.move} the ttl from {shown(self.live_ttl)} to {shown(advice.ttl)}"
        return f"{name}: {said} (evidence {advice.grade})"

    def to_dict(self) -> dict[str, Any]:
        """The whole report for programs.

        Returns:
            Plain dictionaries, lists, numbers and texts, with the names of the attributes.
        """
        return asdict(self)

    def to_html(self) -> str:
        """The whole report as a page.

        Returns:
            One HTML page that needs nothing else: curves as inline SVG, light or dark as the reader's system is, no script from elsewhere.
        """
        from holdfast.tuning._page import page

        return page(self)
