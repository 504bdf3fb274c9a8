"""A resumed body asks for what was recorded, or something else: what is replayed, what is done again, and what is a divergence."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from concurrent.futures import as_completed
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Divergence, InMemorySaver, PolicyError, RetryPolicy, RunExists, entrypoint, task
from holdfast.runtime.replay import Replay
from holdfast.testing import recorded
from holdfast.typing import StepId, StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop(Exception):
    """Ends a life of a body, so that the next one resumes it."""


class Lives:
    """An entrypoint whose body does another script in each of its lives, one task after the other.

    A script is a list of steps: ``("a", 1)`` is a call of task a with 1. All lives but the last end in `Stop`.

    Attributes:
        done: The steps that were really done in the life that ran last.
        notes: What it noted, by event.
    """

    def __init__(self, *scripts: list[tuple[str, int]], on_divergence: str = "raise") -> None:
        self.done: list[tuple[str, int]] = []
        self.notes: Counter[str] = Counter()
        self._scripts = iter(scripts)
        self._left = len(scripts)
        tasks = {name: self._task(name) for name in "abc"}

        @entrypoint(InMemorySaver(), on_divergence=on_divergence)
        def main(_: Any) -> list[int]:
            self._left -= 1
            values = [tasks[name](n).result() for name, n in next(self._scripts)]
            if self._left:
                raise Stop
            return values

        self._main = main

    def _task(self, name: str) -> Any:
        @task(name=name)
        def work(n: int) -> int:
            self.done.append((name, n))
            return n * 10

        return work

    def all(self) -> Any:
        """Live all lives; return or raise what the last one does."""
        with pytest.raises(Stop):
            self._main.invoke(0, thread_id="t")
        while self._left > 1:
            with pytest.raises(Stop):
                self._main.invoke(None, thread_id="t")
        self.done.clear()
        with recorded() as recording:
            try:
                return self._main.invoke(None, thread_id="t")
            finally:
                self.notes = Counter(note["event"] for note in recording.notes)


A, B, C = ("a", 1), ("b", 2), ("c", 3)


@pytest.mark.parametrize(
    ("first", "second", "done"),
    [
        ([], [A], [A]),
        ([A, B], [A, B], []),
        ([A], [A, B], [B]),
        ([A, A], [A, A, A], [A]),
        ([A, B, A], [A, B, A, C], [C]),
    ],
)
def test_what_was_done_is_not_done_again(first: Any, second: Any, done: Any) -> None:
    """Equal calls are counted; what comes after the record is done."""
    lives = Lives(first, second)

    assert [n * 10 for _, n in second] == lives.all()
    assert done == lives.done
    assert {} == lives.notes


@pytest.mark.parametrize(
    ("second", "recorded_step", "actual"),
    [
        ([A, ("b", 9)], "b", "b"),
        ([A, C], "b", "c"),
        ([B, A], "a", "b"),
        ([C, A, B], "a", "c"),
        ([A, A, B], "b", "a"),
        ([A], "b", "the body returned"),
        ([], "a", "the body returned"),
    ],
)
def test_something_else_after_the_same_history_is_a_divergence(second: Any, recorded_step: str, actual: str) -> None:
    """Another argument, another task, another order, one more, one less: nothing is done, and both sides are shown."""
    lives = Lives([A, B], second)

    with pytest.raises(Divergence) as caught:
        lives.all()
    assert (recorded_step, actual) == (caught.value.recorded.partition("(")[0], caught.value.actual.partition("(")[0])
    assert f"recorded: {caught.value.recorded}" in str(caught.value)
    assert f"now:      {caught.value.actual}" in str(caught.value)
    assert "make that a task. To go on anyway: @entrypoint(on_divergence='rerun') runs what comes from here again" in str(caught.value)
    assert [] == lives.done


@pytest.mark.parametrize("second", ["a", "ac"])
def test_a_divergence_inside_a_task_is_the_runs_whatever_its_callers_make_of_it(second: str) -> None:
    """It asks for less, or for something else: neither is the task tried again, nor can a body go on without it."""
    scripts = iter(["ab", second])
    begun: list[str] = []
    steps = {name: task(name=name)(lambda: name) for name in "abc"}

    @task(retry_policy=RetryPolicy(retry_on=Exception))
    def inner() -> None:
        begun.append(next(scripts))
        for name in begun[-1]:
            steps[name]().result()
        if len(begun) == 1:
            raise KeyboardInterrupt

    @entrypoint(InMemorySaver())
    def main(_: Any) -> str:
        with contextlib.suppress(Divergence):
            inner().result()
        return "went on"

    with pytest.raises(KeyboardInterrupt):
        main.invoke(0, thread_id="t")
    with pytest.raises(Divergence) as caught:
        main.invoke(None, thread_id="t")

    assert ["ab", second] == begun
    assert not any("gave up" in note for note in getattr(caught.value, "__notes__", []))


def test_the_body_is_told_of_a_divergence_at_the_very_call() -> None:
    """So that what it cleans up on the way out knows why."""
    names = iter("ab")
    told: list[type[Exception]] = []
    steps = {name: task(name=name)(lambda: name) for name in "ab"}

    @entrypoint(InMemorySaver())
    def main(_: Any) -> None:
        name = next(names)
        try:
            steps[name]().result()
        except Exception as error:
            told.append(type(error))
            raise
        raise LookupError(name)

    with pytest.raises(LookupError, match="a"):
        main.invoke(0, thread_id="t")
    with pytest.raises(Divergence):
        main.invoke(None, thread_id="t")
    assert [Divergence] == told


def test_a_failure_that_the_body_survived_is_a_part_of_the_record() -> None:
    """Asked for no more, it is a divergence like any other step."""
    lives = iter(["first", "second"])

    @task(name="decline")
    def decline() -> None:
        raise ValueError

    @task
    def work() -> int:
        return 1

    @entrypoint(InMemorySaver())
    def main(_: Any) -> None:
        if next(lives) == "first":
            with contextlib.suppress(ValueError):
                decline().result()
            work().result()
            raise Stop

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    with pytest.raises(Divergence, match=r"recorded: decline\(.*\n.*now: +the body returned"):
        main.invoke(None, thread_id="t")


def test_a_divergence_cannot_be_swallowed_and_is_not_retried() -> None:
    """It is the run's outcome whatever the body makes of it; the record stays as it was."""
    bodies, numbers = [0], [1]

    @task
    def work(n: int) -> int:
        return n

    @entrypoint(InMemorySaver(), retry_policy=RetryPolicy(retry_on=ConnectionError, initial_interval=0.001))
    def main(_: Any) -> Any:
        bodies[0] += 1
        try:
            value = work(numbers[0]).result()
        except Exception:  # what user code does
            value = "swallowed"
        if bodies[0] == 1:
            raise Stop
        return value

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    numbers[0] = 2
    with pytest.raises(Divergence):
        main.invoke(None, thread_id="t")
    assert 2 == bodies[0]
    numbers[0] = 1
    assert 1 == main.invoke(None, thread_id="t")


