"""What is journaled when bodies are retried and runs resumed: nothing runs twice that is finished or under way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from itertools import count
from typing import Any

import pytest

from holdfast import InMemorySaver, NotSerializable, PolicyError, RetryPolicy, StoreError, ThreadBusyError, entrypoint, events, task
from holdfast.runtime.run import Run
from holdfast.testing import recorded
from tests.waiting import until, until_async

AT_ONCE = RetryPolicy(retry_on=Exception, max_attempts=3, initial_interval=0.0001, max_interval=0.0001)


class Blocking(InMemorySaver):
    """A saver that async callers must use through a thread."""

    is_blocking = True


class Held(Blocking):
    """One whose commits of steps wait to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.gate = threading.Event(), threading.Event()

    def commit(self, commits: Any, /) -> Any:
        if any(each.steps for each in commits):
            self.begun.set()
            assert self.gate.wait(30)
        return super().commit(commits)


@pytest.fixture(params=[InMemorySaver, Blocking])
def saver(request: pytest.FixtureRequest) -> Any:
    """Both kinds of savers."""
    return request.param()


def test_a_child_under_way_is_not_started_again(colour: Any, saver: Any) -> None:
    """The body's second attempt gets the future that the first one's call still works on."""
    runs: Counter[str] = Counter()
    release = threading.Event()

    @task
    def slow() -> str:
        runs["slow"] += 1
        release.wait(10)
        return "slow"

    @entrypoint(saver, retry_policy=AT_ONCE)
    @colour.define
    def main() -> Any:
        runs["body"] += 1
        future = slow()
        if runs["body"] == 1:
            raise ConnectionError
        release.set()
        return future

    assert "slow" == colour.invoke(main)
    assert {"body": 2, "slow": 1} == runs


def test_a_failed_child_runs_again_at_once() -> None:
    """Its old future is never handed out again, however quickly the body comes back; tried until the timing has been met."""
    for _ in range(30):
        runs: Counter[str] = Counter()

        @task
        def child(runs: Counter[str] = runs) -> str:
            runs["child"] += 1
            if runs["child"] == 1:
                raise ConnectionError
            return "ok"

        @entrypoint(InMemorySaver(), retry_policy=RetryPolicy(initial_interval=1e-9, max_interval=1e-9))
        def main(child: Any = child) -> Any:
            future = child()
            while not future.done():
                pass
            return future.result()

        assert "ok" == main.invoke()
        assert {"child": 2} == runs


def test_a_cancelled_child_is_made_anew() -> None:
    """A running async task whose attempt ran out of time is still ending when the next attempt asks for it: that does not get its cancellation."""
    runs = Counter[str]()

    @task
    async def stuck() -> str:
        runs["stuck"] += 1
        await asyncio.sleep(60 if runs["stuck"] == 1 else 0)
        return "ok"

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    async def main() -> str:
        limit = None if runs["stuck"] else 0.02
        child = stuck()
        await until_async(lambda: runs["stuck"])
        async with asyncio.timeout(limit):
            return await child

    assert "ok" == main.invoke()
    assert 2 == runs["stuck"]


def test_a_given_up_child_is_made_anew() -> None:
    """A running sync task cancelled on a loop: the next attempt of the body does not get the cancelled future."""
    release, runs = threading.Event(), Counter[str]()

    @task
    def stuck() -> str:
        runs["stuck"] += 1
        if runs["stuck"] == 1:
            release.wait(10)
        return "ok"

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    async def main() -> str:
        if runs["stuck"]:
            value = await stuck()
            release.set()
            return value
        child = stuck()
        await until_async(lambda: runs["stuck"])
        async with asyncio.timeout(0.02):
            return await child

    assert "ok" == main.invoke()
    assert 2 == runs["stuck"]


def test_equal_calls_are_told_apart_by_their_order(colour: Any) -> None:
    """Three equal calls are three steps; a retried body finds each of them."""
    numbers, bodies = count(1), count(1)

    @task
    def draw() -> int:
        return next(numbers)

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    def main() -> list[int]:
        values = [future.result() for future in [draw(), draw(), draw()]]
        if next(bodies) == 1:
            raise ConnectionError
        return values

    assert [1, 2, 3] == sorted(main.invoke())
    assert (4, 3) == (next(numbers), next(bodies))


def test_a_retried_parent_task_finds_its_finished_children(colour: Any, saver: Any) -> None:
    """A step's own scope survives its attempts; equal calls in another scope are other steps."""
    runs: Counter[str] = Counter()

    @task
    def child(n: int) -> int:
        runs[f"child {n}"] += 1
        return n

    @task(retry_policy=AT_ONCE)
    def parent(n: int) -> int:
        runs["parent"] += 1
        value = child(1).result() + child(n).result()
        if runs["parent"] % 2:
            raise ConnectionError
        return value

    @entrypoint(saver)
    def main() -> list[int]:
        return [parent(2).result(), parent(3).result(), child(1).result()]

    assert [3, 4, 1] == main.invoke()
    assert {"parent": 4, "child 1": 3, "child 2": 1, "child 3": 1} == runs


