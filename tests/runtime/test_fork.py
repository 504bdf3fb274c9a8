"""Forks: a child starts with no thread, no loop and no run of its parent's, and with every lock free."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def in_child(job: str) -> None:
    """Run ``job``, a program that forks, in an interpreter of its own with warnings as errors; it prints ``ok`` in the child."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + job], capture_output=True, text=True, timeout=60, check=False
    )
    assert ("ok\nparent ok\n", "", 0) == (done.stdout, done.stderr, done.returncode)


PROGRAM = """
import asyncio, contextlib, faulthandler, logging, os, threading, time
from holdfast import CachePolicy, InMemoryCache, InMemorySaver, TaskContextError, clock, entrypoint, resilient, task
from holdfast.runtime import flight, future

faulthandler.dump_traceback_later(30, exit=True)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a callback took long says something about the machine
cache, saver = InMemoryCache(), InMemorySaver()

@task
def double(x): return 2 * x

@task
async def triple(x): return 3 * x

@resilient(cache_policy=CachePolicy(ttl=60), cache=cache)
def fetch(x):
    if release is not None:
        begun.set()
        release.wait(20)
    return x

@entrypoint(saver)
def main(x):
    return sum(f.result() for f in [double(x), triple(x), double(x)])

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
            print("ok", flush=True)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

release, begun = None, threading.Event()
"""


def test_a_new_run_works_in_the_child() -> None:
    """The parent has idle workers, a background loop, and a saver in use."""
    in_child("""
def child():
    assert 7 == main.invoke(1) and 14 == asyncio.run(main.ainvoke(2))

assert 7 == main.invoke(1)
fork(child)
assert 7 == main.invoke(1)
print("parent ok")
""")


def test_locks_that_other_threads_held_are_free_in_the_child() -> None:
    """Of futures, workers, flights and savers, all held by another thread at the moment of the fork."""
    in_child("""
from holdfast.runtime import background
from holdfast.runtime.dispatch import workers

assert 7 == main.invoke(1)
held, done = threading.Event(), threading.Event()

def hold():
    with contextlib.ExitStack() as stack:
        for lock in [*future._locks, flight._lock, background._lock, workers._lock, saver._lock]:
            stack.enter_context(lock)
        held.set()
        done.wait(20)

thread = threading.Thread(target=hold)
thread.start()
held.wait(20)
fork(lambda: (main.invoke(1), fetch(1)))
done.set()
thread.join()
assert 7 == main.invoke(1)
print("parent ok")
""")


def test_a_loop_that_a_thread_was_about_to_wake_is_woken_in_the_child() -> None:
    """That thread stayed with the parent."""
    in_child("""
from holdfast.runtime import loops

loop, seen = asyncio.new_event_loop(), []
loops.post(loop, seen.append, 1)
loop.run_until_complete(asyncio.sleep(0))
loops._boxes[loop]._is_awake = True

def child():
    loops.post(loop, seen.append, 2)
    loop.run_until_complete(asyncio.sleep(0))
    assert seen == [1, 2]

fork(child)
loop.close()
print("parent ok")
""")


def test_a_computation_under_way_in_the_parent_is_not_waited_for_in_the_child() -> None:
    """Its thread stayed there."""
    in_child("""
release = threading.Event()
thread = threading.Thread(target=fetch, args=(5,))
thread.start()
begun.wait(20)

def child():
    global release
    release = None
    assert 5 == fetch(5)

fork(child)
release.set()
thread.join()
print("parent ok")
""")


def test_a_task_in_a_child_of_a_body_is_outside_the_run() -> None:
    """The run's threads and loop stayed with the parent; a run of its own works."""
    in_child("""
def child():
    try:
        double(1)
    except TaskContextError as error:
        assert str(error).endswith("This process was forked in a run, which stays with the process that began it")
    else:
        raise AssertionError
    assert 2 == double.invoke(1)
    assert 7 == main.invoke(1)

@entrypoint
def outer():
    future = double(1)
    fork(child)
    return future.result() + triple(1).result()

assert 5 == outer.invoke()
print("parent ok")
""")


def test_a_child_does_not_wait_for_its_parents_refresh() -> None:
    """Whose thread is not there; so it makes one of its own, and serves the old value meanwhile."""
    in_child("""
asked, now = [], [1_000.0]

@resilient(cache_policy=CachePolicy(ttl=60, stale_while_revalidate=60), cache=cache)
def price():
    asked.append(os.getpid())
    if len(asked) == 2:
        release.wait(20)
    return len(asked)

def child():
    assert price() == 1
    while len(asked) < 3: time.sleep(0.001)
    assert asked[2] == os.getpid()

class Later(type(clock.current)):
    def time(self): return now[0]

clock.current = Later()
release = threading.Event()
price()
now[0] += 61
assert price() == 1
while len(asked) < 2: time.sleep(0.001)
fork(child)
release.set()
print("parent ok")
""")
