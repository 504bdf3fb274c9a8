"""Runs in real processes with a real SqliteSaver: killed, resumed, raced for. Each body counts its executions in a file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import SqliteSaver, ThreadBusyError, entrypoint, task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import asyncio, os, signal, sys, time
from holdfast import Command, RetryPolicy, SqliteSaver, entrypoint, get_config, interrupt, task

folder, durability, stay = sys.argv[1], sys.argv[2], int(sys.argv[3])
saver = SqliteSaver(folder + "/runs.db", synchronous="NORMAL", busy_timeout=60)
N = 24
tried = []

def append(name, text):
    out = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(out, f"{text}\\n".encode())
    os.close(out)

def pay(n, seconds):
    append("begun", n)
    time.sleep(seconds)
    while n == stay and not os.path.exists(folder + "/quick"):
        time.sleep(0.01)  # no further than here: whatever is done to it from outside meets it at this payment
    append("paid", n)  # the effect that must not be had twice
    return n * n

@task
def charge(n, seconds=0.004):
    return pay(n, seconds)

@task
async def acharge(n, seconds=0.004):
    await asyncio.sleep(seconds)
    return pay(n, 0)

@task
def both(n):
    return charge(n).result() + charge(n + 1).result()

@task(retry_policy=RetryPolicy(retry_on=ConnectionError, initial_interval=0.001))
def flaky(n):
    tried.append(n)
    if tried.count(n) == 1:
        raise ConnectionError(n)
    return pay(n, 0.002)

def seen(n, future):
    value = future.result()
    append("seen", n)
    return value

@entrypoint(saver, durability=durability)
def one_by_one(_):
    return [seen(n, charge(n)) for n in range(N)]

@entrypoint(saver, durability=durability, max_concurrency=4)
def fan_out(_):
    futures = [(n, charge(n) if n % 2 else acharge(n)) for n in range(N)]
    return [seen(n, future) for n, future in futures]

@entrypoint(saver, durability=durability, max_concurrency=4)
def mixed(_):
    futures = [(n, both(n) if n % 4 == 0 else flaky(n)) for n in range(0, N, 2)]
    return [seen(n, future) for n, future in futures]

@entrypoint(saver, durability=durability)
async def in_async(_):
    async def one(n):
        value = await acharge(n)
        append("seen", n)
        return value
    return await asyncio.gather(*[one(n) for n in range(N)])

@entrypoint(saver)
def slow(_):
    value = charge(1, 0).result()
    append("seen", 1)
    while not os.path.exists(folder + "/quick"):
        time.sleep(0.01)  # one long sleep does not notice a signal that comes as it begins
    return value

@entrypoint(saver)
def ask(name):
    charge(1, 0).result()
    return f"{name} {interrupt('sure?')}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store and the counts are."""
    return tmp_path


@contextmanager
def started(folder: Path, call: str, *, durability: str = "sync", stay: int = -1) -> Iterator[Any]:
    """A process that makes ``call``, and stays at the payment of that number; it does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{PROGRAM}\n{textwrap.dedent(call)}", str(folder), durability, str(stay)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def said(folder: Path, call: str, *, durability: str = "sync") -> str:
    """What a process that makes ``call`` prints."""
    with started(folder, call, durability=durability) as process:
        out, errors = process.communicate(timeout=60)
    assert [] == [line for line in errors.splitlines() if "holdfast WARNING: flaky attempt 1 failed" not in line]
    return str(out).strip()


def lines(folder: Path, name: str) -> Counter[int]:
    """How often each number stands in a file; half a line, written when the process was killed, counts too."""
    path = folder / name
    return Counter(int(line) for line in path.read_text(encoding="utf-8").split()) if path.exists() else Counter()


def wait_for(condition: Any, seconds: float = 30) -> None:
    """Wait until ``condition()`` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.001)


# -- killed and resumed -----------------------------------------------------------------------------------------------------------------

PLANS = ["one_by_one", "fan_out", "mixed", "in_async"]


@pytest.mark.parametrize("plan", PLANS)
def test_no_finished_task_is_done_again_after_kill_9(folder: Path, plan: str) -> None:
    """Killed at random instants until it comes through: what anybody has seen done was done once; what was under way, once per life at most."""
    dice = random.Random(plan)
    undisturbed = said(folder / _made(folder, "other"), f"print({plan}.invoke(0, thread_id='t'))")
    before: Counter[int] = Counter()
    lives = 0
    for point in sorted(dice.sample(range(1, 20), 4)):
        given = "0" if not lives else "None"
        with started(folder, f"{plan}.invoke({given}, thread_id='t')") as process:
            wait_for(lambda least=point, process=process: sum(lines(folder, "paid").values()) >= least or process.poll() is not None)
            time.sleep(dice.random() * 0.01)
            process.kill()
            process.wait()
        lives += 1
        done, paid = lines(folder, "seen"), lines(folder, "paid")
        assert {n: before[n] for n in before} == {n: paid[n] for n in before}  # nothing that had been seen was paid again
        before = Counter({n: paid[n] for n in done})
    assert undisturbed == said(folder, f"print({plan}.invoke(None, thread_id='t'))")
    paid = lines(folder, "paid")
    assert {n: before[n] for n in before} == {n: paid[n] for n in before}
    assert max(paid.values()) <= lives + 1


