"""Fifty threads ask for one missing key, in one process or in each of four: how often is it computed?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import PIECES, Contestant, Guard, Make, Row

THREADS = 50
PROCESSES = 4
COMPUTE = 0.2

Ask = Callable[[str], Any]
"""Asks a cache for a key; computes it when it is missing."""


def compute(log: str, key: str) -> str:
    """Take a while, and leave a byte in ``log``."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, b".")
    os.close(descriptor)
    time.sleep(COMPUTE)
    return key


def holdfast(folder: str, fn: Callable[[str], str]) -> Ask:
    """Ours."""
    from holdfast import CachePolicy, DiskCache, resilient

    policy = CachePolicy(ttl="1h", version="1")
    return resilient(retry_policy=(), cache_policy=policy, cache=DiskCache(Path(folder) / "cache"))(fn)


def diskcache(folder: str, fn: Callable[[str], str]) -> Ask:
    """Its memoize."""
    import diskcache

    return diskcache.Cache(folder).memoize(name="compute", expire=3600)(fn)


def joblib(folder: str, fn: Callable[[str], str]) -> Ask:
    """Its Memory."""
    import joblib

    return joblib.Memory(folder, verbose=0).cache(fn)


def cachetools(folder: str, fn: Callable[[str], str]) -> Ask:
    """Its TTLCache, with the condition that makes others wait."""
    import cachetools

    return cachetools.cached(cachetools.TTLCache(100, 3600), condition=threading.Condition())(fn)


def langgraph(folder: str, fn: Callable[[str], str]) -> Ask:
    """A cached task in an entrypoint."""
    from langgraph.cache.memory import InMemoryCache
    from langgraph.func import entrypoint, task
    from langgraph.types import CachePolicy

    step = task(cache_policy=CachePolicy(ttl=3600))(fn)

    @entrypoint(cache=InMemoryCache())
    def run(key: str) -> str:
        return step(key).result()

    return run.invoke


PEERS: dict[str, Callable[[str, Callable[[str], str]], Ask]] = {
    "holdfast": holdfast,
    "diskcache.memoize": diskcache,
    "cachetools, condition": cachetools,
    "joblib": joblib,
    "langgraph": langgraph,
}


def herd(ask: Ask, key: str) -> None:
    """All threads at once; returns when each has its answer."""
    gate = threading.Barrier(THREADS)

    def one() -> None:
        gate.wait()
        if ask(key) != key:
            raise AssertionError("a wrong answer")

    threads = [threading.Thread(target=one) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_one_process(name: str) -> Make:
    """Executions in this process, for a new key at each measurement."""

    def make(stack: ExitStack) -> Any:
        folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        log = Path(folder) / "log"
        log.touch()
        numbers = count()

        def body(key: str) -> str:
            return compute(str(log), key)

        ask = PEERS[name](folder, body)

        def measure(times: int) -> float:
            before = log.stat().st_size
            herd(ask, str(next(numbers)))
            return log.stat().st_size - before

        return measure

    return make


def in_processes(name: str) -> Make:
    """Executions in all processes together, which share a folder and start at one signal."""

    def make(stack: ExitStack) -> Any:
        parent = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        PEERS[name](str(Path(parent) / "probe"), partial(compute, ""))  # ImportError, if any, belongs here
        return lambda times: _stampede(name, parent)

    return make


def _stampede(name: str, parent: str) -> float:
    with TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", f"from benchmarks.stampede import join_in; join_in({name!r}, {folder!r})"]
        processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        with ExitStack() as stack:
            pipes: list[tuple[Any, Any]] = [(stack.enter_context(process).stdin, process.stdout) for process in processes]
            for _, out in pipes:
                out.readline()
            for into, _ in pipes:
                into.write(b"go\n")
                into.flush()
        return (Path(folder) / "log").stat().st_size


def _shared(key: str) -> str:
    """What all processes compute; at module level, where every cache finds the same name for it."""
    return compute(os.environ["HOLDFAST_BENCH_LOG"], key)


def join_in(name: str, folder: str) -> None:
    """One of the processes: get ready, wait for the signal, ask."""
    os.environ["HOLDFAST_BENCH_LOG"] = str(Path(folder) / "log")
    ask = PEERS[name](folder, _shared)
    print("ready", flush=True)
    sys.stdin.readline()
    herd(ask, "key")


ROWS = [
    Row(
        name=f"{THREADS} threads, one missing key: executions",
        unit=PIECES,
        target=1,
        guards=(Guard(None, 1),),
        most_rounds=3,
        contestants={name: Contestant(in_one_process(name), 1) for name in PEERS},
    ),
    Row(
        name=f"{THREADS} threads in each of {PROCESSES} processes, one missing key: executions",
        unit=PIECES,
        target=1,
        guards=(Guard(None, 1),),
        most_rounds=3,
        contestants={name: Contestant(in_processes(name), 1) for name in PEERS if name != "langgraph"},
    ),
]
