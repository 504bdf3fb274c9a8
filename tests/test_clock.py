"""The system's clock: waits that are longer than a thread can wait."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from holdfast import clock, resilient, task
from holdfast.clock import Clock
from holdfast.runtime.future import TaskFuture

TOO_LONG = 10 * threading.TIMEOUT_MAX


def test_a_wait_for_an_event_may_be_longer_than_threads_can_wait():
    """Nor does it end at once: it ends with the event."""
    event = threading.Event()
    threading.Timer(0.02, event.set).start()

    assert Clock().wait(event, TOO_LONG)
    assert Clock().pause(TOO_LONG, event)


def test_a_sleep_may_be_longer_than_threads_can_sleep(monkeypatch: pytest.MonkeyPatch):
    """It sleeps for as long as the system can be asked to."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    Clock().sleep(TOO_LONG)

    assert [clock.LONGEST_WAIT] == slept


class WokenUp(Exception):
    """Raised by the alarm of a sleeper."""


def test_the_longest_wait_is_one_that_the_system_takes():
    """Of a real sleep and of a real lock, neither of which refuses it."""
    sleepers: list[str] = []

    def wake_up(*_: object) -> None:
        if sleepers:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise WokenUp(sleepers.pop())

    before = signal.signal(signal.SIGALRM, wake_up)
    try:
        for name, sleep in {"sleep": lambda: Clock().sleep(TOO_LONG), "wait": lambda: Clock().wait(threading.Event(), TOO_LONG)}.items():
            with pytest.raises(WokenUp, match=name):
                sleepers.append(name)
                # Again and again: one that comes in the instant before the sleep begins is noticed when that is over.
                signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
                sleep()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("limits", [{"timeout": 1e10}, {"timeout": "200000d"}, {"deadline": 1e10}, {"deadline": 1e300}])
def test_calls_may_have_limits_that_are_longer_than_threads_can_wait(limits: dict[str, float | str]):
    """In sync code, where a thread does the waiting."""
    assert 1 == resilient(**limits)(lambda: 1)()
    assert 1 == task(**limits)(lambda: 1).invoke()


def test_a_future_may_be_waited_for_longer_than_threads_can_wait():
    """Its result comes, whatever the limit."""
    future: TaskFuture[int] = TaskFuture()
    threading.Timer(0.02, future.set_result, [1]).start()

    assert 1 == future.result(timeout=TOO_LONG)
