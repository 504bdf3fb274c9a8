"""At-most-once tasks in real processes with a real SqliteSaver: killed in mid-body, resumed, settled by a person."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InDoubt, SqliteSaver, entrypoint, task

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import asyncio, os, signal, sys
from holdfast import InDoubt, SqliteSaver, entrypoint, get_idempotency_key, task

folder, durability = sys.argv[1], sys.argv[2]
saver = SqliteSaver(folder + "/runs.db")

def effect(name, text):
    with open(f"{folder}/{name}", "a") as out:
        out.write(f"{text}\\n")

def die_once(what):
    if not os.path.exists(f"{folder}/{what}.died"):
        open(f"{folder}/{what}.died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

@task
def quote(n):
    effect("quoted", n)
    return n * 10

@task(delivery="at-most-once")
def pay(n):
    effect("paid", get_idempotency_key())
    die_once("pay")
    return n + 1

@task(delivery="at-most-once")
async def apay(n):
    effect("paid", get_idempotency_key())
    die_once("pay")
    return n + 1

@task
def around(n):
    return pay(n).result()

@entrypoint(saver, durability=durability)
def plan(n):
    return pay(quote(n).result()).result()

@entrypoint(saver, durability=durability)
async def aplan(n):
    return await apay(await quote(n))

@entrypoint(saver, durability=durability)
def nested(n):
    return around(quote(n).result()).result()

@entrypoint(saver, durability=durability)
def done_first(n):
    paid = pay(n).result()
    die_once("body")
    return paid
"""
DOUBTS = """
try:
    print({call})
except InDoubt as error:
    print(error)
"""


class Runner:
    """Runs the program with a few lines at its end, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.durability = "sync"

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        program = f"{PROGRAM}\n{textwrap.dedent(code)}"
        command = [sys.executable, "-c", program, str(self.folder), self.durability]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def is_killed(self, code: str) -> bool:
        """Whether a process that runs ``code`` is killed while it does."""
        return self.run(code).returncode == -signal.SIGKILL

    def says(self, code: str) -> str:
        """What a process that runs ``code`` prints; nothing may go wrong."""
        done = self.run(code)
        assert "" == done.stderr
        return done.stdout.strip()

    def lines(self, name: str) -> list[str]:
        """What has been done."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").split() if path.exists() else []


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """In a folder of its own."""
    return Runner(tmp_path)


PLANS = {"plan": "plan.invoke", "aplan": "aplan.invoke", "nested": "nested.invoke"}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("name", PLANS)
def test_a_step_in_flight_at_death_is_not_run_again(runner: Runner, name: str, durability: str) -> None:
    """Each resume stops and asks, whatever the durability, and runs nothing; the answer is what the body gets."""
    runner.durability = durability
    assert runner.is_killed(f"{name}.invoke(1, thread_id='trip-1')")
    quoted = runner.lines("quoted")
    resumed = DOUBTS.format(call=f"{name}.invoke(None, thread_id='trip-1')")
    asked = runner.says(resumed + resumed)
    assert 2 == asked.count("pay, begun")
    assert (quoted, 1) == (runner.lines("quoted"), len(runner.lines("paid")))

    (typed,) = set(re.findall(rf"{name}\.resolve\(thread_id='trip-1', step='[0-9a-f]{{32}}', result=\.\.\.\)", asked))
    settled = runner.says(f"print({typed.replace('...', '77')}, {name}.invoke(None, thread_id='trip-1'))")
    assert "() 77" == settled
    assert 1 == len(runner.lines("paid"))


