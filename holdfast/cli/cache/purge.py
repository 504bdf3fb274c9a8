"""``holdfast cache purge``: forget entries, or say which ones would go."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from holdfast import clock
from holdfast.cache.disk import DiskCache
from holdfast.cli import output
from holdfast.cli.cache import place
from holdfast.cli.marks import count, plain, size
from holdfast.cli.moments import Length
from holdfast.cli.table import Row, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from holdfast.cache.info import EntryInfo

_RIGHT = frozenset(("GOING", "GONE", "LEFT", "SIZE"))


class Choice(NamedTuple):
    """What may go; None does not choose.

    Attributes:
        task: Of this task; see `place.is_meant`.
        key: Whose key begins so.
        tag: With this tag.
        age: Stored longer ago than so many seconds.
    """

    task: str | None
    key: str | None
    tag: str | None
    age: float | None


@click.command(
    epilog="\b\nExamples:\n  holdfast cache purge forecast               all versions of a task\n"
    "  holdfast cache purge --key 5be1d0a9         one entry: see holdfast cache keys\n"
    "  holdfast cache purge --tag weather --dry-run\n"
    "  holdfast cache purge --older 30d"
)
@click.argument("task", required=False)
@click.option("--key", metavar="K", help="Only the key that begins so, in every version of its task.")
@click.option("--tag", metavar="T", help="Only entries with this tag.")
@click.option("--older", metavar="AGE", type=Length(), help="Only entries stored longer ago: 30d, 12h, 1h30m.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@output.as_json
@place.path
def purge(
    task: str | None,
    key: str | None,
    tag: str | None,
    older: float | None,
    path: str | None,
    *,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Forget entries: those that meet every condition given.

    Running programs notice the next time they look, in memory too.
    """
    if everything == any(given is not None for given in (task, key, tag, older)):
        raise click.UsageError("say what may go: TASK, --key K, --tag T, --older AGE or several of them; or --all")
    choice = Choice(task, key, tag, older)
    before = list(place.look(path).entries())
    doomed = _chosen(before, choice)
    number = _remove(doomed, choice, place.folder_of(path)) if doomed and not dry_run else len(doomed)
    taken = sum(info.size for info in doomed)
    if as_json:
        output.print_json({"dry_run": dry_run, "entries": number, "size": taken, "tasks": _tasks(doomed)})
        return
    if doomed:
        head = ("", "TASK", "GOING" if dry_run else "GONE", "LEFT", "SIZE")
        output.print_text(draw(head, _rows(doomed, before), right=_RIGHT, color=output.has_color()) + "\n")
    said = f"{'would go' if dry_run else 'gone'}: {count(number, 'entry')}, {size(taken)}"
    output.print_text(said if doomed else "nothing would go" if dry_run else "nothing to forget")


def _chosen(entries: Sequence[EntryInfo], choice: Choice) -> list[EntryInfo]:
    """The entries that all that is given applies to; ends the command when a key is not one key of one task, in whichever versions."""
    tests: list[Callable[[EntryInfo], bool]] = []
    if choice.task is not None:
        meant = place.tasks_meant((place.task_of(info.key.namespace) for info in entries), choice.task)
        tests.append(lambda info: place.task_of(info.key.namespace) in meant)
    if choice.tag is not None:
        tests.append(lambda info: choice.tag in info.tags)
    if choice.age is not None:
        before = clock.current.time() - choice.age
        tests.append(lambda info: info.stored_at < before)
    if choice.key is not None:
        start = choice.key
        tests.append(lambda info: info.key.digest.hex().startswith(start))
    found = [info for info in entries if all(test(info) for test in tests)]
    if choice.key is not None and len({(place.task_of(info.key.namespace), info.key.digest) for info in found}) != 1:
        _refuse(choice.key, found)
    return found


def _refuse(key: str, found: Sequence[EntryInfo]) -> NoReturn:
    if not found:
        output.fail(f"no key begins with {key!r}: `holdfast cache keys` lists them")
    keys = sorted({info.key.digest.hex() for info in found})
    if len(keys) == 1:
        output.fail(f"several tasks have the key {keys[0]}: {', '.join(sorted(_tasks(found)))}. Give one of them as TASK")
    names = ", ".join(each[: len(key) + 8] for each in keys[:3])
    output.fail(f"{len(keys)} keys begin with {key!r}: {names}{', ...' if len(keys) > 3 else ''}. Give more of it, or its TASK")  # noqa: PLR2004


def _remove(doomed: Sequence[EntryInfo], choice: Choice, folder: Path) -> int:
    """Forget them, and what came since and is meant as well; return how many went."""
    with closing(DiskCache(folder)) as cache:
        if choice.key is not None:
            return sum(cache.delete(info.key) for info in doomed)
        tasks = [None] if choice.task is None else [f"{task}@*" for task in _tasks(doomed)]
        return sum(cache.purge(namespace=namespace, tag=choice.tag, older_than=choice.age) for namespace in tasks)


def _tasks(doomed: Sequence[EntryInfo]) -> dict[str, int]:
    """How many entries of each task there are."""
    found: dict[str, int] = {}
    for info in doomed:
        task = place.task_of(info.key.namespace)
        found[task] = found.get(task, 0) + 1
    return found


def _rows(doomed: Sequence[EntryInfo], before: Sequence[EntryInfo]) -> list[Row]:
    had = _tasks(before)
    sizes: dict[str, int] = {}
    for info in doomed:
        task = place.task_of(info.key.namespace)
        sizes[task] = sizes.get(task, 0) + info.size
    return [
        Row(("-", plain(task), str(number), str(had[task] - number), size(sizes[task])), "red") for task, number in _tasks(doomed).items()
    ]
