"""What the pages show below a `holdfast` command is what it prints, after the python block above it has run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DURATION = re.compile(r"[\d.]+ ([mµ]?s|d)\b")
ID = re.compile(r"\b[0-9a-f]{8}\b")


def _load_runner():
    spec = importlib.util.spec_from_file_location("docs_runner", ROOT / "tests" / "test_docs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_runner"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


docs = _load_runner()
OURS = ("README.md", "docs/getting-started.md", "docs/tasks-and-entrypoints.md", "docs/cli.md")
SHOWN = [
    block
    for block in docs.ALL
    if block.page in OURS and block.language == "console" and re.search(r"^\$ holdfast .*\n[^$]", block.code, re.MULTILINE)
]


def sessions(code):
    """Pairs of a command and the output shown below it."""
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in re.split(r"^\$ ", code, flags=re.MULTILINE) if part]


def ask(command, folder):
    """What a `holdfast` command prints where the block above has run."""
    code = "import sys; sys.argv[0] = 'holdfast'; from holdfast.cli import main; main()"
    settings = os.environ | {"HOLDFAST_TRACES": str(folder / ".holdfast" / "traces.db"), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    words = shlex.split(command.partition("#")[0])[1:]
    call = [sys.executable, "-c", code, *words]
    return subprocess.run(call, env=settings, cwd=folder, capture_output=True, encoding="utf-8", check=True).stdout


def without_times(text):
    """The text with durations, ids and the blanks around them evened out."""
    return "\n".join(re.sub(r" +", " ", ID.sub("(id)", DURATION.sub("(time)", line))).rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_commands_print_what_the_page_shows(block, tmp_path):
    """Times and ids differ from run to run; everything else is as on the page."""
    page = [other for other in docs.ALL if other.page == block.page]
    above = [other for other in page if other.language == "python" and other.line < block.line][-1]
    done = docs.run(docs.program(above, page), tmp_path)
    assert 0 == done.returncode, done.stderr

    for command, output in sessions(block.code):
        assert without_times(output) == without_times(ask(command, tmp_path))


def test_the_readme_shows_a_trace():
    """Nothing above would notice if it did not."""
    assert any(block.page == "README.md" for block in SHOWN)
