"""The program about old values, run as a reader runs it: each line says what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples" / "cache_freshness.py"
LINE = re.compile(r"  (.+?)  +([\d.]+) +([\d.]+) ms  (\w+) +(\d+)")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What it prints."""
    folder = tmp_path_factory.mktemp("run")
    done = subprocess.run([sys.executable, str(PROGRAM)], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_what_callers_get(said):
    """The price, what the cache has to do with it, and the requests that were made while they waited."""
    assert [
        ("2.50", "miss", "1"),
        ("2.50", "hit", "0"),
        ("2.50", "stale", "0"),
        ("2.80", "hit", "0"),
        ("2.80", "stale", "0"),
        ("2.80", "stale_if_error", "1"),
        ("2.80", "stale_if_error", "0"),
        ("2.80", "stale", "0"),
        ("2.80", "hit", "0"),
        ("2.80", "miss", "1"),
    ] == [(price, result, requests) for _, price, _, result, requests in LINE.findall(said)]


def test_who_waits(said):
    """Those who find nothing wait for the API; who asks while it is slow waits for a tenth of a second."""
    took = [float(each) for _, _, each, _, _ in LINE.findall(said)]

    assert took[0] > 200
    assert 100 <= took[7] < 400
    assert took[9] > 400


def test_what_is_told_besides(said):
    """The API was asked on condition, and why there is nothing any more."""
    assert "The API said 304, Not Modified" in said
    assert "Why would a call miss now? It was invalidated." in said


def test_the_page_shows_it(said):
    """Word for word, but for the milliseconds."""
    (shown,) = re.findall(r"\$ python examples/cache_freshness.py\n(.+?)```", (ROOT / "docs" / "cache.md").read_text(), re.DOTALL)

    assert re.sub(r" +[\d.]+ ms", " ms", shown) == re.sub(r" +[\d.]+ ms", " ms", said)
