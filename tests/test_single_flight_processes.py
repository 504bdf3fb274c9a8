"""One computation per key among real processes: many at once, and leaders that are killed, stopped, that fail or wait for one another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import asyncio, os, sys, threading, time
from pathlib import Path
from holdfast import CachePolicy, DiskCache, resilient
from holdfast.cache import _leases, _table
from holdfast.cache.default import set_default_cache

_table.BUSY_TIMEOUT = 10.0  # on a busy machine a disk may take longer than callers wait for a cache, and this is not about that

folder = Path(sys.argv[1])
set_default_cache(DiskCache(folder / "cache"))
said = folder / str(os.getpid())
policy = CachePolicy(ttl="1h", version="1")

def say(line):
    "Leave a line where the test finds it; one write, so that none is torn."
    with said.open("a") as file:
        file.write(line + "\\n")

def until(name):
    while not (folder / name).exists(): time.sleep(0.002)
"""

LOAD = """
@resilient(cache_policy=policy)
def load(n):
    say("computes")
    until("go")
    return f"value of {os.getpid()}"
"""


class Program:
    """A Python program that shares a cache with the others of the test.

    Attributes:
        process: It.
    """

    def __init__(self, folder: Path, code: str) -> None:
        self._folder = folder
        command = [sys.executable, "-c", PROGRAM + code, str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def lines(self) -> list[str]:
        """What it has said so far."""
        path = self._folder / str(self.process.pid)
        return path.read_text().splitlines() if path.exists() else []

    def output(self) -> list[str]:
        """What it printed, when it has ended well."""
        out, err = self.process.communicate(timeout=60)
        assert (0, "") == (self.process.returncode, err)
        return out.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Start a program; those that are left in the end are killed."""
    started: list[Program] = []

    def run(code: str) -> Program:
        started.append(Program(tmp_path, code))
        return started[-1]

    yield run
    for program in started:
        with program.process as process:
            process.kill()


@pytest.fixture
def tell(tmp_path: Path) -> Callable[[str], None]:
    """Make a file that programs wait for."""
    return lambda name: (tmp_path / name).touch()


MANY_THREADS = """
values = [None] * 50
def ask(n):
    values[n] = load(1)
threads = [threading.Thread(target=ask, args=(n,)) for n in range(50)]
for thread in threads: thread.start()
say("asked")
for thread in threads: thread.join()
print(*set(values), sep="\\n")
"""
MANY_TASKS = """
@resilient(cache_policy=policy)
async def aload(n):
    say("computes")
    while not (folder / "go").exists(): await asyncio.sleep(0.002)
    return f"value of {os.getpid()}"

async def main():
    asking = [asyncio.ensure_future(aload(1)) for _ in range(50)]
    await asyncio.sleep(0)
    say("asked")
    print(*set(await asyncio.gather(*asking)), sep="\\n")
asyncio.run(main())
"""


@pytest.mark.parametrize("code", [LOAD + MANY_THREADS, MANY_TASKS], ids=["sync", "async"])
def test_many_callers_in_several_processes_share_one_computation(start, tell, code):
    """50 threads, or tasks, in each of 4 processes ask for one missing key: one executes, all get its value."""
    programs = [start(code) for _ in range(4)]
    until(lambda: all("asked" in program.lines for program in programs))
    tell("go")

    values = [program.output() for program in programs]
    (leader,) = [program for program in programs if "computes" in program.lines]
    assert 1 == leader.lines.count("computes")
    assert [[f"value of {leader.process.pid}"]] * 4 == values


def test_when_the_leader_is_killed_one_of_those_waiting_takes_over(start, tell):
    """At once: the kernel frees what a dead process held."""
    programs = [start(LOAD + 'say("asks"); print(load(1))') for _ in range(3)]
    until(lambda: all("asks" in program.lines for program in programs) and any("computes" in program.lines for program in programs))
    (leader,) = [program for program in programs if "computes" in program.lines]
    leader.process.kill()
    others = [program for program in programs if program is not leader]
    until(lambda: any("computes" in program.lines for program in others))
    tell("go")

    (second,) = [program for program in others if "computes" in program.lines]
    assert [[f"value of {second.process.pid}"]] * 2 == [program.output() for program in others]


def test_a_leader_that_is_stopped_is_passed_by(start, tell):
    """Once its lease has expired, by one; when it goes on it gets its own value, and nothing is wrong."""
    quick = "_leases.BEAT, _leases.EXPIRY = 0.05, 0.5\n"
    leader = start(quick + LOAD + "print(load(1))")
    until(lambda: "computes" in leader.lines)
    leader.process.send_signal(signal.SIGSTOP)
    others = [start(quick + LOAD + "print(load(1))") for _ in range(3)]
    until(lambda: any("computes" in program.lines for program in others))
    tell("go")

    (second,) = [program for program in others if "computes" in program.lines]
    assert [[f"value of {second.process.pid}"]] * 3 == [program.output() for program in others]
    leader.process.send_signal(signal.SIGCONT)
    assert [f"value of {leader.process.pid}"] == leader.output()


def test_a_leader_that_takes_long_is_waited_for(start, tell):
    """Longer than a lease lasts without a sign of life: it gives them."""
    quick = "_leases.BEAT, _leases.EXPIRY = 0.05, 0.5\n"
    leader = start(quick + LOAD + "print(load(1))")
    until(lambda: "computes" in leader.lines)
    other = start(quick + LOAD + 'say("asks"); print(load(1))')
    until(lambda: "asks" in other.lines)
    with pytest.raises(subprocess.TimeoutExpired):
        other.process.wait(timeout=1.5)  # what is tested is that time passes and nothing happens
    tell("go")

    assert [f"value of {leader.process.pid}"] == leader.output() == other.output()
    assert ["asks"] == other.lines


def test_a_leader_that_fails_leaves_it_to_the_next(start, tell):
    """Its error is its own; what another one computes is everybody's."""
    leader = start("""
@resilient(cache_policy=policy, retry_policy=None)
def load(n):
    say("computes")
    until("fail")
    raise ValueError("no")
try: load(1)
except ValueError as error: print(error)
""")
    until(lambda: "computes" in leader.lines)
    others = [start(LOAD + 'say("asks"); print(load(1))') for _ in range(2)]
    until(lambda: all("asks" in program.lines for program in others))
    tell("fail")
    tell("go")

    assert ["no"] == leader.output()
    first, second = (program.output() for program in others)
    assert first == second


RING = """
from holdfast.runtime import turns
turns.PATIENCE_INSIDE = 0.3

@resilient(cache_policy=policy)
def {outer}():
    say("computes")
    until("both")
    return "{outer}" + {inner}()

@resilient(cache_policy=policy)
def {inner}():
    return "{inner}"

print({outer}())
"""


def test_processes_that_need_each_others_keys_do_not_wait_for_ever(start, tell):
    """One computes `one` and needs `two`, the other the other way round: the inner calls give up waiting, and compute."""
    first, second = start(RING.format(outer="one", inner="two")), start(RING.format(outer="two", inner="one"))
    until(lambda: ["computes"] == first.lines == second.lines)
    tell("both")

    assert first.output()[0] in {"onetwo", "onetwoone"}  # the last one may find what the other has stored by then
    assert second.output()[0] in {"twoone", "twoonetwo"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_keep_its_parents_lease(start, tell):
    """Forked while the parent computes, and alive when that is killed: the key is free all the same."""
    leader = start("""
@resilient(cache_policy=policy)
def load(n):
    child = os.fork()
    if child == 0:
        until("end")
        os._exit(0)
    say("computes")
    until("never")
print(load(1))
""")
    until(lambda: "computes" in leader.lines)
    leader.process.kill()
    tell("go")
    other = start(LOAD + "print(load(1))")

    assert [f"value of {other.process.pid}"] == other.output()
    tell("end")


def test_a_call_that_waited_is_told_from_a_hit(start, tell):
    """Its span says coalesced, and whose computation it was."""
    traced = "import holdfast.tracing\nholdfast.tracing.configure(path=folder / 'traces.db')\n"
    leader = start(traced + LOAD + "print(load(1))")
    until(lambda: "computes" in leader.lines)
    other = start(
        traced
        + LOAD
        + """from holdfast.runtime.turns import Turn
pause = Turn.pause
def pausing(turn):
    seconds = pause(turn)
    if seconds is not None: say("waits")
    return seconds
Turn.pause = pausing
print(load(1))
holdfast.flush()
until("show")
from holdfast.tracing.store.database import TraceStore
for span in TraceStore(folder / 'traces.db').all_spans():
    if "holdfast.cache.result" in span.attributes: print(span.attributes["holdfast.cache.result"])
"""
    )
    until(lambda: "waits" in other.lines)
    tell("go")
    leader.output()
    tell("show")

    assert {"miss", "coalesced"} == set(other.output()[1:])