def test_a_failed_run_with_nested_tasks_is_resumed(colour: Any, saver: Any) -> None:
    """invoke(None): finished steps of finished and of failed parents are replayed, in either colour."""
    runs: Counter[str] = Counter()
    healthy = False

    @task
    @colour.define
    def leaf(name: str) -> str:
        runs[name] += 1
        if name == "b2" and not healthy:
            raise ConnectionError(name)
        return name

    if colour.is_async:

        @task
        async def branch(name: str) -> str:
            return "".join(await asyncio.gather(leaf(f"{name}1"), leaf(f"{name}2")))

        @entrypoint(saver)
        async def main(prefix: str) -> str:
            return prefix + await branch("a") + await branch("b")
    else:

        @task
        def branch(name: str) -> str:
            return "".join(future.result() for future in [leaf(f"{name}1"), leaf(f"{name}2")])

        @entrypoint(saver)
        def main(prefix: str) -> str:
            return prefix + branch("a").result() + branch("b").result()

    with pytest.raises(ConnectionError):
        colour.invoke(main, ">", thread_id="t")
    healthy = True

    assert ">a1a2b1b2" == colour.invoke(main, None, thread_id="t")
    assert {"a1": 1, "a2": 1, "b1": 1, "b2": 2} == runs


def test_failures_of_many_tasks_at_once_are_all_remembered() -> None:
    """Tasks that fail while others fail, and bodies that end while others begin, do not disturb one another's records."""
    runs: Counter[int] = Counter()

    @task
    def fail(n: int) -> None:
        runs[n] += 1
        raise KeyError(n)

    @task
    def parent(n: int) -> None:
        with contextlib.suppress(KeyError):
            fail(n).result()
        raise ValueError(n)

    bodies = 0

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    def main() -> int:
        nonlocal bodies
        bodies += 1
        failed = sum(isinstance(future.exception(), ValueError) for future in [parent(n) for n in range(100)])
        if bodies == 1:
            raise ConnectionError
        return failed

    assert 100 == main.invoke()
    assert {1} == set(runs.values())


def test_a_result_that_cannot_be_kept_fails_its_step(colour: Any, rules: Any) -> None:
    """The error names the task and the part; the record of the call says error; a body that survives it gets it again."""
    runs: Counter[str] = Counter()

    @task(name="make lock")
    @colour.define
    def make() -> Any:
        runs["make"] += 1
        return {"lock": threading.Lock()}

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    def main() -> str:
        runs["body"] += 1
        error = make().exception()
        if runs["body"] == 1:
            raise ConnectionError
        return f"{type(error).__name__}: {error}"

    text = main.invoke()
    assert "NotSerializable" in text
    assert "make lock" in text
    assert "lock" in text.replace("make lock", "")
    assert {"make": 1, "body": 2} == runs
    assert ("call", "make lock", "error") in rules.ended


def test_a_run_whose_value_cannot_be_kept_says_so() -> None:
    """The entrypoint's own result is kept, too."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return threading.Lock()

    with pytest.raises(NotSerializable, match="main"):
        main.invoke()


def test_a_cancellation_while_a_step_is_recorded_comes_too_late() -> None:
    """Its body has ended and the commit is on its way in a thread: the step is finished, and the run ends."""
    saver = Held()

    @task
    async def quick() -> int:
        return 1

    @entrypoint(saver)
    async def main() -> int:
        future = quick()
        await until_async(saver.begun.is_set)
        future.cancel()
        saver.gate.set()
        return await future

    async def run() -> int:
        return await asyncio.wait_for(main.ainvoke(thread_id="t"), 30)

    assert 1 == asyncio.run(run())
    saved = saver.latest("t")
    assert saved is not None
    assert [("ok", b"\x01")] == [(record.kind, record.payload) for record in saver.steps(saved.run_id)]


def test_an_argument_that_cannot_be_keyed_counts_by_its_type() -> None:
    """One note per task; the steps are replayed all the same."""
    runs: Counter[str] = Counter()

    @task
    def use(client: Any, n: int) -> int:
        runs["use"] += 1
        return n

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    def main() -> list[int]:
        runs["body"] += 1
        values = [use(threading.Lock(), n).result() for n in range(3)]
        if runs["body"] == 1:
            raise ConnectionError
        return values

    with recorded() as recording:
        assert [0, 1, 2] == main.invoke()
    assert {"body": 2, "use": 3} == runs
    assert 1 == [note["event"] for note in recording.notes].count("holdfast.journal.opaque_argument")


def test_two_functions_of_one_name_are_refused() -> None:
    """At the second one's first call; the text says what to do."""

    @task(name="fetch")
    def one() -> int:
        return 1

    @task(name="fetch")
    def other() -> int:
        return 2

    @entrypoint(InMemorySaver())
    def main() -> int:
        return one().result() + other().result()

    with pytest.raises(PolicyError, match=r"'fetch'.*name="):
        main.invoke()


