"""The cache that the commands look at, and the tasks in it that a name means."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from holdfast.cache._scan import Look
from holdfast.cache.places import default_folder
from holdfast.cli import output
from holdfast.errors import HoldfastError
from holdfast.recording.store import FILE, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdfast.cache.info import EntryInfo

T = TypeVar("T")

_NEARBY = 3

path = click.option("--path", metavar="DIR", help="The cache's folder; default HOLDFAST_CACHE_DIR, else the one in your cache folder.")


def folder_of(given: str | None) -> Path:
    """The folder that was named, or the default one; ends the command, with what to do, while nobody has made that."""
    if given is not None:
        return Path(given).absolute()
    folder = default_folder()
    if not folder.is_dir():
        output.fail(
            f"there is no cache in {folder} yet.\n"
            "A function with a cache_policy makes it when it is called. Where a program has a DiskCache(DIR) of its own, say --path DIR."
        )
    return folder


def look(given: str | None) -> Look:
    """The cache to look at; its methods raise StoreError, and so end the command, when there is none."""
    return Look(folder_of(given))


def recorded(folder: Path, ask: Callable[[Reader], T], otherwise: T) -> T:
    """What the recording beside a cache says; ``otherwise`` where there is none, or it cannot be read: it only helps."""
    reader = Reader(folder / FILE)
    try:
        return ask(reader)
    except HoldfastError:
        return otherwise
    finally:
        reader.close()


def task_of(namespace: str) -> str:
    """The task whose values a namespace names, without the version or code behind its last ``@``."""
    return namespace.rpartition("@")[0] or namespace


def is_meant(task: str, given: str) -> bool:
    """Whether ``given`` names the task: in full, or its end from a dot on: ``forecast`` or ``weather.forecast`` for ``app.weather.forecast``."""
    return task == given or task.endswith(f".{given}")


def tasks_meant(known: Iterable[str], given: str) -> list[str]:
    """The tasks among ``known`` that a name means; ends the command with the nearest names when there is none."""
    tasks = sorted(set(known))
    found = [task for task in tasks if is_meant(task, given)]
    if not found:
        names = {task.rpartition(".")[2]: task for task in tasks} | {task: task for task in tasks}
        near = list(dict.fromkeys(names[name] for name in difflib.get_close_matches(given, names, n=_NEARBY)))
        output.fail(f"nothing is kept of a task {given!r}; " + (f"did you mean {' or '.join(near)}?" if near else _listed(tasks)))
    return found


def _listed(tasks: list[str]) -> str:
    if not tasks:
        return "the cache is empty"
    more = f" and {len(tasks) - _NEARBY} more: `holdfast cache stats` lists them" if len(tasks) > _NEARBY else ""
    return f"there are entries of {', '.join(tasks[:_NEARBY])}{more}"


def is_expired(info: EntryInfo, now: float) -> bool:
    """Whether an entry is past the ttl it was stored with. The ttl that is in force for its task may be another one."""
    return info.ttl is not None and now - info.stored_at >= info.ttl
