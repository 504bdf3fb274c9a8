"""Single-flight: leaders that fail, are cancelled, time out or lose their run; followers of every kind; computations inside computations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, RetryPolicy, entrypoint, resilient, task
from holdfast.runtime import flight
from holdfast.runtime.run import Run
from holdfast.typing import CacheKey
from tests.waiting import until, until_async

POLICY = CachePolicy(ttl=60, version="1")


@pytest.fixture(autouse=True)
def _no_flight_is_left() -> Any:
    """Whatever happens, no key stays taken."""
    yield
    assert {} == flight._flights
    assert {} == flight._waiting


class Body:
    """A body that tells when it has begun and waits until it may end; its outcomes are used in turn."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.begun = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        self.calls = 0

    def __call__(self) -> Any:
        outcome = self._begin()
        assert self.release.acquire(timeout=30)
        return self._end(outcome)

    @property
    def function(self) -> Callable[[int], Any]:
        """The body as a function of one argument."""
        return lambda _: self()

    async def run_async(self) -> Any:
        outcome = self._begin()
        await until_async(lambda: self.release.acquire(blocking=False))
        return self._end(outcome)

    def _begin(self) -> Any:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        self.begun.release()
        return outcome

    def _end(self, outcome: Any) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Caller(threading.Thread):
    """Calls something in a thread and keeps the outcome."""

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._fn, self._args = fn, args
        self.value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.value = self._fn(*self._args)
        except BaseException as error:
            self.error = error

    def outcome(self) -> Any:
        self.join(30)
        assert not self.is_alive()
        return self.value if self.error is None else type(self.error)


def followers(fn: Callable[..., Any], joined: list[Any], count: int = 3) -> list[Caller]:
    """Threads whose calls have joined the leader's."""
    callers = [Caller(fn, 1) for _ in range(count)]
    until(lambda: len(joined) == count)
    return callers


def test_a_leaders_failure_is_everybodys(joined: list[Any]) -> None:
    """One execution; each caller gets the same error."""
    body = Body(KeyError("no"))
    fetch = resilient(cache_policy=POLICY, cache=InMemoryCache(), retry_policy=[])(body.function)
    leader = Caller(fetch, 1)
    assert body.begun.acquire(timeout=30)
    callers = followers(fetch, joined)
    body.release.release()

    assert [KeyError] * 4 == [each.outcome() for each in [leader, *callers]]
    assert 1 == body.calls


