"""The graph of real LangGraph nodes, run at a terminal that answers, and killed twice: nothing that has come in is asked for again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("langgraph.checkpoint.sqlite")
PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "inside_langgraph.py"
CITIES = ["Accra", "Lima", "Oslo"]
LETTER = "\n".join(["The weather:", *(f"{city}: sunny, clear" for city in CITIES)])


def start(folder):
    """The program, with its progress and its words in one stream."""
    command = [sys.executable, str(PROGRAM), ", ".join(CITIES)]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed_at(folder, words):
    """All that it has shown when it is killed, as soon as it says this."""
    shown = []
    with start(folder) as program:
        for line in program.stdout:
            shown.append(line.strip())
            if words in line:
                program.send_signal(signal.SIGKILL)
                break
    assert -signal.SIGKILL == program.returncode, shown
    return shown


def test_killed_at_its_work_and_at_its_question_it_goes_on(tmp_path):
    """In three lives each forecast line is made once, the letter is written once, and the answer is what is sent."""
    first = killed_at(tmp_path, ": sunny, clear")
    second = killed_at(tmp_path, "Enter to send it")
    with start(tmp_path) as program:
        last = program.communicate("Better weather\n", timeout=60)[0]

    lines = Counter(line for line in first + second + last.splitlines() if line.startswith(("asked for the air of", "wrote the letter")))
    assert last.endswith("sent:\nBetter weather\n")
    assert LETTER in last
    assert "wrote the letter" not in last
    assert "asked for" not in last
    assert 1 == lines["wrote the letter"]
    finished = next(line for line in first if line.endswith(": sunny, clear")).partition(":")[0]
    assert f"asked for the air of {finished}" not in second
