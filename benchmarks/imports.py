"""What an import costs: CPU time of a fresh interpreter that imports it, less that of one that imports nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from benchmarks.harness import MILLISECONDS, Contestant, Guard, Make, Measure, Row


def cpu_seconds(code: str, bytecode: str) -> float:
    """CPU time, user and system, of a fresh interpreter that runs ``code``; compiled modules are kept in a folder."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([sys.executable, "-c", code], env=variables | {"PYTHONPYCACHEPREFIX": bytecode})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} failed")
    return usage.ru_utime + usage.ru_stime


RESILIENT = """
from holdfast import RetryPolicy, resilient

@resilient(retry_policy=RetryPolicy(max_attempts=5))
def forecast(city: str) -> str:
    return city
"""
CACHED = """
from holdfast import CachePolicy, RetryPolicy, resilient

@resilient(retry_policy=RetryPolicy(max_attempts=5), cache_policy=CachePolicy(ttl="1h"))
def forecast(city: str) -> str:
    return city
"""
ENTRYPOINT = """
from holdfast import InMemorySaver, RetryPolicy, entrypoint, task

@task(retry_policy=RetryPolicy(max_attempts=5))
def forecast(city: str) -> str:
    return city

@entrypoint(checkpointer=InMemorySaver())
def plan(city: str) -> str:
    return forecast(city).result()
"""


def running(code: str) -> Make:
    """A program."""

    def make(stack: ExitStack) -> Measure:
        bytecode = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        cpu_seconds(code, bytecode)  # as an installer does, so that nothing is compiled below
        return lambda count: max(0.0, cpu_seconds(code, bytecode) - cpu_seconds("pass", bytecode))

    return make


def importing(module: str) -> Make:
    """The import of a module."""

    def make(stack: ExitStack) -> Measure:
        package = module.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return running(f"import {module}")(stack)

    return make


ROWS = [
    Row(
        name="import, and a function decorated with @resilient, CPU time over that of a bare interpreter",
        unit=MILLISECONDS,
        target=80,
        guards=(Guard("tenacity", 3),),
        most_rounds=15,
        contestants={
            "holdfast": Contestant(running(RESILIENT), 1),
            "holdfast, cached": Contestant(running(CACHED), 1),
            "holdfast, task and entrypoint": Contestant(running(ENTRYPOINT), 1),
            "asyncio": Contestant(importing("asyncio"), 1),
            "tenacity": Contestant(importing("tenacity"), 1),
            "stamina": Contestant(importing("stamina"), 1),
            "backoff": Contestant(importing("backoff"), 1),
            "diskcache": Contestant(importing("diskcache"), 1),
            "langgraph": Contestant(importing("langgraph.func"), 1),
        },
        note="the others are imported and nothing more",
    )
]
