"""Forks in the thick of it: threads run tasks, log, trace, cache and journal while the process forks forty times."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

CHILDREN = 40
PROGRAM = """
import asyncio, faulthandler, json, os, signal, sys, threading, time, warnings
from pathlib import Path

import holdfast, holdfast.tracing
from holdfast import CachePolicy, DiskCache, RetryPolicy, SqliteSaver, entrypoint, resilient, task
from holdfast.tracing.store.database import TraceStore

warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)  # what is tested
faulthandler.dump_traceback_later(100, exit=True)
folder = Path(sys.argv[1])
cache, saver = DiskCache(folder / "cache"), SqliteSaver(folder / "runs.db")
policy = CachePolicy(ttl=3600)
handle = holdfast.tracing.configure(path=folder / "traces.db", lines="debug")

@resilient(cache=cache, cache_policy=policy)
def fetch(number):
    return number

@task
def double(number):
    return 2 * number

@task(cache_policy=policy, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0))
async def triple(number):
    return 3 * number

@entrypoint(saver, cache=cache)
def plan(number):
    return sum(future.result() for future in [double(number), triple(number), double(number + 1)])

@entrypoint(cache=cache)
async def aplan(number):
    return await double(number) + await triple(number)

def expected(number):
    return 2 * number + 3 * number + 2 * (number + 1)

def busy(first):
    number = first
    while not stop.is_set():
        assert fetch(number) == number == fetch(number)
        assert plan.invoke(number, thread_id=str(number)) == expected(number)
        assert asyncio.run(aplan.ainvoke(number)) == 5 * number
        number += 3

def child(number):
    signal.alarm(30)  # a child that hangs is killed by it
    assert fetch(1) == 1 and fetch(-number) == -number
    assert plan.invoke(number, thread_id=f"child {number}", run_id=f"child {number}") == expected(number)
    assert asyncio.run(aplan.ainvoke(number)) == 5 * number
    assert handle.flush(20)

stop = threading.Event()
threads = [threading.Thread(target=busy, args=(first,)) for first in range(3)]
for thread in threads:
    thread.start()
ended = []
for group in range(0, CHILDREN, 4):
    pids = []
    for number in range(group, group + 4):
        time.sleep(0.003 * (number % 7))  # another moment each time
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(10_000_000 + number)
                code = 0
            except BaseException:
                faulthandler.dump_traceback()
                import traceback
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)
        pids.append(pid)
    ended += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
stop.set()
for thread in threads:
    thread.join()
flushed = handle.flush(20)
store = TraceStore(folder / "traces.db")
runs = {run.run_id: sorted(span.name for span in store.spans(run.trace_id)) for run in store.runs(100_000) if run.run_id.startswith("child")}
json.dump({"ended": ended, "runs": runs, "flushed": flushed, "threads": threading.active_count()}, sys.stdout)
""".replace("CHILDREN", str(CHILDREN))


def test_forty_children_neither_hang_nor_lose_anything(tmp_path):
    """Each runs its own tasks, reads its parent's cache, and keeps its spans, while the parent's threads go on."""
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "HOLDFAST_SECRET": "a secret for tests, long enough"},
    )
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line and " DEBUG " not in line]
    problems = [line for line in lines if "reason=locked" not in line]  # seven writers: one may pass the cache by, by design

    assert ([], 0) == (problems, done.returncode)
    said = json.loads(done.stdout)
    assert [0] * CHILDREN == said["ended"]
    assert said["flushed"]
    of_a_run = ["double", "double", "run plan", "triple", "triple attempt 1"]
    assert {f"child {10_000_000 + number}": of_a_run for number in range(CHILDREN)} == said["runs"]
