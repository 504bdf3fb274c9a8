"""At-most-once tasks: what is never run again, and what a person is asked. Killed processes are in tests/test_at_most_once.py."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import (
    InDoubt,
    InMemorySaver,
    NodeTimeoutError,
    NotSerializable,
    RetryPolicy,
    SqliteSaver,
    TaskContextError,
    entrypoint,
    interrupt,
    task,
)
from holdfast.errors import StoreError
from holdfast.runtime.once import Announced, doubt_about
from holdfast.runtime.run import Run
from holdfast.testing import FakeClock
from holdfast.typing import RunRecord, StepId
from tests.waiting import until, until_async

if TYPE_CHECKING:
    from pathlib import Path


class Stop(Exception):
    """Ends a life of a body, so that the next one resumes it."""


class Declined(Exception):
    """A payment that was not made, or of which nobody knows."""


@pytest.fixture
def ran() -> Counter[str]:
    """How often each body began."""
    return Counter()


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Both savers: the one commits at once, the other on a worker's thread."""
    return InMemorySaver() if request.param == "memory" else SqliteSaver(tmp_path / "runs.db", synchronous="NORMAL")


# -- a step that has an outcome ---------------------------------------------------------------------------------------------------------


def test_a_result_is_replayed(colour: Any, saver: Any, ran: Counter[str], rules: Any) -> None:
    """As any task's, and equal calls are two calls."""

    @task(delivery="at-most-once")
    @colour.define
    def pay(n: int) -> int:
        ran["pay"] += 1
        return n

    @entrypoint(saver)
    async def main(_: Any) -> list[int]:
        paid = [await pay(5), await pay(5)]
        ran["main"] += 1
        if ran["main"] == 1:
            raise Stop
        return paid

    with pytest.raises(Stop):
        colour.invoke(main, 1, thread_id="t")
    assert [5, 5] == colour.invoke(main, None, thread_id="t")
    assert 2 == ran["pay"]
    assert {"ok": 2, "replayed": 2} == Counter(outcome for kind, _, outcome in rules.ended if kind == "call")


def test_a_failure_stands(saver: Any, ran: Counter[str]) -> None:
    """A retried body and a resumed run get it again, with a note that says what to type: the work may have been done all the same."""

    @task(delivery="at-most-once")
    def pay() -> str:
        ran["pay"] += 1
        raise Declined("no answer")

    @entrypoint(saver, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0))
    def main() -> Any:
        ran["main"] += 1
        return pay().result()

    with pytest.raises(Declined):
        main.invoke(thread_id="t")
    with pytest.raises(Declined, match="no answer") as caught:
        main.invoke(None, thread_id="t")
    assert {"pay": 1, "main": 6} == ran
    assert any("main.resolve(thread_id='t', step='" in note for note in caught.value.__notes__)
    assert () == main.resolve(thread_id="t", result="paid by hand")
    assert "paid by hand" == main.invoke(None, thread_id="t")


def test_a_failure_beside_it_is_made_again(ran: Counter[str]) -> None:
    """Only at-most-once tasks keep a failure that ended the run: what failed beside one runs again at once."""

    @task(delivery="at-most-once")
    async def pay() -> str:
        ran["pay"] += 1
        raise Declined

    @task
    async def fetch() -> str:
        ran["fetch"] += 1
        raise ConnectionError

    @entrypoint(InMemorySaver())
    async def main() -> Any:
        both = [pay(), fetch()]
        await asyncio.wait(both)  # on resume the first has ended before the other begins
        return await asyncio.gather(*both)

    for given in ({}, {"input": None}):
        with pytest.raises(Declined):
            asyncio.run(main.ainvoke(thread_id="t", **given))
    assert {"pay": 1, "fetch": 2} == ran


def test_a_failure_that_comes_while_the_run_ends_is_known(ran: Counter[str], opened: list[Run]) -> None:
    """A sync body cannot be stopped: how it ended is recorded, so it is not in doubt."""

    @task(delivery="at-most-once")
    def pay() -> None:
        ran["pay"] += 1
        until(lambda: opened[0].is_stopping)
        raise Declined

    @entrypoint(InMemorySaver())
    def main(_: Any) -> Any:
        paid = pay()
        if len(opened) == 1:
            until(lambda: ran["pay"])
            raise Stop
        return type(paid.exception()).__name__

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    assert "Declined" == main.invoke(None, thread_id="t")
    assert {"pay": 1} == ran


