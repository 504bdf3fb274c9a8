"""Random programs of tasks, failures, questions, deaths and resumes, against an oracle that knows nothing of holdfast.

Death is that of one process in which the real one cannot be killed: at the chosen instant the world stops. From then on no transaction reaches
the file and no effect happens, the files are closed without giving anything back, and the next execution opens them with a saver of its own.
(Real processes are killed in ``tests/faults``.) Programs that do several things at once do not die here: the oracle says exactly what happens.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from holdfast import Command, RetryPolicy, SqliteSaver, entrypoint, get_idempotency_key, interrupt, task
from holdfast.errors import StoreError
from holdfast.runtime.writer import Writer, writer_of
from tests.flows.oracle import Oracle, Program

EXAMPLES = int(os.environ.get("HOLDFAST_MODEL_EXAMPLES", "0"))
"""More of them, other ones each time; 0: the same few each time."""
TWICE = RetryPolicy(max_attempts=2, retry_on=Exception, initial_interval=0, jitter=False)


class Dead(Exception):
    """Nothing that happens after this has happened."""


class Refused(Exception):
    """A task has failed; its number is the argument."""


class World:
    """What is outside the process, and the instants at which that can die."""

    def __init__(self) -> None:
        self.is_up = True
        self.effects: list[str] = []
        self.writer: Writer | None = None
        self.dies_at: int | None = None
        self.is_dead = False
        self._tried: set[str] = set()
        self._lock = threading.Lock()

    def live(self, dies_at: int | None) -> None:
        """A new process, which dies at an instant."""
        self.effects, self.dies_at, self.is_dead = [], dies_at, False
        self._tried.clear()

    def is_first_try(self) -> bool:
        """Whether the call that asks has not done so before in this process."""
        key = get_idempotency_key()
        is_first = key not in self._tried
        self._tried.add(key)
        return is_first

    def instant(self) -> None:
        """One of the instants that count."""
        with self._lock:
            if self.dies_at is not None:
                self.dies_at -= 1
                self.is_dead = self.is_dead or self.dies_at < 0
            if self.is_dead:
                raise Dead

    def effect(self, text: str) -> None:
        """Something that cannot be taken back; what was put in line before is written by then, so that the oracle can tell."""
        while self.writer is not None and not self.writer.is_idle:
            time.sleep(0.0005)
        self.instant()
        self.effects.append(text)
        self.instant()


class Mortal(SqliteSaver):
    """A saver that reaches its file only as long as the process lives."""

    world: World

    def commit(self, commits: Any, /) -> Any:
        """Those that only forget are transactions that nobody waits for: no instants, for whether they share one is up to chance."""
        late = [each for each in commits if each.run is None and not each.steps]
        rest = [each for each in commits if each not in late]
        try:
            if self.world.is_dead:
                raise Dead
            if late:
                assert not any(super().commit(late))
            if rest:
                self.world.instant()
                assert not any(super().commit(rest))
                self.world.instant()
        except Dead:
            raise StoreError("dead") from None
        return [None] * len(commits)

    def release(self, lease: Any, /) -> None:
        if not self.world.is_dead:
            super().release(lease)


# -- programs ---------------------------------------------------------------------------------------------------------------------------


def simple(*words: str) -> st.SearchStrategy[Program]:
    """An instruction without others in it; few numbers, so that equal calls are frequent."""
    return st.tuples(st.sampled_from(words), st.integers(0, 2)).map(list)


def tried(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    """The instruction, or the same with its failure caught."""
    return inner | st.tuples(st.just("try"), inner).map(list)


def nesting(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    """A task that does others."""
    return tried(st.tuples(st.sampled_from(["nest", "again"]), st.lists(inner, min_size=1, max_size=3)).map(list))


LEAVES = simple("work", "flaky", "work", "ask") | tried(simple("charge"))
ONE_BY_ONE = st.lists(st.recursive(LEAVES, nesting, max_leaves=6), min_size=1, max_size=5)
UNFAILING = st.lists(simple("work", "flaky", "ask"), min_size=1, max_size=3)
AT_ONCE = st.lists(UNFAILING, min_size=2, max_size=4).map(lambda programs: ["all", programs])
PROGRAMS = ONE_BY_ONE | st.lists(LEAVES | AT_ONCE, min_size=1, max_size=3)
DEATHS = st.none() | st.integers(0, 30)


class Doing:
    """Tasks that do programs, in one colour.

    Written async; in a sync program each ``await`` is of what is there already, so that a coroutine can be run like a function.
    """

    def __init__(self, world: World, *, is_async: bool) -> None:
        self.world = world
        self.is_async = is_async
        leaves = {word: self.task(word, self.leaf(word)) for word in ["work", "flaky", "charge"]}
        self.tasks = {**leaves, "nest": self.task("nest", self.body), "again": self.task("again", self.body)}

    def task(self, word: str, fn: Any) -> Any:
        """The task of a word."""

        async def in_async(given: Any) -> Any:
            return await fn(given)

        def in_sync(given: Any) -> Any:
            return finished(fn(given))

        policies = {"flaky": TWICE, "again": TWICE}
        return task(in_async if self.is_async else in_sync, name=word, retry_policy=policies.get(word))

    def leaf(self, word: str) -> Any:
        """What a task without others in it does."""
        world = self.world

        async def work(n: int) -> int:
            if word == "flaky" and world.is_first_try():
                world.effect(f"try {n}")
                raise ConnectionError
            world.effect(f"{word} {n}")
            if word == "charge" and not world.is_up:
                raise Refused(n)
            return n * 10

        return work

    async def body(self, program: Program) -> list[Any]:
        """All instructions, one after the other."""
        return [await self.do(instruction) for instruction in program]

    async def do(self, instruction: Program) -> Any:
        """One instruction."""
        word, given = instruction
        if word == "ask":
            return interrupt(f"{given}?")
        if word == "all":
            futures = [self.tasks["nest"](program) for program in given]
            return [await future if self.is_async else future.result() for future in futures]
        if word != "try":
            future = self.tasks[word](given)
            return await future if self.is_async else future.result()
        try:
            return await self.do(given)
        except Refused:
            return "caught"

    def entrypoint(self, saver: SqliteSaver) -> Any:
        """The program that is the input, with a saver of this process."""

        async def run(given: dict[str, Any], previous: Any) -> dict[str, Any]:
            before = None if previous is None else previous["number"]
            return {"number": given["number"], "previous": before, "values": await self.body(given["program"])}

        async def in_async(given: dict[str, Any], *, previous: Any) -> dict[str, Any]:
            return await run(given, previous)

        def in_sync(given: dict[str, Any], *, previous: Any) -> dict[str, Any]:
            return finished(run(given, previous))

        return entrypoint(saver)(in_async if self.is_async else in_sync)


def finished(coroutine: Any) -> Any:
    """Run a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


