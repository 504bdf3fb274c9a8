"""Scripted functions: outcomes in order, calls on record, and a shape that decorators accept."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from holdfast.testing import FakeClock, Flake, ScriptEndedError, after, flaky, scripted


def test_outcomes_come_in_order(colour):
    """Exceptions, as instances or classes, are raised; anything else is returned."""
    fetch = colour.scripted([ConnectionError("reset"), TimeoutError, {"temp": 3}, None])

    with pytest.raises(ConnectionError, match="reset"):
        colour.run(fetch)
    with pytest.raises(TimeoutError):
        colour.run(fetch)
    assert [{"temp": 3}, None] == [colour.run(fetch), colour.run(fetch)]


def test_calls_are_on_record(colour):
    """With positional and keyword arguments, also of calls that failed."""
    fetch = colour.scripted([ConnectionError, 1])
    with pytest.raises(ConnectionError):
        colour.run(fetch, "Oslo")
    colour.run(fetch, "Lima", days=2)

    assert [(("Oslo",), {}), (("Lima",), {"days": 2})] == fetch.calls


def test_a_call_too_many_is_an_error(colour):
    """It says how many there were, and is not one that a policy would retry."""
    fetch = colour.scripted([1, 2], name="forecast")
    colour.run(fetch)
    colour.run(fetch)

    with pytest.raises(ScriptEndedError, match=r"forecast has 2 scripted outcomes and was called for the 3\. time"):
        colour.run(fetch)


def test_the_last_outcome_may_repeat(colour):
    """For ever."""
    fetch = colour.scripted([1, 2], repeat_last=True)

    assert [1, 2, 2, 2] == [colour.run(fetch) for _ in range(4)]


def test_an_empty_script_has_nothing_to_repeat():
    """The first call is one too many."""
    with pytest.raises(ScriptEndedError, match="has 0 scripted outcomes"):
        scripted([], repeat_last=True)()


def test_one_instance_raised_again_does_not_grow():
    """Its traceback starts afresh each time."""
    fetch = scripted([ConnectionError("reset")], repeat_last=True)
    lengths = []
    for _ in range(3):
        with pytest.raises(ConnectionError) as caught:
            fetch()
        lengths.append(len(caught.traceback))

    assert [lengths[0]] * 3 == lengths


def test_flaky_fails_then_works(colour):
    """With an error that is transient unless another is given."""
    fetch = colour.flaky(2, result="ok")
    for number in (1, 2):
        with pytest.raises(Flake, match=f"flake {number}"):
            colour.run(fetch)

    assert ["ok", "ok"] == [colour.run(fetch), colour.run(fetch)]
    assert issubclass(Flake, ConnectionError)


def test_flaky_raises_what_it_is_told(colour):
    """Instance or class."""
    with pytest.raises(KeyError):
        colour.run(colour.flaky(1, KeyError))
    with pytest.raises(OSError, match="disk"):
        colour.run(colour.flaky(1, OSError("disk")))


def test_flaky_may_never_work():
    """None failures means all."""
    fetch = flaky(None)
    for _ in range(50):
        with pytest.raises(Flake):
            fetch()

    assert 50 == len(fetch.calls)


def test_zero_failures_is_a_function_that_works():
    """The stand-in for a call that is not flaky."""
    assert 7 == flaky(0, result=7)()


def test_a_late_outcome_takes_virtual_time(colour):
    """But is no sleep of holdfast's, so it is not in ``slept``."""
    fetch = colour.scripted([after(10, "late"), after(5, ConnectionError("slow reset"))])
    with FakeClock() as clock:
        assert "late" == colour.run(fetch)
        with pytest.raises(ConnectionError, match="slow reset"):
            colour.run(fetch)

    assert (15.0, []) == (clock.now, clock.slept)


def test_a_late_outcome_can_be_timed_out():
    """The clock's timeout around it expires first."""

    async def main(clock, fetch):
        async with clock.timeout(5):
            await fetch()

    from holdfast.testing import scripted_async

    with FakeClock() as clock, pytest.raises(TimeoutError):
        asyncio.run(main(clock, scripted_async([after(10, "late")])))

    assert 5.0 == clock.now


def test_threads_share_a_script():
    """Each outcome is taken once."""
    fetch, taken = scripted(range(1000)), []

    def take():
        taken.extend(fetch() for _ in range(100))

    threads = [threading.Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1000)) == sorted(taken)
    assert 1000 == len(fetch.calls)


def test_it_is_a_function_like_any_other(colour):
    """A real function with a name and a signature, so that decorators take it."""
    fetch = colour.scripted([1], name="forecast")

    assert inspect.isfunction(fetch)
    assert colour.is_async is inspect.iscoroutinefunction(fetch)
    assert ("forecast", "forecast") == (fetch.__name__, fetch.__qualname__)
    assert "(*args: 'Any', **kwargs: 'Any') -> 'Any'" == str(inspect.signature(fetch))