def test_a_result_that_cannot_be_kept_is_a_failure_that_stands(saver: Any, ran: Counter[str]) -> None:
    """It has had its effect; what it should have returned is for a person to say."""

    @task(delivery="at-most-once")
    def pay() -> Any:
        ran["pay"] += 1
        return object()

    @entrypoint(saver)
    def main() -> Any:
        return pay().result()

    with pytest.raises(NotSerializable, match="pay"):
        main.invoke(thread_id="t")
    with pytest.raises(NotSerializable, match="pay"):
        main.invoke(None, thread_id="t")
    main.resolve(thread_id="t", result={"id": 7})
    assert ({"id": 7}, {"pay": 1}) == (main.invoke(None, thread_id="t"), ran)


def test_a_time_limit_is_a_failure_that_stands(colour: Any, ran: Counter[str]) -> None:
    """The body may go on in its thread, or have been stopped half-way: it is not begun again."""
    is_over = threading.Event()

    def pay_sync() -> None:
        ran["pay"] += 1
        is_over.wait(60)

    async def pay_async() -> None:
        ran["pay"] += 1
        await asyncio.sleep(60)

    pay = task(name="pay", delivery="at-most-once", timeout=5)(pay_async if colour.is_async else pay_sync)

    @entrypoint(InMemorySaver())
    async def main() -> None:
        await pay()

    for given in ({}, {"input": None}):
        with FakeClock(), pytest.raises(NodeTimeoutError):
            colour.invoke(main, thread_id="t", **given)
    is_over.set()
    assert {"pay": 1} == ran


def test_a_divergence_does_not_run_it_again(ran: Counter[str]) -> None:
    """With on_divergence="rerun", what comes from there is done again; but not what may be done once."""
    asks = ["a"]

    @task
    def fetch(name: str) -> str:
        ran[f"fetch {name}"] += 1
        return name

    @task(delivery="at-most-once")
    def pay() -> str:
        ran["pay"] += 1
        return "paid"

    @entrypoint(InMemorySaver(), on_divergence="rerun")
    def main(_: Any) -> Any:
        ran["main"] += 1
        found = [fetch(name).result() for name in asks] + [pay().result(), fetch("z").result()]
        if ran["main"] == 1:
            raise Stop
        return found

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    asks.insert(0, "b")
    assert ["b", "a", "paid", "z"] == main.invoke(None, thread_id="t")
    assert {"main": 2, "fetch a": 2, "fetch b": 1, "pay": 1, "fetch z": 2} == ran


# -- a step in doubt, or not ------------------------------------------------------------------------------------------------------------


def test_a_step_cancelled_in_mid_body_is_in_doubt(saver: Any, ran: Counter[str]) -> None:
    """The body's next attempt asks for it again, and the run stops there; resumed, it stops before anything is run."""

    @task(delivery="at-most-once")
    async def pay() -> None:
        ran["pay"] += 1
        limits[-1].reschedule(asyncio.get_running_loop().time())
        await asyncio.sleep(60)

    limits: list[asyncio.Timeout] = []

    @entrypoint(saver, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0))
    async def main() -> Any:
        ran["main"] += 1
        async with asyncio.timeout(60) as limit:
            limits.append(limit)
            return await pay()

    with pytest.raises(InDoubt, match="pay, begun"):
        asyncio.run(main.ainvoke(thread_id="t"))
    with pytest.raises(InDoubt):
        asyncio.run(main.ainvoke(None, thread_id="t"))
    assert {"pay": 1, "main": 2} == ran
    assert () == asyncio.run(main.aresolve(thread_id="t", error=Declined("never arrived")))
    with pytest.raises(Declined, match="never arrived"):
        asyncio.run(main.ainvoke(None, thread_id="t"))


