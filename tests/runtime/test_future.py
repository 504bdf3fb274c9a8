"""TaskFuture with the standard library's own combinators, from threads and from loops."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextlib
import contextvars
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from holdfast import entrypoint, events, task
from holdfast.errors import PolicyError
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.loops import post
from tests.waiting import until


def settle_soon(future: TaskFuture[int], value: int) -> threading.Thread:
    thread = threading.Thread(target=future.set_result, args=(value,))
    thread.start()
    return thread


def test_result_waits_for_another_thread() -> None:
    """A blocked reader is woken by the settling thread."""
    future: TaskFuture[int] = TaskFuture()
    thread = threading.Timer(0.01, future.set_result, (7,))
    thread.start()

    assert 7 == future.result(timeout=30)
    thread.join()


def test_result_raises_the_error_itself_every_time_with_the_same_traceback() -> None:
    """Reading twice does not grow the traceback."""
    future: TaskFuture[int] = TaskFuture()
    future.set_exception(KeyError("x"))
    depths = []
    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            future.result()
        depths.append(len(caught.traceback))

    assert [depths[0]] * 2 == depths


def test_result_times_out_with_timeouterror() -> None:
    """The timeout of `result` is TimeoutError and leaves the future pending."""
    future: TaskFuture[int] = TaskFuture()

    with pytest.raises(TimeoutError, match=r"the future has not finished within 0\.01 s"):
        future.result(timeout=0.01)

    assert not future.done()


def test_a_future_is_neither_true_nor_false() -> None:
    """`if is_valid(x):` without `.result()` would always be so; the error says what to write."""

    @task
    def is_valid(x: int) -> bool:
        return x > 0

    @entrypoint
    def main() -> str:
        return "valid" if is_valid(-1) else "not"

    with pytest.raises(TypeError, match=r"test future\.result\(\), or `await future`"):
        main.invoke()


def test_a_timeout_of_result_names_the_task_and_the_limit() -> None:
    """Its text is not empty, as that of `concurrent.futures` is; `exception` says the same, and the task goes on."""
    gate = threading.Event()

    @task(name="slow")
    def wait() -> bool:
        return gate.wait(30)

    @entrypoint
    def main() -> bool:
        future = wait()
        for look in (future.result, future.exception):
            with pytest.raises(TimeoutError, match=r"^slow has not finished within 0\.01 s; it goes on"):
                look(timeout=0.01)
        gate.set()
        return future.result()

    assert main.invoke()


def test_the_time_to_wait_may_be_text_and_may_be_over() -> None:
    """As every duration; a number below zero is a time that is over, as for `concurrent.futures`."""
    future: TaskFuture[int] = TaskFuture()
    for timeout, said in (("10ms", "within 0.01 s"), (timedelta(milliseconds=10), "within 0.01 s"), (-1, "within -1 s")):
        with pytest.raises(TimeoutError, match=said):
            future.result(timeout)

    with pytest.raises(PolicyError, match="timeout='soon' is not a duration: give seconds"):
        future.exception(timeout="soon")


def test_the_first_outcome_stays() -> None:
    """A late result of a cancelled call changes nothing."""
    future: TaskFuture[int] = TaskFuture()
    assert future.cancel()
    future.set_result(1)

    assert future.cancelled()
    with pytest.raises(cf.CancelledError):
        future.result()


def test_cf_wait_and_as_completed_take_it() -> None:
    """`concurrent.futures` combinators see done, failed and cancelled futures of ours beside their own."""
    ours: list[TaskFuture[int]] = [TaskFuture() for _ in range(3)]
    theirs: cf.Future[int] = cf.Future()
    threads = [settle_soon(future, index) for index, future in enumerate(ours)]
    theirs.set_result(9)

    done, pending = cf.wait([*ours, theirs], timeout=30)
    assert (4, 0) == (len(done), len(pending))
    assert [0, 1, 2, 9] == sorted(future.result() for future in cf.as_completed([*ours, theirs], timeout=30))
    for thread in threads:
        thread.join()


def test_cf_wait_first_exception_is_woken_by_a_late_failure() -> None:
    """FIRST_EXCEPTION returns as soon as one of ours fails."""
    futures: list[TaskFuture[int]] = [TaskFuture(), TaskFuture()]
    timer = threading.Timer(0.01, futures[0].set_exception, (ValueError("no"),))
    timer.start()

    done, pending = cf.wait(futures, timeout=30, return_when=cf.FIRST_EXCEPTION)
    assert ({futures[0]}, {futures[1]}) == (done, pending)
    timer.join()


def test_callbacks_run_at_once_in_threads() -> None:
    """Without a loop a callback runs on the settling thread, or here when it is done already."""
    future: TaskFuture[int] = TaskFuture()
    seen: list[int] = []
    future.add_done_callback(lambda done: seen.append(done.result()))
    future.set_result(1)
    future.add_done_callback(lambda done: seen.append(done.result() + 1))

    assert [1, 2] == seen


def test_a_removed_callback_is_not_called() -> None:
    """`remove_done_callback` returns how many it took away."""
    future: TaskFuture[int] = TaskFuture()
    seen: list[object] = []
    future.add_done_callback(seen.append)

    assert 1 == future.remove_done_callback(seen.append)
    future.set_result(1)
    assert [] == seen


def test_await_from_another_thread() -> None:
    """A loop is woken by a thread that settles the future."""

    async def main() -> int:
        future: TaskFuture[int] = TaskFuture()
        threading.Timer(0.01, future.set_result, (5,)).start()
        return await future

    assert 5 == asyncio.run(main())


def test_gather_wait_wait_for_and_shield_take_it() -> None:
    """asyncio's combinators take unfinished and finished futures, settled from threads."""

    async def main() -> list[object]:
        futures: list[TaskFuture[int]] = [TaskFuture() for _ in range(4)]
        for index, future in enumerate(futures):
            threading.Timer(0.005 * index, future.set_result, (index,)).start()
        gathered = await asyncio.gather(*futures)
        done, _ = await asyncio.wait(futures, timeout=30)
        waited = await asyncio.wait_for(futures[0], 30)
        shielded = await asyncio.shield(futures[1])
        first = [await each for each in asyncio.as_completed(futures)]
        return [gathered, len(done), waited, shielded, sorted(first)]

    assert [[0, 1, 2, 3], 4, 0, 1, [0, 1, 2, 3]] == asyncio.run(main())


