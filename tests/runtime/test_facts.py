"""What observers are told: each run, call and attempt starts and ends once, in one context, with an outcome, however it goes."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextlib
import contextvars
import sys
import threading
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, RetryPolicy, entrypoint, events, resilient, task
from holdfast.runtime.run import Run
from holdfast.testing import FakeClock, recorded
from tests.waiting import until, until_async

POLICY = CachePolicy(ttl=60, version="1")


def test_hits_misses_and_coalesced_calls(colour: Any, rules: Any, joined: list[Any]) -> None:
    """Each is a call; only the computation has an attempt."""

    def fetch_sync(x: int) -> int:
        until(lambda: joined)
        return x

    async def fetch_async(x: int) -> int:
        await until_async(lambda: joined)
        return x

    fetch = task(name="fetch", cache_policy=POLICY)(fetch_async if colour.is_async else fetch_sync)

    @entrypoint(cache=InMemoryCache(), name="main")
    def main() -> list[int]:
        return [future.result() for future in [fetch(1), fetch(1)]] + [fetch(1).result()]

    with recorded() as recording:
        assert [1, 1, 1] == main.invoke()
    assert {"miss": 1, "coalesced": 1, "hit": 1} == count(fact.get("cache", "") for fact in recording.facts if fact["kind"] == "call")
    assert {("attempt", "fetch", "ok"): 1, ("call", "fetch", "ok"): 3} == count(each for each in rules.ended if each[1] == "fetch")


def count(things: Any) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for thing in things:
        found[thing] = found.get(thing, 0) + 1
    return found


def test_timeouts_of_both_colours(rules: Any) -> None:
    """Attempt and call say timeout, and the thread that goes on says nothing more."""
    release = threading.Event()

    @task(name="stuck", timeout=0.02)
    def stuck() -> None:
        release.wait(30)

    @task(name="asleep", timeout=0.02)
    async def asleep() -> None:
        await asyncio.sleep(60)

    @entrypoint(name="main")
    def main() -> None:
        for each in (stuck, asleep):
            with contextlib.suppress(NodeTimeoutError):
                each().result()

    main.invoke()
    release.set()
    assert [("attempt", "stuck", "timeout"), ("call", "stuck", "timeout")] == rules.ended[:2]
    assert [("attempt", "asleep", "timeout"), ("call", "asleep", "timeout")] == rules.ended[2:4]


def test_cancellations_at_work_in_line_and_between_attempts(rules: Any) -> None:
    """A call that never began was never started; the others end as cancelled."""
    begun: list[None] = []

    @task(name="asleep")
    async def asleep() -> None:
        begun.append(None)
        await asyncio.sleep(60)

    @task(name="waiting", retry_policy=RetryPolicy(initial_interval=60, jitter=False))
    async def waiting() -> None:
        raise ConnectionError

    @entrypoint(name="main", max_concurrency=1)
    async def main() -> None:
        futures = [waiting(), asleep(), asleep()]
        await until_async(lambda: begun)  # which has the slot that the first one gave back to wait
        for future in futures:
            future.cancel()
        await asyncio.wait(futures)

    main.invoke()
    expected = [
        ("attempt", "waiting", "error"),
        ("call", "waiting", "cancelled"),
        ("attempt", "asleep", "cancelled"),
        ("call", "asleep", "cancelled"),
    ]
    assert sorted(expected) == sorted(rules.ended[:-3])


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "batch"])
def test_a_failing_run_in_every_way_to_run_it(how: str, colour: Any, rules: Any) -> None:
    """Calls first, then the body, then the run."""

    @task(name="fail", retry_policy=RetryPolicy(max_attempts=2))
    @colour.define
    def fail() -> None:
        raise ConnectionError

    @entrypoint(name="main")
    @colour.define
    def main(_: int) -> Any:
        return fail()

    async def drained() -> None:
        async for _ in main.astream(1):
            pass

    ways: dict[str, Any] = {
        "invoke": lambda: main.invoke(1),
        "ainvoke": lambda: asyncio.run(main.ainvoke(1)),
        "stream": lambda: list(main.stream(1)),
        "astream": lambda: asyncio.run(drained()),
        "batch": lambda: main.batch([1]),
    }
    with FakeClock(), pytest.raises(ConnectionError):
        ways[how]()
    steps = [("attempt", "fail"), ("attempt", "fail"), ("call", "fail"), ("attempt", "main"), ("body", "main"), ("run", "main")]
    assert [(*step, "error") for step in steps] == rules.ended


def test_a_cancelled_run_whose_sync_body_goes_on(rules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends as cancelled; the body ends when it ends, in its own thread."""
    monkeypatch.setattr("holdfast.runtime._ports.DRAIN_SECONDS", 0.01)
    begun, release = threading.Event(), threading.Event()

    @entrypoint(name="main")
    def main() -> None:
        begun.set()
        release.wait(30)

    async def cancel() -> None:
        running = asyncio.create_task(main.ainvoke())
        await until_async(begun.is_set)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    release.set()
    until(lambda: len(rules.ended) == 3)
    assert [("run", "main", "cancelled"), ("attempt", "main", "ok"), ("body", "main", "ok")] == rules.ended


