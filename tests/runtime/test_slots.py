"""Slots and worker threads: nobody who waits holds one, none is lost, none is given twice."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import queue
import sys
import threading
import time
from collections import deque
from typing import Any

import pytest

from holdfast import RetryPolicy, entrypoint, task
from holdfast.runtime.dispatch import Slots, Workers
from holdfast.runtime.run import Run
from tests.waiting import until


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
    assert 0 == opened[0].sync_slots.used


def test_a_slot_is_given_back_once_however_many_threads_ask() -> None:
    """A body may call its first task from several threads at once."""

    class Holder:
        has_slot = True

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        slots = Slots(1)
        for _ in range(300):
            holder = Holder()
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

    until(lambda: watch() is None)


@pytest.mark.parametrize("limit", [1, 3])
def test_slots_neither_lose_nor_invent_any_however_threads_interleave(limit: int) -> None:
    """A switch between any two instructions: all items start, no more than the limit at once, and all slots are free again."""
    at_work: list[None] = []
    most: list[int] = []
    started: list[Item] = []
    slots = Slots(limit)

    class Item:
        def __init__(self, number: int) -> None:
            self.number = number

        def start(self) -> bool:
            started.append(self)
            if self.number % 7 == 0:
                return False  # cancelled meanwhile
            at_work.append(None)
            most.append(len(at_work))
            todo.put(self)
            return True

    todo: queue.SimpleQueue[Item | None] = queue.SimpleQueue()

    def work() -> None:
        while todo.get() is not None:
            at_work.pop()
            slots.leave()

    def enter(first: int) -> None:
        for number in range(first, 3_000, 3):
            slots.enter(Item(number), first=number % 5 == 0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=work) for _ in range(4)]
        enterers = [threading.Thread(target=enter, args=(first,)) for first in range(3)]
        for thread in workers + enterers:
            thread.start()
        for thread in enterers:
            thread.join()
        end = time.monotonic() + 30
        while len(started) < 3_000 or slots.used:
            assert time.monotonic() < end, (len(started), slots.used)
            time.sleep(0.001)
    finally:
        sys.setswitchinterval(before)
        for _ in workers:
            todo.put(None)
    assert list(range(3_000)) == sorted(item.number for item in started)
    assert max(most) <= limit


class Named:
    """Something that waits for a slot, and says when it has begun."""

    def __init__(self, name: str, begun: list[str]) -> None:
        self._name, self._begun = name, begun

    def start(self) -> bool:
        self._begun.append(self._name)
        return True


def test_who_stands_in_line_just_when_the_last_one_leaves_is_started() -> None:
    """The line was empty when it was looked into, and there was no slot for whoever came then."""
    begun: list[str] = []
    slots = Slots(1)

    class Line(deque[Any]):
        """Somebody comes right after it was found empty."""

        has_come = False

        def __len__(self) -> int:
            found = super().__len__()
            if not self.has_come and len(begun) == 1:
                self.has_come = True
                self.append(Named("late", begun))
            return found

    slots._line = Line()
    slots.enter(Named("first", begun))
    slots.leave()

    assert (["first", "late"], 1) == (begun, slots.used)


def test_a_slot_that_becomes_free_just_when_somebody_stands_in_line_is_theirs() -> None:
    """Whoever left had found the line empty."""
    begun: list[str] = []
    slots = Slots(1)

    class Line(deque[Any]):
        """The slot is given back right before somebody comes."""

        def append(self, item: Any) -> None:
            slots.leave()
            super().append(item)

    slots.enter(Named("first", begun))
    slots._line = Line()
    slots.enter(Named("late", begun))

    assert (["first", "late"], 1) == (begun, slots.used)


def test_two_that_come_at_once_do_not_both_get_the_last_slot() -> None:
    """The other one was quicker, between the look and the lock."""
    begun: list[str] = []
    slots = Slots(1)

    class Lock:
        def __enter__(self) -> None:
            slots._lock = threading.Lock()
            slots.enter(Named("quicker", begun))

        def __exit__(self, *_: object) -> None:
            pass

    other: Any = Lock()
    slots._lock = other
    slots.enter(Named("slower", begun))
    assert ["quicker"] == begun
    slots.leave()
    assert ["quicker", "slower"] == begun


def test_who_waits_for_a_slot_starts_in_order() -> None:
    """First come, first served; a body that goes on after a wait comes before those that have not begun."""
    order: list[str] = []
    slots = Slots(1)
    for name in ("a", "b", "c"):
        slots.enter(Named(name, order))
    slots.enter(Named("resumed", order), first=True)
    for _ in range(4):
        slots.leave()

    assert ["a", "resumed", "b", "c"] == order
    assert 0 == slots.used