def test_warn_takes_what_still_fits() -> None:
    """And says once that it diverged."""
    lives = Lives([A, B, C], [B, A, C], on_divergence="warn")

    assert [20, 10, 30] == lives.all()
    assert [] == lives.done
    assert {"holdfast.journal.divergence": 1} == lives.notes


def test_rerun_does_again_what_comes_from_there() -> None:
    """What came before the divergence stays."""
    lives = Lives([A, B, C], [A, C, B], on_divergence="rerun")

    assert [10, 30, 20] == lives.all()
    assert [C, B] == lives.done
    assert {"holdfast.journal.divergence": 1} == lives.notes


def test_what_was_rerun_is_the_record_from_then_on() -> None:
    """A third life follows the second one's path."""
    lives = Lives([A, B, C], [A, C, B], [A, C, B], on_divergence="rerun")

    assert [10, 30, 20] == lives.all()
    assert [] == lives.done
    assert {} == lives.notes


@settings(max_examples=60)
@given(
    script=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=8),
    cut=st.integers(0, 8),
)
def test_the_same_script_never_diverges(script: list[tuple[str, int]], cut: int) -> None:
    """Wherever the first life ended, the second does the rest exactly once. The oracle is the script itself."""
    lives = Lives(script[:cut], script)

    assert [n * 10 for _, n in script] == lives.all()
    assert script[cut:] == lives.done
    assert {} == lives.notes