# -- both, side by side -----------------------------------------------------------------------------------------------------------------


class Model(RuleBasedStateMachine):
    """One thread, in holdfast and in the oracle."""

    @initialize(is_async=st.booleans())
    def begin(self, is_async: bool) -> None:
        """An empty store."""
        self.folder = Path(tempfile.mkdtemp())
        self.world, self.oracle = World(), Oracle()
        self.doing = Doing(self.world, is_async=is_async)
        self.questions: list[Any] = []
        self.is_at_once = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def execute(self, given: Any, dies_at: int | None) -> Any:
        """What a process of its own makes of it."""
        self.world.live(dies_at)
        saver = Mortal(self.folder / "runs.db", synchronous="NORMAL")
        saver.world = self.world
        self.world.writer = writer_of(saver)
        try:
            value = self.doing.entrypoint(saver).invoke(given, thread_id="t")
        except Refused as error:
            value = f"failed {error.args[0]}"
        except (Dead, StoreError):
            assert self.world.is_dead
        finally:
            saver.close()
        if self.world.is_dead:
            return "died"
        if "__interrupt__" not in value:
            return value
        self.questions = value["__interrupt__"]
        return sorted(question.value for question in self.questions)

    def compare(self, expected: Any, actual: Any) -> None:
        """Outcome, effects in their order, and what is in the store."""
        assert expected == actual
        order = sorted if self.is_at_once else list
        assert order(self.oracle.effects) == order(self.world.effects)
        saver = SqliteSaver(self.folder / "runs.db")
        statuses = [run.status for run in saver.runs("t")]
        saver.close()
        assert [run.status for run in reversed(self.oracle.runs)] == statuses

    def service(self, is_up: bool) -> None:
        """The service comes and goes."""
        self.world.is_up = self.oracle.is_up = is_up

    @rule(program=PROGRAMS, dies_at=DEATHS, is_up=st.booleans())
    def start(self, program: Program, dies_at: int | None, is_up: bool) -> None:
        """A new input, whatever became of the one before."""
        self.service(is_up)
        self.is_at_once = any(word == "all" for word, _ in program)
        dies_at = None if self.is_at_once else dies_at
        number = len(self.oracle.runs) + 1
        expected = self.oracle.start(program, dies_at)
        self.compare(expected, self.execute({"number": number, "program": program}, dies_at))

    @precondition(lambda self: self.oracle.runs and self.oracle.runs[-1].status != "done")
    @rule(dies_at=DEATHS, is_up=st.booleans())
    def resume(self, dies_at: int | None, is_up: bool) -> None:
        """Go on, be it only to be asked again."""
        self.service(is_up)
        dies_at = None if self.is_at_once else dies_at
        expected = self.oracle.resume(dies_at)
        self.compare(expected, self.execute(None, dies_at))

    @precondition(lambda self: self.oracle.runs and self.oracle.runs[-1].open)
    @rule(answer=st.integers(100, 102) | st.none(), pick=st.integers(0, 5), dies_at=DEATHS, is_up=st.booleans())
    def answer(self, answer: int | None, pick: int, dies_at: int | None, is_up: bool) -> None:
        """Have the questions shown, and answer all that have the same text; the answer may get lost with the process."""
        self.resume(dies_at=None, is_up=is_up)
        texts = self.oracle.runs[-1].texts()
        text = texts[pick % len(texts)]
        answers = {question.id: answer for question in self.questions if question.value == text}
        dies_at = None if self.is_at_once else dies_at
        expected = self.oracle.resume(dies_at, (text, answer))
        given = Command(resume=answer) if len(texts) == 1 else Command(resume=answers)
        self.compare(expected, self.execute(given, dies_at))

    @precondition(lambda self: self.oracle.runs and self.oracle.runs[-1].status == "done")
    @rule()
    def look(self) -> None:
        """What is done is not done again."""
        value = self.execute(None, None)
        assert ([], self.oracle.runs[-1].number) == (self.world.effects, value["number"])


TestModel = Model.TestCase
TestModel.settings = hypothesis.settings(
    max_examples=EXAMPLES or 40,
    stateful_step_count=12,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
