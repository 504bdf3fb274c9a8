"""Lives of the program: started, ended from outside, and afterwards judged by what it counted and what is in the store.

What has to hold after each life, whatever ended it:

- what the program was handed (``seen``) is in the store: durable before visible;
- a call whose outcome was in the store when the life began had no effect in it;
- every other call had its effect once in this life at most: only what was in flight when a life ended is done again.

So with k deaths an effect is had at most k + 1 times, and exactly once after it is in the store. The store is read from a copy: whoever opens
the real one would do the recovery that the next life has to do itself.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import SqliteSaver
from holdfast.values.codec import codec_for
from holdfast.values.failure import decode_failure

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("program.py")
WIDTH = 16
LONGEST = 120.0
"""Seconds after which a life counts as stuck."""


@dataclass
class Tally:
    """What was seen in one round.

    Attributes:
        deaths: Lives that did not come to their end.
        kept: Outcomes found in the store at the beginning of a life, over all lives.
        again: Effects that were had once more, because they were in flight when a life ended.
    """

    deaths: int = 0
    kept: int = 0
    again: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.deaths + other.deaths, self.kept + other.kept, self.again + other.again)


@dataclass
class Life:
    """How a process ended.

    Attributes:
        code: Its exit code, negative for a signal.
        said: What it printed: its result, "busy" or nothing.
        errors: What it wrote to stderr, without the lines about attempts that are to fail.
    """

    code: int
    said: str
    errors: str


@dataclass
class Round:
    """One thread of the program from its first life to its result.

    Attributes:
        plan: The entrypoint that runs.
        folder: Where it counts.
        dice: Where chance comes from.
        expected: What it prints when nothing disturbs it, and how often each effect is had then.
        options: For the program.
        tally: What was seen.
    """

    plan: str
    folder: Path
    dice: random.Random
    expected: tuple[str, Counter[str]]
    options: dict[str, str] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _effects: Counter[str] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)
    _recorded: Counter[str] = field(default_factory=Counter)

    # -- what was counted ---------------------------------------------------------------------------------------------------------

    def counted(self, counter: str) -> Counter[str]:
        """How often each text stands in a counter."""
        path = self.folder / counter
        return Counter(path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else [])

    def begun(self) -> int:
        """How many bodies have begun."""
        path = self.folder / "begun"
        return path.stat().st_size // WIDTH if path.exists() else 0

    @contextmanager
    def _copy(self) -> Iterator[SqliteSaver | None]:
        """A copy of the store as it lies on the disk, None when there is none."""
        store, folder = Path(self.options.get("store", self.folder)), self.folder / "copy"
        folder.mkdir(mode=0o700)
        try:
            for path in [store / "runs.db", store / "runs.db-wal"]:
                if path.exists():
                    shutil.copy(path, folder)
            saver = SqliteSaver(folder / "runs.db") if (folder / "runs.db").exists() else None
            yield saver
            if saver is not None:
                saver.close()
        finally:
            shutil.rmtree(folder)

    def recorded(self) -> Counter[str]:
        """The effects whose outcome is in the store."""
        with self._copy() as saver:
            run = None if saver is None else saver.latest("t")
            steps = [] if saver is None or run is None else saver.steps(run.run_id)
        values = [codec_for().decode(step.payload) if step.kind == "ok" else _text_of(step.payload) for step in steps]
        return Counter(f"{value.rstrip('.'):<{WIDTH - 1}}" for value in values if isinstance(value, str))

    def judge(self, *, lives: int = 1) -> None:
        """Hold what happened since the last judgement to the rules; so many ``lives`` had their share in it."""
        effects, recorded, usual = self.counted("effects"), self.recorded(), self.expected[1]
        new = effects - self._effects
        often = Counter({text: times for text, times in new.items() if times > lives * (usual[text] - self._recorded[text])})
        assert not often, f"had an effect although their outcome was in the store, or twice in one life: {shown(often)}"
        seen = self.counted("seen")
        lost = ((seen - self._seen) & usual) - (recorded | self._recorded)
        assert not lost, f"were handed to the program and are not in the store: {shown(lost)}"
        self._effects, self._seen, self._recorded = effects, seen, self._recorded | recorded
        self.tally.kept += self._recorded.total()

    # -- lives --------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def started(self, **options: str) -> Iterator[subprocess.Popen[str]]:
        """A life; it does not outlive the block. It resumes the thread as soon as there is one."""
        given = {**self.options, **options}
        action = "resume" if self._has_begun() else "start"
        command = [sys.executable, PROGRAM, self.folder, self.plan, action, *(f"{name}={value}" for name, value in given.items())]
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=LONGEST)

    def _has_begun(self) -> bool:
        """Whether there is a run to go on with; an earlier life may have died before it was recorded."""
        with self._copy() as saver:
            return saver is not None and saver.latest("t") is not None

    def whole_life(self, **options: str) -> Life:
        """Live until it ends by itself."""
        with self.started(**options) as process:
            return ended(process)

    def death(self, signum: int, **options: str) -> Life:
        """Live until chance ends it with a signal."""
        with self.started(**options) as process:
            self.wait_for_the_moment(process)
            process.send_signal(signum)
            return ended(process)

    def wait_for_the_moment(self, process: subprocess.Popen[str]) -> None:
        """A random instant of the rest of the run, or now and then one before any body has begun."""
        if self.dice.random() < 0.1:
            time.sleep(self.dice.random() * 0.5)
            return
        begun, until = self.begun(), time.monotonic() + LONGEST
        left = max(1, self.expected[1].total() - self._recorded.total())
        goal = begun + self.dice.randrange(left)
        while self.begun() < goal and process.poll() is None:
            assert time.monotonic() < until, "the program is stuck"
            time.sleep(0.0005)
        time.sleep(self.dice.random() * 0.006)

    def finish(self) -> None:
        """Live a last time, to the end; the result is the undisturbed one."""
        life = self.whole_life()
        self.judge()
        self.check_result(life)
        missing = self.expected[1] - self._effects
        assert not missing, f"never happened: {shown(missing)}"
        self.tally.again = (self._effects - self.expected[1]).total()

    def check_result(self, life: Life) -> None:
        """It came through, quietly and with the undisturbed result."""
        assert (0, "") == (life.code, life.errors), f"ended with {life.code}: {life.errors}"
        assert self.expected[0] == life.said, "another result than undisturbed"


def shown(effects: Counter[str]) -> str:
    """The first few."""
    return f"{effects.total()} effects, {', '.join(' '.join(text.split()) for text in list(effects)[:5])}"


def _text_of(payload: bytes) -> str:
    error: Any = decode_failure(payload)
    return str(getattr(error, "text", error))


def ended(process: subprocess.Popen[str]) -> Life:
    """Wait for a process to end."""
    try:
        said, errors = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        said, errors = process.communicate()
        msg = f"the program is stuck: {errors}"
        raise AssertionError(msg) from None
    kept = [line for line in errors.splitlines() if "attempt 1 failed" not in line]
    return Life(process.returncode, said.strip(), "\n".join(kept))


def undisturbed(plan: str, folder: Path) -> tuple[str, Counter[str]]:
    """What the program prints, and how often it has each effect, when nothing disturbs it."""
    folder.mkdir()
    alone = Round(plan, folder, random.Random(0), ("", Counter()))
    life = alone.whole_life()
    assert (0, "") == (life.code, life.errors), life.errors
    assert json.loads(life.said), "the program gave no result"
    return life.said, alone.counted("effects")
