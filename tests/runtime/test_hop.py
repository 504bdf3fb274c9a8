"""One function on a worker thread, awaited: its value, its error, its context, and the thread it leaves behind; alone, or with others in a convoy."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from holdfast.runtime import hop, loops
from holdfast.runtime.convoy import in_convoy
from holdfast.runtime.dispatch import Workers
from holdfast.runtime.hop import in_thread
from tests.waiting import until

Carry = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
city: ContextVar[str] = ContextVar("city", default="")


@pytest.fixture(params=[in_thread, in_convoy])
def carry(request: pytest.FixtureRequest) -> Carry:
    """Both ways to a worker thread."""
    return request.param  # type: ignore[no-any-return]


def test_the_value_comes_from_another_thread_and_this_context(carry: Carry) -> None:
    """In a copy: what the function sets stays there."""

    def work() -> tuple[str, bool]:
        seen = city.get()
        city.set("elsewhere")
        return seen, threading.current_thread() is threading.main_thread()

    async def main() -> tuple[Any, str]:
        city.set("Oslo")
        return await carry(work), city.get()

    assert (("Oslo", False), "Oslo") == asyncio.run(main())


@pytest.mark.parametrize("kind", [KeyError, StopIteration, KeyboardInterrupt, SystemExit])
def test_any_error_arrives(carry: Carry, kind: type[BaseException]) -> None:
    """Also those that a future of asyncio's does not take; inside a coroutine StopIteration is what Python makes of it."""
    error = kind("x")

    def work() -> None:
        raise error

    async def main() -> BaseException:
        try:
            await carry(work)
        except BaseException as caught:
            return caught
        raise AssertionError

    caught = asyncio.run(main())
    assert error is (caught.__cause__ if kind is StopIteration else caught)


def test_an_error_leaves_no_cycle(carry: Carry) -> None:
    """It is freed without the garbage collector."""

    class Weak(Exception):
        pass

    watched: list[weakref.ref[BaseException]] = []

    def work() -> None:
        error = Weak()
        watched.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def main() -> None:
        with pytest.raises(Weak):
            await carry(work)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        until = time.monotonic() + 20  # the worker may be in the middle of letting go
        while (is_there := watched[0]() is not None) and time.monotonic() < until:
            time.sleep(0.001)
    finally:
        gc.enable()
    assert not is_there


def test_the_answer_to_whoever_was_cancelled_is_dropped(carry: Carry) -> None:
    """The function goes on; nothing complains when it ends."""
    begun, free, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        free.wait(20)
        ended.set()

    async def main() -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        waiting = asyncio.create_task(carry(work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        free.set()
        assert await carry(lambda: ended.wait(20))
        await carry(lambda: None)  # by then the first answer has come
        return complaints

    assert [] == asyncio.run(main())


def test_without_a_loop_there_is_nobody_to_answer(carry: Carry) -> None:
    """And nothing is done."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        carry(lambda: None).send(None)


def test_the_thread_counts_as_idle_before_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever hops again at once would get a thread of its own; and it counts once."""
    pool, idle = Workers(), list[int]()
    post = hop.post

    def posting(*args: Any) -> None:
        idle.append(len(pool._idle))
        post(*args)

    monkeypatch.setattr(hop, "workers", pool)
    monkeypatch.setattr(hop, "post", posting)

    async def main() -> list[int]:
        return [await in_thread(lambda n=n: n) for n in range(5)]

    assert [0, 1, 2, 3, 4] == asyncio.run(main())
    assert ([1] * 5, 1) == (idle, pool.count)


def test_a_loop_that_was_closed_before_an_answer_came_is_forgotten(carry: Carry) -> None:
    """As soon as there is another: an answer that nobody has heard leads to its loop, and a service makes many."""
    free = threading.Event()

    async def begin() -> None:
        task = asyncio.create_task(carry(free.wait))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()

    def close_too_early() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        free.set()
        until(lambda: loop in loops._boxes)  # it is told while it stands still
        loop.close()
        return weakref.ref(loop)

    closed = close_too_early()
    asyncio.run(carry(lambda: None))

    until(lambda: (gc.collect(), closed())[1] is None)  # the thread that has told it may still have it at hand