@settings(max_examples=150)
@given(
    first=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1)), max_size=5),
    second=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1)), max_size=5),
)
def test_a_sequential_body_diverges_exactly_when_its_script_is_no_continuation(first: Any, second: Any) -> None:
    """The oracle: one list begins with the other."""
    lives = Lives(first, second)

    if second[: len(first)] == first:
        assert [n * 10 for _, n in second] == lives.all()
    else:
        with pytest.raises(Divergence):
            lives.all()


# -- no false alarm ---------------------------------------------------------------------------------------------------------------------

ROUNDS = 25


def gathered(work: Any, names: list[int]) -> Any:
    """All at once, in async code."""

    async def body() -> Any:
        return sorted(await asyncio.gather(*[work(n) for n in names]))

    return body


def first_come(work: Any, names: list[int]) -> Any:
    """A second round in the order in which the first one ends."""

    def body() -> Any:
        futures = [work(n) for n in names]
        return sorted(work(100 + done.result()).result() for done in as_completed(futures))

    return body


def first_come_async(work: Any, names: list[int]) -> Any:
    """The same with asyncio."""

    async def body() -> Any:
        return sorted([await work(100 + await done) for done in asyncio.as_completed([work(n) for n in names])])

    return body


def chains(work: Any, names: list[int]) -> Any:
    """Coroutines that each make one call after the other."""

    async def chain(n: int) -> Any:
        return await work(100 + await work(n))

    async def body() -> Any:
        return sorted(await asyncio.gather(*[chain(n) for n in names]))

    return body


def polled(work: Any, names: list[int]) -> Any:
    """A body that looks whether something is done already."""

    def body() -> Any:
        future = work(names[0])
        time.sleep(0.0005)
        extra = [work(200).result()] if future.done() else []
        return [future.result(), *[work(n).result() for n in names[1:]], *extra][: len(names)]

    return body


def shaky(dice: random.Random, done: Counter[int], broken: list[bool]) -> Any:
    """A task that takes a while, returns its number, and fails now and then as long as ``broken``."""

    @task(name="work")
    def work(n: int) -> int:
        time.sleep(dice.random() * 0.001)
        if broken and dice.random() < 0.15:
            raise Stop
        done[n] += 1
        return n

    return work


@pytest.mark.parametrize("shape", [gathered, first_come, first_come_async, chains, polled])
def test_timing_is_no_divergence(shape: Callable[..., Any]) -> None:
    """Failed at random, resumed with other timings: the result is right, no call is done twice, and nothing is refused."""
    names = list(range(6))
    for seed in range(ROUNDS):
        done, broken = Counter[int](), [True]
        main = entrypoint(InMemorySaver())(shape(shaky(random.Random(seed), done, broken), names))
        with contextlib.suppress(Stop):
            main.invoke(thread_id="t")
        for _ in range(2):
            with contextlib.suppress(Stop):
                main.invoke(None, thread_id="t")
        broken.clear()

        assert (names if shape in {gathered, polled} else [100 + n for n in names]) == main.invoke(None, thread_id="t")
        assert {1} == set(done.values())


def test_a_background_coroutine_that_is_late_is_no_divergence() -> None:
    """It made the first step when the run was recorded, and none before the body ended when it was resumed."""
    waits = iter([0.0, 10.0])

    @task
    async def work() -> int:
        return 1

    async def background(seconds: float) -> None:
        await asyncio.sleep(seconds)
        await work()

    @entrypoint(InMemorySaver())
    async def main(_: Any) -> str:
        seconds = next(waits)
        beside = asyncio.create_task(background(seconds))
        if seconds:
            await asyncio.sleep(0.02)
        else:
            await beside
        beside.cancel()
        if not seconds:
            raise Stop
        return "done"

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    assert "done" == main.invoke(None, thread_id="t")


