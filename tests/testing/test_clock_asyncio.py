"""FakeClock under asyncio: order of wake-ups, timeouts, loops beside threads, stepping by hand."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.testing import FakeClock

ROUNDS = 200


def run(main):
    """Run a coroutine function that takes a FakeClock; return its result and the clock."""
    with FakeClock() as clock:
        return asyncio.run(main(clock)), clock


async def sleeper(clock, lengths, log, who=None):
    """Sleep several times and log each waking."""
    for length in lengths:
        await clock.sleep_async(length)
        log.append((clock.now, who))


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=4), min_size=1, max_size=20))
def test_tasks_wake_in_the_order_of_their_deadlines(programs):
    """Each wakes at the running sums of its lengths, and the log is in order of time."""
    log = []

    async def main(clock):
        await asyncio.gather(*(sleeper(clock, [n / 10 for n in lengths], log, who) for who, lengths in enumerate(programs)))

    run(main)
    expected = sorted((moment / 10, who) for who, lengths in enumerate(programs) for moment in itertools.accumulate(lengths))

    assert expected == sorted(log)
    assert sorted(moment for moment, _ in log) == [moment for moment, _ in log]


def test_equal_deadlines_wake_first_come_first_served():
    """As asyncio does it."""
    log = []

    async def main(clock):
        await asyncio.gather(*(sleeper(clock, [1], log, who) for who in range(50)))

    run(main)

    assert [(1.0, who) for who in range(50)] == log


def test_a_timeout_expires_at_its_moment():
    """``timeout(5)`` around ``sleep_async(10)`` is over at 5."""

    async def main(clock):
        timer = clock.timeout(5)
        with pytest.raises(TimeoutError):
            async with timer as limit:
                await clock.sleep_async(10)
        return limit.expired()

    expired, clock = run(main)

    assert (True, 5.0) == (expired, clock.now)


def test_a_timeout_wins_a_tie():
    """As `asyncio.timeout` does around `asyncio.sleep` of the same length."""

    async def main(clock):
        with pytest.raises(TimeoutError):
            async with clock.timeout(5):
                await clock.sleep_async(5)

    run(main)


def test_a_body_in_time_is_left_alone():
    """No expiry, and no trace of the timeout later."""

    async def main(clock):
        async with clock.timeout(5) as limit:
            await clock.sleep_async(4)
        await clock.sleep_async(10)
        return limit.expired()

    expired, clock = run(main)

    assert (False, 14.0) == (expired, clock.now)


def test_the_outer_of_two_timeouts_may_expire():
    """The error belongs to the one whose time is up."""

    async def main(clock):
        with pytest.raises(TimeoutError):
            async with clock.timeout(2) as outer, clock.timeout(5) as inner:
                await clock.sleep_async(10)
        return outer.expired(), inner.expired()

    expired, clock = run(main)

    assert ((True, False), 2.0) == (expired, clock.now)


def test_a_timeout_error_of_the_body_is_its_own():
    """It passes through, and the timer did not expire."""

    async def main(clock):
        with pytest.raises(TimeoutError, match="mine"):
            async with clock.timeout(5) as limit:
                raise TimeoutError("mine")
        return limit.expired()

    assert (False, 0.0) == (run(main)[0], run(main)[1].now)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_of_nothing_expires_at_once(seconds):
    """A deadline that has passed already leaves no time."""

    async def main(clock):
        with pytest.raises(TimeoutError):
            async with clock.timeout(seconds):
                await asyncio.get_running_loop().create_future()

    assert 0.0 == run(main)[1].now


def test_a_body_that_hangs_is_timed_out():
    """Nothing else happens on the loop, so the limit expires at once in real time."""

    async def main(clock):
        with pytest.raises(TimeoutError):
            async with clock.timeout(3600):
                await asyncio.Event().wait()

    begun = time.monotonic()
    clock = run(main)[1]

    assert 3600.0 == clock.now
    assert time.monotonic() - begun < 30


def test_a_long_real_sleep_is_timed_out():
    """A body that sleeps by asyncio, not by the clock, for longer than anyone would wait."""

    async def main(clock):
        with pytest.raises(TimeoutError):
            async with clock.timeout(5):
                await asyncio.sleep(60)

    begun = time.monotonic()

    assert 5.0 == run(main)[1].now
    assert time.monotonic() - begun < 30


def test_a_short_real_sleep_is_waited_for():
    """0.1 s of real time is work, not a hang."""

    async def main(clock):
        async with clock.timeout(5):
            await asyncio.sleep(0.1)

    assert 0.0 == run(main)[1].now


def test_a_real_answer_is_waited_for():
    """A process that answers after 0.2 real seconds beats a virtual timeout of 5: the loop has something to wait for."""
    code = "import sys, time; sys.stdin.read(1); time.sleep(0.2); print('answer', end='')"
    command = [sys.executable, "-c", code]

    async def main(process):
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
        with FakeClock(patience=30) as clock:
            process.stdin.write(b"go")
            process.stdin.close()
            async with clock.timeout(5):
                answer = await reader.read()
        pipe.close()
        return answer, clock.now

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert (b"answer", 0.0) == asyncio.run(main(process))


def test_work_in_a_thread_is_waited_for():
    """The loop is idle, but a thread of its executor is not."""

    async def main(clock):
        async with clock.timeout(5):
            return await asyncio.to_thread(lambda: time.sleep(0.1) or "done")

    answer, clock = run(main)

    assert ("done", 0.0) == (answer, clock.now)


def test_a_cancelled_sleep_leaves_nothing_behind():
    """Time does not pass for somebody who no longer waits."""

    async def main(clock):
        task = asyncio.create_task(clock.sleep_async(100))
        await clock.sleep_async(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await clock.sleep_async(1)

    assert 2.0 == run(main)[1].now


def test_a_loop_that_ended_with_sleepers_does_no_harm():
    """The next loop finds a working clock."""
    clock = FakeClock()
    with clock:
        loop = asyncio.new_event_loop()
        forgotten = loop.create_task(clock.sleep_async(5))
        loop.run_until_complete(asyncio.sleep(0))
        assert not forgotten.done()
        forgotten.cancel()
        loop.run_until_complete(asyncio.gather(forgotten, return_exceptions=True))
        loop.close()
        asyncio.run(clock.sleep_async(7))

    assert 7.0 == clock.now


def test_loops_and_threads_share_one_time():
    """Two loops and two threads, in order, fifty times."""
    for _ in range(50):
        clock, log = FakeClock(), []

        def in_loop(lengths, who, clock=clock, log=log):
            asyncio.run(sleeper(clock, lengths, log, who))

        def in_thread(lengths, who, clock=clock, log=log):
            for length in lengths:
                clock.sleep(length)
                log.append((clock.now, who))

        work = [(in_loop, [1, 4], "loop 1"), (in_loop, [2, 4], "loop 2"), (in_thread, [3, 4], "thread 1"), (in_thread, [4, 4], "thread 2")]
        with clock:
            threads = [threading.Thread(target=body, args=(lengths, who)) for body, lengths, who in work]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)

        names = ["loop 1", "loop 2", "thread 1", "thread 2"]
        assert [(float(moment), names[(moment - 1) % 4]) for moment in range(1, 9)] == log


def test_no_round_of_many_deadlocks():
    """Timeouts, sleeps and threads together, two hundred times."""

    async def flaky_part(clock, n):
        try:
            async with clock.timeout(3):
                await clock.sleep_async(n)
                await asyncio.to_thread(clock.sleep, 1)
        except TimeoutError:
            return None
        return clock.now

    async def main(clock):
        return await asyncio.wait_for(asyncio.gather(*(flaky_part(clock, n) for n in (1, 2.5, 1.5))), 30)

    for _ in range(ROUNDS):
        results, _clock = run(main)
        assert [2.0, None, 2.5] == results


def test_advance_async_steps_through_the_moments():
    """The tasks of the loop run while time passes, and time stops where it was told."""
    log = []

    async def main():
        with FakeClock(auto=False) as clock:
            task = asyncio.create_task(sleeper(clock, [1, 1, 5], log))
            await clock.advance_async(3)
            seen = list(log)
            await clock.advance_async(4)
            await task
            return seen, clock.now

    seen, now = asyncio.run(main())

    assert [(1.0, None), (2.0, None)] == seen
    assert 7.0 == now


def test_advance_refuses_to_block_its_own_loop():
    """The text names the way out."""

    async def main():
        with FakeClock(auto=False) as clock:
            task = asyncio.create_task(clock.sleep_async(1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match=r"await clock\.advance_async"):
                clock.advance(1)
            task.cancel()

    asyncio.run(main())


def test_advance_ages_things_on_a_loop():
    """With nobody due it is as good on a loop as anywhere."""

    async def main(clock):
        clock.advance(60)
        return clock.now

    assert 60.0 == run(main)[0]
