"""`holdfast resolve`, run as people run it: on runs whose process was killed in the middle of what may be done once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from holdfast import SqliteSaver
from holdfast.runtime import once
from tests.cli.conftest import ENVIRONMENT

PROGRAM = """
import asyncio, os, signal
from holdfast import SqliteSaver, entrypoint, task

@task(delivery="at-most-once")
async def pay(n):
    with open("paid", "a") as out:
        out.write(f"{n} ")
    while len(open("paid").read().split()) < 2:
        await asyncio.sleep(0.001)
    if not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0 if os.path.exists("settled") else 60)
    return {"paid": n}

@entrypoint(SqliteSaver("runs.db"))
async def order(ns):
    futures = [pay(n) for n in ns]
    try:
        return list(await asyncio.gather(*futures))
    except ConnectionError as error:
        return f"not paid: {error}"

@entrypoint(SqliteSaver("runs.db"))
def other(n):
    return n
"""
ORDER = ("app:order", "--thread", "o-1")


@pytest.fixture
def folder(tmp_path):
    """Where people stand: with a module of theirs, and a thread whose process died while two payments were under way."""
    (tmp_path / "app.py").write_text(PROGRAM)
    call = "import sys; sys.path.insert(0, '.'); import app; app.order.invoke([1, 2], thread_id='o-1')"
    died = subprocess.run([sys.executable, "-c", call], cwd=tmp_path, env=ENVIRONMENT, timeout=60, check=False)
    assert -signal.SIGKILL == died.returncode
    (tmp_path / "settled").touch()
    return tmp_path


@pytest.fixture
def steps(folder):
    """The ids of the two payments in doubt."""
    saver = SqliteSaver.read_only(folder / "runs.db")
    found = [once.doubt("", each).step for each in once.in_doubt(saver.steps(saver.latest("o-1").run_id))]
    saver.close()
    return found


def paid(folder):
    """What was paid, in order."""
    return (folder / "paid").read_text().split()


def test_doubts_are_settled_one_by_one_and_the_run_goes_on(folder, command, steps):
    """By the beginning of an id and what the bank says; then the only one left needs no id, and what had no effect is done."""
    code, out, err = command("resolve", *ORDER, steps[0][:8], "--result", '{"paid": 1}')

    assert (0, "", f"✓  pay · thread o-1 is settled\n\nStill in doubt:\n  {steps[1][:8]}  pay\n") == (code, err, out)
    code, out, err = command("resolve", *ORDER, "--rerun")
    assert (0, "", "✓  pay · thread o-1 is settled\n\nGo on with:\n  holdfast resume app:order --thread o-1\n") == (code, err, out)
    before = len(paid(folder))
    code, out, _ = command("resume", *ORDER)
    assert (0, 1, 1) == (code, len(paid(folder)) - before, out.count('"paid": 1'))


def test_a_failure_is_raised_in_the_body(folder, command, steps):
    """As the error of Python's own that is named."""
    for step in steps:
        assert 0 == command("resolve", *ORDER, step, "--error", "ConnectionError: declined")[0]

    assert (0, "not paid: declined\n") == command("resume", *ORDER)[:2]
    assert 2 == len(paid(folder))


def test_resume_says_what_to_type(folder, command, steps):
    """The very lines, for each step."""
    code, _, err = command("resume", *ORDER)

    assert 1 == code
    assert [f"  holdfast resolve app:order --thread o-1 {step[:8]} --result VALUE  # or --error TEXT, or --rerun" for step in steps] == (
        err.splitlines()[-2:]
    )


def test_for_programs(folder, command, steps):
    """JSON: what was settled, and what is still in doubt."""
    code, out, _ = command("resolve", *ORDER, steps[0], "--result", "1", "--json")
    told = json.loads(out)

    assert (0, "o-1", steps[0], "pay") == (code, told["thread_id"], told["step"], told["task"])
    assert [steps[1]] == [doubt["step"] for doubt in told["doubts"]]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((*ORDER, "--rerun"), 2, r"say which STEP is meant; open are: \w{32} \(pay\), \w{32} \(pay\)"),
        ((*ORDER, "xyz", "--rerun"), 2, r"STEP 'xyz' is the beginning of none; open are: "),
        ((*ORDER, "", "--rerun"), 2, r"STEP '' is the beginning of none; open are: "),
        (ORDER, 2, r"say one thing: --result VALUE \(it had its effect\), --error TEXT"),
        ((*ORDER, "--rerun", "--result", "1"), 2, r"say one thing"),
        ((*ORDER, "--error", "UnicodeDecodeError: x"), 2, r"a UnicodeDecodeError cannot be made of a text"),
        (("app:other", "--thread", "o-1", "--rerun"), 2, r"of thread 'o-1' was made by the entrypoint 'order', and this is 'other'"),
        (("app:order", "--thread", "o-2", "--rerun"), 4, r"there is no thread 'o-2' in .*; did you mean 'o-1'\?"),
    ],
)
def test_wrong_use_changes_nothing(folder, command, arguments, code, text):
    """And says what is wrong."""
    ended, out, err = command("resolve", *arguments)

    assert (code, "") == (ended, out), err
    assert re.search(text, err), err
    assert "in doubt" == json.loads(command("threads", "--db", "runs.db", "--json")[1])[0]["status"]


def test_a_finished_run_has_nothing_to_settle(folder, command, steps):
    """Exit code 4, as when there is nothing to resume."""
    for step in steps:
        command("resolve", *ORDER, step, "--result", "1")
    command("resume", *ORDER)

    assert (4, "", "Error: nothing is in doubt in thread 'o-1': its last run is done\n") == command("resolve", *ORDER, "--rerun")


def test_a_thread_at_work_is_busy(folder, command, steps):
    """Exit code 5, and what waits for it."""
    (folder / "settled").unlink()
    for step in steps:
        command("resolve", *ORDER, step, "--rerun")
    code = "import sys; sys.path.insert(0, '.'); import app; print(1, flush=True); app.order.invoke(None, thread_id='o-1')"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE)
    try:
        while len(paid(folder)) < 4:
            assert process.poll() is None
        ended, out, err = command("resolve", *ORDER, steps[0], "--rerun")
    finally:
        process.kill()
        process.communicate()

    assert (5, "", True) == (ended, out, "`--wait 30s` waits for it" in err)
