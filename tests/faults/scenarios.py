"""What happens to the program: one function for each fault, which gives one round of it.

A round is told by its seed alone, except for how the machine happens to schedule it: the instants of death are drawn from the seed, as counts
of what has begun plus a few milliseconds.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.faults.lives import Life, Round, Tally, ended, shown, undisturbed

MOST_DEATHS = {"mixed": 4, "amixed": 4}
"""In one round; 2 for the shorter plans."""
MOST_IN_FLIGHT = 16
"""Bodies that may be at work when the store breaks: eight, and a child of each."""


class Fault(NamedTuple):
    """A kind of fault.

    Attributes:
        plans: Entrypoints that take turns in meeting it.
        live: Does one round.
        rounds: How many ``make faults`` does.
        about: What happens.
    """

    plans: tuple[str, ...]
    live: Callable[[Round], None]
    rounds: int
    about: str


def kill(round_: Round) -> None:
    """SIGKILL, several times, also while resuming."""
    for _ in range(round_.dice.randint(1, MOST_DEATHS.get(round_.plan, 2))):
        die(round_, signal.SIGKILL)
        round_.judge()
    round_.finish()


def die(round_: Round, signum: int, **options: str) -> Life:
    """One life that a signal ends, or that comes through before it arrives."""
    life = round_.death(signum, **options)
    round_.tally.deaths += life.code != 0
    return life


def terminate(round_: Round) -> None:
    """SIGTERM; a program that turns it into SystemExit has its steps flushed, whatever its ``durability``."""
    has_handler = round_.dice.random() < 0.5
    options = {"exit_on_term": "yes", "durability": round_.dice.choice(["sync", "async", "exit"])} if has_handler else {}
    life = die(round_, signal.SIGTERM, **options)
    assert life.code in ({143, -signal.SIGTERM, 0} if has_handler else {-signal.SIGTERM, 0}), f"exit code {life.code}: {life.errors}"
    assert (life.code == 0) == bool(life.said), "the exit code is not honest"
    if round_.begun():  # before that, there is no handler yet
        assert life.code in {143 if has_handler else -signal.SIGTERM, 0}, f"exit code {life.code}: {life.errors}"
    round_.judge()
    round_.finish()


def interrupt(round_: Round) -> None:
    """Ctrl-C: what was seen is flushed, whatever the ``durability``; the process dies of the signal, and soon."""
    started = time.monotonic()
    life = die(round_, signal.SIGINT, durability=round_.dice.choice(["sync", "async", "exit"]))
    assert life.code in {-signal.SIGINT, 0}, f"exit code {life.code}: {life.errors}"
    assert (life.code == 0) == bool(life.said), "the exit code is not honest"
    told = [line for line in life.errors.splitlines() if line.startswith("holdfast ") and "uncollected_failure" not in line]
    assert not told, told  # retries that were cut short are told, and nothing else
    assert time.monotonic() - started < 30, "Ctrl-C took too long"
    round_.judge()
    round_.finish()


def race(round_: Round) -> None:
    """Killed, then resumed by two processes at once: one wins, the other is told so, or gets the result."""
    round_.options["run_id"] = "the-run"  # should it die before it has begun, both may begin it
    die(round_, signal.SIGKILL)
    round_.judge()
    gate = round_.folder / "gate"
    waits = round_.dice.random() < 0.5
    options = {"gate": str(gate), "wait": "60" if waits else "0"}
    with round_.started(**options) as first, round_.started(**options) as second:
        time.sleep(0.5)
        gate.touch()
        lives = [ended(first), ended(second)]
    round_.judge()
    results = [life for life in lives if life.said != "busy"]
    assert len(results) == 2 or (len(results) == 1 and not waits), [life.said[:80] for life in lives]
    for life in results:
        round_.check_result(life)
    round_.finish()


def inherit(round_: Round) -> None:
    """Two processes begin the same run at once, the one that gets it is killed: the one that waits takes over."""
    gate = round_.folder / "gate"
    options = {"gate": str(gate), "wait": "60", "run_id": "the-run"}
    with round_.started(**options) as first, round_.started(**options) as second:
        time.sleep(0.5)
        gate.touch()
        round_.wait_for_the_moment(first)
        before = round_.counted("seen") & round_.expected[1]
        first.kill()
        lives = [ended(first), ended(second)]
    round_.tally.deaths += lives[0].code != 0
    round_.check_result(lives[1])
    again = round_.counted("effects") - round_.expected[1]
    assert not again & before, f"had been seen, and had an effect again: {shown(again & before)}"
    round_.judge(lives=2)
    round_.finish()


def fill_up(round_: Round) -> None:
    """The disk is full at some instant: the run stops at once with a StoreError, and goes on when there is room."""
    with small_disk(round_) as make_room:
        round_.options |= {"store": str(round_.folder / "disk"), "pad": "2000", "busy_timeout": "5"}
        life = round_.whole_life()
        if life.code != 0:
            round_.tally.deaths += 1
            assert 1 == life.code, f"exit code {life.code}: {life.errors}"
            raised = "\nholdfast.errors.StoreError" in life.errors and ": checkpoint store" in life.errors
            assert raised, life.errors  # lines of the log may stand in between
            waiting = (round_.counted("effects") - round_.recorded()).total()
            assert waiting <= MOST_IN_FLIGHT, f"{waiting} tasks were done although nothing could be recorded any more"
        round_.judge()
        make_room()
        round_.finish()


@contextmanager
def small_disk(round_: Round) -> Iterator[Callable[[], object]]:
    """A file system of 16 MiB with less room than the run needs, and what makes room on it.

    Who may not mount one gets the next best: files of the process that may not grow beyond that size.
    """
    folder = round_.folder / "disk"
    folder.mkdir(mode=0o700)
    room = round_.dice.randrange(20, 450) * 4096
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        round_.options["largest_file"] = str(room // 2)
        yield lambda: round_.options.pop("largest_file")
        return
    try:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes((16 << 20) - room))
        yield ballast.unlink
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


BOTH = ("mixed", "amixed")
FAULTS = {
    "kill": Fault(BOTH, kill, 300, "SIGKILL, up to four times in 200 tasks"),
    "term": Fault(BOTH, terminate, 60, "SIGTERM, with and without a handler"),
    "int": Fault(BOTH, interrupt, 60, "Ctrl-C"),
    "race": Fault(BOTH, race, 40, "killed, then resumed by two processes at once"),
    "inherit": Fault(BOTH, inherit, 40, "two processes begin one run, the one at work is killed"),
    "disk": Fault(BOTH, fill_up, 40, "the disk is full, later it is not"),
    "gather": Fault(("gathered",), kill, 100, "asyncio.gather of branches, killed and resumed"),
    "as_completed": Fault(("first_come", "afirst_come"), kill, 100, "as_completed with follow-ups, killed and resumed"),
    "threads": Fault(("threads",), kill, 100, "threads of the program's own, killed and resumed"),
}


class Faults:
    """Rounds of faults, and what the undisturbed program does, to compare with.

    Attributes:
        folder: Where each round gets a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which must be private."""
        self.folder = folder
        self._expected: dict[str, tuple[str, Counter[str]]] = {}

    def expected(self, plan: str) -> tuple[str, Counter[str]]:
        """What a plan prints, and how often it has each effect, when nothing disturbs it."""
        if plan not in self._expected:
            self._expected[plan] = undisturbed(plan, self.folder / plan)
        return self._expected[plan]

    def round(self, fault: str, seed: int) -> Tally:
        """One round; its folder is removed unless it fails.

        Raises:
            AssertionError: A promise was broken.
        """
        plans = FAULTS[fault].plans
        plan = plans[seed % len(plans)]
        expected = self.expected(plan)
        folder = self.folder / f"{fault}-{seed}"
        folder.mkdir(mode=0o700)
        lived = Round(plan, folder, random.Random(f"{fault} {seed}"), expected)
        FAULTS[fault].live(lived)
        shutil.rmtree(folder)
        return lived.tally
