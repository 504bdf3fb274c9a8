"""One owner for each run: two processes that start or resume the same one, twenty times, and one that was stopped while another took over."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import SqliteSaver
from tests.test_durable import PROGRAM, lines, started, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 20
RIVAL = """
from holdfast import ThreadBusyError

@task
def step(n, k):
    append("begun", f"{n}.{k}")
    time.sleep(0.001)
    return k

@entrypoint(saver)
def plan(n):
    found = [step(n, k).result() for k in range(2)]
    if os.path.exists(folder + "/fail"):
        raise ConnectionError
    return found + [step(n, k).result() for k in range(2, 4)]

for line in sys.stdin:  # "7 start" or "7 resume"
    n, how = line.split()
    try:
        if how == "start":
            print(plan.invoke(int(n), run_id=f"r{n}"), flush=True)
        else:
            print(plan.invoke(None, thread_id=f"r{n}"), flush=True)
    except ThreadBusyError:
        print("busy", flush=True)
    except ConnectionError:
        print("failed", flush=True)
"""


class Rivals:
    """Two processes that are told to do the same at the same moment."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._both = [stack.enter_context(_speaking(folder)) for _ in range(2)]

    def do(self, what: str) -> Counter[str]:
        """What they answer."""
        for process in self._both:
            process.stdin.write(f"{what}\n")
        for process in self._both:
            process.stdin.flush()
        return Counter(process.stdout.readline().strip() for process in self._both)

    def begun(self) -> Counter[str]:
        """How often each body has begun."""
        return Counter((self.folder / "begun").read_text(encoding="utf-8").split())


@contextmanager
def _speaking(folder: Path) -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + RIVAL, str(folder), "sync", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.fixture
def rivals(tmp_path: Path) -> Iterator[Rivals]:
    """In a folder of their own."""
    with ExitStack() as stack:
        yield Rivals(tmp_path, stack)


DONE = "[0, 1, 2, 3]"


def test_of_two_that_start_a_run_one_does(rivals: Rivals) -> None:
    """The other is told so, or gets the result: twenty times, no step is doubled."""
    answers = [rivals.do(f"{n} start") for n in range(ROUNDS)]

    assert [] == [each for each in answers if each not in (Counter([DONE, DONE]), Counter([DONE, "busy"]))]
    assert dict.fromkeys([f"{n}.{k}" for n in range(ROUNDS) for k in range(4)], 1) == rivals.begun()


def test_of_two_that_resume_a_run_one_does(rivals: Rivals) -> None:
    """What was done before it failed is not done again, what was not is done once: twenty times."""
    (rivals.folder / "fail").touch()
    for n in range(ROUNDS):
        assert {"failed"} <= set(rivals.do(f"{n} start"))
    assert {f"{n}.{k}" for n in range(ROUNDS) for k in range(2)} == set(rivals.begun())
    (rivals.folder / "fail").unlink()

    answers = [rivals.do(f"{n} resume") for n in range(ROUNDS)]

    assert [] == [each for each in answers if each not in (Counter([DONE, DONE]), Counter([DONE, "busy"]))]
    assert dict.fromkeys([f"{n}.{k}" for n in range(ROUNDS) for k in range(4)], 1) == rivals.begun()


def test_a_process_that_was_stopped_writes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    """SIGSTOP, taken over and finished elsewhere, SIGCONT: it ends with ThreadBusyError after the step it was in, and nothing changes."""
    with started(tmp_path, "one_by_one.invoke(0, thread_id='t')", stay=5) as stopped:
        wait_for(lambda: lines(tmp_path, "begun")[5])
        stopped.send_signal(signal.SIGSTOP)
        saver = SqliteSaver(tmp_path / "runs.db")
        saver.release(saver.claim("t", force=True))
        with started(tmp_path, "print(one_by_one.invoke(None, thread_id='t'))") as other:
            out, errors = other.communicate(timeout=60)
        assert (str([n * n for n in range(24)]), "") == (out.strip(), errors)
        (run,) = saver.runs("t")
        before, steps, begun = run, saver.steps(run.run_id), lines(tmp_path, "begun")

        (tmp_path / "quick").touch()
        stopped.send_signal(signal.SIGCONT)
        _, errors = stopped.communicate(timeout=20)

    assert "holdfast.errors.ThreadBusyError: thread 't' is not this writer's any more" in errors
    assert 1 == stopped.returncode
    assert (before, steps) == (saver.runs("t")[0], saver.steps(run.run_id))
    assert begun == lines(tmp_path, "begun")