@pytest.mark.parametrize("second", [[2], []])
def test_a_body_with_a_time_limit_is_judged_too(second: list[int]) -> None:
    """Although it runs on a thread of its own, and what it returns is looked at on another."""
    lives = iter([[1], second])

    @task
    def work(n: int) -> int:
        return n

    @entrypoint(InMemorySaver(), timeout=60)
    def main(_: Any) -> None:
        asked = next(lives)
        for number in asked:
            work(number).result()
        if asked == [1]:
            raise Stop

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    with pytest.raises(Divergence):
        main.invoke(None, thread_id="t")


# -- which run --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def counting() -> Any:
    """An entrypoint that returns its input and counts its bodies; it fails for negative numbers."""
    bodies: list[Any] = []

    @entrypoint(InMemorySaver())
    def main(n: int | None, *, previous: Any = "none") -> list[Any]:
        bodies.append(n)
        if n is not None and n < 0:
            raise Stop
        return [n, previous if previous == "none" or previous is None else previous[0]]

    return main, bodies


def test_resuming_a_finished_thread_returns_its_result(counting: Any) -> None:
    """Without running anything."""
    main, bodies = counting
    first = main.invoke(1, thread_id="t")

    assert first == main.invoke(None, thread_id="t")
    assert [1] == bodies


def test_resuming_a_thread_that_does_not_exist(counting: Any) -> None:
    """The text says how to start one with None."""
    main, bodies = counting

    with pytest.raises(PolicyError, match=r"no thread 't'.*Input\(None\)"):
        main.invoke(None, thread_id="t")
    assert [] == bodies


def test_a_new_input_leaves_an_unfinished_run_behind(counting: Any) -> None:
    """What it would have returned is nobody's ``previous``."""
    main, bodies = counting
    main.invoke(1, thread_id="t")
    with pytest.raises(Stop):
        main.invoke(-1, thread_id="t")

    assert [2, 1] == main.invoke(2, thread_id="t")
    assert [2, 1] == main.invoke(None, thread_id="t")
    assert [1, -1, 2] == bodies


def test_one_run_id_is_one_run(counting: Any) -> None:
    """The first result comes back, on the same thread or on none; another input is refused."""
    main, bodies = counting
    first = main.invoke(1, run_id="order-7")
    main.invoke(5, thread_id="order-7")

    assert first == main.invoke(1, run_id="order-7")
    assert [1, 5] == bodies
    with pytest.raises(RunExists, match="another input"):
        main.invoke(2, run_id="order-7")
    with pytest.raises(RunExists, match="thread"):
        main.invoke(1, run_id="order-7", thread_id="elsewhere")


def test_a_changed_task_is_told() -> None:
    """Its recorded result is used as it is, and a line says so."""

    def version(n: int) -> Any:
        @task(name="work")
        def one() -> int:
            return 1

        @task(name="work")
        def two() -> int:
            return 1 + 1

        return one if n == 1 else two

    saver, life = InMemorySaver(), [0]

    def make(work: Any) -> Any:
        @entrypoint(saver)
        def main(_: Any) -> int:
            value: int = work().result()
            life[0] += 1
            if life[0] == 1:
                raise Stop
            return value

        return main

    with pytest.raises(Stop):
        make(version(1)).invoke(0, thread_id="t")
    with recorded() as recording:
        assert 1 == make(version(2)).invoke(None, thread_id="t")
    assert ["holdfast.journal.code_changed"] == [note["event"] for note in recording.notes]


