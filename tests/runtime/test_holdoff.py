"""Sources that have failed a moment ago, and are left alone: of which cache and key, and for how long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast import InMemoryCache
from holdfast.runtime import holdoff
from holdfast.runtime.holdoff import hold_off, is_held_off, let_go
from holdfast.testing import FakeClock
from holdfast.typing import CacheKey

OSLO, LIMA, ROME = (CacheKey("app.fetch@1", bytes([number]) * 16) for number in range(3))


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """Nothing is held off before, nor afterwards."""
    holdoff._until.clear()
    yield
    holdoff._until.clear()


def test_a_source_is_left_alone_for_so_long(clock: FakeClock) -> None:
    """To the moment, and that of no other key or cache."""
    cache, other = InMemoryCache(), InMemoryCache()
    hold_off(cache, OSLO, 10)

    assert (True, False, False) == (is_held_off(cache, OSLO), is_held_off(cache, LIMA), is_held_off(other, OSLO))
    clock.advance(9.99)
    assert is_held_off(cache, OSLO)
    clock.advance(0.01)
    assert not is_held_off(cache, OSLO)


def test_one_that_has_answered_is_asked_again(clock: FakeClock) -> None:
    """And no other; one that nobody holds off can be let go, too."""
    cache = InMemoryCache()
    hold_off(cache, OSLO, 10)
    hold_off(cache, LIMA, 10)
    let_go(cache, OSLO)
    let_go(cache, ROME)

    assert (False, True) == (is_held_off(cache, OSLO), is_held_off(cache, LIMA))


def test_what_is_over_is_forgotten(clock: FakeClock) -> None:
    """When the next one is held off: nothing grows with sources that were down once."""
    cache = InMemoryCache()
    hold_off(cache, OSLO, 1)
    hold_off(cache, LIMA, 2)
    clock.advance(2)
    hold_off(cache, ROME, 1)

    assert [(id(cache), ROME)] == list(holdoff._until)


def test_what_was_held_off_first_goes_when_there_are_too_many(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that failed again counts from then."""
    monkeypatch.setattr(holdoff, "MOST", 2)
    cache = InMemoryCache()
    for key in (OSLO, LIMA, OSLO, ROME):
        hold_off(cache, key, 10)

    assert (True, False, True) == tuple(is_held_off(cache, key) for key in (OSLO, LIMA, ROME))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_can_hold_off_though_another_thread_was_about_to() -> None:
    """The lock that a thread held at the fork is not there."""
    program = """
import os
from holdfast.runtime import holdoff
with holdoff._lock:
    child = os.fork()
    if child == 0:
        os._exit(0 if holdoff._lock.acquire(timeout=5) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert b"0\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True).stdout
