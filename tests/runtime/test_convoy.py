"""Store calls of one event loop on worker threads: one thread for those that are quick, more as soon as some are not."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

import pytest

from holdfast.runtime import convoy
from holdfast.runtime.convoy import in_convoy
from holdfast.runtime.dispatch import Workers
from tests.waiting import until_async


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """A pool without threads."""
    pool = Workers()
    monkeypatch.setattr(convoy, "workers", pool)
    return pool


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody comes to look whether what waits gets on: how soon a thread runs is the machine's business."""
    monkeypatch.setattr(convoy, "PATIENCE", 60)


def look() -> None:
    """Look, as is done once in a while, and find that nothing was done since the last time."""
    loop = asyncio.get_running_loop()
    ours = convoy._convoys[loop]
    ours._look(loop, ours.done)


async def many(count: int) -> list[Any]:
    """So many calls at once, each of which says where it comes in; none ends before all are sent."""
    order: list[int] = []
    all_sent = threading.Event()

    def work(number: int) -> int:
        assert all_sent.wait(20)
        order.append(number)
        return len(order) - 1

    calls = asyncio.gather(*[in_convoy(lambda number=number: work(number)) for number in range(count)])
    await asyncio.sleep(0)
    all_sent.set()
    return await calls


def test_all_that_is_asked_at_once_is_done_by_one_thread_in_turn(pool: Workers, unhurried: None) -> None:
    """However much it is."""
    assert list(range(500)) == asyncio.run(many(500))
    assert 1 == pool.count


def test_the_thread_is_idle_afterwards_and_comes_again(pool: Workers, unhurried: None) -> None:
    """Once: a second token would have jobs lie for a thread that never comes."""

    async def main() -> list[list[int]]:
        return [await many(2), await many(1), await many(3)]

    assert [[0, 1], [0], [0, 1, 2]] == asyncio.run(main())
    assert (1, 1) == (pool.count, len(pool._idle))


def test_answers_leave_in_batches(monkeypatch: pytest.MonkeyPatch, unhurried: None) -> None:
    """The loop is woken for sixteen of them, and not only at the end: what is answered goes on meanwhile."""
    done: list[int] = []
    all_sent = threading.Event()
    post = convoy.post

    def posting(loop: asyncio.AbstractEventLoop, *args: Any) -> None:
        done.append(convoy._convoys[loop].done)
        post(loop, *args)

    async def main() -> None:
        first = asyncio.create_task(in_convoy(lambda: all_sent.wait(20)))
        rest = asyncio.create_task(many(40))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        all_sent.set()
        await first
        await rest

    monkeypatch.setattr(convoy, "post", posting)
    asyncio.run(main())

    assert [16, 32, 41] == done


