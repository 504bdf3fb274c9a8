"""Pickling tasks and entrypoints: by reference, as functions are."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import entrypoint, task

PROGRAM = """
import pickle, sys
import tasks_of_this_test as tasks

if sys.argv[1] == "dump":
    made = (tasks.double, tasks.main, tasks.Api(3).times)
    sys.stdout.buffer.write(pickle.dumps(made))
else:
    double, main, times = pickle.loads(sys.stdin.buffer.read())
    print(double is tasks.double, main is tasks.main, double.invoke(4), times.invoke(4))
"""
MODULE = """
from holdfast import entrypoint, task

@task
def double(x): return 2 * x

@entrypoint
def main(x): return x

class Api:
    def __init__(self, factor): self.factor = factor

    @task
    def times(self, x): return self.factor * x
"""


def test_another_process_finds_its_own(tmp_path: Path) -> None:
    """A task, an entrypoint, and a task of an object, which goes along."""
    (tmp_path / "tasks_of_this_test.py").write_text(MODULE)

    def run(how: str, given: bytes = b"") -> bytes:
        return subprocess.run([sys.executable, "-c", PROGRAM, how], input=given, capture_output=True, cwd=tmp_path, check=True).stdout

    assert b"True True 8 12" == run("load", run("dump")).strip()


def test_what_stands_nowhere_cannot_be_pickled() -> None:
    """The text says what to change: one made in a function, one with other options."""

    @task
    def local(x: int) -> int:
        return x

    @entrypoint
    def inner(x: int) -> int:
        return x

    class Api:
        @task
        def times(self) -> int:
            return 1

    for made in (local, inner, local.options(timeout=3), Api().times.options(timeout=3)):
        with pytest.raises(
            pickle.PicklingError, match=r"cannot be pickled, as .* is not this very .*: define it there, and pickle it without"
        ):
            pickle.dumps(made)


def test_a_copy_is_the_thing_itself() -> None:
    """As of functions."""

    @task
    def local(x: int) -> int:
        return x

    assert copy.copy(local) is local
    assert copy.deepcopy({"task": local})["task"] is local
