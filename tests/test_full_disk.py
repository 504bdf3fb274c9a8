"""A full disk, a real one: calls answer at once, one line each says what is missing, and with room again everything is kept again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys, time
from pathlib import Path

import holdfast.tracing
from holdfast import CachePolicy, DiskCache, resilient
from holdfast.cache import _keeper
from holdfast.tracing.store.database import TraceStore

folder = Path(sys.argv[1])
ballast = folder / "ballast"
cache = DiskCache(folder / "cache")
traces = folder / "traces.db"

def fill():
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break

@resilient(cache=cache, cache_policy=CachePolicy(ttl=3600))
def fetch(number):
    ran.append(number)
    return str(number) * 100

def look(*numbers):
    began = time.perf_counter()
    answers = [fetch(number) for number in numbers]
    assert answers == [str(number) * 100 for number in numbers]
    return time.perf_counter() - began

def state():
    handle_says = handle.flush(5)
    store = TraceStore(traces)
    tasks = {run.name for run in store.runs(500)}
    store.close()
    return {"ran": len(ran), "flushed": handle_says, "kept": cache.stats().entries, "traced": bool(tasks)}

ran, states = [], []
if sys.argv[2] == "from the start":
    fill()
handle = holdfast.tracing.configure(path=traces, lines="warning", max_hit_spans=0)
if sys.argv[2] == "later":
    look(1)
    states.append(state())
    fill()
took = look(*range(100, 160))
states.append(state())
ballast.unlink()
time.sleep(_keeper.REST if sys.argv[2] == "from the start" else 0)
look(*range(200, 220))
states.append(state())
look(*range(200, 220))
cache.close()
look(*range(200, 220))
states.append(state())
json.dump({"took": took, "states": states}, sys.stdout)
"""


def on_a_full_disk(folder, since):
    """Run the program; what it says, and the events its lines tell of."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, since],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "HOLDFAST_SECRET": "a secret for tests, long enough"},
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()


@pytest.mark.parametrize("since", ["from the start", "later"])
def test_calls_go_on_and_stores_come_back(small_disk, since):
    """Neither cache nor trace store can be written: every call answers, quickly; afterwards both keep what is new, also on disk."""
    said, lines = on_a_full_disk(small_disk, since)

    before, (full, roomy, reopened) = said["states"][:-3], said["states"][-3:]
    assert [{"ran": 1, "flushed": True, "kept": 1, "traced": True}] * len(before) == before
    kept = ran = len(before)
    assert {"ran": ran + 60, "flushed": False, "kept": kept, "traced": bool(before)} == full
    assert {"ran": ran + 80, "flushed": True, "kept": kept + 20, "traced": True} == roomy
    assert roomy == reopened
    assert said["took"] < 20
    assert len(lines) < 8
    events = [line.split()[2] for line in lines if "WARNING" in line]
    assert {"holdfast.cache.error", "holdfast.traces.lost"} == set(events)
    assert all("database or disk is full" in line for line in lines if "WARNING" in line)
    assert "items for the local trace store were lost on the way" in lines[-1]
