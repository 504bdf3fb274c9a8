"""A computation that calls its own key on threads without its context: seen in the threads' stacks, and computed again instead of waited for."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, events, resilient, task
from holdfast.cache.default import set_default_cache
from holdfast.runtime import flight
from holdfast.runtime.standstill import current_frames, waits_for_this_thread

POLICY = CachePolicy(ttl=60, version="1")


def through_with(pool: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as own:
        future = own.submit(call)
    return future.result()


def through_join(pool: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
    values: list[Any] = []
    thread = threading.Thread(target=lambda: values.append(call()))
    thread.start()
    thread.join()
    return values[0]


WAYS: dict[str, Callable[[ThreadPoolExecutor, Callable[[], Any]], Any]] = {
    "result": lambda pool, call: pool.submit(call).result(),
    "map": lambda pool, call: next(iter(pool.map(lambda _: call(), [1]))),
    "wait": lambda pool, call: wait([pool.submit(call)]).done.pop().result(),
    "as_completed": lambda pool, call: next(as_completed([pool.submit(call)])).result(),
    "with": through_with,
    "join": through_join,
}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_calls_itself_through_threads_of_its_own_ends(pool, way):
    """Twice, one inside the other: the computation waits for a thread that waits for the next, and none for ever."""
    depth = 0

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    def again() -> int:
        nonlocal depth
        depth += 1
        return WAYS[way](pool, again) + 1 if depth < 3 else 0

    assert 2 == again()


def test_a_task_that_makes_a_run_of_itself_in_a_pool_ends(pool):
    """The wait goes over a future of ours and a worker of ours."""
    depth = 0
    set_default_cache(InMemoryCache())

    @task(cache_policy=POLICY)
    def again() -> int:
        nonlocal depth
        depth += 1
        return pool.submit(again.invoke).result() + 1 if depth < 3 else 0

    assert 2 == again.invoke()


def test_two_functions_that_need_each_other_through_a_pool_end(pool):
    """Each waits for a thread that waits for the other's computation."""
    barrier = threading.Barrier(2)
    calls = {1: 0, 2: 0}

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    def link(n: int) -> int:
        calls[n] += 1
        if calls[n] > 1:
            return 0
        barrier.wait(10)
        return pool.submit(link, 3 - n).result() + 1

    assert [1, 2] == sorted(future.result() for future in [pool.submit(link, n) for n in (1, 2)])


@pytest.mark.parametrize("has_context", [True, False])
def test_the_warning_says_how_to_hand_the_context_over(pool, monkeypatch, has_context):
    """As done there, nothing has to be found out."""
    depth = 0
    notes: list[events.Note] = []
    monkeypatch.setattr(events, "fallback", notes.append)

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    def again() -> int:
        nonlocal depth
        depth += 1
        if depth > 1:
            return 0
        return (pool.submit(contextvars.copy_context().run, again) if has_context else pool.submit(again)).result()

    assert 0 == again()
    found = [(note.event, "submit(contextvars.copy_context().run, again" in note.text) for note in notes]
    assert ([] if has_context else [("holdfast.cache.recursive", True)]) == found


def test_who_waits_for_somebody_else_is_left_alone(pool):
    """A computation that waits for a pool's work is not taken for one that waits for us."""
    release, looked = threading.Event(), threading.Event()
    idents: list[int] = []

    def compute() -> bool:
        idents.append(threading.get_ident())
        looked.set()
        return pool.submit(release.wait, 10).result()

    computing: Future[bool] = pool.submit(compute)
    assert looked.wait(10)
    is_waiting = waits_for_this_thread(idents[0], [])
    release.set()

    assert (False, True) == (is_waiting, computing.result(10))


def test_a_thread_does_not_wait_for_itself_and_a_thread_that_is_gone_for_nobody():
    """The edges of the question."""
    gone = threading.Thread(target=int)
    gone.start()
    gone.join()

    assert not waits_for_this_thread(threading.get_ident(), [])
    assert not waits_for_this_thread(gone.ident or 0, [])


def test_a_follower_who_looks_waits_on(pool, monkeypatch):
    """Who has looked at a computation that waits for nobody here goes on waiting for it, and computes nothing."""
    looks: list[bool] = []
    looked, release = threading.Event(), threading.Event()
    computed: list[int] = []

    def look(call: Any) -> bool:
        looks.append(is_stuck(call))
        looked.set()
        return looks[-1]

    is_stuck = flight.is_stuck
    monkeypatch.setattr(flight, "is_stuck", look)

    @resilient(cache_policy=POLICY)
    def slow() -> int:
        computed.append(1)
        assert release.wait(10)
        return 7

    both = [pool.submit(slow), pool.submit(slow)]
    assert looked.wait(10)
    release.set()

    assert [7, 7] == [each.result(10) for each in both]
    assert ([1], {False}) == (computed, set(looks))


@pytest.mark.parametrize("is_collecting", [True, False])
def test_the_collector_rests_while_frames_are_taken(monkeypatch: pytest.MonkeyPatch, *, is_collecting: bool) -> None:
    """And is afterwards as it was: a collection in the middle can be a deadlock of CPython's."""
    seen: list[bool] = []
    take = sys._current_frames
    monkeypatch.setattr(sys, "_current_frames", lambda: seen.append(gc.isenabled()) or take())
    before = gc.isenabled()
    (gc.enable if is_collecting else gc.disable)()
    try:
        frames, after = current_frames(), gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert threading.get_ident() in frames
    assert ([False], is_collecting) == (seen, after)
