"""The research program on real files: its report, what a kill leaves to do, and its picture."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "research_graph.py"
QUESTION = "how do retries wait"


@pytest.fixture
def folder(tmp_path):
    """A few files, one of them a pipe's: not read."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# A\n\nSomething else.\n\nRetries wait, and then\nwait longer.\n")
    (notes / "b.txt").write_text("A retry waits.\n")
    (notes / "c.rst").write_text("Nothing of interest.\n")
    (notes / "d.py").write_text("retries = 'wait'\n")
    return tmp_path


def run(folder, *words):
    """The program from start to end."""
    done = subprocess.run([sys.executable, str(PROGRAM), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "" == done.stderr
    return done


def test_it_reports_what_it_found(folder):
    """The words as they stand first, then their beginnings; each file is read in each round."""
    lines = run(folder, QUESTION, "notes").stdout.splitlines()

    assert ["# how do retries wait", "", "1. Retries wait, and then wait longer.", "   (notes/a.md, line 5)"] == lines[-6:-2]
    assert ["2. A retry waits.", "   (notes/b.txt, line 1)"] == lines[-2:]
    assert [3, 3, 3] == [lines.count(f"reading notes/{name}") for name in ("a.md", "b.txt", "c.rst")]


def test_asked_again_it_reads_nothing(folder):
    """The report is in its file."""
    first = run(folder, QUESTION, "notes").stdout
    again = run(folder, QUESTION, "notes").stdout

    assert "reading" not in again
    assert first.endswith(again)


def test_killed_it_goes_on(folder):
    """No file of a round that is over is read again, and the report is the same."""
    expected = run(folder, QUESTION, "notes").stdout.partition("# ")[2]
    (folder / "research.db").unlink()
    program = subprocess.Popen([sys.executable, "-u", str(PROGRAM), QUESTION, "notes"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    before = [program.stdout.readline() for _ in range(4)]  # one more than a round has
    program.send_signal(signal.SIGKILL)
    before += program.stdout.readlines()
    program.stdout.close()
    program.wait(timeout=60)
    after = run(folder, QUESTION, "notes").stdout

    assert expected == after.partition("# ")[2]
    reads = "".join(before).count("reading") + after.count("reading")
    assert 9 <= reads <= 12  # what was under way at the kill is read again, and nothing else


def test_a_folder_without_texts(folder):
    """Nothing was found."""
    (folder / "empty").mkdir()

    assert "# why\n\nNothing was found.\n" == run(folder, "why", "empty").stdout


def test_it_draws_itself(folder):
    """Every node is in the picture."""
    picture = run(folder, "--draw").stdout

    assert [] == [name for name in ("plan", "read", "judged", "widen", "write") if f"| {name} |" not in picture]
