"""The program that is killed: runs of real tasks, whose every effect is a line that a process outside counts.

    python program.py FOLDER PLAN start|resume [option=value ...]

``FOLDER`` gets the counters: ``begun`` (a body began), ``effects`` (it had its effect, the one that must not be had twice) and ``seen`` (the
program was handed a result or a failure). Each line is one write to a file opened with O_APPEND, so no kill tears or loses one. The result
is printed at the end. How long anything takes is left to chance, of which nothing is recorded.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from holdfast import RetryPolicy, SqliteSaver, ThreadBusyError, entrypoint, task

FOLDER, PLAN, ACTION = sys.argv[1:4]
OPTIONS = {"store": FOLDER, "durability": "sync", "synchronous": "NORMAL", "pad": "0", "busy_timeout": "60"}
OPTIONS.update(option.split("=", 1) for option in sys.argv[4:])
PAD = int(OPTIONS["pad"])
MOST_BEGUN = int(OPTIONS.get("most_begun", sys.maxsize))
WIDTH = 16
AT_ONCE = 8
QUICK = RetryPolicy(retry_on=ConnectionError, initial_interval=0.001, max_interval=0.002)
SETTINGS: dict[str, Any] = {
    "checkpointer": SqliteSaver(
        f"{OPTIONS['store']}/runs.db", synchronous=OPTIONS["synchronous"], busy_timeout=float(OPTIONS["busy_timeout"])
    ),
    "durability": OPTIONS["durability"],
    "max_concurrency": AT_ONCE,
}

tried: set[str] = set()


class Declined(Exception):
    """A failure that the program gets over."""


def count(counter: str, text: str) -> None:
    """Add a line to a counter; whichever body would be one too many goes no further, until somebody ends the process."""
    out = os.open(f"{FOLDER}/{counter}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(out, f"{text:<{WIDTH - 1}}\n".encode())
    has_begun = os.fstat(out).st_size // WIDTH
    os.close(out)
    while counter == "begun" and has_begun >= MOST_BEGUN:
        time.sleep(0.01)


def moment() -> float:
    """How long something takes, in seconds."""
    return random.random() * 0.003


def effect(name: str, n: int) -> str:
    """Have the effect; the result says which one it was."""
    text = f"{name} {n}"
    count("effects", text)
    return text + "." * PAD


def flake(name: str, n: int) -> None:
    """Fail the first time in the life of this process."""
    if (text := f"{name} {n}") not in tried:
        tried.add(text)
        raise ConnectionError(text)


def seen(value: Any) -> Any:
    """The program was handed this."""
    for text in [value] if isinstance(value, str) else value:
        count("seen", text.rstrip("."))
    return value


# -- tasks ------------------------------------------------------------------------------------------------------------------------------


@task
def pay(n: int) -> str:
    """A plain one."""
    count("begun", f"pay {n}")
    time.sleep(moment())
    return effect("pay", n)


@task
async def apay(n: int) -> str:
    """A plain one, async."""
    count("begun", f"apay {n}")
    await asyncio.sleep(moment())
    return effect("apay", n)


@task(retry_policy=QUICK)
def flaky(n: int) -> str:
    """One that needs two attempts in each life."""
    count("begun", f"flaky {n}")
    time.sleep(moment())
    flake("flaky", n)
    return effect("flaky", n)


@task(retry_policy=QUICK)
async def aflaky(n: int) -> str:
    """The same, async."""
    count("begun", f"aflaky {n}")
    await asyncio.sleep(moment())
    flake("aflaky", n)
    return effect("aflaky", n)


@task
def declined(n: int) -> str:
    """One that has its effect and fails; whoever called it goes on without."""
    count("begun", f"declined {n}")
    time.sleep(moment())
    raise Declined(effect("declined", n))


@task
def pair(n: int) -> list[str]:
    """One with two of its own, one after the other."""
    return [seen(pay(1000 + n).result()), seen(apay(1000 + n).result())]


@task
async def apair(n: int) -> list[str]:
    """One with two of its own at once."""
    return seen(list(await asyncio.gather(apay(2000 + n), pay(2000 + n))))


@task(retry_policy=QUICK)
def stubborn(n: int) -> list[str]:
    """One whose own attempts find what the first of them has finished."""
    first = seen(pay(3000 + n).result())
    flake("stubborn", n)
    return [first]


@task
def doomed(n: int) -> list[str]:
    """One that does not get over the failure of its own."""
    return [declined(1000 + n).result()]


def outcome(future: cf.Future[Any]) -> Any:
    """A result, or the name of the failure that the program gets over."""
    try:
        return seen(future.result())
    except Declined as error:
        return seen(str(error))


async def aoutcome(future: Any) -> Any:
    """The same, async."""
    try:
        return seen(await future)
    except Declined as error:
        return seen(str(error))


def fan_out() -> list[Any]:
    """170 calls, of all kinds, begun at once."""
    kinds = [(pay, 40), (apay, 30), (flaky, 15), (aflaky, 10), (declined, 10), (pair, 10), (apair, 10), (stubborn, 5), (doomed, 5)]
    return [work(n) for work, many in kinds for n in range(many)]


# -- plans ------------------------------------------------------------------------------------------------------------------------------


@entrypoint(**SETTINGS)
def mixed(_: Any) -> list[Any]:
    """200 tasks from a sync body: some in a row, many at once, some in a row."""
    first = [outcome(pay(100 + n)) for n in range(7)]
    middle = [outcome(future) for future in fan_out()]
    return [*first, *middle, *[outcome(apay(100 + n)) for n in range(8)]]


@entrypoint(**SETTINGS)
async def amixed(_: Any) -> list[Any]:
    """The same from an async body."""
    first = [await aoutcome(pay(100 + n)) for n in range(7)]
    middle = await asyncio.gather(*map(aoutcome, fan_out()))
    return [*first, *middle, *[await aoutcome(apay(100 + n)) for n in range(8)]]


@entrypoint(**SETTINGS)
async def gathered(_: Any) -> list[Any]:
    """Branches of three calls each, side by side."""

    async def branch(n: int) -> list[str]:
        one = seen(await apay(n))
        two = seen(await pay(100 + n if one == f"apay {n}" else 900))
        return [one, two, seen(await apay(200 + n if two == f"pay {100 + n}" else 900))]

    return await asyncio.gather(*[branch(n) for n in range(12)])


def number(text: str) -> int:
    """Of which call a result is."""
    return int(text.split()[1])


@entrypoint(**SETTINGS)
def first_come(_: Any) -> list[Any]:
    """Follow-ups in the order in which the first calls end."""
    futures = [(pay if n % 2 else apay)(n) for n in range(16)]
    pairs: list[list[str]] = []
    for done in cf.as_completed(futures):
        one = seen(done.result())
        pairs.append([one, seen(pay(100 + number(one)).result())])
    return sorted(pairs)


@entrypoint(**SETTINGS)
async def afirst_come(_: Any) -> list[Any]:
    """The same with asyncio."""
    pairs: list[list[str]] = []
    for done in asyncio.as_completed([(pay if n % 2 else apay)(n) for n in range(16)]):
        one = seen(await done)
        pairs.append([one, seen(await apay(100 + number(one)))])
    return sorted(pairs)


@entrypoint(**SETTINGS)
def threads(_: Any) -> list[Any]:
    """Threads of the program's own, which take their work from one list; equal calls are made by whoever comes first."""

    def chain(n: int) -> list[str]:
        one = seen(pay(n).result())
        time.sleep(moment())
        return [one, seen(apay(100 + number(one)).result()), seen(flaky(n % 3).result())]

    with cf.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(contextvars.copy_context().run, chain, n) for n in range(12)]
        return [future.result() for future in futures]


# -- a life of the process --------------------------------------------------------------------------------------------------------------


def prepare() -> None:
    """What the options ask for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in whatever a shell has started in the background
    if "exit_on_term" in OPTIONS:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "largest_file" in OPTIONS:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(OPTIONS["largest_file"]), resource.RLIM_INFINITY))
    while "gate" in OPTIONS and not Path(OPTIONS["gate"]).exists():
        time.sleep(0.0005)


def main() -> None:
    """Live once."""
    prepare()
    plan: Any = globals()[PLAN]
    try:
        value = plan.invoke(
            0 if ACTION == "start" else None, thread_id="t", run_id=OPTIONS.get("run_id"), wait=float(OPTIONS.get("wait", "0"))
        )
    except ThreadBusyError:
        print("busy")
    else:
        print(json.dumps(value).replace(".", ""))


if __name__ == "__main__":
    main()
