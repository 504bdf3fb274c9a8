"""`holdfast resume`, run as people run it: as a process, on runs that were killed, failed, or wait for an answer in another one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from holdfast import SqliteSaver
from tests.cli.conftest import CALL, ENVIRONMENT
from tests.waiting import LETS_BE_NUDGED, interrupt

PROGRAM = """
import os, sys, time
from holdfast import SqliteSaver, entrypoint, interrupt, task

def append(name, text):
    out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(out, f"{text}\\n".encode())
    os.close(out)

saver = SqliteSaver("runs.db", synchronous="NORMAL")

@task
def charge(n):
    append("charged", n)
    while n == 20 and os.path.exists("hold"):
        time.sleep(0.005)
    return n * n

@entrypoint(saver)
def pay(count):
    total = 0
    for n in range(count):
        total += charge(n).result()
        append("seen", n)
    return {"total": total}

@task
def approve(city):
    return f"{city}: {interrupt(f'book a flight to {city}?', response_schema=str)}"

@entrypoint(saver)
def plan(cities):
    charge(len(cities)).result()
    return [future.result() for future in [approve(city) for city in cities]]

@task
def publish(text):
    if not os.path.exists("is_up"):
        raise ConnectionError("the server is down")
    return f"published {text}"

@entrypoint(saver)
async def write(text):
    charge(1).result()
    return await publish(text)

@entrypoint(saver)
def leave(code):
    sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path):
    """Where people stand: with a module of theirs."""
    (tmp_path / "app.py").write_text(LETS_BE_NUDGED + PROGRAM)
    return tmp_path


def invoke(folder, call):
    """Another process that makes this call; what it prints."""
    code = f"import sys; sys.path.insert(0, '.'); import app; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=folder, env=ENVIRONMENT, timeout=60, check=False)
    return done.stdout.decode()


@contextmanager
def at_work(folder, call):
    """The same, while it is under way."""
    code = f"import sys; sys.path.insert(0, '.'); import app; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def lines(path):
    """How often each line stands in a file."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


def wait_for(path, count):
    """Until a file has so many lines."""
    until = time.monotonic() + 60
    while sum(lines(path).values()) < count:
        assert time.monotonic() < until, f"{path} has {lines(path)}"
        time.sleep(0.005)


def test_a_run_killed_in_the_middle_goes_on(folder, command):
    """In another process, by the command alone: what was reported done is not done again, and the result is that of an undisturbed run."""
    (folder / "hold").touch()
    with at_work(folder, "app.pay.invoke(40, thread_id='order 1')") as process:
        wait_for(folder / "charged", 21)
        busy = command("resume", "app:pay", "--thread", "order 1")
        shown = command("threads", "--db", "runs.db")[1]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    (folder / "hold").unlink()
    before = lines(folder / "seen")
    stopped = command("threads", "--db", "runs.db")[1]
    code, out, err = command("resume", "app:pay", "--thread", "order 1")

    assert (5, "") == busy[:2]
    assert "thread 'order 1' is being worked on by process" in busy[2]
    assert (True, True) == (
        bool(re.search(r"►  order 1  pay +running .* yes\n", shown)),
        bool(re.search(r"\?  order 1  pay +stopped .* no\n", stopped)),
    )
    assert (0, {"total": sum(n * n for n in range(40))}) == (code, json.loads(out))
    assert re.fullmatch(r"✓  pay · thread order 1 done in [\d.]+ \w+\n", err)
    charged = lines(folder / "charged")
    assert {str(n) for n in range(40)} == set(charged)
    assert [] == [n for n in before if charged[n] != 1]
    assert sum(charged.values()) == 41  # one was under way


def test_a_waiting_run_is_answered(folder, command):
    """First it shows what it asks; one answer leaves the other open; the last one gives the result, and nothing was done twice."""
    invoke(folder, "app.plan.invoke(['Oslo', 'Lima'], thread_id='trip-1')")
    code, out, err = command("resume", "app:plan", "--thread", "trip-1")
    oslo, lima = re.findall(r"^([0-9a-f]{8})  book", out, re.MULTILINE)

    assert (3, "") == (code, err)
    assert (
        out
        == f"""\