def test_replayed_steps_are_told_once_each(rules: Any) -> None:
    """A call that is replayed is a start and an end, with that outcome; one that is under way, none of its own."""
    bodies = 0

    @task(name="step")
    def step() -> int:
        return 1

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE, name="main")
    def main() -> int:
        nonlocal bodies
        bodies += 1
        value = step().result()
        if bodies == 1:
            raise ConnectionError
        return value

    assert events.observer is rules
    with recorded() as recording:
        main.invoke()
    assert [1] == [fact["replayed"] for fact in recording.facts if fact["kind"] == "run"]
    expected = [
        ("attempt", "step", "ok"),
        ("call", "step", "ok"),
        ("attempt", "main", "error"),
        ("call", "step", "replayed"),
        ("attempt", "main", "ok"),
        ("body", "main", "ok"),
        ("run", "main", "ok"),
    ]
    assert expected == rules.ended


class Breaking(InMemorySaver):
    """A saver that is out of order while ``is_broken``."""

    is_broken = False

    def commit(self, commits: Any, /) -> Any:
        if self.is_broken:
            raise StoreError("no room on the device")
        return super().commit(commits)


def test_a_checkpointer_that_breaks_ends_the_run_and_is_not_its_outcome(colour: Any) -> None:
    """Whatever the body makes of it; when the store is well again the run goes on where it was."""
    saver, runs = Breaking(), Counter[str]()

    @task
    @colour.define
    def work(name: str) -> str:
        runs[name] += 1
        return name

    @task
    @colour.define
    def break_store() -> None:
        saver.is_broken = runs["break"] == 0
        runs["break"] += 1

    async def body_async() -> list[str]:
        found = [await work("a")]
        with contextlib.suppress(Exception):
            await break_store()
        with contextlib.suppress(Exception):
            found.append(await work("b"))
        return found

    def body_sync() -> list[str]:
        found = [work("a").result()]
        with contextlib.suppress(Exception):
            break_store().result()
        with contextlib.suppress(Exception):
            found.append(work("b").result())
        return found

    main = entrypoint(saver)(body_async if colour.is_async else body_sync)
    with pytest.raises(StoreError, match="no room"):
        colour.invoke(main, thread_id="t")
    assert {"a": 1, "break": 1} == runs
    saver.is_broken = False
    assert ["a", "b"] == colour.invoke(main, None, thread_id="t")
    assert {"a": 1, "break": 2, "b": 1} == runs


class BreakingDisk(Breaking):
    """One whose commits are left to a worker thread."""

    is_blocking = True


def test_trouble_with_a_commit_that_nobody_waited_for_shows_at_a_later_call() -> None:
    """With durability="async": the run stops soon, and not at its end, which may be hours away."""
    saver, runs = BreakingDisk(), Counter[str]()

    @task
    def work(n: int) -> int:
        runs["work"] += 1
        return n

    @entrypoint(saver, durability="async")
    def main() -> None:
        saver.is_broken = True
        for n in range(2000):
            work(n).result()
            time.sleep(0.001)

    with pytest.raises(StoreError, match="no room"):
        main.invoke(thread_id="t")
    assert runs["work"] < 2000


def test_nobody_is_handed_a_failure_that_could_not_be_recorded() -> None:
    """It would be done again, and might turn out otherwise: a body that is still at work is told that the checkpointer broke."""
    saver, begun, broken, told = Breaking(), threading.Event(), threading.Event(), list[str]()

    @task
    def decline() -> None:
        begun.set()
        broken.wait(10)
        raise ValueError("declined")

    @task
    def break_store() -> None:
        saver.is_broken = True

    @entrypoint(saver)
    def main() -> None:
        waiting = decline()
        begun.wait(10)
        with contextlib.suppress(StoreError):
            break_store().result()
        broken.set()
        try:
            waiting.result()
        except Exception as error:
            told.append(type(error).__name__)

    with pytest.raises(StoreError, match="no room"):
        main.invoke(thread_id="t")
    assert ["StoreError"] == told


