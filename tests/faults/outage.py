"""The program whose disk loses its power: two short runs that say each outcome the moment they are handed it.

It is watched from outside, and its calls to the system are what a disk is rebuilt from (`tests.faults.disk`). The log of its store is
small, so that a short run has many checkpoints.
"""

from __future__ import annotations

import os
from typing import Any

from holdfast import InDoubt, SqliteSaver, StoreError, entrypoint, task
from holdfast.values import _sqlite

RUNS = (100, 200)
"""The input of each run; its calls are numbered from there."""
_PAGES = 40

ran: list[str] = []
"""What was done in this process: calls and, by their input, runs."""


class Declined(Exception):
    """A failure that the program gets over."""


def say(text: str) -> None:
    """Tell who is watching: one write."""
    os.write(1, f"{text}\n".encode())


def text(name: str, n: int) -> str:
    """What a call comes to; most are too large for their row."""
    return f"{name} {n}" + "." * (n % 3 * 1500)


def value(name: str, n: int) -> str:
    """The same, and the call is done in this process."""
    ran.append(f"{name} {n}")
    return text(name, n)


@task
def work(n: int) -> str:
    """A plain one."""
    return value("work", n)


@task
async def awork(n: int) -> str:
    """A plain one, async."""
    return value("awork", n)


@task
def decline(n: int) -> str:
    """One that fails."""
    raise Declined(value("decline", n))


@task(delivery="at-most-once")
def once(n: int) -> str:
    """One that is not begun twice: what counts is that it was begun."""
    say(f"once {n}")
    return value("once", n)


CALLS = [work, awork, work, decline, work, *[awork, work] * 5, awork, work, once, work, decline]
"""Of each run: five in a row, ten at once, five in a row."""


def outcome(future: Any) -> str:
    """A result, or the text of the failure; told at once."""
    try:
        found = str(future.result())
    except Declined as error:
        found = str(error)
    say(found.rstrip("."))
    return found


def body(first: int) -> list[str]:
    """Make the calls."""
    ran.append(f"run {first}")
    calls = list(enumerate(CALLS, start=first))
    alone = [outcome(kind(n)) for n, kind in calls[:5]]
    together = [kind(n) for n, kind in calls[5:15]]
    return [*alone, *map(outcome, together), *[outcome(kind(n)) for n, kind in calls[15:]]]


def live(saver: SqliteSaver, first: int) -> list[str]:
    """Begin a run, or go on with the one that is there; a call in doubt is said to have had its effect."""
    plan: Any = entrypoint(saver)(body)
    thread = f"thread-{first}"
    try:
        return list(plan.invoke(first if saver.latest(thread) is None else None, thread_id=thread))
    except InDoubt:
        plan.resolve(thread_id=thread, result=text("once", first + CALLS.index(once)))
        return list(plan.invoke(None, thread_id=thread))


def keep_the_log_short() -> None:
    """Have SQLite checkpoint after a few pages rather than after a thousand."""
    _sqlite._LOG_PAGES = _PAGES


def main(path: str, synchronous: Any, tries: str) -> None:
    """Both runs, and in between all files are closed; after trouble with the store each goes on, in the same process, so many times."""
    keep_the_log_short()
    saver = SqliteSaver(path, synchronous=synchronous)
    for first in RUNS:
        for left in reversed(range(int(tries))):
            try:
                live(saver, first)
            except StoreError:
                if not left:
                    raise
            else:
                break
        say(f"run {first}")
        saver.close()


def told(*arguments: Any) -> None:
    """`main`; what it raises is told in one write: the lines of a traceback may have lines of the log in their middle."""
    try:
        main(*arguments)
    except Exception as error:
        os.write(2, f"\nended with {type(error).__name__}\n".encode())
        raise
