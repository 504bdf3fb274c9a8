"""FakeClock and no_waits: reading, installing, chance, and waits of a single thread or loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import clock as clock_module
from holdfast.testing import FakeClock, NoWaits, StuckClockError, no_waits

PIECES = [0.1, 0.2, 0.7, 1e-9, 3600.0]


def test_time_starts_at_a_fixed_moment():
    """Two tests that store a time store the same one: 2025-01-01 00:00 UTC."""
    clock = FakeClock()

    assert (0.0, 0.0, 1_735_689_600.0, 1_735_689_600 * 10**9) == (clock.now, clock.monotonic(), clock.time(), clock.time_ns())


def test_time_starts_where_it_is_told():
    """``start`` is seconds since the epoch."""
    clock = FakeClock(start=100.5)
    clock.sleep(2)

    assert (102.5, 102_500_000_000, 2.0) == (clock.time(), clock.time_ns(), clock.monotonic())


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_sleeps_add_up_exactly(milliseconds):
    """No rounding creeps in: 0.1 + 0.2 is 0.3."""
    clock = FakeClock()
    for each in milliseconds:
        clock.sleep(each / 1000)

    assert sum(milliseconds) / 1000 == clock.now
    assert [each / 1000 for each in milliseconds] == clock.slept


def test_sleep_takes_no_real_time():
    """An hour passes at once."""
    begun = time.monotonic()
    FakeClock().sleep(3600)

    assert time.monotonic() - begun < 30


def test_entering_installs_and_leaving_restores():
    """Inside the block the clock is the process's."""
    before = clock_module.current
    with FakeClock() as clock:
        assert clock is clock_module.current

    assert before is clock_module.current


def test_clocks_nest():
    """The inner clock is in force inside, the outer one again afterwards."""
    with FakeClock() as outer:
        with FakeClock() as inner:
            assert inner is clock_module.current
        assert outer is clock_module.current


def test_an_error_in_the_block_restores_too():
    """A failing test does not leave its clock to the next one."""
    before = clock_module.current
    with pytest.raises(KeyError), FakeClock():
        raise KeyError

    assert before is clock_module.current


def test_one_clock_is_not_installed_twice():
    """It would restore itself for ever."""
    with FakeClock() as clock, pytest.raises(RuntimeError, match="make a second one to nest"):
        clock.__enter__()


def test_a_clock_can_be_used_again():
    """After its block it may be entered once more, and time goes on from where it was."""
    clock = FakeClock()
    with clock:
        clock.sleep(1)
    with clock:
        clock.sleep(2)

    assert (3.0, [1, 2]) == (clock.now, clock.slept)


def test_after_the_block_nobody_waits():
    """Whoever still holds the clock goes on without waiting, and without moving time."""
    with FakeClock() as clock:
        pass
    clock.sleep(5)
    asyncio.run(clock.sleep_async(5))

    assert 0.0 == clock.now
    assert not clock.wait(threading.Event(), 5)


def test_time_passes_by_a_duration_in_words():
    """Wherever a duration is meant, text is one."""
    with FakeClock() as clock:
        clock.advance("1h30m")
        asyncio.run(clock.advance_async("250ms"))

    assert 5400.25 == clock.now


@pytest.mark.parametrize("seconds", [-1, -0.001, float("inf"), float("nan")])
def test_impossible_lengths_are_refused(seconds):
    """Virtual time would never reach them, or run backwards."""
    with pytest.raises(ValueError, match=r"cannot wait .* seconds: give a finite number, 0 or more"):
        FakeClock().sleep(seconds)


def test_draw_is_one_by_default():
    """Full jitter then waits the whole interval: expected waits can be written down."""
    assert [1.0, 1.0] == [FakeClock().draw() for _ in range(2)]


def test_draws_can_be_listed():
    """They are used in turn, and again from the first."""
    clock = FakeClock(draw=[0.1, 0.9])

    assert [0.1, 0.9, 0.1] == [clock.draw() for _ in range(3)]


def test_draws_can_come_from_a_function():
    """For example from a seeded generator."""
    numbers = iter([0.25, 0.5])
    clock = FakeClock(draw=lambda: next(numbers))

    assert [0.25, 0.5] == [clock.draw(), clock.draw()]


def test_draw_can_be_replaced():
    """In the middle of a test."""
    clock = FakeClock()
    clock.set_draw(0)

    assert 0 == clock.draw()


