"""The end of a step: who waits for its record, who does not, and on which thread it is written."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InMemorySaver, SqliteSaver, StoreError, entrypoint, task
from holdfast.runtime import writer
from holdfast.runtime.dispatch import workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.typing import Commit


class Disk(InMemorySaver):
    """A saver that may wait; closed, ``gate`` holds up the steps.

    Attributes:
        gate: Open at first.
        threads: Which threads have written steps.
        refused: What a transaction with steps is refused with, if with anything.
    """

    is_blocking = True  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[threading.Thread] = set()
        self.refused: Exception | None = None

    def commit(self, commits: Sequence[Commit], /) -> list[Exception | None]:
        if any(each.steps for each in commits):
            self.threads.add(threading.current_thread())
            assert self.gate.wait(10)
            if self.refused is not None:
                raise self.refused
        return super().commit(commits)


def eventually(holds: Any) -> bool:
    """Whether it comes to hold within ten seconds."""
    until = time.monotonic() + 10
    while not holds() and time.monotonic() < until:
        time.sleep(0.001)
    return bool(holds())


def in_thread(run: Any, *args: Any) -> tuple[threading.Thread, list[Any]]:
    """Invoke an entrypoint on a thread of its own; its outcome comes into the list."""
    outcome: list[Any] = []

    def go() -> None:
        try:
            outcome.append(run.invoke(*args, thread_id="t"))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    return thread, outcome


def test_a_store_that_cannot_keep_up_holds_bodies_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done and not recorded would be done again after a crash: so there is a limit to how much that can be."""
    monkeypatch.setattr(writer, "MOST_AT_ONCE", 4)
    saver, ran = Disk(), list[int]()

    @task
    def work(n: int) -> int:
        ran.append(n)
        return n

    @entrypoint(saver, max_concurrency=2)
    def main(_: int) -> int:
        futures = [work(n) for n in range(100)]
        assert eventually(lambda: len(ran) >= 6)
        time.sleep(0.05)  # more would come now, if more could
        so_far = len(ran)
        saver.gate.set()
        assert 4950 == sum(future.result() for future in futures)
        return so_far

    saver.gate.clear()
    thread, outcome = in_thread(main, 0)
    thread.join(20)
    assert 6 <= outcome[0] <= 4 + 4 + 2 * 2  # in the transaction, in line, and at work when the line filled
    assert eventually(lambda: len(workers._idle) <= workers.count)  # a thread that counted as idle twice would leave a job lying


def test_a_loop_waits_for_no_store() -> None:
    """The steps of async tasks are written by worker threads."""
    saver = Disk()

    @task
    async def work(n: int) -> int:
        return n

    @entrypoint(saver)
    async def main(_: int) -> int:
        return sum(await asyncio.gather(*[work(n) for n in range(20)]))

    assert 190 == asyncio.run(main.ainvoke(0, thread_id="t"))
    assert {"holdfast-worker"} == {thread.name for thread in saver.threads}


def test_a_step_on_its_own_is_written_where_it_ran() -> None:
    """One after the other costs no switch between threads: the waiting thread runs the body, and writes its outcome."""
    saver = Disk()

    @task
    def where() -> int:
        return threading.get_ident()

    @entrypoint(saver, max_concurrency=1)
    def main(_: int) -> list[int]:
        return [where().result() for _ in range(20)]

    ran = main.invoke(0, thread_id="t")
    assert set(ran) == {thread.ident for thread in saver.threads}


@pytest.mark.parametrize("is_async", [False, True])
def test_no_result_is_seen_that_could_not_be_recorded(*, is_async: bool) -> None:
    """Each of those that a transaction took along fails, and the run with them."""
    saver = Disk()
    saver.refused = OSError("no room")

    @task
    async def work_async(n: int) -> int:
        return n

    @task
    def work(n: int) -> int:
        return n

    @entrypoint(saver)
    def main(_: int) -> None:
        futures: list[Any] = [(work_async if is_async else work)(n) for n in range(50)]
        for future in futures:
            with pytest.raises((StoreError, asyncio.CancelledError, TimeoutError)):
                future.result(10)

    with pytest.raises(StoreError, match="no room"):
        main.invoke(0, thread_id="t")


def test_a_callback_may_wait_for_another_step() -> None:
    """Whoever has written the record calls it, and keeps the turn of the writer no longer."""
    saver = Disk()
    seen: list[int] = []

    @task
    def work(n: int) -> int:
        return n

    @entrypoint(saver)
    def main(_: int) -> list[int]:
        saver.gate.clear()
        first, second = work(1), work(2)
        first.add_done_callback(lambda future: seen.append(future.result() + second.result(10)))
        saver.gate.set()
        assert eventually(lambda: seen)
        return seen

    assert [3] == main.invoke(0, thread_id="t")


@pytest.mark.parametrize("most_at_once", [1, 256])
def test_a_thread_is_counted_as_idle_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_at_once: int) -> None:
    """With a store that keeps up and with one that does not: a job sent to a thread that is only counted is never done."""
    monkeypatch.setattr(writer, "MOST_AT_ONCE", most_at_once)

    @task
    def step(x: int) -> int:
        return x

    @entrypoint(checkpointer=SqliteSaver(tmp_path / "runs.db"))
    def main(n: int) -> int:
        return sum(future.result() for future in [step(x) for x in range(n)])

    assert sum(range(300)) == main.invoke(300)
    assert eventually(lambda: len(workers._idle) <= workers.count)  # one that leaves just now has been counted among the idle
