"""TaskFuture with the standard library's own combinators, from threads and from loops."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import threading

import pytest

from holdfast.runtime.future import TaskFuture


def settle_soon(future: TaskFuture[int], value: int) -> threading.Thread:
    thread = threading.Thread(target=future.set_result, args=(value,))
    thread.start()
    return thread


def test_result_waits_for_another_thread() -> None:
    """A blocked reader is woken by the settling thread."""
    future: TaskFuture[int] = TaskFuture()
    thread = threading.Timer(0.01, future.set_result, (7,))
    thread.start()

    assert 7 == future.result(timeout=5)
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

    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)

    assert not future.done()


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

    done, pending = cf.wait([*ours, theirs], timeout=5)
    assert (4, 0) == (len(done), len(pending))
    assert [0, 1, 2, 9] == sorted(future.result() for future in cf.as_completed([*ours, theirs], timeout=5))
    for thread in threads:
        thread.join()


def test_cf_wait_first_exception_is_woken_by_a_late_failure() -> None:
    """FIRST_EXCEPTION returns as soon as one of ours fails."""
    futures: list[TaskFuture[int]] = [TaskFuture(), TaskFuture()]
    timer = threading.Timer(0.01, futures[0].set_exception, (ValueError("no"),))
    timer.start()

    done, pending = cf.wait(futures, timeout=5, return_when=cf.FIRST_EXCEPTION)
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
        done, _ = await asyncio.wait(futures, timeout=5)
        waited = await asyncio.wait_for(futures[0], 5)
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
