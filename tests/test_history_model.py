"""Random histories of a thread (runs that finish, fail or ask, answers, branches, values set by hand) against a list in plain Python."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Command, InMemorySaver, SqliteSaver, entrypoint, interrupt, task
from holdfast.typing import UNFINISHED

ASKED = "__interrupt__"
moments = st.integers(0, 30)  # an earlier checkpoint, counted from the oldest, modulo how many there are
numbers = st.integers(1, 9)
operations = st.one_of(
    st.tuples(st.just("run"), st.sampled_from(["finish", "fail", "ask"]), numbers),
    st.tuples(st.just("resume")),
    st.tuples(st.just("answer"), numbers),
    st.tuples(st.just("set"), numbers),
    st.tuples(st.just("set_after"), moments, numbers),
    st.tuples(st.just("run_after"), moments, st.sampled_from(["finish", "ask"]), numbers),
    st.tuples(st.just("go_back"), moments),
    st.tuples(st.just("answer_back"), moments, numbers),
)


@dataclass(frozen=True)
class Moment:
    """A checkpoint, as the oracle has it.

    Attributes:
        status: As in a run's record.
        saved: What the next run sees, if it comes after this one.
        seen: What its own run saw.
        how: What its run does: ``finish``, ``fail``, ``ask``; ``set`` for a value set by hand.
        n: What it adds.
    """

    status: str
    saved: int
    seen: int
    how: str
    n: int


class Oracle:
    """A thread as a list of moments, oldest first, and how often the task of each run was really done."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.done = 0

    def begin(self, how: str, n: int, seen: int, *, replays: bool = False) -> None:
        """A new run: it does its task, unless that is taken over, and then what it does."""
        self.put_aside()
        self.done += not replays
        status = {"finish": "done", "fail": "failed", "ask": "interrupted"}[how]
        self.moments.append(Moment(status, seen + n if how == "finish" else seen, seen, how, n))

    def set(self, n: int) -> None:
        self.put_aside()
        self.moments.append(Moment("done", n, 0, "set", n))

    def put_aside(self) -> None:
        if self.moments and self.moments[-1].status in UNFINISHED:
            self.moments[-1] = replace(self.moments[-1], status="abandoned")

    def answer(self, n: int) -> None:
        last = self.moments[-1]
        self.moments[-1] = replace(last, status="done", saved=last.seen + last.n + n)

    @property
    def saved(self) -> int:
        return self.moments[-1].saved if self.moments else 0


class Player:
    """Does the same to the oracle and to a real thread."""

    def __init__(self, saver: Any) -> None:
        self.oracle = Oracle()
        self.done = 0

        @task
        def add(a: int, b: int) -> int:
            self.done += 1
            return a + b

        @entrypoint(saver)
        def main(given: dict[str, Any], *, previous: int = 0) -> int:
            total = add(previous, given["n"]).result()
            if given["how"] == "fail":
                raise ConnectionError("down")
            return total + interrupt("how many more?") if given["how"] == "ask" else total

        self.main = main

    def invoke(self, *args: Any) -> Any:
        try:
            return self.main.invoke(*args)
        except ConnectionError:
            return None

    def configs(self) -> list[dict[str, Any]]:
        return [state.config for state in self.main.get_state_history(thread_id="t")][::-1]

    def play(self, name: str, *args: Any) -> None:
        if name in {"set_after", "run_after", "go_back", "answer_back"}:
            configs = self.configs()
            if configs:
                at = args[0] % len(configs)
                getattr(self, name)(configs[at], self.oracle.moments[at], at == len(configs) - 1, *args[1:])
        else:
            getattr(self, name)(*args)

    def run(self, how: str, n: int) -> None:
        self.invoke({"how": how, "n": n}, {"configurable": {"thread_id": "t"}})
        self.oracle.begin(how, n, self.oracle.saved)

    def resume(self) -> None:
        if self.oracle.moments:
            result = self.invoke(None, {"configurable": {"thread_id": "t"}})
            if self.oracle.moments[-1].status == "done":
                assert self.oracle.saved == result

    def answer(self, n: int) -> None:
        if self.oracle.moments and self.oracle.moments[-1].status == "interrupted":
            self.oracle.answer(n)
            assert self.oracle.saved == self.invoke(Command(resume=n), {"configurable": {"thread_id": "t"}})

    def set(self, n: int) -> None:
        self.main.update_state(None, n, thread_id="t")
        self.oracle.set(n)

    def set_after(self, config: Any, _: Moment, _is_newest: bool, n: int) -> None:
        self.main.update_state(config, n)
        self.oracle.set(n)

    def run_after(self, config: Any, moment: Moment, _: bool, how: str, n: int) -> None:
        self.invoke({"how": how, "n": n}, config)
        self.oracle.begin(how, n, moment.saved)

    def go_back(self, config: Any, moment: Moment, is_newest: bool) -> None:
        result = self.invoke(None, config)
        if moment.how == "set":
            assert moment.saved == result
        elif moment.status == "done":
            self.oracle.begin(moment.how, moment.n, moment.seen)
            assert moment.how == "ask" or moment.saved == result
        elif not is_newest:
            self.oracle.begin(moment.how, moment.n, moment.seen, replays=True)

    def answer_back(self, config: Any, moment: Moment, is_newest: bool, n: int) -> None:
        if moment.how != "ask" or moment.status == "done":
            return
        if not is_newest:
            self.oracle.begin("ask", moment.n, moment.seen, replays=True)
        self.oracle.answer(n)
        (question,) = self.main.get_state(config).interrupts
        assert self.oracle.saved == self.invoke(Command(resume={question.id: n}), config)

    def check(self) -> None:
        """Both have come to the same."""
        shown = [((state.metadata or {})["status"], state.saved) for state in self.main.get_state_history(thread_id="t")][::-1]
        assert [(moment.status, moment.saved or None) for moment in self.oracle.moments] == shown
        assert self.oracle.done == self.done


def check_history(program: list[Any], saver: Any) -> None:
    """Play a program, and compare after each step."""
    player = Player(saver)
    for name, *args in program:
        player.play(name, *args)
        player.check()


@settings(max_examples=150)
@given(st.lists(operations, max_size=14))
def test_a_thread_is_what_a_list_says(program: list[Any]) -> None:
    """Status and saved value of every checkpoint, and no finished task is done again."""
    check_history(program, InMemorySaver())


@settings(max_examples=15)
@given(st.lists(operations, min_size=6, max_size=14))
def test_so_is_one_in_a_file(program: list[Any]) -> None:
    """The same, opened anew."""
    with tempfile.TemporaryDirectory() as folder:
        saver = SqliteSaver(f"{folder}/runs.db", synchronous="NORMAL")
        try:
            check_history(program, saver)
        finally:
            saver.close()


def test_the_oracle_can_be_wrong() -> None:
    """The comparison is of real histories: one that leaves out what a branch takes over is noticed."""
    player = Player(InMemorySaver())
    for name, *args in [("run", "ask", 1), ("run", "finish", 2), ("go_back", 0)]:
        player.play(name, *args)
    player.check()
    player.oracle.done += 1

    try:
        player.check()
    except AssertionError:
        return
    raise AssertionError("the player does not look")
