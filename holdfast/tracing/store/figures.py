"""What the spans of many runs say about each task: how often it is called, flakes and fails, what the cache answers, how long it takes.

Pure: rows in, figures out. ``holdfast top`` prints them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.tracing.spans.records import SpanRow

_ANSWERED = ("hit", "negative", "coalesced", "stale", "stale_if_error")
_NOT_EXECUTED = ("replayed", "cancelled", "interrupted")  # or not to an end that says anything about the task


class TaskFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one task. Durations are seconds, and of calls that made attempts only: what the cache answers takes next to nothing.

    Attributes:
        task: Its name.
        calls: Its calls that have ended, those answered by cache or journal included.
        executed: Calls that made attempts and came to an end of their own: neither cancelled nor interrupted.
        attempts: Attempts of the executed calls.
        flaky: Calls that needed more than one attempt, or failed.
        failures: Calls that failed in the end.
        hits: Calls answered by the cache, or by an equal call at the same time.
        misses: Calls that looked into the cache and had to be made.
        replayed: Calls answered by the journal.
        p50_s: Half of the executed calls took at most so long, waits included; None when there are none.
        p95_s: So long took at most 95 of 100.
        max_s: The longest.
        waited_s: Spent waiting between attempts, in all.
        errors: How often an attempt failed with each error, the most frequent first.
    """

    task: str
    calls: int
    executed: int
    attempts: int
    flaky: int
    failures: int
    hits: int
    misses: int
    replayed: int
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    waited_s: float
    errors: dict[str, int]

    @property
    def flaky_share(self) -> float:
        """Of the executed calls, how many flaked; 0.0 to 1.0."""
        return self.flaky / self.executed if self.executed else 0.0

    @property
    def attempts_per_call(self) -> float:
        """Attempts for each executed call, 1.0 when none was retried; 0.0 when none was executed."""
        return self.attempts / self.executed if self.executed else 0.0

    @property
    def hit_share(self) -> float | None:
        """Of the calls that asked the cache, how many it answered; None when none did."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


def of_tasks(rows: Iterable[SpanRow]) -> list[TaskFigures]:
    """Count what happened to each task.

    Args:
        rows: Spans of any number of traces, in any order; those under way, and those of others, do not count.

    Returns:
        One for each task that was called, by name.
    """
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for row in rows:
        kind = row.attributes.get(names.SPAN_TYPE)
        name = row.attributes.get(names.TASK_NAME)
        if row.is_open or name is None:
            continue
        if kind == "task":
            tallies[str(name)].add_call(row)
        elif kind == "attempt":
            tallies[str(name)].add_error(row)
    return [tally.figures(name) for name, tally in sorted(tallies.items()) if tally.calls]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the values that at least ``share`` of them do not exceed (nearest rank); None of none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0], 0.95), percentile([], 0.5)
    (2.0, 1.0, None)
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


@dataclass(slots=True)
class _Tally:
    calls: int = 0
    attempts: int = 0
    flaky: int = 0
    failures: int = 0
    hits: int = 0
    misses: int = 0
    replayed: int = 0
    waited_s: float = 0.0
    seconds: list[float] = field(default_factory=list[float])
    errors: Counter[str] = field(default_factory=Counter[str])

    def add_call(self, row: SpanRow) -> None:
        get = row.attributes.get
        result = get(names.CACHE_RESULT)
        outcome, is_failed = get(names.TASK_OUTCOME), row.status == "error"
        self.calls += 1
        self.failures += is_failed
        self.hits += result in _ANSWERED
        self.misses += result == "miss"
        self.replayed += outcome == "replayed"
        if outcome in _NOT_EXECUTED or (result in _ANSWERED and names.ATTEMPT_COUNT not in row.attributes):
            return
        number = int(get(names.ATTEMPT_COUNT, 1))
        self.attempts += number
        self.flaky += number > 1 or is_failed or result == "stale_if_error"
        self.waited_s += float(get(names.RETRY_WAITED_S, 0.0))
        self.seconds.append(row.seconds)
        if names.ATTEMPT_NUMBER in row.attributes:  # its own attempt
            self.add_error(row)

    def add_error(self, row: SpanRow) -> None:
        if row.status == "error":
            self.errors[str(row.attributes.get(names.ERROR_TYPE, "error"))] += 1

    def figures(self, name: str) -> TaskFigures:
        ordered = sorted(self.seconds)
        return TaskFigures(
            task=name,
            calls=self.calls,
            executed=len(ordered),
            attempts=self.attempts,
            flaky=self.flaky,
            failures=self.failures,
            hits=self.hits,
            misses=self.misses,
            replayed=self.replayed,
            p50_s=percentile(ordered, 0.5),
            p95_s=percentile(ordered, 0.95),
            max_s=percentile(ordered, 1.0),
            waited_s=self.waited_s,
            errors=dict(self.errors.most_common()),
        )