def test_the_text_says_all_there_is_to_know(runner: Runner) -> None:
    """Task, time and idempotency key of the call, what to type for each answer, and how to go on."""
    runner.is_killed("plan.invoke(1, thread_id='trip-1', run_id='order-7')")
    (key,) = runner.lines("paid")

    asked = runner.says(DOUBTS.format(call="plan.invoke(None, thread_id='trip-1')"))

    step = "0" * 32
    assert (
        "run 'order-7' stops until a person has said what became of a step that may run at most once and has no recorded end:\n"
        f"    pay, begun TIME UTC (idempotency key {key})\n"
        "Its process died or its call was cancelled, so it may have had its effect or not. Find out, and say which it was:\n"
        f"    plan.resolve(thread_id='trip-1', step='{step}', result=...)  # it had its effect: this is the result\n"
        f"    plan.resolve(thread_id='trip-1', step='{step}', rerun=True)  # it had none: run it\n"
        "Then go on with plan.invoke(None, thread_id='trip-1')."
    ) == re.sub(r"step='\w{32}'", f"step='{step}'", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", asked))


@pytest.mark.parametrize("name", PLANS)
def test_a_step_that_had_no_effect_is_run_when_a_person_says_so(runner: Runner, name: str) -> None:
    """Once, under the same idempotency key; what was finished before is not done again."""
    runner.is_killed(f"{name}.invoke(1, thread_id='t')")
    assert "()" == runner.says(f"print({name}.resolve(thread_id='t', rerun=True))")
    assert "11" == runner.says(f"print({name}.invoke(None, thread_id='t'))")

    paid = runner.lines("paid")
    assert (["1"], 2, 1) == (runner.lines("quoted"), len(paid), len(set(paid)))


def test_what_has_an_end_on_record_is_not_in_doubt(runner: Runner) -> None:
    """Killed the instant after: the result is replayed, with durability="exit", too."""
    runner.durability = "exit"
    (runner.folder / "pay.died").touch()
    assert runner.is_killed("done_first.invoke(1, thread_id='t')")
    assert "2" == runner.says("print(done_first.invoke(None, thread_id='t'))")
    assert 1 == len(runner.lines("paid"))


def test_a_new_input_does_not_leave_a_doubt_behind(runner: Runner) -> None:
    """Whoever starts the thread anew instead of resuming it might pay twice without knowing."""
    runner.is_killed("plan.invoke(1, thread_id='t')")
    assert "plan.resolve" in runner.says(DOUBTS.format(call="plan.invoke(2, thread_id='t')"))
    runner.says("plan.resolve(thread_id='t', result=0)")
    assert "21" == runner.says("print(plan.invoke(2, thread_id='t'))")


def test_a_run_id_does_not_get_round_it_either(runner: Runner) -> None:
    """The same run id and input resumes, and so asks."""
    call = "plan.invoke(1, run_id='order-7')"
    runner.is_killed(call)
    assert "plan.resolve(thread_id='order-7'" in runner.says(DOUBTS.format(call=call))


def test_killed_a_second_time_it_asks_again(runner: Runner) -> None:
    """Run once more by a person's word, it is announced once more."""
    runner.is_killed("plan.invoke(1, thread_id='t')")
    runner.says("plan.resolve(thread_id='t', rerun=True)")
    (runner.folder / "pay.died").unlink()
    assert runner.is_killed("plan.invoke(None, thread_id='t')")
    assert "pay, begun" in runner.says(DOUBTS.format(call="plan.invoke(None, thread_id='t')"))
    assert 2 == len(runner.lines("paid"))


def test_a_doubt_is_settled_by_another_process_than_the_one_that_goes_on(runner: Runner) -> None:
    """By an operator's, with nothing but an entrypoint of that name and saver."""
    runner.is_killed("plan.invoke(1, thread_id='t')")

    @task(delivery="at-most-once")
    def pay(n: int) -> int:
        pytest.fail(f"pay({n}) was run again")

    @entrypoint(SqliteSaver(runner.folder / "runs.db"))
    def plan(n: int) -> Any:
        return pay(n).result()

    with pytest.raises(InDoubt) as caught:
        plan.invoke(None, thread_id="t")
    (doubt,) = caught.value.doubts
    assert ("pay", doubt.step, runner.lines("paid")) == (caught.value.task, caught.value.step, [doubt.idempotency_key])
    assert () == plan.resolve(thread_id="t", step=doubt.step, result=[1, "paid"])
    assert "[1, 'paid']" == runner.says("print(plan.invoke(None, thread_id='t'))")