@pytest.mark.parametrize("death", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_a_leader_that_is_stopped_hands_over(death: BaseException, joined: list[Any]) -> None:
    """One of the sync callers that wait computes; the others get what it computed."""
    body = Body(death, "ok")
    fetch = resilient(cache_policy=POLICY, cache=InMemoryCache(), retry_policy=[])(body.function)
    leader = Caller(fetch, 1)
    assert body.begun.acquire(timeout=30)
    callers = followers(fetch, joined)
    for _ in range(2):
        body.release.release()

    assert ["ok"] * 3 == [each.outcome() for each in callers]
    assert (type(death), 2) == (leader.outcome(), body.calls)


def test_a_leader_whose_run_ends_early_hands_over(joined: list[Any], opened: list[Run]) -> None:
    """The failure that its run would not retry any more is its own; a caller in another run goes on under its own policy."""
    cache = InMemoryCache()
    body = Body(ConnectionError("flaky"), "ok")
    policy = RetryPolicy(initial_interval=30, jitter=False)

    @task(cache_policy=POLICY.replace(negative_ttl=60), retry_policy=policy)
    def fetch(_: int) -> Any:
        return body()

    @entrypoint(cache=cache)
    def doomed() -> None:
        fetch(1)
        assert body.begun.acquire(timeout=30)
        until(lambda: joined)
        raise ValueError("doomed")

    @entrypoint(cache=cache)
    def healthy() -> Any:
        return fetch(1).result()

    first = Caller(doomed.invoke)
    until(lambda: body.calls)
    second = Caller(healthy.invoke)
    until(lambda: opened[0].is_stopping)
    for _ in range(2):
        body.release.release()

    assert [ValueError, "ok"] == [first.outcome(), second.outcome()]


def test_followers_of_every_kind(joined: list[Any]) -> None:
    """In a thread, on two loops, as a task of a run: one execution of an async function for all."""
    cache = InMemoryCache()
    body = Body("ok")

    async def fetch(_: int) -> Any:
        return await body.run_async()

    plain = resilient(cache_policy=POLICY, cache=cache, name="fetch")(fetch)
    in_run = task(cache_policy=POLICY, name="fetch")(fetch)

    @entrypoint(cache=cache)
    def main() -> Any:
        return in_run(1).result()

    @entrypoint(cache=cache)
    async def amain() -> Any:
        return await asyncio.gather(in_run(1), in_run(1))

    callers = [Caller(lambda: asyncio.run(plain(1))), Caller(main.invoke), Caller(amain.invoke), Caller(lambda: asyncio.run(plain(1)))]
    until(lambda: len(joined) == 4)
    body.release.release()

    assert ["ok", "ok", ["ok", "ok"], "ok"] == [each.outcome() for each in callers]
    assert 1 == body.calls


def test_a_cancelled_follower_leaves_the_leader_alone(joined: list[Any]) -> None:
    """Whoever stops waiting does not stop the computation."""
    body = Body("ok")

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    async def fetch() -> Any:
        return await body.run_async()

    async def main() -> Any:
        leader, follower = asyncio.create_task(fetch()), asyncio.create_task(fetch())
        await until_async(lambda: joined)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower
        body.release.release()
        return await leader

    assert "ok" == asyncio.run(main())


def test_a_cancelled_follower_inside_a_computation_waits_no_longer() -> None:
    """Not in the books either, where a later call would take it for part of a ring."""
    body = Body("ok")

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    async def inner() -> Any:
        return await body.run_async()

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    async def outer() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await inner()
        return len(flight._waiting)

    async def main() -> Any:
        leader = asyncio.create_task(inner())
        await until_async(lambda: body.calls)
        left = await outer()
        body.release.release()
        return left, await leader

    assert (0, "ok") == asyncio.run(main())


def test_followers_hold_no_slot() -> None:
    """At max_concurrency=1 a leader that needs its slot back gets it, however many wait for it."""
    failures = 2

    @task(cache_policy=POLICY, retry_policy=RetryPolicy(initial_interval=0.001, max_interval=0.001))
    def fetch() -> str:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError
        return "ok"

    @entrypoint(cache=InMemoryCache(), max_concurrency=1)
    def main() -> list[str]:
        return [future.result() for future in [fetch() for _ in range(5)]]

    assert ["ok"] * 5 == main.invoke()


def test_a_timed_out_leader_is_everybodys_timeout() -> None:
    """The limit is the task's, and so the same for all."""
    release = threading.Event()

    @resilient(cache_policy=POLICY, cache=InMemoryCache(), retry_policy=[], timeout=0.05)
    def fetch(_: int) -> None:
        release.wait(30)

    callers = [Caller(fetch, 1) for _ in range(3)]
    outcomes = {each.outcome() for each in callers}
    release.set()
    assert {NodeTimeoutError} == outcomes


@pytest.mark.parametrize("is_nested_in_task", [False, True])
def test_a_function_inside_its_own_computation_does_not_wait_for_itself(is_nested_in_task: bool) -> None:
    """With equal arguments, directly, through gather, in a thread of its own because of a timeout: it computes, as if it were not cached."""
    depth = 0

    @resilient(cache_policy=POLICY, cache=InMemoryCache(), timeout=30)
    def again() -> int:
        nonlocal depth
        depth += 1
        return again() + 1 if depth < 3 else 0

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    async def again_async() -> int:
        nonlocal depth
        depth += 1
        return sum(await asyncio.gather(again_async())) + 1 if depth < 3 else 0

    @task
    def through() -> list[int]:
        return run()

    def run() -> list[int]:
        nonlocal depth
        first, depth = again(), 0
        return [first, asyncio.run(again_async())]

    caller = Caller(through.invoke if is_nested_in_task else run)
    assert [2, 2] == caller.outcome()


@pytest.mark.parametrize("size", [2, 5])
def test_computations_that_need_one_another_do_not_wait_in_a_ring(size: int, colour: Any) -> None:
    """Each computes the next one's key inside its own, all at once: the one that would close the ring computes for itself."""
    barrier, abarrier = threading.Barrier(size), asyncio.Barrier(size)
    depth = [0] * size

    @resilient(cache_policy=POLICY, cache=InMemoryCache())
    def link(n: int) -> int:
        depth[n] += 1
        if depth[n] > 1:
            return 0
        barrier.wait(30)
        return link((n + 1) % size) + 1

    @task(cache_policy=POLICY)
    async def alink(n: int) -> int:
        depth[n] += 1
        if depth[n] > 1:
            return 0
        await abarrier.wait()
        return await alink((n + 1) % size) + 1

    @entrypoint(cache=InMemoryCache())
    async def main() -> list[int]:
        return await asyncio.gather(*[alink(n) for n in range(size)])

    results = main.invoke() if colour.is_async else [each.outcome() for each in [Caller(link, n) for n in range(size)]]
    assert list(range(1, size + 1)) == sorted(results)


def test_a_sync_call_on_a_loop_does_not_wait_for_another_thread() -> None:
    """The computation under way may need the very loop that waiting would block: it computes."""
    body = Body("first", "second")
    fetch = resilient(cache_policy=POLICY, cache=InMemoryCache())(body.function)

    async def main() -> Any:
        leader = Caller(fetch, 1)
        assert body.begun.acquire(timeout=30)
        body.release.release()
        body.release.release()
        return [fetch(1), leader.outcome()]

    assert {"first", "second"} >= set(asyncio.run(main()))


def test_equal_keys_in_two_caches_are_two_computations() -> None:
    """Nobody waits for a value that goes into another cache."""
    body = Body("a", "b")
    one, other = (resilient(cache_policy=POLICY, cache=InMemoryCache())(body.function) for _ in range(2))
    callers = [Caller(one, 1), Caller(other, 1)]
    for _ in range(2):
        assert body.begun.acquire(timeout=30)
    for _ in range(2):
        body.release.release()

    assert {"a", "b"} == {each.outcome() for each in callers}


def test_a_cancellation_is_never_remembered() -> None:
    """Not even where failures are."""
    cache = InMemoryCache()
    release = threading.Event()
    calls = 0

    @task
    def child() -> None:
        release.wait(30)

    @task(cache_policy=POLICY.replace(negative_ttl=60))
    def parent() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            blocker, future = child(), child()  # one slot: the second one waits in line
            future.cancel()
            release.set()
            blocker.result()
            future.result()
        return "ok"

    @entrypoint(cache=cache, max_concurrency=1)
    def main() -> str:
        return parent().result()

    from concurrent.futures import CancelledError

    with pytest.raises(CancelledError):
        main.invoke()
    assert "ok" == main.invoke()


def test_a_store_that_breaks_the_protocol_takes_no_key_with_it() -> None:
    """A cache that raises between boarding and computing fails the call, and the next one computes."""

    class Broken(InMemoryCache):
        is_broken = False
        looks = 0

        def peek(self, *args: Any) -> Any:
            self.looks += 1
            if self.is_broken and self.looks == 2:
                raise OSError("broken")
            return super().peek(*args)

    cache = Broken()
    cache.is_broken = True

    @resilient(cache_policy=POLICY, cache=cache, retry_policy=[])
    def fetch() -> str:
        return "ok"

    with pytest.raises(OSError, match="broken"):
        fetch()
    cache.is_broken = False
    assert "ok" == Caller(fetch).outcome()


class Stub:
    """As much of a call as boards."""

    cache, key, is_stranded, turn = object(), CacheKey("app.fetch@1", b"k" * 16), False, None
    plan = type("Plan", (), {"is_async": True})


def test_the_first_to_board_leads_until_it_leaves() -> None:
    """One made inside its computation does not, and is inside of it, which the first is not."""
    first: Any = Stub()
    inner: Any = Stub()
    assert not flight.leads(first)
    assert flight.board(first) is None
    try:
        assert (True, False) == (flight.leads(first), flight.leads(inner))
        assert (False, True) == (flight.is_inside(first), flight.is_inside(inner))
    finally:
        flight.leave(first)
    assert (False, False) == (flight.leads(first), flight.is_inside(inner))


def test_who_waits_for_a_computation_whose_loop_has_stopped_looks_again() -> None:
    """As soon as somebody else takes over, who is then waited for."""
    stranded: Any = Stub()
    follower: Any = Stub()
    next_one: Any = Stub()
    contexts = [copy_context() for _ in range(3)]
    assert contexts[0].run(flight.board, stranded) is None
    waiting = contexts[1].run(flight.board, follower)
    assert waiting is not None
    stranded.is_stranded = True

    assert contexts[2].run(flight.board, next_one) is None
    assert waiting.cancelled()
    again = contexts[1].run(flight.board, follower)
    assert again is not None
    assert not again.done()
    contexts[2].run(flight.leave, next_one)


def test_the_turn_among_processes_ends_when_the_value_is_stored(colour: Any) -> None:
    """Or when there is none: whoever waits in another process need not find out that nobody computes any more."""
    told: list[str] = []

    class Lease:
        def take(self) -> bool:
            told.append("take")
            return True

        def has_news(self) -> bool:
            return False

        def release(self) -> None:
            told.append("release")

    class Shared(InMemoryCache):
        def lease(self, _: CacheKey) -> Lease:
            return Lease()

        def set(self, *args: Any, **kwargs: Any) -> Any:
            told.append("set")
            return super().set(*args, **kwargs)

    @resilient(cache_policy=POLICY, cache=Shared(), retry_policy=[])
    @colour.define
    def fetch(n: int) -> int:
        return 1 // n

    assert 1 == colour.run(fetch, 1)
    with pytest.raises(ZeroDivisionError):
        colour.run(fetch, 0)
    assert ["take", "set", "release", "take", "release"] == told
