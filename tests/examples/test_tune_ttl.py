"""The tuning program, run as a reader runs it: what it expects of the new TTL is what comes of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "tune_ttl.py"
SHARES = r"([\d.]+)% hits, ([\d.]+)% stale"


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What it prints."""
    folder, known = tmp_path_factory.mktemp("run"), os.environ | {"HOLDFAST_RECORD": "on"}  # under pytest it is off
    done = subprocess.run([sys.executable, str(PROGRAM)], cwd=folder, env=known, capture_output=True, text=True, timeout=120, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_the_guess_is_over_the_budget_and_what_is_recommended_is_not(said):
    """Counted at the source, which the tuning never sees; the estimate of the live TTL was near that, too."""
    before, after = re.search(rf"a guess: {SHARES}", said), re.search(rf"an hour at ttl=60s: {SHARES}", said)

    assert float(after[2]) < 4 < float(before[2])
    assert "lower the ttl from 2m to 1m (evidence B)" in said


def test_the_outcome_is_near_what_was_expected(said):
    """Hits within one and a half of a hundred, stale answers within one."""
    hits, stale, expected_hits, expected_stale = re.search(rf"an hour at ttl=60s: {SHARES}; {SHARES} were expected", said).groups()

    assert pytest.approx(float(expected_hits), abs=1.5) == float(hits)
    assert pytest.approx(float(expected_stale), abs=1) == float(stale)


def test_the_override_has_an_author_and_a_reason(said):
    """The prediction stands in the history."""
    assert re.search(rf"override 1 by you: ttl=60s, tune expects {SHARES}", said)
