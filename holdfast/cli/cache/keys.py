"""``holdfast cache keys``: the entries, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast import clock
from holdfast.cli import output
from holdfast.cli.cache import place
from holdfast.cli.cache.terms import InForce
from holdfast.cli.marks import ASCII, UNICODE, age, plain, size
from holdfast.cli.table import Row, draw, fitted, shortened
from holdfast.policies.duration import spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.cache.info import EntryInfo
    from holdfast.cli.marks import Marks

_ORDERS: dict[str, Callable[[EntryInfo], float]] = {
    "newest": lambda info: -info.stored_at,
    "oldest": lambda info: info.stored_at,
    "size": lambda info: -info.size,
}
_HEAD = ("", "KEY", "TASK", "VERSION", "AGE", "TTL", "STATE", "SIZE", "TAGS")
_RIGHT = frozenset(("AGE", "SIZE"))
_LONGEST_VERSION = 16
_OF_USE = ("stale", "stale_if_error")
_OVER = ("expired", "stale_if_error")


@click.command(
    epilog="\b\nExamples:\n  holdfast cache keys                      the latest entries of all tasks\n"
    "  holdfast cache keys forecast --by size   the largest of one\n"
    "  holdfast cache keys --tag weather --json | jq '.[].key'"
)
@click.argument("task", required=False)
@click.option("--tag", metavar="T", help="Only entries with this tag.")
@click.option("--by", type=click.Choice([*_ORDERS]), default="newest", show_default=True, help="What comes first.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N entries.")
@output.as_json
@place.path
def keys(task: str | None, tag: str | None, by: str, limit: int, path: str | None, *, as_json: bool) -> None:
    """List entries, of all tasks or of TASK, without reading their values.

    KEY is the beginning of a hash of the arguments; the arguments are not kept. TTL is
    the one that the entry was stored with, and the time for which an old value may be
    served. STATE is shown where entries are past the ttl in force, as far as that is
    recorded, and still of use: stale (served while renewed), stale_if_error (served if
    a call fails).
    """
    look = place.look(path)
    every = list(look.entries())
    found = [info for info in every if tag is None or tag in info.tags]
    if task is not None:
        meant = place.tasks_meant((place.task_of(info.key.namespace) for info in every), task)
        found = [info for info in found if place.task_of(info.key.namespace) in meant]
    found.sort(key=_ORDERS[by])
    names = shortened([info.key.digest.hex() for info in found])[:limit]
    now, in_force = clock.current.time(), InForce(look.folder)
    states = [in_force.of(info).state(now - info.stored_at) for info in found[:limit]]
    if as_json:
        output.print_json([_in_json(info, state) for info, state in zip(found[:limit], states, strict=True)])
    elif not found:
        output.fail(f"nothing is kept in {look.folder}" if not every else f"no entry has the tag {tag!r}")
    else:
        marks = ASCII if output.is_ascii() else UNICODE
        rows = [_row(info, name, state, now, marks) for info, name, state in zip(found, names, states, strict=False)]
        head, rows = fitted(_HEAD, rows, ("STATE",))
        output.print_text(draw(head, rows, right=_RIGHT, color=output.has_color()))
        if len(found) > limit:
            output.print_text(f"{marks.more} and {len(found) - limit} more: --limit {len(found)} shows them")


def _in_json(info: EntryInfo, state: str) -> dict[str, Any]:
    return {
        "key": info.key.digest.hex(),
        "namespace": info.key.namespace,
        "task": place.task_of(info.key.namespace),
        "stored_at": info.stored_at,
        "ttl": info.ttl,
        "state": state,
        "size": info.size,
        "tags": info.tags,
    }


def _row(info: EntryInfo, name: str, state: str, now: float, marks: Marks) -> Row:
    texts = (
        marks.stopped if state in _OVER else marks.ok,
        name,
        plain(place.task_of(info.key.namespace)),
        plain(info.key.namespace.rpartition("@")[2])[:_LONGEST_VERSION],
        age(now - info.stored_at),
        "never" if info.ttl is None else spoken(info.ttl),
        state if state in _OF_USE else "",
        size(info.size),
        ", ".join(map(plain, info.tags)),
    )
    return Row(texts, "yellow" if state in _OVER else "green")
