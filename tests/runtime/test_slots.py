"""Slots and worker threads: nobody who waits holds one, none is lost, none is given twice."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import sys
import threading
import time
from typing import Any

import pytest

from holdfast import RetryPolicy, entrypoint, task
from holdfast.runtime.dispatch import Slots, Workers
from holdfast.runtime.run import Run


@task
def leaf(x: int) -> int:
    return x


@pytest.mark.parametrize("limit", [1, 2])
def test_a_task_may_wait_for_a_future_it_was_given(limit: int, opened: list[Run]) -> None:
    """In any way: whoever waits holds no slot, so the awaited task's own children, and its retries, get one."""
    failures = 3

    @task(retry_policy=RetryPolicy(max_attempts=9, initial_interval=0.001, max_interval=0.001))
    def producer(x: int) -> int:
        nonlocal failures
        time.sleep(0.002)
        if failures:
            failures -= 1
            raise ConnectionError
        return leaf(x).result()

    @task
    def reads(given: cf.Future[int]) -> int:
        return given.result()

    @task
    def waits(given: cf.Future[int]) -> int:
        cf.wait([given])
        return given.result()

    @task
    def completes(given: cf.Future[int]) -> int:
        return sum(each.result() for each in cf.as_completed([given]))

    @task
    async def awaits(given: Any) -> int:
        return int(await given)

    @task
    async def gathers(given: Any) -> int:
        return sum(await asyncio.gather(given))

    consumers: list[Any] = [reads, waits, completes, awaits, gathers]

    @entrypoint(max_concurrency=limit)
    def main() -> list[int]:
        futures = [consumer(producer(x)) for x, consumer in enumerate(consumers)]
        return [future.result(30) for future in futures]

    assert [0, 1, 2, 3, 4] == main.invoke()
    assert 0 == opened[0].sync_slots._used


def test_a_slot_is_given_back_once_however_many_threads_ask() -> None:
    """A body may call its first task from several threads at once."""

    class Holder:
        has_slot = True

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        slots = Slots(1)
        for _ in range(300):
            slots._used, holder = 1, Holder()
            barrier = threading.Barrier(4)
            won: list[bool] = []

            def give_back(holder: Holder = holder, barrier: threading.Barrier = barrier, won: list[bool] = won) -> None:
                barrier.wait()
                won.append(slots.detach(holder))

            threads = [threading.Thread(target=give_back) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [False, False, False, True] == sorted(won)
    finally:
        sys.setswitchinterval(before)


def test_calls_from_several_threads_of_one_body_are_numbered_apart() -> None:
    """Threads that a body starts in copies of its context call tasks at once: no call is lost or merged with an equal one."""
    from holdfast import InMemorySaver

    calls: list[int] = []

    @task
    def count() -> None:
        calls.append(1)

    @entrypoint(InMemorySaver())
    def main() -> int:
        with cf.ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(contextvars.copy_context().run, count) for _ in range(200)]
            return len({id(future.result().result() or future) for future in futures})

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert 200 == main.invoke()
    finally:
        sys.setswitchinterval(before)
    assert 200 == len(calls)


def test_a_worker_keeps_nothing_of_the_job_it_has_done() -> None:
    """Not of its first one either, which the thread was started with."""
    import weakref

    class Job:
        def __call__(self) -> None:
            done.set()

    pool, done = Workers(), threading.Event()
    job = Job()
    watch = weakref.ref(job)
    pool.run(job)
    assert done.wait(10)
    del job

    end = time.monotonic() + 5
    while watch() is not None and time.monotonic() < end:
        time.sleep(0.001)
    assert watch() is None