def test_wait_for_times_out_and_cancels_a_pending_future() -> None:
    """`wait_for` on a future that never ends raises TimeoutError at once and cancels it."""

    async def main() -> bool:
        future: TaskFuture[int] = TaskFuture()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)
        return future.cancelled()

    assert asyncio.run(main())


def test_gather_of_a_cancelled_future_raises_asyncios_cancelled_error() -> None:
    """A cancelled child looks to gather like one of asyncio's own."""

    async def main() -> None:
        future: TaskFuture[int] = TaskFuture()
        asyncio.get_running_loop().call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(future)

    asyncio.run(main())


def test_blocking_on_a_loop_thread_is_refused_with_the_fix() -> None:
    """`.result()` on a running loop's thread would hang it; the text says to await."""

    async def main() -> None:
        future: TaskFuture[int] = TaskFuture()
        with pytest.raises(asyncio.InvalidStateError, match="await future"):
            future.result()
        future.set_result(3)
        assert 3 == future.result()

    asyncio.run(main())


def test_callbacks_added_on_a_loop_run_on_that_loop() -> None:
    """A callback added in async code is called on the loop's thread, whoever settles the future."""

    async def main() -> bool:
        future: TaskFuture[int] = TaskFuture()
        here = threading.get_ident()
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: seen.set_result(threading.get_ident()))
        settle_soon(future, 1).join()
        return here == await seen

    assert asyncio.run(main())


