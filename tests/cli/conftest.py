"""Runs the `holdfast` command as people run it: as a process, in a folder of theirs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALL = "from holdfast.cli import main; main()"
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def command(folder):
    """Run `holdfast` in the test's ``folder``; returns exit code, output and errors."""

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", CALL, *arguments], capture_output=True, cwd=folder, env=ENVIRONMENT, timeout=60, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run
