"""`get_idempotency_key`: one key for each call, whatever becomes of its attempts, its run and its process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InMemorySaver, RetryPolicy, TaskContextError, entrypoint, get_idempotency_key, resilient, task

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = RetryPolicy(max_attempts=3, initial_interval=0, retry_on=ConnectionError)
SAVERS = pytest.mark.parametrize("is_journaled", [False, True], ids=["no checkpointer", "checkpointer"])


@SAVERS
def test_it_is_the_same_in_all_attempts(is_journaled: bool) -> None:
    """Though each attempt runs the body anew."""
    keys: list[str] = []

    @task(retry_policy=AT_ONCE)
    def pay() -> None:
        keys.append(get_idempotency_key())
        if len(keys) < 3:
            raise ConnectionError

    @entrypoint(InMemorySaver() if is_journaled else None)
    def main() -> None:
        pay().result()

    main.invoke()
    assert 3 == len(keys)
    assert 1 == len(set(keys))
    assert keys[0] == str(uuid.UUID(keys[0]))


@SAVERS
def test_it_differs_between_calls_and_runs(is_journaled: bool) -> None:
    """Even of one task with equal arguments, in either colour, and in the body itself."""

    @task
    def key(_: int) -> str:
        return get_idempotency_key()

    @task
    async def akey(_: int) -> str:
        await asyncio.sleep(0)
        return get_idempotency_key()

    @task
    def nested() -> list[str]:
        return [key(1).result(), get_idempotency_key()]

    @entrypoint(InMemorySaver() if is_journaled else None)
    def main() -> list[str]:
        futures: list[Any] = [key(1), key(1), key(2), akey(1), akey(1)]
        return [get_idempotency_key(), *(future.result() for future in futures), *nested().result()]

    keys = main.invoke() + main.invoke()
    assert 16 == len(set(keys))


def test_threads_of_one_call_get_one_key() -> None:
    """The first to ask does not make another one than the second."""

    @task
    def ask() -> set[str]:
        import contextvars
        from concurrent.futures import ThreadPoolExecutor

        contexts = [contextvars.copy_context() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda context: context.run(get_idempotency_key), contexts))

    assert 1 == len(ask.invoke())


def test_a_resilient_function_has_that_of_the_task_around_it() -> None:
    """It is no step of its own."""

    @resilient
    def inner() -> str:
        return get_idempotency_key()

    @task
    def outer() -> tuple[str, str]:
        return inner(), get_idempotency_key()

    first, second = outer.invoke()
    assert first == second


def test_outside_a_run_there_is_none() -> None:
    """And the error says where to call it."""
    with pytest.raises(TaskContextError, match=r"call it in a @task or an @entrypoint"):
        get_idempotency_key()


PROGRAM = """
import os, signal, sys
from holdfast import SqliteSaver, entrypoint, get_idempotency_key, task

@task
def pay(amount):
    with open(sys.argv[1] + "/payments", "a") as service:
        service.write(get_idempotency_key() + "\\n")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return amount

@entrypoint(SqliteSaver(sys.argv[1] + "/runs.db"))
def order(amount):
    return pay(amount).result()

print(order.invoke(30 if sys.argv[2] == "die" else None, thread_id="order"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_it_outlives_its_process(tmp_path: Path) -> None:
    """Killed between the effect and its record, the task is done again, under the same key."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))

    def run(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path), how]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})

    assert -signal.SIGKILL == run("die").returncode
    resumed = run("live")

    assert "30" == resumed.stdout.strip(), resumed.stderr
    keys = (tmp_path / "payments").read_text().split()
    assert 2 == len(keys)
    assert keys[0] == keys[1]