def test_a_failure_that_comes_too_late_to_be_recorded_is_seen_as_one(opened: list[Run]) -> None:
    """Whoever still waits for it, though the body has failed and the run is ending, is not told that all went well."""
    told: list[str] = []

    @task
    def decline() -> None:
        begun.set()
        until(lambda: opened and opened[0].is_stopping)
        raise ValueError("declined")

    @entrypoint(InMemorySaver())
    def main() -> None:
        waiting = decline()
        assert begun.wait(30)  # what has not begun when the body fails is cancelled
        bystander = threading.Thread(target=lambda: told.append(type(waiting.exception()).__name__))
        bystander.start()
        others.append(bystander)
        raise KeyError("the body's own")

    begun, others = threading.Event(), list[threading.Thread]()
    with pytest.raises(KeyError):
        main.invoke(thread_id="t")
    others[0].join(60)
    assert ["ValueError"] == told


class Keeping(InMemorySaver):
    """A saver that gives no thread back."""

    def release(self, lease: Any, /) -> None:
        raise StoreError("no room on the device")


def test_a_thread_that_could_not_be_given_back_is_a_note() -> None:
    """The run is over and recorded, and its result is the caller's: a line says what the next one on the thread may run into."""
    with recorded() as recording:
        assert 1 == entrypoint(Keeping())(lambda: 1).invoke(thread_id="t")

    ((event, text),) = [(note["event"], note["text"]) for note in recording.notes]
    assert ("holdfast.journal.not_released", "thread 't' could not be given back: no room on the device") == (event, text)


def test_that_the_checkpointer_broke_is_said_once() -> None:
    """By the run, and not by each of its tasks that were at work."""
    saver, begun = Breaking(), threading.Barrier(5, timeout=10)

    @task
    def work(n: int) -> int:
        begun.wait()
        saver.is_broken = True
        return n

    @entrypoint(saver)
    def main() -> list[int]:
        return [future.result() for future in [work(n) for n in range(5)]]

    with recorded() as recording, pytest.raises(StoreError, match="no room"):
        main.invoke(thread_id="t")
    assert [] == [note for note in recording.notes if note["event"] == "holdfast.task.uncollected_failure"]


def test_an_owner_that_was_replaced_writes_nothing_more() -> None:
    """It is told so at its next step, and the record is its successor's."""
    saver = InMemorySaver()

    @task
    def work(n: int) -> int:
        if n == 2:
            saver.claim("t", force=True)
        return n

    @entrypoint(saver)
    def main() -> int:
        return work(1).result() + work(2).result()

    with pytest.raises(ThreadBusyError):
        main.invoke(thread_id="t")
    run = saver.latest("t")
    assert run is not None
    assert ("running", 1) == (run.status, len(saver.steps(run.run_id)))


class Counting(InMemorySaver):
    """Counts its transactions."""

    count = 0

    def commit(self, commits: Any, /) -> Any:
        self.count += 1
        return super().commit(commits)


def test_what_is_kept_for_the_end_is_what_holds_then() -> None:
    """With durability="exit" a failure that a later attempt has left behind is never written, nor is its going."""
    saver, attempts = Counting(), Counter[str]()

    @task(name="fail")
    def fail() -> None:
        raise ConnectionError

    @task(name="work")
    def work() -> int:
        return 1

    @entrypoint(saver, retry_policy=AT_ONCE, durability="exit")
    def main() -> int:
        attempts["main"] += 1
        if attempts["main"] == 1:
            fail().result()
        return work().result()

    assert 1 == main.invoke(run_id="r")
    assert ["work"] == [record.step.name for record in saver.steps("r")]
    assert 2 == saver.count  # the run's beginning and its end


class Overtaken(InMemorySaver):
    """Keeps what is recorded of ``bystander`` until something is recorded of ``flaky``'s second time."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()
        self._is_recorded = threading.Event()

    def commit(self, commits: Any, /) -> Any:
        records = [record for commit in commits for record in commit.steps]
        if any(record.step.name.endswith("bystander") for record in records):
            self.held.set()
            assert self._is_recorded.wait(10)
        errors = super().commit(commits)
        if any(record.step.name.endswith("flaky") and record.kind == "ok" for record in records):
            self._is_recorded.set()
        return errors


def test_what_is_recorded_late_takes_no_newer_result_away() -> None:
    """A failure is forgotten before the step runs again, not with the next record that somebody happens to make."""
    saver = Overtaken()
    is_again = threading.Event()
    tries: list[int] = []

    @task
    def bystander() -> None:
        assert is_again.wait(10)

    @task
    def flaky() -> str:
        if len(tries) == 1:
            raise ConnectionError
        assert saver.held.wait(10)
        return "fine"

    @entrypoint(saver, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0))
    def run() -> str:
        tries.append(1)
        bystander()
        if len(tries) == 2:
            is_again.set()
        return flaky().result()

    assert "fine" == run.invoke(run_id="r")
    assert ["bystander", "flaky"] == sorted(record.step.name.rpartition(".")[2] for record in saver.steps("r"))
