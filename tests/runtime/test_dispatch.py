"""Worker threads: as many as there are slots, however many calls there are, and none awaited that does not come."""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import entrypoint, task
from holdfast.runtime import dispatch
from holdfast.runtime.dispatch import Workers

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_large_fan_out_makes_no_more_threads_than_slots():
    """A body that ends starts the next in line on its own thread, not on one more."""
    most = 0

    @task
    def count(x: int) -> int:
        nonlocal most
        most = max(most, sum(thread.name == "holdfast-worker" for thread in threading.enumerate())) if x % 50 == 0 else most
        return x

    @entrypoint(max_concurrency=8)
    def main(n: int) -> int:
        return sum(future.result() for future in [count(x) for x in range(n)])

    before = sum(thread.name == "holdfast-worker" for thread in threading.enumerate())
    assert sum(range(5000)) == main.invoke(5000)
    assert most <= before + 8 + 2


def test_a_blocking_callback_does_not_keep_the_slot():
    """It may wait for a task that needs the only slot there is."""
    seen: list[int] = []

    @task
    def step(x: int) -> int:
        return x

    @entrypoint(max_concurrency=1)
    def main() -> None:
        gate = threading.Event()
        later = step(2)

        @task
        def first() -> int:
            gate.wait(10)
            return 1

        future = first()
        future.add_done_callback(lambda done: seen.append(done.result() + later.result()))
        gate.set()
        future.result()

    main.invoke()
    assert [3] == seen


class Job:
    """A job that says when it has begun, and ends when it may."""

    def __init__(self, *, is_free: bool = True) -> None:
        self.is_sent = self.is_past = False
        self.begun = threading.Event()
        self.free = threading.Event()
        if is_free:
            self.free.set()

    def work(self) -> None:
        self.begun.set()
        assert self.free.wait(30)


def at_rest(pool: Workers) -> bool:
    return len(pool._idle) == pool.count and not pool._jobs.has_items()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_no_thread_is_announced_that_has_come_already() -> None:
    """Else the next job but one would lie in the inbox for a thread that never comes."""
    pool = Workers()
    for _ in range(2):  # one that a thread was made for, one from the inbox
        job = Job()
        pool.send(job)
        wait_for(lambda: at_rest(pool))

        pool.give_up(job)

        assert 1 == len(pool._idle)
    assert 1 == pool.count


def test_no_thread_is_announced_that_was_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refused it, and somebody else had done the job by then."""
    pool, job = Workers(), Job()

    def refuse(_: threading.Thread) -> None:
        pool.give_up(job)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        pool.send(job)

    assert at_rest(pool)
    assert 0 == pool.count


def test_a_thread_on_its_way_back_from_a_void_job_is_counted_on() -> None:
    """It may take its time; the next job needs no thread of its own."""
    pool = Workers()
    for is_first in (True, False):
        job, other = Job(is_free=False), Job()
        pool.send(job)
        assert job.begun.wait(30)

        pool.give_up(job)
        pool.send(other)

        assert 1 == pool.count, is_first
        job.free.set()
        assert other.begun.wait(30)
        wait_for(lambda: at_rest(pool))


def test_a_job_given_up_leaves_its_thread_to_the_next() -> None:
    """One thread does for all of them."""
    pool = Workers()
    busy = Job(is_free=False)
    pool.send(busy)
    assert busy.begun.wait(30)
    pool.forgo(busy)
    jobs = [Job() for _ in range(5)]

    for job in jobs:
        pool.send(job)
        pool.give_up(job)

    assert 1 == pool.count
    busy.free.set()
    wait_for(lambda: at_rest(pool))
    assert all(job.begun.is_set() for job in jobs)


def test_a_thread_about_to_leave_waits_for_the_job_that_counts_on_it() -> None:
    """It was sent in the very moment in which the thread had waited long enough."""
    pool, late = Workers(), Job()

    class Inbox(dispatch.Inbox[Any]):
        def take(self, seconds: float | None = None) -> Any:
            if seconds is not None and not late.is_sent:
                pool.send(late)
                raise Empty
            return super().take(seconds)

    pool._jobs = Inbox()
    pool.send(Job())

    assert late.begun.wait(10)
    wait_for(lambda: at_rest(pool))
    assert 1 == pool.count


@pytest.mark.parametrize("idle_seconds", [0.0, 0.001, 5.0])
def test_after_many_calls_the_pool_is_at_rest(idle_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread runs them, and however short a thread stays: no job is left in the inbox, no thread is awaited."""
    monkeypatch.setattr(dispatch, "IDLE_SECONDS", idle_seconds)

    @task
    def flip(x: int) -> int:
        if x % 2:
            raise ConnectionError
        return x

    @entrypoint
    def main(count: int) -> None:
        for x in range(count):
            flip(x).exception()

    for _ in range(3):
        main.invoke(2_000)
        wait_for(lambda: at_rest(dispatch.workers))


def test_a_job_that_raises_costs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that wants to leave may come when its thread is counted as idle already: the next job would be sent to nobody."""
    told: list[type[BaseException] | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    pool, done = Workers(), threading.Event()

    class Leaving(Job):
        def work(self) -> None:
            pool.forgo(self)
            raise SystemExit

    pool.send(Leaving())
    wait_for(lambda: bool(told))
    pool.run(done.set)

    assert done.wait(10)
    assert [SystemExit] == told
    wait_for(lambda: at_rest(pool))