def test_a_renamed_function_keeps_its_record_by_name() -> None:
    """In another module, too: a step knows its task's name alone. Under a new name it would be another step."""
    saver, ran = InMemorySaver(), Counter[str]()

    @task
    def fetch(city: str) -> str:
        ran["fetch"] += 1
        return city.upper()

    @task(name="fetch")
    def fetch_forecast(city: str) -> str:
        pytest.fail(f"{city} was fetched again")

    fetch_forecast.func.__module__ = "elsewhere"

    def make(work: Any, *, is_last: bool) -> Any:
        @entrypoint(saver)
        def main(city: str) -> str:
            found: str = work(city).result()
            if not is_last:
                raise Stop
            return found

        return main

    with pytest.raises(Stop):
        make(fetch, is_last=False).invoke("Oslo", thread_id="t")
    with pytest.raises(Divergence, match=r"recorded: fetch\(.*\n.*now: +other\("):
        make(fetch.options(name="other"), is_last=True).invoke(None, thread_id="t")
    assert "OSLO" == make(fetch_forecast, is_last=True).invoke(None, thread_id="t")
    assert {"fetch": 1} == ran


class Shrinking:
    """A run that starts calls all at once and fails, and that asks for fewer of them when it is resumed."""

    def __init__(self, *, is_sequential: bool = False) -> None:
        self._numbers: list[int] = []
        self._is_failing = True

        @task(name="double")
        def double(n: int) -> int:
            return 2 * n

        @entrypoint(InMemorySaver(), name="main", on_divergence="warn")
        def main(_: int) -> list[int]:
            if is_sequential:
                doubled = [double(n).result() for n in self._numbers]
            else:
                doubled = [future.result() for future in [double(n) for n in self._numbers]]
            if self._is_failing:
                raise Stop
            return doubled

        self._main = main

    def notes(self, first: int, second: int) -> list[dict[str, Any]]:
        """What is noted when ``first`` calls were recorded and ``second`` are asked for."""
        self._numbers = list(range(first))
        with pytest.raises(Stop):
            self._main.invoke(0, thread_id="t")
        self._numbers, self._is_failing = self._numbers[:second], False
        with recorded() as recording:
            assert [2 * n for n in self._numbers] == self._main.invoke(None, thread_id="t")
        return recording.notes


@pytest.mark.parametrize(("left", "shown", "more"), [(1, 1, ""), (8, 8, ""), (9, 8, " and 1 more")])
def test_recorded_steps_that_nobody_asks_for_are_told(left: int, shown: int, more: str) -> None:
    """Where timing had a say it is no divergence, but may be a mistake: the first eight are named."""
    (note,) = Shrinking().notes(2 + left, 2)

    assert ("holdfast.journal.unclaimed", "warning", left) == (note["event"], note["level"], note["steps"])
    assert note["text"].startswith("main has ended without asking for steps that were recorded: double(arguments ")
    assert (shown, more) == (note["text"].count("double("), note["text"].rpartition(")")[2])


@pytest.mark.parametrize(("left", "expected"), [(0, []), (8, [(8, "")]), (9, [(8, " and 1 more")])])
def test_a_divergence_names_what_was_not_asked_for_yet(left: int, expected: list[tuple[int, str]]) -> None:
    """Beside the step that is compared: the one that was meant may be among them."""
    (text,) = [note["text"] for note in Shrinking(is_sequential=True).notes(2 + left, 1) if note["event"] == "holdfast.journal.divergence"]

    lines = [line for line in text.splitlines() if "also recorded and not asked for yet" in line]
    assert expected == [(line.count("double("), line.rpartition(")")[2]) for line in lines]


def test_nothing_is_told_when_all_was_asked_for() -> None:
    """As with every run that is resumed and unchanged."""
    assert [] == Shrinking().notes(3, 3)


def test_calls_may_be_made_while_what_is_left_is_told() -> None:
    """Threads go on claiming what was recorded of them: here one does between any two that are looked at."""
    records = [StepRecord(StepId(b"", "work", b"", number), "ok", b"") for number in range(10)]
    replay, unclaimed, plan = Replay(records, "raise", lambda _: None), iter(records), task(time.sleep).plan

    class Entered(set[bytes]):
        def __contains__(self, _: object) -> bool:
            replay.claimed(next(unclaimed), plan)
            return True

    replay._entered = Entered()

    with recorded() as recording:
        replay.tell_unclaimed("main")
    assert ["holdfast.journal.unclaimed"] == [note["event"] for note in recording.notes]