def test_a_run_that_fails_leaves_what_it_cancels_in_doubt(ran: Counter[str]) -> None:
    """An async sibling is cancelled in mid-body; a queued one has not begun, and runs when the run is resumed."""

    @task(delivery="at-most-once")
    async def pay(n: int) -> int:
        ran[f"pay {n}"] += 1
        if ran["main"] == 1:
            await asyncio.sleep(60)
        return n

    @entrypoint(InMemorySaver(), max_concurrency=1)
    async def main(_: Any) -> Any:
        ran["main"] += 1
        first, second = pay(1), pay(2)
        while not ran["pay 1"]:
            await asyncio.sleep(0.001)
        if ran["main"] == 1:
            raise Stop
        return [await first, await second]

    with pytest.raises(Stop):
        asyncio.run(main.ainvoke(0, thread_id="t"))
    with pytest.raises(InDoubt) as caught:
        asyncio.run(main.ainvoke(None, thread_id="t"))
    assert 1 == len(caught.value.doubts)
    main.resolve(thread_id="t", rerun=True)
    assert [1, 2] == asyncio.run(main.ainvoke(None, thread_id="t"))
    assert {"main": 2, "pay 1": 2, "pay 2": 1} == ran


def begun(n: int) -> Announced:
    """An announcement of a step that can be told from others."""
    return Announced(StepId(b"", "pay", bytes([n]), 0), b"point", 86400.0)


def test_a_doubt_says_what_to_type() -> None:
    """For one step the text is whole; a person reads it when something has gone wrong."""
    run = RunRecord("order-7", "t", "main", "", "running", b"")

    assert """\
run 'order-7' stops until a person has said what became of a step that may run at most once and has no recorded end:
    pay, begun 1970-01-02 00:00:00 UTC (idempotency key 9035d62d-da3a-b0df-83af-9ed29637a7bb)
Its process died or its call was cancelled, so it may have had its effect or not. Find out, and say which it was:
    main.resolve(thread_id='t', step='2ec49884ebe4b53a76ea53d405571931', result=...)  # it had its effect: this is the result
    main.resolve(thread_id='t', step='2ec49884ebe4b53a76ea53d405571931', rerun=True)  # it had none: run it
Then go on with main.invoke(None, thread_id='t').""" == str(doubt_about(run, [begun(1)]))


@pytest.mark.parametrize(("count", "shown", "more"), [(2, 2, ""), (8, 8, ""), (9, 8, "    and 1 more: see .doubts of this error")])
def test_many_doubts_are_counted_and_the_first_eight_shown(count: int, shown: int, more: str) -> None:
    """All of them are in ``doubts``."""
    error = doubt_about(RunRecord("order-7", "t", "main", "", "running", b""), [begun(n) for n in range(count)])

    lines = str(error).splitlines()
    assert lines[0].endswith(f"what became of {count} steps that may run at most once and have no recorded end:")
    assert shown == len([line for line in lines if "pay, begun" in line]) == len([line for line in lines if "rerun=True" in line])
    assert ([more] if more else []) == [line for line in lines if line.endswith("see .doubts of this error")]
    assert count == len(error.doubts)


def test_announcements_stay_what_they_are() -> None:
    """They are kept in journals: by another form, a step in doubt would be taken for one that has not begun."""
    record = begun(1).record()

    assert ("2ec49884ebe4b53a76ea53d405571931", "pay", b"announced", 0) == (record.step.scope.hex(), *record.step[1:])
    assert ("started", b"\x95\xc4\x00\xa3pay\xc4\x01\x01\x00\xc4\x05point", 86400.0) == (record.kind, record.payload, record.at)


def announces(commits: Any) -> bool:
    """Whether an at-most-once step is about to begin."""
    return any(record.kind == "started" for commit in commits for record in commit.steps)


class Slow(InMemorySaver):
    """A saver that takes an announcement when the run has stopped all of its calls."""

    def __init__(self, opened: list[Run]) -> None:
        super().__init__()
        self.announcing = threading.Event()
        self._opened = opened

    @property
    def is_blocking(self) -> bool:
        return True

    def commit(self, commits: Any, /) -> Any:
        if announces(commits):
            self.announcing.set()
            until(self._is_stopped)
        return super().commit(commits)

    def _is_stopped(self) -> bool:
        first = self._opened[0]
        tasks = [call.asyncio_task for call in first._open.copy() if call.plan.is_once]
        return first.is_stopping and all(each is None or each.cancelling() for each in tasks)


def payment(colour: Any, ran: Counter[str]) -> Any:
    """A task that may run at most once, and counts its runs."""

    @task(delivery="at-most-once")
    @colour.define
    def pay() -> str:
        ran["pay"] += 1
        return "paid"

    return pay


