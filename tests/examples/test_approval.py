"""The approval program, run at a terminal that answers, and killed: nothing is drafted or asked twice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import SqliteSaver
from holdfast.values.codec import codec_for
from tests.waiting import until

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "approval.py"
CHANGELOG = (
    "# Changes\n\n## Next\n\n### Added\n\n"
    + "".join(f"- Thing {n}: it does\n  this and that.\n" for n in range(1, 13))
    + "\n## 1.0\n\n- Old.\n"
)
LINES = [f"{n}. Thing {n}." for n in range(1, 13)]


@pytest.fixture
def folder(tmp_path):
    """Where the program runs, with a changelog in it."""
    (tmp_path / "changes.md").write_text(CHANGELOG)
    return tmp_path


def command():
    """What is typed."""
    return [sys.executable, str(PROGRAM), "changes.md", "out.md"]


def run(folder, typed):
    """The program from start to end, with what is typed into it."""
    return subprocess.run(command(), cwd=folder, input=typed, capture_output=True, text=True, timeout=60, check=False)


class Terminal:
    """The program, with somebody who reads along."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            command(), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self.shown = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.shown.extend(self.process.stdout)

    def wait_for(self, text, times=1):
        """Read until the text has been shown so often."""
        end = time.monotonic() + 60
        while sum(text in line for line in list(self.shown)) < times:
            assert time.monotonic() < end, self.shown
            assert self.process.poll() is None, self.shown
            time.sleep(0.005)

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self):
        """End it as nothing can prevent; return all it has shown."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        self._reader.join(60)
        self.process.stdin.close()
        self.process.stdout.close()
        return "".join(self.shown)


def drafted(text):
    """The lines that were drafted."""
    return [int(number) for number in re.findall(r"drafted line (\d+)", text)]


def test_it_drafts_asks_and_publishes(folder):
    """What is kept with Enter stays as it is, and an answer takes the place of the text."""
    done = run(folder, "\nBetter\n")

    assert 0 == done.returncode, done.stderr
    assert "published: out.md" in done.stdout
    assert "What is new: 12 things\n\nBetter\n" == (folder / "out.md").read_text()
    assert list(range(1, 13)) == sorted(drafted(done.stderr))


def test_what_is_refused_is_left_out(folder):
    """And when nothing is left, nothing is published."""
    done = run(folder, "no\nn\n")

    assert "published: nothing" in done.stdout
    assert not (folder / "out.md").exists()


def kept(folder):
    """The lines whose draft is in the program's store."""
    with closing(SqliteSaver.read_only(folder / "approval.db")) as saver:
        (run,) = saver.runs("announce out.md")
        texts = [codec_for().decode(step.payload) for step in saver.steps(run.run_id) if step.step.name == "draft" and step.kind == "ok"]
    return {int(text.partition(".")[0]) for text in texts}


def test_killed_while_drafting_it_goes_on_where_it_was(folder):
    """Only what was under way is done again: what the store has not got, however slow the disk."""
    terminal = Terminal(folder)
    terminal.wait_for("drafted line", times=5)
    until(lambda: kept(folder))
    before = set(drafted(terminal.kill()))
    finished = kept(folder)

    done = run(folder, "\n\n")

    assert finished <= before
    assert sorted(set(range(1, 13)) - finished) == sorted(drafted(done.stderr))
    assert "\n".join(["What is new: 12 things", "", *LINES]) + "\n" == (folder / "out.md").read_text()


def test_killed_while_it_waits_it_remembers_the_answers_it_has(folder):
    """It asks for the others only, and drafts nothing."""
    terminal = Terminal(folder)
    terminal.wait_for("headline:")
    terminal.type("Our news")
    terminal.wait_for("text:")
    terminal.kill()

    done = run(folder, "yes\n")

    assert [] == drafted(done.stderr)
    assert "headline:" not in done.stdout
    assert "\n".join(["Our news", "", *LINES]) + "\n" == (folder / "out.md").read_text()


def test_without_an_answer_it_can_be_started_again(folder):
    """It says so, and has lost nothing."""
    first = run(folder, "")
    second = run(folder, "\n\n")
    third = run(folder, "")

    assert 1 == first.returncode
    assert "start me again" in first.stderr
    assert [] == drafted(second.stderr + third.stderr)
    assert "published: out.md" in second.stdout
    assert "published: out.md" in third.stdout