def test_many_futures_settled_by_threads_wake_every_waiter() -> None:
    """No wake-up is lost when several threads settle thousands of awaited futures."""

    async def main() -> int:
        futures: list[TaskFuture[int]] = [TaskFuture() for _ in range(4000)]

        def settle(part: list[TaskFuture[int]]) -> None:
            for future in part:
                future.set_result(1)

        threads = [threading.Thread(target=settle, args=(futures[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        return sum(await asyncio.wait_for(asyncio.gather(*futures), 20))

    assert 4000 == asyncio.run(main())


def test_a_closed_loop_is_not_an_error_for_whoever_settles() -> None:
    """The waiter's loop may be gone when the result comes."""
    future: TaskFuture[int] = TaskFuture()

    async def main() -> None:
        future.add_done_callback(lambda _: None)

    asyncio.run(main())
    future.set_result(1)

    assert 1 == future.result()


def test_a_late_notification_does_not_confuse_cf_wait() -> None:
    """`cf.wait` on futures that were waited for before: it sees each either unfinished or notified, never both, whatever the timing."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            futures: list[TaskFuture[int]] = [TaskFuture() for _ in range(8)]
            cf.wait(futures, timeout=0)  # from now on they have conditions
            threads = [settle_soon(future, 1) for future in futures]
            done, pending = cf.wait(futures, timeout=10)
            assert (set(futures), set()) == (done, pending)
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)


def test_as_completed_yields_each_future_once() -> None:
    """The same for `as_completed`."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            futures: list[TaskFuture[int]] = [TaskFuture() for _ in range(8)]
            cf.wait(futures, timeout=0)
            threads = [settle_soon(future, 1) for future in futures]
            assert sorted(map(id, futures)) == sorted(map(id, cf.as_completed(futures, timeout=10)))
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)


def test_the_state_changes_under_the_condition_once_there_is_one() -> None:
    """While somebody holds a future's condition it stays as it is: what `cf.wait` relies on."""
    future: TaskFuture[int] = TaskFuture()
    with future._condition:
        thread = settle_soon(future, 1)
        time.sleep(0.02)
        seen = future.done()
    thread.join()

    assert (False, True) == (seen, future.done())


def test_one_future_awaited_from_two_loops_and_read_by_a_thread() -> None:
    """Everybody gets the value, wherever they wait."""
    future: TaskFuture[int] = TaskFuture()
    results: list[int] = []

    async def wait() -> None:
        results.append(await future)

    readers = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(2)]
    readers += [threading.Thread(target=lambda: results.append(future.result(10)))]
    for reader in readers:
        reader.start()
    until(lambda: len(future._calls or ()) == 2 and future._cond is not None)
    future.set_result(4)
    for reader in readers:
        reader.join(10)

    assert [4, 4, 4] == results


def test_cancel_and_claim_exclude_each_other() -> None:
    """Of a thread that cancels and a thread that begins, exactly one gets its way."""
    for _ in range(300):
        future: TaskFuture[int] = TaskFuture()
        barrier = threading.Barrier(2)
        won: list[str] = []

        def race(name: str, attempt: Callable[[], bool], barrier: threading.Barrier = barrier, won: list[str] = won) -> None:
            barrier.wait()
            if attempt():
                won.append(name)

        threads = [threading.Thread(target=race, args=each) for each in [("cancel", future.cancel), ("claim", future.claim)]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won in (["cancel"], ["claim"])
        assert (won == ["cancel"]) == future.cancelled()


def test_reading_while_it_is_settled_and_helped_never_fails() -> None:
    """The work a future belongs to may be gone between two looks at it."""

    class Work:
        def help(self) -> None:
            pass

        def stop(self, *, on_loop: bool) -> bool:
            return False

        def withdrawn(self) -> None:
            pass

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(500):
            future: TaskFuture[int] = TaskFuture(Work())
            thread = settle_soon(future, 3)
            assert 3 == future.result()
            thread.join()
    finally:
        sys.setswitchinterval(before)


def test_stopiteration_is_a_runtimeerror_to_everyone() -> None:
    """It cannot be raised into a coroutine; asyncio.gather would wait for ever."""

    async def main() -> None:
        future: TaskFuture[int] = TaskFuture()
        asyncio.get_running_loop().call_soon(future.set_exception, StopIteration(1))
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await asyncio.wait_for(asyncio.gather(future), 30)
        assert isinstance(caught.value.__cause__, StopIteration)

    asyncio.run(main())


def test_callbacks_run_in_the_context_of_whoever_added_them() -> None:
    """Not in that of the task that happens to finish: a callback may call tasks, and they belong to the adder's run."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    def note(_: object) -> None:
        seen.append(variable.get())

    future: TaskFuture[int] = TaskFuture()
    variable.set("adder")
    future.add_done_callback(note)
    contextvars.Context().run(future.set_result, 1)

    async def main() -> None:
        later: TaskFuture[int] = TaskFuture()
        later.add_done_callback(note)
        thread = threading.Thread(target=lambda: later.set_result(1))
        thread.start()
        await later
        await asyncio.sleep(0)
        thread.join()

    asyncio.run(main())
    assert ["adder", "adder"] == seen


def test_a_waiter_that_gave_up_leaves_nothing_behind() -> None:
    """A thousand waits that are cut short do not pile up callbacks."""

    async def main() -> int:
        future: TaskFuture[int] = TaskFuture()

        for _ in range(10):
            waiting = asyncio.ensure_future(_wait_only(future))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        return len(future._calls or [])

    assert 0 == asyncio.run(main())


async def _wait_only(future: TaskFuture[int]) -> None:
    class Wait:
        def __await__(self) -> Generator[Any, None, None]:
            return future.waiting()

    await Wait()


async def _awaited(futures: list[TaskFuture[int]]) -> None:
    with contextlib.suppress(Weak):  # here, since asyncio's own tasks keep an error longer
        await futures.pop()


class Weak(Exception):
    """An error that can be watched."""


def is_freed_after(read: Callable[[list[TaskFuture[int]]], object], *, is_helped: bool = False) -> bool:
    """Read a future that fails twice, as only ``read`` knows it; is its error gone then, without the garbage collector?"""
    gc.disable()
    try:
        future: TaskFuture[int] = TaskFuture(Helped() if is_helped else None)
        if is_helped:
            Helped.waiting.append(future)
        else:
            future.set_exception(Weak())
        for _ in range(2):
            with contextlib.suppress(Weak):
                read([future])
        error = future.exception()
        assert error is not None
        watch = weakref.ref(error)
        del error, future
        return watch() is None
    finally:
        gc.enable()


class Helped:
    """The work behind a future, done on top of the frames of whoever waits for it: it fails."""

    name = "helped"
    waiting: ClassVar[list[TaskFuture[int]]] = []

    def help(self) -> None:
        try:
            raise Weak
        except Weak as error:
            self.waiting.pop().set_exception(error)


def test_reading_an_error_makes_no_cycle() -> None:
    """A raised error is freed with its future, without the garbage collector, however it was read."""
    assert is_freed_after(lambda futures: futures.pop().result())
    assert is_freed_after(lambda futures: futures.pop().exception())
    assert is_freed_after(lambda futures: asyncio.run(_awaited(futures)))


def test_an_error_of_a_body_that_was_helped_makes_no_cycle() -> None:
    """Its frame stands on top of those that wait for it."""
    assert is_freed_after(lambda futures: futures.pop().result(), is_helped=True)
    assert is_freed_after(lambda futures: futures.pop().exception(), is_helped=True)


def test_its_text_says_how_it_stands() -> None:
    """And what it ended with; it is running from when it is claimed until it is settled."""
    future, failed, cancelled = TaskFuture[int](), TaskFuture[int](), TaskFuture[int]()
    told = [(repr(future), future.running())]
    future.claim()
    told.append((repr(future), future.running()))
    future.set_result(7)
    told.append((repr(future), future.running()))
    failed.set_exception(KeyError("x"))
    cancelled.cancel()

    assert [("<TaskFuture pending>", False), ("<TaskFuture running>", True), ("<TaskFuture returned 7>", False)] == told
    assert ["<TaskFuture raised KeyError('x')>", "<TaskFuture cancelled>"] == [repr(failed), repr(cancelled)]


def test_whoever_asks_for_the_error_has_looked_at_it() -> None:
    """So nobody is told that a call failed and nobody looked; of those that nobody asks for, they are."""

    @task(retry_policy=())
    def fails() -> None:
        raise KeyError

    @entrypoint
    def main(asks: bool) -> list[type]:
        futures = [fails(), fails()]
        cf.wait(futures)
        return [type(each.exception()) for each in futures if asks]

    told: list[str] = []
    before = events.fallback
    events.fallback = lambda note: told.append(note.event)
    try:
        assert [KeyError, KeyError] == main.invoke(True)
        assert [] == told
        main.invoke(False)
    finally:
        events.fallback = before
    assert ["holdfast.task.uncollected_failure"] * 2 == told


def test_mail_for_a_loop_goes_on_after_an_interrupted_post() -> None:
    """Ctrl-C while a loop is being woken leaves no letter box that nobody empties."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        future: TaskFuture[int] = TaskFuture()

        def interrupted() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop, "call_soon_threadsafe", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    post(loop, print, "lost")
            future.set_result(5)

        thread = threading.Thread(target=interrupted)
        thread.start()
        value = await asyncio.wait_for(future, 30)
        thread.join()
        return value

    assert 5 == asyncio.run(main())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_garbage_collector_may_run_under_a_future_s_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abandoned ``as_completed`` that is collected there asks other futures of the same lock for their conditions."""
    first, other = TaskFuture[int](), TaskFuture[int]()
    other._stripe = first._stripe

    def collecting() -> threading.Condition:
        monkeypatch.setattr("holdfast.runtime.future.threading", threading)
        with other._condition:
            return threading.Condition()

    monkeypatch.setattr("holdfast.runtime.future.threading", SimpleNamespace(Condition=collecting))
    reader = threading.Thread(target=lambda: first._condition, daemon=True)
    reader.start()
    reader.join(10)
    assert not reader.is_alive()


@pytest.mark.parametrize("kind", [asyncio.Future, TaskFuture])
def test_whoever_awaits_goes_on_in_the_next_round_of_the_loop(kind):
    """As with asyncio's own future, in turn with callbacks: those added before come before, those added after come after."""

    async def main():
        loop, said = asyncio.get_running_loop(), []
        future = kind() if kind is TaskFuture else loop.create_future()
        rounds = iter(range(100))

        def tick():
            said.append(next(rounds))
            loop.call_soon(tick)

        async def wait():
            future.add_done_callback(lambda _: said.append("before"))
            await future
            said.append("awaited")

        waiting = loop.create_task(wait())
        await asyncio.sleep(0)
        future.add_done_callback(lambda _: said.append("after"))
        tick()
        future.set_result(None)
        await waiting
        return said

    said = asyncio.run(main())

    assert [0, 1, "before", "awaited", "after"] == said[:5]


@pytest.mark.parametrize("is_async", [False, True])
def test_gather_collects_cancelled_tasks_and_can_be_given_up(is_async: bool) -> None:
    """With ``return_exceptions`` it asks a cancelled child for its message; a limit around it ends all of them."""

    async def sleepy() -> None:
        await asyncio.sleep(600)

    step = task(sleepy) if is_async else task(lambda: started.wait(600))
    started = threading.Event()

    @entrypoint
    async def plan() -> list[str]:
        done = []
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(step(), step(), return_exceptions=True), 0.05)
        done.append("given up")
        cancelled = step()
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        done.extend(type(each).__name__ for each in await asyncio.gather(cancelled, return_exceptions=True))
        started.set()
        return done

    assert ["given up", "CancelledError"] == asyncio.run(asyncio.wait_for(plan.ainvoke(), 60))


def test_whoever_begins_to_await_just_when_it_is_done_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look and its place in the list of those to wake."""
    future: TaskFuture[int] = TaskFuture()
    monkeypatch.setattr("holdfast.runtime.future.give_slot_back", lambda: future.set_result(7))

    async def wait() -> int:
        return await future

    async def main() -> int:
        return await asyncio.wait_for(wait(), 60)

    assert 7 == asyncio.run(main())


def test_a_body_that_awaits_somebody_elses_future_gives_its_slot_back() -> None:
    """With one slot, whoever is to settle it could never begin."""
    given: TaskFuture[int] = TaskFuture()

    @task
    async def wait() -> int:
        return await given

    @task
    async def settle() -> None:
        given.set_result(7)

    @entrypoint(max_concurrency=1)
    async def plan() -> int:
        waiting, settling = wait(), settle()
        await settling
        return await waiting

    assert 7 == asyncio.run(asyncio.wait_for(plan.ainvoke(), 60))