def test_a_step_cancelled_before_its_body_began_is_not_in_doubt(colour: Any, ran: Counter[str], opened: list[Run]) -> None:
    """While it was being announced its run failed: the announcement is withdrawn."""
    saver = Slow(opened)

    pay = payment(colour, ran)

    @entrypoint(saver)
    async def main(_: Any) -> Any:
        ran["main"] += 1
        paid = pay()
        if ran["main"] == 2:
            return await paid
        await until_async(saver.announcing.is_set)
        raise Stop

    with pytest.raises(Stop):
        asyncio.run(main.ainvoke(0, thread_id="t"))
    assert 0 == ran["pay"]
    assert "paid" == asyncio.run(main.ainvoke(None, thread_id="t"))
    assert {"main": 2, "pay": 1} == ran


class Broken(InMemorySaver):
    """A saver that takes no announcements while it is full."""

    is_full = True

    def commit(self, commits: Any, /) -> Any:
        if self.is_full and announces(commits):
            raise StoreError("no room")
        return super().commit(commits)


def test_without_its_announcement_it_does_not_begin(colour: Any, ran: Counter[str]) -> None:
    """A store that cannot take it stops the run, which goes on from there when it can."""
    saver = Broken()

    pay = payment(colour, ran)

    @entrypoint(saver)
    async def main() -> Any:
        try:
            return await pay()
        except StoreError:
            return "went on"

    with pytest.raises(StoreError, match="no room"):
        colour.invoke(main, thread_id="t")
    saver.is_full = False
    assert ("paid", {"pay": 1}) == (colour.invoke(main, None, thread_id="t"), ran)


def test_it_is_announced_before_its_body_begins_whatever_the_durability() -> None:
    """And its result is committed at once: with "exit" every finished one would be in doubt after a crash."""
    saver = InMemorySaver()
    seen: list[list[str]] = []

    def kinds() -> list[str]:
        (run,) = saver.runs("t")
        return [record.kind for record in saver.steps(run.run_id)]

    @task(delivery="at-most-once")
    def pay() -> None:
        seen.append(kinds())

    @entrypoint(saver, durability="exit")
    def main() -> None:
        pay().result()
        seen.append(kinds())

    main.invoke(thread_id="t")
    assert [["started"], ["started", "ok"]] == seen


# -- where it cannot be -----------------------------------------------------------------------------------------------------------------


@task(delivery="at-most-once")
def charge() -> str:
    """Never runs."""
    pytest.fail("it has run")


@task
def around() -> str:
    """Calls it."""
    return charge().result()


@pytest.mark.parametrize("called", [charge, around])
def test_without_a_checkpointer_it_is_refused(called: Any) -> None:
    """In an entrypoint and on its own: nothing would tell a second time from the first."""

    @entrypoint
    def main() -> Any:
        return called().result()

    for invoke in (main.invoke, called.invoke):
        with pytest.raises(TaskContextError, match=r"charge may run at most once.*checkpointer=SqliteSaver.*charge\.func"):
            invoke()


def test_it_cannot_ask_a_person() -> None:
    """Neither itself nor a task that it calls: its body would have to run again when the answer is there."""

    @task
    def ask() -> Any:
        return interrupt("sure?")

    @task(delivery="at-most-once")
    def pay(is_direct: bool) -> Any:
        return interrupt("sure?") if is_direct else ask().result()

    @entrypoint(InMemorySaver())
    def main(is_direct: bool) -> Any:
        return pay(is_direct).result()

    for is_direct in (True, False):
        with pytest.raises(TaskContextError, match=r"task pay, which may run at most once.*ask before it is called"):
            main.invoke(is_direct)


def test_commits_are_one_announcement_and_one_outcome_each(ran: Counter[str]) -> None:
    """Of fifty at once each is announced and ended; nothing is announced twice."""
    saver = InMemorySaver()

    @task(delivery="at-most-once")
    def pay(n: int) -> int:
        ran["pay"] += 1
        return n

    @entrypoint(saver)
    def main() -> int:
        return sum(future.result() for future in [pay(n) for n in range(50)])

    assert 1225 == main.invoke(thread_id="t")
    (run,) = saver.runs("t")
    assert {"started": 50, "ok": 50} == Counter(record.kind for record in saver.steps(run.run_id))