■  plan · thread trip-1 waits for 2 answers

{oslo}  book a flight to Oslo?
{lima}  book a flight to Lima?

Answer with:
  holdfast resume app:plan --thread trip-1 --answer {oslo}=VALUE --answer {lima}=VALUE
"""
    )
    assert (2, "") == command("resume", "app:plan", "--thread", "trip-1", "--answer", "yes")[:2]
    code, out, _ = command("resume", "app:plan", "--thread", "trip-1", "--answer", f"{lima[:6]}=no")
    assert (3, True, False) == (code, "waits for 1 answer\n" in out, lima in out)
    code, out, _ = command("resume", "app:plan", "--thread", "trip-1", "--answer", "yes, please")

    assert (0, ["Oslo: yes, please", "Lima: no"]) == (code, json.loads(out))
    assert {"2": 1} == lines(folder / "charged")
    code, _, err = command("resume", "app:plan", "--thread", "trip-1", "--answer", "again")
    assert (4, "Error: thread 'trip-1' waits for no answer: its last run is done\n") == (code, err)


def test_an_answer_that_does_not_fit_is_asked_for_again(folder, command):
    """With the reason; 3 is a number, and a text is wanted."""
    invoke(folder, "app.plan.invoke(['Oslo'], thread_id='trip-1')")
    code, out, _ = command("resume", "app:plan", "--thread", "trip-1", "--answer", "3")

    assert (3, True) == (code, "not accepted: Expected `str`, got `int`\n" in out)
    assert (0, '[\n  "Oslo: 3"\n]\n') == command("resume", "app:plan", "--thread", "trip-1", "--answer", '"3"')[:2]


def test_as_json(folder, command):
    """Questions with their ids, then the result."""
    invoke(folder, "app.plan.invoke(['Oslo'], thread_id='trip-1')")
    code, out, _ = command("resume", "app:plan", "--thread", "trip-1", "--json")
    waiting = json.loads(out)
    (question,) = waiting["questions"]

    assert (3, {"thread_id": "trip-1", "status": "waiting", "result": None, "questions": [question]}) == (code, waiting)
    assert {"id": question["id"], "value": "book a flight to Oslo?", "error": ""} == question
    code, out, _ = command("resume", "app:plan", "--thread", "trip-1", "--json", "--answer", f"{question['id']}=yes")
    assert (0, {"thread_id": "trip-1", "status": "done", "result": ["Oslo: yes"], "questions": []}) == (code, json.loads(out))


def test_a_failed_run_is_tried_again(folder, command):
    """While it fails, its own traceback; then its result, and after that the same once more, with nothing done."""
    invoke(folder, "app.write.invoke('news', thread_id='issue-1')")
    code, out, err = command("resume", "app:write", "--thread", "issue-1")
    (folder / "is_up").touch()
    again = [command("resume", "app:write", "--thread", "issue-1") for _ in range(2)]

    assert (1, "", True) == (code, out, "ConnectionError: the server is down\n" in err)
    assert err.endswith(
        "Error: write failed; what was finished is kept: `holdfast resume app:write --thread issue-1` tries the rest again\n"
    )
    assert "holdfast/cli" not in err
    assert [(0, "published news\n")] * 2 == [done[:2] for done in again]
    assert again[1][2] == "✓  write · thread issue-1 was done already\n"
    assert {"1": 1} == lines(folder / "charged")


def test_there_is_nothing_to_resume(folder, command):
    """A thread that nobody began is no failure of a run; one of a similar name is named."""
    invoke(folder, "app.plan.invoke(['Oslo'], thread_id='trip-1')")

    assert (4, "", f"Error: there is no thread 'trip-2' in SqliteSaver('{folder}/runs.db'); did you mean 'trip-1'?\n") == command(
        "resume", "app:plan", "--thread", "trip-2"
    )


def test_another_entrypoints_thread_is_refused(folder, command):
    """Its input would not be what the body expects."""
    invoke(folder, "app.plan.invoke(['Oslo'], thread_id='trip-1')")
    code, _, err = command("resume", "app:write", "--thread", "trip-1")

    assert (2, True) == (code, "of thread 'trip-1' was made by the entrypoint 'plan', and this is 'write'" in err)


def test_a_body_that_leaves_is_not_done(folder, command):
    """`sys.exit(0)` in a body is no success of the command."""
    invoke(folder, "app.leave.invoke(0, thread_id='t')")
    code, out, err = command("resume", "app:leave", "--thread", "t")

    assert (1, "", True) == (code, out, "Error: leave failed" in err)


def test_ctrl_c_stops_and_says_how_to_go_on(folder):
    """With a shell's exit code, and what was finished kept."""
    (folder / "hold").touch()
    with at_work(folder, "app.pay.invoke(40, thread_id='t')"):
        wait_for(folder / "charged", 21)
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "resume", "app:pay", "--thread", "t"], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE
    )
    wait_for(folder / "charged", 22)  # it has come to the one that is held, once more
    interrupt(process)
    _, err = process.communicate(timeout=60)

    assert (130, "Error: stopped; `holdfast resume app:pay --thread t` goes on\n") == (process.returncode, err.decode())
    assert "cancelled" == SqliteSaver.read_only(folder / "runs.db").threads()[0].status


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("app:plan",), "Missing option '--thread'"),
        (("app:plan", "--thread", ""), "--thread is empty"),
        (("app:plam", "--thread", "t"), "module 'app' has no 'plam'; did you mean 'plan'?"),
        (("app:plan", "--thread", "t", "--wait", "soon"), "--wait='soon'"),
    ],
)
def test_wrong_use(command, arguments, text):
    """Exit code 2 and what is wrong."""
    code, out, err = command("resume", *arguments)

    assert (2, "", True) == (code, out, text in err), err


