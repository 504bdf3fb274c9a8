"""Old values served at once while one computation behind the callers' backs renews them."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, PolicyError, RetryPolicy, _wiring, entrypoint, get_config, resilient, runtime, task
from holdfast.runtime import behind, flight, lookup
from holdfast.testing import FakeClock, recorded
from tests.runtime.stale import Setup, Sync
from tests.waiting import until, until_async

WINDOW = {"ttl": 60, "stale_while_revalidate": 60}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Whatever happens, nothing stays under way."""
    yield
    until(lambda: not behind._under_way)
    assert {} == flight._flights


def test_an_old_value_is_served_at_once_and_renewed_behind(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """The caller waits for nothing, though the source hangs; when it has answered, the next caller gets the new value."""
    fetch = Setup(colour, kind, cache, cache_policy=WINDOW)
    assert 1 == fetch.call()
    still.advance(61)
    fetch.source.gate.clear()

    with recorded() as told:
        assert [1, 1, 1] == [fetch.call() for _ in range(3)]
        until(lambda: fetch.source.asked >= 2)
        fetch.source.gate.set()
        until(lambda: not behind._under_way)
    assert fetch.source.asked in ((2, 3) if colour.is_async else (2,))  # where its loop ended with it, it was begun once more
    assert fetch.source.asked == fetch.call()

    stale = [each for each in told.facts if each.get("cache") == "stale"]
    assert [(61.0, 1)] * 3 == [(each["cache_age_s"], each["result"]) for each in stale]
    others = {each["cache"] for each in told.facts if each["kind"] == "call" and each not in stale}
    assert {"refresh"} == others - {"hit"}  # one begun once more may find that the first had come to store its value


@pytest.mark.parametrize(("age", "asked"), [(59.9, 1), (60, 2), (119.9, 2), (120, 2)])
def test_the_windows_bounds(colour: Any, still: FakeClock, age: float, asked: int) -> None:
    """Fresh before the ttl; old in the window; after it the caller waits for a new value."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(age)

    assert (2 if age >= 120 else 1) == fetch.call()
    fetch.source.settled(asked)
    assert asked == fetch.source.asked


def test_threads_that_find_an_old_value_begin_one_refresh(kind: str, still: FakeClock) -> None:
    """Thirty callers at once, and one more execution."""
    fetch = Setup(Sync, kind, InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(61)
    fetch.source.gate.clear()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(fetch.call())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    fetch.source.gate.set()
    fetch.source.settled(2)

    assert ([1] * 30, 2, 2) == (found, fetch.source.asked, fetch.call())


def test_a_caller_that_finds_nothing_to_serve_joins_the_refresh(still: FakeClock) -> None:
    """The window has ended while the refresh was under way: it is waited for, not begun once more."""
    answers: list[Any] = []
    gate = threading.Event()

    @resilient(cache_policy=CachePolicy(version="1", **WINDOW), cache=InMemoryCache(), retry_policy=[])
    def fetch() -> int:
        answers.append(None)
        if len(answers) > 1:
            assert gate.wait(60)
        return len(answers)

    fetch()
    still.advance(61)
    fetch()
    until(lambda: len(answers) == 2)
    still.advance(120)
    joined: list[int] = []
    waiter = threading.Thread(target=lambda: joined.append(fetch()))
    waiter.start()
    gate.set()
    waiter.join(60)

    assert ([2], 2) == (joined, len(answers))


def test_a_refresh_that_fails_is_a_note(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """The old value is served on; the source is left alone for the throttle, and then asked again."""
    fetch = Setup(colour, kind, cache, cache_policy={"ttl": 60, "stale_while_revalidate": "10m", "fail_safe_throttle": 5})
    fetch.call()
    still.advance(61)
    fetch.source.broken = ConnectionError("down")

    with recorded() as told:
        assert 1 == fetch.call()
        fetch.source.settled(2)
        asked = fetch.source.asked
        assert [1, 1] == [fetch.call() for _ in range(2)]
        fetch.source.settled(asked)
    assert asked == fetch.source.asked
    (note,) = told.notes
    assert ("holdfast.cache.refresh_failed", "warning", "fetch") == (note["event"], note["level"], note["task"])
    assert (
        "the refresh of fetch behind its callers failed (ConnectionError: down): the old value is served on until its window ends, and the "
        "source is asked again in 5s"
    ) == note["text"]

    still.advance(5)
    fetch.source.broken = None
    assert 1 == fetch.call()
    fetch.source.settled(asked + 1)
    assert fetch.source.asked == fetch.call() > asked


def test_no_other_refresh_begins_before_a_source_that_failed_is_left_alone(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """A caller that finds the old value in that very moment."""
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(61)
    fetch.source.broken = ConnectionError("down")
    hold_off = lookup.hold_off
    monkeypatch.setattr(lookup, "hold_off", lambda *args: (fetch.call(), hold_off(*args)))
    fetch.call()
    fetch.source.settled(2)

    assert 2 == fetch.source.asked


def test_when_the_window_has_ended_the_failure_is_the_callers(colour: Any, still: FakeClock) -> None:
    """A throttle holds only while there is something to serve."""
    fetch = Setup(colour, "resilient", InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(115)
    fetch.source.broken = ConnectionError("down")
    fetch.call()
    fetch.source.settled(2)
    still.advance(10)

    with pytest.raises(ConnectionError, match="down"):
        fetch.call()


def test_a_refresh_is_retried_by_the_calls_own_policy(colour: Any, kind: str) -> None:
    """Two failures and a success make one refresh, without a note."""
    failures = [ConnectionError("one"), ConnectionError("two")]
    with FakeClock() as still:
        fetch = Setup(colour, kind, InMemoryCache(), cache_policy=WINDOW, retry_policy=RetryPolicy(max_attempts=3))
        fetch.call()
        still.advance(61)
        answer = fetch.source._answer

        def flaky(number: int) -> int:
            if failures:
                raise failures.pop()
            return answer(number)

        fetch.source._answer = flaky  # type: ignore[method-assign]
        with recorded() as told:
            assert 1 == fetch.call()
            until(lambda: not failures and not behind._under_way)
        assert [] == told.notes
        (attempts,) = [each["attempts"] for each in told.facts if each.get("cache") == "refresh" and each["outcome"] == "ok"]
        assert attempts in ((2, 3) if colour.is_async else (3,))  # the first was cut short by the end of its loop
        assert fetch.source.asked == fetch.call()


def test_a_refreshed_task_may_call_tasks(still: FakeClock) -> None:
    """Its body is a run of its own: with its own run id, the config of the run around, and tasks that it need not wait for."""
    seen: list[Any] = []
    done: list[int] = []

    @task
    def part(n: int) -> int:
        time.sleep(0.01)
        done.append(n)
        return n

    @task(cache_policy=CachePolicy(ttl=60, stale_while_revalidate=60, version="1"))
    def whole(config: dict[str, Any], n: int = 1) -> int:
        seen.append((config["configurable"]["user"], get_config()["configurable"]["run_id"]))
        part(10)
        return part(len(seen)).result() * n

    @entrypoint(cache=InMemoryCache())
    def main() -> Any:
        return whole().result()

    config = {"configurable": {"user": "ada"}}
    assert 1 == main.invoke(config=config)
    still.advance(61)
    assert 1 == main.invoke(config=config)
    until(lambda: len(seen) == 2 and not behind._under_way)

    assert 2 == main.invoke(config=config)
    assert ["ada", "ada"] == [user for user, _ in seen]
    assert 2 == len({run_id for _, run_id in seen})
    assert 2 == done.count(10)


def test_it_runs_in_a_copy_of_the_callers_context(colour: Any, still: FakeClock) -> None:
    """Who asks may matter to the body; what it sets is nobody else's."""
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    @resilient(cache_policy=CachePolicy(version="1", **WINDOW), cache=InMemoryCache())
    @colour.define
    def fetch() -> str:
        seen.append(tenant.get())
        tenant.set("changed")
        return seen[-1]

    colour.run(fetch)
    still.advance(61)
    tenant.set("ada")
    colour.run(fetch)
    until(lambda: len(seen) >= 2 and not behind._under_way)

    assert ("ada", "ada") == (seen[-1], tenant.get())


def test_no_more_than_so_many_at_once(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """A cache that expires as a whole does not start a thread for each key; the others are refreshed when they are asked for again."""
    monkeypatch.setattr(behind, "MOST", 3)
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=WINDOW)
    for key in range(10):
        fetch.call(key)
    still.advance(61)
    fetch.source.gate.clear()
    for key in range(10):
        fetch.call(key)
    assert 3 == len(behind._under_way)
    fetch.source.gate.set()
    fetch.source.settled(13)

    assert 13 == fetch.source.asked


def test_an_observer_that_follows_no_calls_is_told_of_a_refresh(rules: Any, still: FakeClock) -> None:
    """What it need not have, it is not asked for."""
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(61)
    fetch.call()
    fetch.source.settled(2)

    assert [("call", "fetch", "ok")] * 3 == [ended for ended in rules.ended if ended[0] == "call"]


def test_a_program_waits_once_at_its_end(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """However many refreshes there were: one that runs for months does not gather exit handlers."""
    handlers: list[Any] = []
    monkeypatch.setattr(behind, "atexit", SimpleNamespace(register=handlers.append))
    monkeypatch.setattr(behind, "_is_registered", False)
    fetch = Setup(Sync, "resilient", InMemoryCache(), cache_policy=WINDOW)
    for asked in range(1, 4):
        fetch.call()
        fetch.source.settled(asked)
        still.advance(61)

    assert 1 == len(handlers)


def test_a_refresh_that_cannot_begin_is_over(colour: Any, kind: str, monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """Here there is no memory for its call: the old value is served on, nobody waits for ever, and the next call may begin another."""

    def make_nothing(*_: Any) -> None:
        raise MemoryError

    fetch = Setup(colour, kind, InMemoryCache(), cache_policy=WINDOW)
    fetch.call()
    still.advance(61)
    with monkeypatch.context() as patched:
        patched.setattr(behind, "Call", make_nothing)
        assert 1 == fetch.call()
        until(lambda: not behind._under_way)

    assert 1 == fetch.call()
    fetch.source.settled(2)


def test_whoever_waits_for_what_no_thread_can_be_had_for_looks_for_itself(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """It had joined before that was known; nobody would ever tell it."""
    found: list[int] = []
    joined: list[Any] = []
    join, run = behind.Behind.joined_by, behind.workers.run
    monkeypatch.setattr(behind.Behind, "joined_by", lambda self, call: (join(self, call), joined.append(call))[0])

    @resilient(cache_policy=CachePolicy(version="1", ttl=60, hard_timeout=3600), cache=InMemoryCache())
    def fetch() -> int:
        return 1

    def refuse(work: Callable[[], object]) -> None:
        monkeypatch.setattr(behind.workers, "run", run)
        waiter.start()
        until(lambda: joined)
        raise RuntimeError("can't start new thread")

    waiter = threading.Thread(target=lambda: found.append(fetch()), daemon=True)
    monkeypatch.setattr(behind.workers, "run", refuse)
    assert 1 == fetch()
    waiter.join(60)

    assert [1] == found


# -- loops ------------------------------------------------------------------------------------------------------------------------


def stale_async(body: Callable[[], Any]) -> Any:
    return resilient(cache_policy=CachePolicy(version="1", **WINDOW), cache=InMemoryCache(), retry_policy=[])(body)


def test_an_async_refresh_runs_on_the_loop_of_the_call(still: FakeClock) -> None:
    """Clients and pools belong to a loop."""
    loops: list[Any] = []

    async def body() -> int:
        loops.append(asyncio.get_running_loop())
        return len(loops)

    fetch = stale_async(body)

    async def main() -> list[int]:
        first = await fetch()
        await still.advance_async(61)
        second = await fetch()
        while behind._under_way:
            await asyncio.sleep(0)
        return [first, second, await fetch()]

    assert [1, 1, 2] == asyncio.run(main())
    assert 1 == len(set(loops))


@pytest.mark.parametrize("is_begun", [False, True], ids=["before its first step", "under way"])
def test_a_refresh_whose_loop_ends_is_begun_once_more(still: FakeClock, is_begun: bool) -> None:
    """asyncio.run cancels what it finds; the value is computed on holdfast's own loop, and asyncio.run has waited for nothing."""
    begun: list[str] = []

    async def body() -> int:
        begun.append(threading.current_thread().name)
        if begun[-1] == "MainThread" and len(begun) > 1:
            await asyncio.sleep(3600)
        return len(begun)

    fetch = stale_async(body)
    asyncio.run(fetch())
    still.advance(61)

    async def main() -> int:
        value = await fetch()
        if is_begun:
            await until_async(lambda: len(begun) == 2)
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        return value  # type: ignore[no-any-return]

    assert 1 == asyncio.run(main())
    until(lambda: not behind._under_way)
    assert ["MainThread", *["MainThread"] * is_begun, "holdfast-loop"] == begun
    assert len(begun) == asyncio.run(fetch())


def left_refreshing(fetch: Any, begun: list[Any], still: FakeClock) -> asyncio.AbstractEventLoop:
    """A loop that stands still in the middle of a refresh, the second time that the body has begun."""
    asyncio.run(fetch())
    still.advance(61)
    loop = asyncio.new_event_loop()

    async def main() -> None:
        await fetch()
        await until_async(lambda: len(begun) == 2)

    loop.run_until_complete(main())
    return loop


@pytest.mark.parametrize("age", [0, 60], ids=["old", "expired"])
def test_a_refresh_on_a_loop_that_stands_still_is_given_up(still: FakeClock, age: float) -> None:
    """A loop that is never run again, nor closed: the next call begins another refresh, or computes, instead of counting on that one."""
    begun: list[int] = []

    async def body() -> int:
        begun.append(1)
        if len(begun) == 2:
            await asyncio.sleep(3600)
        return len(begun)

    fetch = stale_async(body)
    loop = left_refreshing(fetch, begun, still)
    still.advance(age)
    assert (3 if age else 1) == asyncio.run(fetch())
    if not age:
        until(lambda: len(begun) >= 3 and not behind._under_way)
    assert 3 == asyncio.run(fetch())
    for left in asyncio.all_tasks(loop):
        left.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_refreshes_on_loops_that_stand_still_take_nobodys_room(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """Each makes a loop of its own and never ends it: with as many as may be under way at once, others are refreshed all the same."""
    monkeypatch.setattr(behind, "MOST", 2)
    begun: list[str] = []

    @resilient(cache_policy=CachePolicy(version="1", **WINDOW), cache=InMemoryCache(), retry_policy=[])
    async def fetch(key: str) -> str:
        begun.append(key)
        if key != "good" and begun.count(key) == 2:
            await asyncio.sleep(3600)
        return key

    async def leave_refreshing(key: str) -> None:
        await fetch(key)
        await until_async(lambda: begun.count(key) == 2)

    for key in ("left", "too", "good"):
        asyncio.run(fetch(key))
    still.advance(61)
    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    for loop, key in zip(loops, ("left", "too"), strict=True):
        loop.run_until_complete(leave_refreshing(key))
    asyncio.run(fetch("good"))

    until(lambda: begun.count("good") >= 2 and not behind._under_way)
    for loop in loops:
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


def test_a_cancelled_refresh_that_finds_no_other_loop_is_left_to_later_calls(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """Cancelled before its first step, it would begin on a loop of ours, for which the system has no thread just then."""
    begun: list[int] = []

    async def body() -> int:
        begun.append(1)
        return len(begun)

    def no_loop() -> asyncio.AbstractEventLoop:
        raise RuntimeError("can't start new thread")

    async def leave() -> int:
        value = await fetch()
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        return value

    fetch = stale_async(body)
    asyncio.run(fetch())
    still.advance(61)
    with monkeypatch.context() as patch:
        patch.setattr(behind, "background_loop", no_loop)
        assert 1 == asyncio.run(leave())
    assert {} == behind._under_way

    assert 1 == asyncio.run(fetch())
    until(lambda: len(begun) >= 2 and not behind._under_way)


def test_an_old_value_is_served_where_too_many_files_are_open(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """The first time that one is old; the next call has it refreshed."""
    begun: list[int] = []

    @resilient(cache_policy=CachePolicy(version="1", **WINDOW), cache=InMemoryCache(), retry_policy=[])
    def fetch() -> int:
        begun.append(1)
        return len(begun)

    class NoMoreFiles:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "holdfast.runtime.behind":
                raise OSError(errno.EMFILE, "Too many open files")

    fetch()
    still.advance(61)
    with monkeypatch.context() as patch:
        patch.setattr(lookup, "start_behind", _wiring._start_behind)
        patch.delitem(sys.modules, "holdfast.runtime.behind")
        patch.delattr(runtime, "behind")
        patch.setattr(sys, "meta_path", [NoMoreFiles(), *sys.meta_path])
        assert 1 == fetch()
    assert [1] == begun

    assert 1 == fetch()
    until(lambda: len(begun) >= 2 and not behind._under_way)


def test_whoever_waits_for_what_is_given_up_looks_for_itself(monkeypatch: pytest.MonkeyPatch, still: FakeClock) -> None:
    """It had joined a computation whose loop then stopped; the next caller finds that out, and both have what that one computes."""
    begun: list[int] = []
    joined: list[Any] = []
    found: list[int] = []
    join = behind.Behind.joined_by
    monkeypatch.setattr(behind.Behind, "joined_by", lambda self, call: (join(self, call), joined.append(call))[0])

    @resilient(cache_policy=CachePolicy(version="1", ttl=60, hard_timeout=3600), cache=InMemoryCache(), retry_policy=[])
    async def fetch() -> int:
        begun.append(1)
        if len(begun) == 1:
            await asyncio.sleep(3600)
        return len(begun)

    async def main() -> None:
        asyncio.get_running_loop().create_task(fetch())
        await until_async(lambda: begun)
        waiter.start()
        await until_async(lambda: joined)

    waiter = threading.Thread(target=lambda: found.append(asyncio.run(fetch())), daemon=True)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    assert 2 == asyncio.run(fetch())
    waiter.join(60)

    assert [2] == found
    for left in asyncio.all_tasks(loop):
        left.cancel()
    loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
    loop.close()


def test_a_refresh_that_was_given_up_may_still_end(still: FakeClock) -> None:
    """Its loop goes on after all: how it ended is nobody's business any more, as there is a newer value."""
    begun: list[asyncio.Event] = []

    async def body() -> int:
        begun.append(asyncio.Event())
        if len(begun) == 2:
            await begun[1].wait()
            raise ConnectionError("down")
        return len(begun)

    fetch = stale_async(body)
    loop = left_refreshing(fetch, begun, still)
    assert 1 == asyncio.run(fetch())
    until(lambda: len(begun) >= 3 and not behind._under_way)
    (left,) = asyncio.all_tasks(loop)
    begun[1].set()
    with recorded() as told:
        loop.run_until_complete(left)
    loop.close()

    assert [] == told.notes
    assert 3 == asyncio.run(fetch())


# -- processes --------------------------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys, time
from holdfast import CachePolicy, DiskCache, resilient
{imports}
policy = CachePolicy(ttl=0.2, stale_while_revalidate="1h", version="1")
def body():
    time.sleep(float(sys.argv[2]))
    return "new"
async def body_async():
    await asyncio.sleep(float(sys.argv[2]))
    return "new"
fetch = resilient(name="fetch", cache_policy=policy.replace(key_func=lambda: "key"), cache=DiskCache(sys.argv[1]))(body{colour})
begun = time.monotonic()
print({call}, flush=True)
"""


def program(tmp_path: Path, colour: Any, seconds: float, imports: str = "") -> tuple[str, float]:
    """Run it in a process of its own: what it printed, and how long it took."""
    code = PROGRAM.format(
        imports=imports, colour="_async" if colour.is_async else "", call="asyncio.run(fetch())" if colour.is_async else "fetch()"
    )
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cache"), str(seconds)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip(), time.monotonic() - begun


def put_old_value(tmp_path: Path, colour: Any) -> None:
    code = PROGRAM.format(imports="", colour="_async" if colour.is_async else "", call="1")
    code += (
        "import holdfast.clock as c\nfrom holdfast.testing import FakeClock\n"
        "with FakeClock(start=time.time() - 60):\n    fetch_value = 'old'\n"
        "    from holdfast.values.late import LateCodec\n    cache = DiskCache(sys.argv[1])\n"
        "    cache.set(fetch.key(), 'old', fetch.plan.codec, ttl=9999.0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache"), "0"], timeout=60, check=True, capture_output=True)


def test_a_process_that_exits_waits_for_its_refresh(colour: Any, tmp_path: Path) -> None:
    """A short script gets the old value at once, and still leaves the new one to the next."""
    put_old_value(tmp_path, colour)
    patient = "from holdfast.runtime import behind; behind.EXIT_SECONDS = 30"  # on a busy machine it may take longer than the two seconds

    assert ["old", "new"] == [program(tmp_path, colour, 0.3, patient)[0] for _ in range(2)]


def test_a_process_that_exits_waits_no_longer_than_that(colour: Any, tmp_path: Path) -> None:
    """A source that hangs holds nothing up for more than two seconds."""
    put_old_value(tmp_path, colour)

    text, seconds = program(tmp_path, colour, 3600)

    assert "old" == text
    assert seconds < 30


@pytest.mark.parametrize("field", [{"stale_while_revalidate": 60}, {"refresh_ahead": 0.5}])
def test_an_entrypoint_is_not_refreshed_behind_anybodys_back(field: dict[str, Any]) -> None:
    """It would be a run that nobody asked for."""
    with pytest.raises(PolicyError, match="computes behind the caller's back, and a run is nothing to begin there: give it to the tasks"):
        entrypoint(cache_policy=CachePolicy(ttl=60, **field))(lambda: 1)


def test_whoever_waits_is_told_though_the_failure_cannot_be_noted(still: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours there must leave nobody waiting for ever."""
    gate = threading.Event()
    answers = iter([1])

    @task(cache_policy=CachePolicy(**WINDOW))
    def fetch() -> int:
        answer = next(answers, None)
        if answer is None:
            gate.wait(60)
            raise ValueError("no answer")
        return answer

    def broken(*_: Any) -> None:
        raise AssertionError("a fault of ours")

    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: said.append(str(arguments.exc_value)))
    monkeypatch.setattr(behind.lookup, "refresh_failed", broken)
    plan = entrypoint(cache=InMemoryCache())(lambda _: fetch().result())
    assert 1 == plan.invoke(0)
    still.advance(61)
    assert 1 == plan.invoke(0)
    until(lambda: behind._under_way)
    (under_way,) = behind._under_way.values()
    gate.set()

    _, error, *_ = under_way.landed.result(timeout=60)
    until(lambda: said)
    assert ("no answer", ["a fault of ours"]) == (str(error), said)