def _made(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


@pytest.mark.parametrize("durability", ["async", "exit"])
def test_a_weaker_durability_loses_only_what_was_not_written(folder: Path, durability: str) -> None:
    """With "exit" a kill leaves the input alone, so all is done again; in both cases the result is right."""
    saver = SqliteSaver.read_only(folder / "runs.db")
    with started(folder, "one_by_one.invoke(0, thread_id='t')", durability=durability, stay=8) as process:
        wait_for(lambda: lines(folder, "begun")[8])
        if durability == "async":
            wait_for(lambda: saver.steps(saver.runs("t")[0].run_id))
        process.kill()
        process.wait()
    saver.close()
    seen = lines(folder, "seen")
    assert dict.fromkeys(range(8), 1) == seen
    assert str([n * n for n in range(24)]) == said(folder, "print(one_by_one.invoke(None, thread_id='t'))", durability=durability)
    again = {n for n in seen if lines(folder, "paid")[n] > 1}
    assert again == set(seen) if durability == "exit" else again < set(seen)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_run_that_can_be_resumed(folder: Path, signum: signal.Signals) -> None:
    """The exit is honest, and the finished task is not done again."""
    with started(folder, "slow.invoke(0, thread_id='t')") as process:
        wait_for(lambda: lines(folder, "seen"))
        process.send_signal(signum)
        process.communicate(timeout=60)
        assert -signum == process.returncode
    (folder / "quick").touch()
    assert "1" == said(folder, "print(slow.invoke(None, thread_id='t'))")
    assert {1: 1} == lines(folder, "paid")


def test_a_run_id_is_one_run_across_processes(folder: Path) -> None:
    """Killed and invoked again with the same id and input it goes on; invoked once more it returns the result without running anything."""
    call = "print(slow.invoke('order-7', run_id='order-7'))"
    with started(folder, call) as process:
        wait_for(lambda: lines(folder, "seen"))
        process.kill()
        process.wait()
    (folder / "quick").touch()
    assert ["1", "1"] == [said(folder, call), said(folder, call)]
    assert ({1: 1}, {1: 2}) == (lines(folder, "paid"), lines(folder, "seen"))


def test_a_run_id_with_another_input_is_refused(folder: Path) -> None:
    """In another process, too."""
    call = """
    from holdfast import RunExists
    (open(folder + "/quick", "w")).close()
    try:
        print(slow.invoke({given!r}, run_id='order-7'))
    except RunExists as error:
        print("refused")
    """
    assert ["1", "refused"] == [said(folder, call.format(given="a")), said(folder, call.format(given="b"))]


def test_a_question_is_answered_in_another_process(folder: Path) -> None:
    """Days later, say: nothing runs meanwhile, and what was done before the question is not done again."""
    call = "print([(q.value, q.id) for q in ask.invoke('Ada', thread_id='t')['__interrupt__']])"
    ((question, name),) = eval(said(folder, call))
    assert "sure?" == question
    assert "Ada yes" == said(folder, f"print(ask.invoke(Command(resume={{{name!r}: 'yes'}}), thread_id='t'))")
    assert {1: 1} == lines(folder, "paid")


# -- one owner --------------------------------------------------------------------------------------------------------------------------


def slow_here(folder: Path) -> Any:
    """The program's ``slow`` in this process."""
    saver = SqliteSaver(folder / "runs.db", synchronous="NORMAL")

    @task(name="charge")
    def charge(n: int, seconds: float = 0.004) -> int:
        pytest.fail(f"charge({n}, {seconds}) was done again")

    @entrypoint(saver)
    def slow(_: Any) -> int:
        return charge(1, 0).result()

    return slow


def test_a_thread_at_work_elsewhere_is_refused_and_its_owners_death_is_noticed_at_once(folder: Path) -> None:
    """Neither resumed nor begun anew while the other process lives; no lease has to run out when it is dead."""
    here = slow_here(folder)
    with started(folder, "slow.invoke(0, thread_id='t')") as process:
        wait_for(lambda: lines(folder, "seen"))
        for given in (None, 5):
            with pytest.raises(ThreadBusyError, match=str(process.pid)):
                here.invoke(given, thread_id="t")
        with pytest.raises(ThreadBusyError):
            here.invoke(None, thread_id="t", wait=0.1)
        process.kill()
        process.wait()
        assert 1 == here.invoke(None, thread_id="t")


def test_waiting_for_a_thread(folder: Path) -> None:
    """``wait=`` goes on as soon as the owner, which is killed meanwhile, has gone."""
    here = slow_here(folder)
    with started(folder, "slow.invoke(0, thread_id='t')") as process:
        wait_for(lambda: lines(folder, "seen"))
        killer = threading.Timer(0.3, process.kill)
        began = time.monotonic()  # before the timer's own beginning, from which its 0.3 s count
        killer.start()
        assert 1 == here.invoke(None, thread_id="t", wait="20s")
        assert 0.3 <= time.monotonic() - began < 10
        killer.join()


def test_two_processes_resume_one_thread_at_once(folder: Path) -> None:
    """One gets it, the other is told so or gets the result: no task is doubled."""
    call = """
    from holdfast import ThreadBusyError
    while not os.path.exists(folder + "/go"):
        time.sleep(0.0005)
    try:
        print(one_by_one.invoke(None, thread_id="t"))
    except ThreadBusyError:
        print("busy")
    """
    with started(folder, "one_by_one.invoke(0, thread_id='t')", stay=5) as process:
        wait_for(lambda: lines(folder, "begun")[5])
        process.kill()
        process.wait()
    before = lines(folder, "begun")
    with started(folder, call) as first, started(folder, call) as second:
        time.sleep(0.5)
        (folder / "go").touch()
        answers = [process.communicate(timeout=60) for process in (first, second)]
    expected = str([n * n for n in range(24)])
    assert expected in {out.strip() for out, _ in answers}
    assert {out.strip() for out, _ in answers} <= {expected, "busy"}
    assert max((lines(folder, "begun") - before).values()) == 1
