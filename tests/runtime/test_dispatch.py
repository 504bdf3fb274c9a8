"""Worker threads: as many as there are slots, however many calls there are."""

from __future__ import annotations

import threading

from holdfast import entrypoint, task


def test_a_large_fan_out_makes_no_more_threads_than_slots():
    """A body that ends starts the next in line on its own thread, not on one more."""
    most = 0

    @task
    def count(x: int) -> int:
        nonlocal most
        most = max(most, sum(thread.name == "holdfast-worker" for thread in threading.enumerate())) if x % 50 == 0 else most
        return x

    @entrypoint(max_concurrency=8)
    def main(n: int) -> int:
        return sum(future.result() for future in [count(x) for x in range(n)])

    before = sum(thread.name == "holdfast-worker" for thread in threading.enumerate())
    assert sum(range(5000)) == main.invoke(5000)
    assert most <= before + 8 + 2


def test_a_blocking_callback_does_not_keep_the_slot():
    """It may wait for a task that needs the only slot there is."""
    seen: list[int] = []

    @task
    def step(x: int) -> int:
        return x

    @entrypoint(max_concurrency=1)
    def main() -> None:
        gate = threading.Event()
        later = step(2)

        @task
        def first() -> int:
            gate.wait(10)
            return 1

        future = first()
        future.add_done_callback(lambda done: seen.append(done.result() + later.result()))
        gate.set()
        future.result()

    main.invoke()
    assert [3] == seen