def test_calls_made_by_many_threads_are_numbered_without_gaps(opened: list[Run], rules: Any) -> None:
    """The ordinal of a call, and the number of calls of the run."""

    @task
    def nothing() -> None:
        return None

    @entrypoint
    def main() -> None:
        with cf.ThreadPoolExecutor(8) as pool:
            cf.wait([pool.submit(contextvars.copy_context().run, nothing) for _ in range(200)])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        main.invoke()
    finally:
        sys.setswitchinterval(before)
    assert 200 == opened[0].facts.calls


def test_a_cancelled_child_is_no_failure_to_retry(rules: Any) -> None:
    """Whatever the parent's policy says; it ends as cancelled."""

    @task(name="child")
    def child() -> None:
        return None

    @task(name="parent", retry_policy=RetryPolicy(retry_on=Exception))
    def parent() -> None:
        blocker, future = hold(), child()
        future.cancel()
        release.set()
        blocker.result()
        future.result()

    @task(name="hold")
    def hold() -> None:
        release.wait(30)

    @entrypoint(name="main", max_concurrency=1)
    def main() -> bool:
        future = parent()
        cf.wait([future])
        return future.cancelled()

    release = threading.Event()
    assert main.invoke()
    assert [("attempt", "parent", "cancelled"), ("call", "parent", "cancelled")] == rules.ended[2:4]


def test_resilient_calls_of_both_colours(colour: Any, rules: Any) -> None:
    """Success after a failure, failure, a hit, and an exception that is none."""
    outcomes: list[Any] = [ConnectionError(), "ok", KeyError(), KeyboardInterrupt()]

    @resilient(name="call", cache_policy=POLICY, cache=InMemoryCache())
    @colour.define
    def call(n: int) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with FakeClock():
        assert ["ok", "ok"] == [colour.run(call, 1), colour.run(call, 1)]
        for error in (KeyError, KeyboardInterrupt):
            with pytest.raises(error):
                colour.run(call, 2)
    told = [(kind, outcome) for kind, _, outcome in rules.ended]
    expected = [("attempt", "error"), ("attempt", "ok"), ("call", "ok"), ("call", "ok"), ("attempt", "error"), ("call", "error")]
    assert [*expected, ("attempt", "cancelled"), ("call", "cancelled")] == told


@pytest.mark.parametrize("is_detected", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"deadline": 60}, {"cache_policy": POLICY, "cache": InMemoryCache()}], ids=["plain", "limited", "cached"]
)
def test_every_kind_of_resilient_call_is_told(
    settings: dict[str, Any], is_detected: bool, colour: Any, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether somebody observes, or a reason to observe is found at the call."""
    if is_detected:
        events.observe(None)
        monkeypatch.setattr(events, "detect", lambda: rules)

    @resilient(name="call", **settings)
    @colour.define
    def call(n: str) -> str:
        return n

    name = f"{colour.name} {is_detected}"
    assert name == colour.run(call, name)

    assert [("attempt", "call", "ok"), ("call", "call", "ok")] == rules.ended


def test_nobody_is_told_when_nobody_listens(colour: Any, rules: Any) -> None:
    """The call is then made without any record."""
    events.observe(None)

    @resilient
    @colour.define
    def call() -> str:
        return "ok"

    assert "ok" == colour.run(call)
    assert [] == rules.ended
