"""Memory: what a call was given, returned or raised is free once nobody holds it, without waiting for the garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, RetryPolicy, entrypoint, resilient, task
from holdfast.runtime.dispatch import workers
from tests.waiting import until, until_async

AT_ONCE = RetryPolicy(retry_on=Exception, max_attempts=2, initial_interval=0.0001, max_interval=0.0001)


class Thing:
    """An argument or a result."""


class Failure(Exception):
    """An error."""


class Watch:
    """Makes things and errors, and knows whether they are gone."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Any]] = []

    def thing(self) -> Thing:
        return self._watched(Thing())

    def error(self) -> Failure:
        return self._watched(Failure())

    def _watched(self, made: Any) -> Any:
        self._made.append(weakref.ref(made))
        return made

    def left(self) -> int:
        """How many are still alive once the worker threads have come to rest."""
        assert self._made
        end = time.monotonic() + 30
        while any(each() is not None for each in self._made) and time.monotonic() < end:
            time.sleep(0.001)
        return sum(each() is not None for each in self._made)


@pytest.fixture
def watch() -> Iterator[Watch]:
    """With the garbage collector off."""
    gc.collect()
    gc.disable()
    yield Watch()
    gc.enable()


def call_and_drop(colour: Any, function: Any, *args: Any) -> None:
    """Inside the loop: `asyncio.run` keeps an error that leaves it, in a cycle of its own."""

    async def main() -> None:
        with contextlib.suppress(Failure):
            await function(*args)

    if colour.is_async:
        asyncio.run(main())
    else:
        with contextlib.suppress(Failure):
            function(*args)


def run_and_drop(colour: Any, runnable: Any, *args: Any) -> None:
    call_and_drop(colour, runnable.ainvoke if colour.is_async else runnable.invoke, *args)


def test_arguments_and_results_of_tasks(colour: Any, watch: Watch) -> None:
    """Of plain, retried, timed and nested tasks."""

    @task(retry_policy=AT_ONCE)
    @colour.define
    def leaf(given: Thing) -> Thing:
        return watch.thing()

    @task(timeout=60)
    @colour.define
    def timed(given: Thing) -> Any:
        leaf(watch.thing())
        return watch.thing()

    @entrypoint
    @colour.define
    def main(given: Thing) -> Any:
        for _ in range(3):
            leaf(watch.thing())
        return timed(watch.thing())

    run_and_drop(colour, main, watch.thing())
    assert 0 == watch.left()


@pytest.mark.parametrize("retry", [None, AT_ONCE])
def test_errors_of_tasks(colour: Any, watch: Watch, retry: RetryPolicy | None) -> None:
    """The raised, the retried, and what was in the frames they came through."""

    @task(retry_policy=retry)
    @colour.define
    def leaf(given: Thing) -> None:
        local = watch.thing()
        assert local is not given
        raise watch.error()

    @entrypoint
    @colour.define
    def main(given: Thing) -> Any:
        return leaf(watch.thing())

    run_and_drop(colour, main, watch.thing())
    assert 0 == watch.left()


@pytest.mark.parametrize("settings", [{}, {"timeout": 60}, {"retry_policy": AT_ONCE}], ids=str)
def test_resilient_functions(colour: Any, watch: Watch, settings: dict[str, Any]) -> None:
    """Succeeding at once, after a failure, and failing for good."""
    failures = 1

    @resilient(**{"retry_policy": AT_ONCE, **settings})
    @colour.define
    def flaky(given: Thing) -> Thing:
        nonlocal failures
        if failures:
            failures -= 1
            raise watch.error()
        return watch.thing()

    @resilient(**{"retry_policy": AT_ONCE, **settings})
    @colour.define
    def fail(given: Thing) -> None:
        raise watch.error()

    call_and_drop(colour, flaky, watch.thing())
    call_and_drop(colour, fail, watch.thing())
    assert 0 == watch.left()


def test_cached_calls_and_their_followers(watch: Watch, joined: list[Any]) -> None:
    """The computation of a key keeps neither its arguments nor its errors."""
    policy = CachePolicy(ttl=60, key_func=lambda given: "key", version="1", cache_if=lambda _: False)

    @resilient(cache_policy=policy, cache=InMemoryCache(), retry_policy=[])
    def fetch(given: Thing) -> Any:
        until(lambda: len(joined) == 3)
        if failing:
            raise watch.error()
        return watch.thing()

    def call() -> None:
        with contextlib.suppress(Failure):
            fetch(watch.thing())

    for failing in (False, True):  # noqa: B007 - the body reads it
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        del thread, threads
        joined.clear()
    assert 0 == watch.left()


def test_cancelled_tasks(watch: Watch) -> None:
    """Whether they had begun or not."""
    begun = threading.Event()

    @task
    async def sleepy(given: Thing) -> None:
        begun.set()
        await asyncio.sleep(60)

    @entrypoint(max_concurrency=1)
    async def main() -> None:
        futures = [sleepy(watch.thing()) for _ in range(3)]
        await until_async(begun.is_set)
        for future in futures:
            future.cancel()

    asyncio.run(main.ainvoke())
    assert 0 == watch.left()


@pytest.mark.parametrize("kind", ["sync task", "async task", "failing task", "retried", "invoke", "ainvoke"])
def test_many_calls_need_no_more_memory_than_a_few(kind: str) -> None:
    """Eight times the calls, the same memory: nothing is kept per call."""

    @task
    def double(x: int) -> int:
        return 2 * x

    @task
    async def triple(x: int) -> int:
        return 3 * x

    @task
    def fail(x: int) -> int:
        raise Failure(x)

    flips = iter(range(10**9))

    @resilient(retry_policy=AT_ONCE)
    def flip() -> None:
        if next(flips) % 2 == 0:
            raise Failure

    def calls(body: Callable[[], Any]) -> Callable[[int], None]:
        def many(count: int) -> None:
            for _ in range(count):
                body()

        return many

    @entrypoint
    def once() -> int:
        return double(1).result()

    @entrypoint
    async def aonce() -> int:
        return await triple(1)

    async def aonces(count: int) -> None:
        for _ in range(count):
            await aonce.ainvoke()

    bodies: dict[str, Callable[[int], Any]] = {
        "sync task": entrypoint(calls(lambda: double(1).result())).invoke,
        "async task": entrypoint(calls(lambda: triple(1).result())).invoke,
        "failing task": entrypoint(calls(lambda: fail(1).exception())).invoke,
        "retried": calls(flip),
        "invoke": calls(once.invoke),
        "ainvoke": lambda count: asyncio.run(aonces(count)),
    }
    body = bodies[kind]
    body(50)
    few = traced(lambda: body(50))
    many = traced(lambda: body(400))
    assert many < few + 30_000, (few, many)


def traced(job: Callable[[], object]) -> int:
    """Bytes that are in use after the job and were not before."""
    gc.collect()
    tracemalloc.start()
    try:
        job()
        while workers._jobs.has_items() or len(workers._idle) < workers.count:
            time.sleep(0.001)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
