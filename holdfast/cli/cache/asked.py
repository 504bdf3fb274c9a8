"""What a cache was asked for, as it has recorded: the second table of ``holdfast cache stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.cli.cache import place
from holdfast.cli.marks import age, count, plain, took
from holdfast.cli.table import Row, draw, fitted
from holdfast.recording.store import HOUR
from holdfast.tuning.evictions import Evictions
from holdfast.tuning.recording import sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.cli.marks import Marks
    from holdfast.recording.store import Reader
    from holdfast.recording.taps import Counts

_HEAD = ("", "TASK", "GETS", "HITS", "CALLS", "PROBES", "FAILED", "EACH", "SPARED", "SINCE", "MISSES")
_RIGHT = frozenset(_HEAD[2:-1])


class Asked(NamedTuple):
    """What was counted of one task.

    Attributes:
        task: Its name.
        since: When it was first seen, seconds since the epoch; the hour in which it was first counted, where times of then are no longer kept.
        counts: All of it.
        evictions: Its entries that had to make room for others.
    """

    task: str
    since: float
    counts: Counts
    evictions: Evictions = Evictions()

    @property
    def calls(self) -> int:
        """Calls of the source, for whatever reason."""
        return self.counts.fills + self.counts.refreshes + self.counts.probes

    @property
    def spared_s(self) -> float:
        """Seconds that the calls would have taken which hits spared, as long as those there were; less what was called behind."""
        return (self.counts.gets - self.calls) * self.counts.seconds / self.calls if self.calls else 0.0


def of_tasks(folder: Path, given: str | None) -> list[Asked]:
    """What was counted of all tasks, or of those that a name means; the one that was asked for most often first."""
    found = place.recorded(folder, _read, list[Asked]())
    return sorted(
        (each for each in found if given is None or place.is_meant(each.task, given)), key=lambda each: (-each.counts.gets, each.task)
    )


def _read(reader: Reader) -> list[Asked]:
    counted = [(task, reader.counts(task, 0)) for task in reader.tasks()]
    return [
        Asked(
            task,
            _since(hours[0][0], reader.first_seen(task)),
            sum_of(counts for _, counts in hours),
            Evictions(dict(reader.evicted(task, 0))),
        )
        for task, hours in counted
        if hours
    ]


def _since(hour: int, kept: float | None) -> float:
    """Counts are kept by the hour; times say more, as long as the first ones are there."""
    return kept if kept is not None and hour <= kept < hour + HOUR else float(hour)


def drawn(found: Sequence[Asked], now: float, marks: Marks, *, color: bool) -> str:
    """The table."""
    head, rows = fitted(_HEAD, [_row(each, now, marks) for each in found], ("PROBES", "FAILED", "MISSES"))
    return "\n".join([draw(head, rows, right=_RIGHT, color=color), *map(_of_evictions, filter(lambda each: each.evictions.entries, found))])


def _of_evictions(each: Asked) -> str:
    """How long entries live in a full cache, whatever their ttl."""
    young, half = each.evictions.age(0.05) or 0.0, each.evictions.age() or 0.0
    return f"{plain(each.task)}: {count(each.evictions.entries, 'entry')} evicted, half of them at less than {age(half)}, 5% at less than {age(young)}"


def _row(each: Asked, now: float, marks: Marks) -> Row:
    counts = each.counts
    texts = (
        marks.dot,
        plain(each.task),
        str(counts.gets),
        f"{1 - counts.fills / counts.gets:.0%}" if counts.gets else "",
        str(each.calls),
        str(counts.probes or ""),
        str(counts.errors or ""),
        took(counts.seconds / each.calls, marks) if each.calls else "",
        age(max(0.0, each.spared_s)),
        f"{age(now - each.since)} ago",
        ", ".join(f"{number} {cause}" for cause, number in sorted(counts.misses.items(), key=lambda item: -item[1])),
    )
    return Row(texts, "red" if counts.errors == each.calls and counts.errors else "green")


def in_json(each: Asked) -> dict[str, Any]:
    """For programs."""
    counts = {name: getattr(each.counts, name) for name in ("gets", "fills", "refreshes", "probes", "errors", "seconds", "bytes", "misses")}
    more = {"calls": each.calls, "spared_s": each.spared_s, "evicted_ages": _ages(each.evictions)}
    return {"task": each.task, "since": each.since, **counts, **more}


def _ages(evictions: Evictions) -> list[dict[str, float | int]]:
    """By the age below which they were, seconds."""
    return [{"below_s": 2.0**number, "entries": entries} for number, entries in sorted(evictions.by_class.items())]