@pytest.mark.parametrize("draw", [1.5, -0.1, [], [0.5, 2]])
def test_impossible_draws_are_refused(draw):
    """A number outside [0, 1] would make waits that no policy can produce."""
    with pytest.raises(ValueError, match=r"give a number in \[0, 1\]"):
        FakeClock(draw=draw)


def test_a_set_event_is_not_waited_for():
    """No time passes."""
    clock, event = FakeClock(), threading.Event()
    event.set()

    assert clock.wait(event, 5)
    assert 0.0 == clock.now


def test_an_event_that_nobody_sets_is_waited_for_to_the_end():
    """False, and the time has passed; a limit is no sleep, so it is not in ``slept``."""
    clock = FakeClock()

    assert not clock.wait(threading.Event(), 5)
    assert (5.0, []) == (clock.now, clock.slept)


def test_a_pause_is_a_sleep():
    """It is recorded, and says whether it was cut short."""
    clock = FakeClock()

    assert not clock.pause(5, threading.Event())
    assert (5.0, [5]) == (clock.now, clock.slept)


def test_a_pause_ends_with_its_event():
    """At once, without time passing."""
    clock, event = FakeClock(), threading.Event()
    event.set()

    assert clock.pause(5, event)
    assert (0.0, [5]) == (clock.now, clock.slept)


def test_advance_moves_time_without_waiters():
    """Cache entries age, nobody is woken."""
    clock = FakeClock()
    clock.advance(90)

    assert (90.0, []) == (clock.now, clock.slept)


def test_a_forgotten_advance_fails():
    """The text says who waits for what, and what to do."""
    clock = FakeClock(auto=False, stuck_after=0.05)

    with pytest.raises(StuckClockError, match=r"(?s)sleep\(7\) in thread MainThread, due at 7 s.*call clock.advance"):
        clock.sleep(7)


def test_a_forgotten_advance_fails_a_wait_for_an_event():
    """A limit that blocks a thread is no better than a sleep."""
    clock = FakeClock(auto=False, stuck_after=0.05)

    with pytest.raises(StuckClockError, match=r"wait\(event, 7\) in thread MainThread"):
        clock.wait(threading.Event(), 7)


def test_a_forgotten_advance_fails_on_a_loop():
    """The task is named."""

    async def main():
        await asyncio.create_task(FakeClock(auto=False, stuck_after=0.05).sleep_async(7), name="patient")

    with pytest.raises(StuckClockError, match=r"sleep_async\(7\) in asyncio task patient, due at 7 s"):
        asyncio.run(main())


def test_no_helper_thread_is_left_behind():
    """A clock cleans up when its block ends."""
    before = set(threading.enumerate())
    with FakeClock() as clock:
        asyncio.run(clock.sleep_async(1))

    assert set() == set(threading.enumerate()) - before


def test_without_waits_sleeping_is_recorded_only():
    """Sync sleeps end at once, in real time."""
    begun = time.monotonic()
    with no_waits() as waits:
        clock_module.current.sleep(128)
        clock_module.current.pause(64, threading.Event())

    assert [128, 64] == waits.slept
    assert time.monotonic() - begun < 30


def test_without_waits_async_sleeping_is_recorded_only():
    """And other tasks get their turn."""

    async def main():
        seen = []
        asyncio.get_running_loop().call_soon(seen.append, "other")
        await clock_module.current.sleep_async(128)
        return seen

    with no_waits() as waits:
        assert ["other"] == asyncio.run(main())
    assert [128] == waits.slept


def test_without_waits_time_is_real():
    """Timeouts and deadlines mean what they always mean."""
    with no_waits() as waits:
        assert abs(time.time() - waits.time()) < 60
        assert not waits.wait(threading.Event(), 0.001)


def test_no_waits_decorates_without_parentheses(colour):
    """As the other decorators do."""

    @no_waits
    @colour.define
    def pause():
        return type(clock_module.current)

    assert NoWaits is colour.run(pause)


def test_no_waits_decorates(colour):
    """A test function of either colour runs inside the block, and keeps its name and result."""
    waits = no_waits()

    @waits
    @colour.define
    def checked(x):
        assert isinstance(clock_module.current, NoWaits)
        return x + 1

    assert 2 == colour.run(checked, 1)
    assert "checked" == checked.__name__
    assert not isinstance(clock_module.current, NoWaits)