class _Loop:
    """Stands for an event loop: keeps what is to be called later, instead of calling it."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Any, tuple[Any, ...]]] = []

    def call_later(self, seconds: float, fn: Any, *args: Any) -> None:
        self.later.append((seconds, fn, args))

    def create_future(self) -> object:
        return object()

    def pass_by(self) -> None:
        """Let the time pass until the one thing that is to be called."""
        [(seconds, fn, args)] = self.later
        assert convoy.PATIENCE == seconds
        self.later.clear()
        fn(*args)


def test_threads_are_doubled_as_long_as_hardly_anything_gets_done(monkeypatch: pytest.MonkeyPatch, pool: Workers) -> None:
    """It is looked once in a while, however many are sent; where all gets on, or nothing waits any more, nothing happens."""
    loop: Any = _Loop()
    monkeypatch.setattr(pool, "send", lambda _: None)
    ours = convoy._Convoy()
    counts: list[int] = []
    for _ in range(7):
        ours.send(loop, int)
    for done in (0, convoy.FEW, 0, convoy.FEW - 1, 0):
        ours.done += done
        loop.pass_by()
        counts.append(len(ours.threads))

    assert [2, 2, 4, 8, 15] == counts  # the last time, one for each of the seven that wait
    ours.waiting.clear()
    loop.pass_by()
    assert (15, []) == (len(ours.threads), loop.later)
    ours.send(loop, int)
    assert 1 == len(loop.later)


def test_a_thread_about_to_leave_stays_for_what_comes_at_that_moment(pool: Workers) -> None:
    """Whoever sent it has seen the thread and called no other."""
    ours = convoy._Convoy()
    errand: Any = object()

    class Late(deque[Any]):
        """Is empty when it is first looked into."""

        def popleft(self) -> Any:
            if not self:
                self.append(errand)
                raise IndexError
            return super().popleft()

    ours.waiting = Late()
    ours.threads.append(None)
    walk = convoy._Walk(ours, _Loop())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    assert (errand, 1) == (walk._next(), len(ours.threads))


def test_a_slow_call_does_not_hold_up_the_others(pool: Workers) -> None:
    """They are done by other threads, while it has not ended."""
    free = threading.Event()

    async def main() -> int:
        slow = asyncio.create_task(in_convoy(lambda: free.wait(20)))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            done = await many(30)
        free.set()
        assert await slow
        return len(done)

    assert 30 == asyncio.run(main())
    assert pool.count > 1


def test_a_slow_call_does_not_hold_up_what_was_done_before_it(pool: Workers, unhurried: None) -> None:
    """On the same thread, whose answers leave in batches: whoever looks takes those that are there."""
    free, begin, is_slow = threading.Event(), threading.Event(), threading.Event()

    async def main() -> None:
        first = asyncio.create_task(in_convoy(lambda: begin.wait(20)))
        quick = asyncio.create_task(many(3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        slow = asyncio.create_task(in_convoy(lambda: (is_slow.set(), free.wait(20))))
        await asyncio.sleep(0)
        begin.set()
        await until_async(is_slow.is_set)
        assert not quick.done()
        look()
        assert await first
        assert [0, 1, 2] == await quick
        assert not slow.done()
        free.set()
        await slow

    asyncio.run(main())
    assert 1 == pool.count


def test_as_many_threads_as_slow_calls_in_the_end(pool: Workers, unhurried: None) -> None:
    """Eight that all wait for the last of them: each time that it is looked, the threads are doubled."""
    barrier = threading.Barrier(8)

    async def main() -> list[int]:
        waiting = asyncio.gather(*[in_convoy(lambda: barrier.wait(20)) for _ in range(8)])
        for count in (1, 2, 4):
            await until_async(lambda: barrier.n_waiting == count)
            look()
        return await waiting

    assert list(range(8)) == sorted(asyncio.run(main()))
    assert 8 == pool.count


def test_where_no_thread_can_be_had_the_loop_does_it_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, pool: Workers, unhurried: None
) -> None:
    """Once, and the next call finds everything as before."""

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> list[int]:
        with monkeypatch.context() as patch:
            patch.setattr(pool, "send", refuse)
            await in_convoy(lambda: done.append(threading.get_ident()))
        async with asyncio.timeout(10):
            return await many(2)

    done: list[int] = []
    assert ([0, 1], [threading.get_ident()]) == (asyncio.run(main()), done)


def test_where_no_further_thread_can_be_had_the_others_wait_for_the_first(monkeypatch: pytest.MonkeyPatch, pool: Workers) -> None:
    """It is no reason to fail."""
    free, send, asked = threading.Event(), pool.send, threading.Event()

    def send_first(job: Any) -> None:
        if pool.count:
            asked.set()
            raise RuntimeError("can't start new thread")
        send(job)

    monkeypatch.setattr(pool, "send", send_first)

    async def main() -> list[int]:
        slow = asyncio.create_task(in_convoy(lambda: free.wait(20)))
        await asyncio.sleep(0)
        rest = asyncio.create_task(many(3))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        free.set()
        await slow
        return await rest

    assert [0, 1, 2] == asyncio.run(main())


def test_each_loop_has_its_own(pool: Workers, unhurried: None) -> None:
    """Two threads with a loop each: neither waits for the other's calls."""
    free = threading.Event()
    held = threading.Thread(target=lambda: asyncio.run(in_convoy(lambda: free.wait(20))))  # type: ignore[arg-type]
    held.start()
    try:
        while not pool.count:
            pass
        assert [0, 1] == asyncio.run(many(2))
    finally:
        free.set()
        held.join(20)