def terminal(folder, *arguments, typed):
    """Run the command on a terminal and type; exit code and what is shown."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=ENVIRONMENT | {"TERM": "dumb"}
    )
    os.close(theirs)
    said, waiting = b"", list(typed)
    try:
        while data := os.read(ours, 65536):
            said += data
            if waiting and said.endswith(b"> "):
                os.write(ours, waiting.pop(0))
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), said.decode().replace("\r\n", "\n")


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_on_a_terminal_questions_are_put_at_once(folder):
    """Enter leaves one for later; when it is the only one left, that ends the command as a run that waits."""
    invoke(folder, "app.plan.invoke(['Oslo', 'Lima'], thread_id='trip-1')")
    code, said = terminal(folder, "resume", "app:plan", "--thread", "trip-1", typed=[b"yes\n", b"\n", b"\n"])

    assert 3 == code
    assert re.search(r"waits for 2 answers; .*\n\n\w{8}  book a flight to Oslo\?\n> yes\n\w{8}  book a flight to Lima\?\n> \n", said)
    code, said = terminal(folder, "resume", "app:plan", "--thread", "trip-1", typed=[b"no\n"])
    assert 0 == code
    assert said.endswith('[\n  "Oslo: yes",\n  "Lima: no"\n]\n')


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_ctrl_d_leaves_all_questions_open(folder):
    """Nothing of what was typed is used."""
    invoke(folder, "app.plan.invoke(['Oslo', 'Lima'], thread_id='trip-1')")
    code, said = terminal(folder, "resume", "app:plan", "--thread", "trip-1", typed=[b"yes\n", b"\x04"])

    assert (3, 2) == (code, said.count("=VALUE"))
