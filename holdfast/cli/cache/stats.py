"""``holdfast cache stats``: what is kept of each task."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from holdfast import clock
from holdfast.cli import output
from holdfast.cli.cache import asked, place, suggested
from holdfast.cli.marks import ASCII, UNICODE, age, count, plain, size
from holdfast.cli.table import Row, draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.cache.info import CacheStats, EntryInfo
    from holdfast.cli.cache.asked import Asked
    from holdfast.cli.marks import Marks

_HEAD = ("", "TASK", "VERSIONS", "ENTRIES", "EXPIRED", "SIZE", "NEWEST", "MEDIAN", "OLDEST")
_RIGHT = frozenset(_HEAD[2:])


class TaskStats(NamedTuple):
    """What is kept of one task.

    Attributes:
        task: Its name.
        versions: How many versions of its code or policy there are entries of.
        entries: How many entries there are.
        expired: How many of them are past the ttl they were stored with.
        size: Bytes they take.
        newest: Age of the newest, seconds.
        median: The age that half of them have reached, seconds.
        oldest: Age of the oldest, seconds.
    """

    task: str
    versions: int
    entries: int
    expired: int
    size: int
    newest: float
    median: float
    oldest: float


@click.command(epilog="\b\nExamples:\n  holdfast cache stats\n  holdfast cache stats forecast --json | jq '.tasks[].size'")
@click.argument("task", required=False)
@output.as_json
@place.path
def stats(task: str | None, path: str | None, *, as_json: bool) -> None:
    """Show what is kept of each task, or of TASK, and how it was used.

    The largest come first. EXPIRED entries are past the ttl they were stored with, and
    past the time for which an old value may be served; they stay for a while, because a
    ttl may be raised. The second table is what the cache has recorded: HITS are all gets
    that did not wait for a call, SPARED is the time that their calls would have taken.
    """
    look = place.look(path)
    now = clock.current.time()
    found = figures(look.entries(), now)
    if task is not None:
        meant = place.tasks_meant((each.task for each in found), task)
        found = [each for each in found if each.task in meant]
    total = look.stats()
    was_asked, moves = asked.of_tasks(look.folder, task), suggested.moves(look.folder, task, now)
    if as_json:
        output.print_json(_in_json(found, total, was_asked) | {"suggested": [each._asdict() for each in moves]})
        return
    if not found:
        output.fail(f"nothing is kept in {total.path}")
    marks = ASCII if output.is_ascii() else UNICODE
    output.print_text(draw(_HEAD, [_row(each, marks) for each in found], right=_RIGHT, color=output.has_color()))
    if was_asked:
        output.print_text("\n" + asked.drawn(was_asked, now, marks, color=output.has_color()))
    for each in moves:
        output.print_text("\n" + suggested.drawn(each, now))
    evicted = f"; evicted so far: {count(total.evicted, 'entry')}, {size(total.evicted_bytes)}" if total.evicted else ""
    output.print_text(f"\n{total.path}: {count(total.entries, 'entry')}, {size(total.bytes)} on disk{evicted}")


def figures(entries: Iterable[EntryInfo], now: float) -> list[TaskStats]:
    """What is kept of each task, the largest first."""
    by_task: dict[str, list[EntryInfo]] = {}
    for info in entries:
        by_task.setdefault(place.task_of(info.key.namespace), []).append(info)
    return sorted((_figures(task, infos, now) for task, infos in by_task.items()), key=lambda each: (-each.size, each.task))


def _figures(task: str, infos: Sequence[EntryInfo], now: float) -> TaskStats:
    ages = [max(0.0, now - info.stored_at) for info in infos]
    return TaskStats(
        task=task,
        versions=len({info.key.namespace for info in infos}),
        entries=len(infos),
        expired=sum(place.is_expired(info, now) for info in infos),
        size=sum(info.size for info in infos),
        newest=min(ages),
        median=statistics.median(ages),
        oldest=max(ages),
    )


def _in_json(found: Sequence[TaskStats], total: CacheStats, was_asked: Sequence[Asked]) -> dict[str, Any]:
    return {
        "path": str(total.path),
        "entries": total.entries,
        "bytes": total.bytes,
        "evicted": total.evicted,
        "evicted_bytes": total.evicted_bytes,
        "tasks": [each._asdict() for each in found],
        "asked": [asked.in_json(each) for each in was_asked],
    }


def _row(each: TaskStats, marks: Marks) -> Row:
    texts = (
        marks.dot,
        plain(each.task),
        str(each.versions),
        str(each.entries),
        str(each.expired or ""),
        size(each.size),
        *(age(seconds) for seconds in (each.newest, each.median, each.oldest)),
    )
    return Row(texts, "green" if each.expired < each.entries else "yellow")
