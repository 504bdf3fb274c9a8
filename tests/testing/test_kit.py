"""The test kit with the real decorators, in both colours."""

from __future__ import annotations

import time

import pytest

from holdfast import NodeTimeoutError, RetryPolicy, entrypoint, resilient, task
from holdfast.testing import Flake, after, no_waits, recorded

THREE = RetryPolicy(max_attempts=3)


def test_waits_are_virtual(colour, clock):
    """Three attempts, two waits, no real time."""
    begun = time.monotonic()
    with pytest.raises(Flake):
        colour.run(resilient(retry_policy=THREE)(colour.flaky(None)))

    assert [0.5, 1.0] == clock.slept
    assert 1.5 == clock.now
    assert time.monotonic() - begun < 30


def test_waits_of_tasks_are_virtual(colour, clock):
    """Also where a run that ends could cut the wait short."""
    with pytest.raises(Flake):
        colour.invoke(task(retry_policy=THREE)(colour.flaky(None)))

    assert [0.5, 1.0] == clock.slept


def test_jitter_follows_the_script(colour, clock):
    """Each wait is its interval times the draw."""
    clock.set_draw([0.5, 0.1])
    with pytest.raises(Flake):
        colour.run(resilient(retry_policy=THREE)(colour.flaky(None)))

    assert [0.25, 0.1] == clock.slept


def test_an_attempt_is_timed_out_in_virtual_time(colour, clock):
    """The first answer comes too late, the second in time."""
    fetch = task(name="fetch", timeout=5, retry_policy=THREE)(colour.scripted([after(10, "late"), "ok"]))
    begun = time.monotonic()

    assert "ok" == colour.invoke(fetch)
    assert 5.5 <= clock.now
    assert time.monotonic() - begun < 30


def test_a_deadline_is_virtual(colour, clock):
    """Attempts end when their common time is up."""
    fetch = task(name="fetch", deadline=60)(colour.scripted([after(100, "late")]))

    with pytest.raises(NodeTimeoutError, match="60 s"):
        colour.invoke(fetch)
    assert 60.0 == clock.now


def test_backoffs_overlap(colour, clock):
    """Twenty tasks that each wait 0.5 s take 0.5 s, not 10."""
    tasks = [task(name=f"t{n}", retry_policy=THREE)(colour.flaky(1, result=n)) for n in range(20)]
    if colour.is_async:

        @entrypoint
        async def plan():
            return [await future for future in [each() for each in tasks]]
    else:

        @entrypoint
        def plan():
            return [future.result() for future in [each() for each in tasks]]

    assert list(range(20)) == colour.invoke(plan)
    assert 0.5 == clock.now


def test_without_waits_the_number_of_attempts_stays(colour):
    """And tells how long each wait would have been."""
    fetch = colour.flaky(None)
    with no_waits() as waits, pytest.raises(Flake):
        colour.run(resilient(retry_policy=RetryPolicy(max_attempts=5))(fetch))

    assert 5 == len(fetch.calls)
    assert [0.5, 1.0, 2.0, 4.0] == waits.slept


def test_without_waits_tasks_do_not_wait_either(colour):
    """In runs as in plain calls."""
    begun = time.monotonic()
    with no_waits() as waits, pytest.raises(Flake):
        colour.invoke(task(retry_policy=RetryPolicy(max_attempts=4))(colour.flaky(None)))

    assert [0.5, 1.0, 2.0] == waits.slept
    assert time.monotonic() - begun < 30


def test_the_tree_of_nested_tasks(colour, clock):
    """Who called whom is known across threads and asyncio tasks."""
    leaf = task(name="leaf", retry_policy=THREE)(colour.flaky(1, ConnectionError("reset")))
    if colour.is_async:

        @task
        async def branch():
            await leaf()

        @entrypoint
        async def plan():
            await branch()
    else:

        @task
        def branch():
            leaf().result()

        @entrypoint
        def plan():
            branch().result()

    with recorded() as seen:
        colour.invoke(plan)

    branch_name = branch.name if hasattr(branch, "name") else "branch"
    expected = f"""\
run plan ok
  {branch_name} ok
    leaf ok attempts=2 waited=0.5
      attempt 1 error ConnectionError -> retry in 0.5
      attempt 2 ok"""
    assert expected == seen.tree()
