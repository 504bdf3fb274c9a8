"""What a run has to do, by plain recursion: an interpreter of the programs in ``test_model.py`` that knows nothing of holdfast.

A program is a list of instructions, each a list of a word and what belongs to it:

    ["work", n]              a task with an effect
    ["flaky", n]             a task that fails at its first attempt in each execution and has its effect at the second
    ["charge", n]            a task that has an effect and fails while the service is down
    ["ask", n]               a question; its value is the answer
    ["try", instruction]     its value, or "caught" when it fails
    ["nest", program]        a task that does a program
    ["again", program]       the same with a second attempt
    ["all", programs]        several of "nest" at once; none of them fails

The oracle keeps what has to be durable, and counts instants: before and after each effect and each transaction. A process can die at any, but
not where several things go on at once: there nobody can say in which order they do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Program = list[Any]
Key = tuple[Any, ...]


class Died(Exception):
    """The process is gone."""


class Failed(Exception):
    """A task has failed."""


class Asked(Exception):
    """Questions are open: each one's key, and its text."""

    def __init__(self, questions: dict[Key, str]) -> None:
        super().__init__(questions)
        self.questions = questions


@dataclass
class RunState:
    """What is kept of a run.

    Attributes:
        program: Its input.
        number: Of which run of the thread it is.
        previous: The number of the last run before it that came to its end.
        status: As in the store.
        steps: Finished steps: a value, or a `Failed`.
        answers: The answer to each question that has one.
        open: The questions that wait for an answer.
    """

    program: Program
    number: int
    previous: int | None
    status: str = "running"
    steps: dict[Key, Any] = field(default_factory=dict)
    answers: dict[Key, Any] = field(default_factory=dict)
    open: dict[Key, str] = field(default_factory=dict)

    def texts(self) -> list[str]:
        """The open questions."""
        return sorted(self.open.values())


@dataclass
class Scope:
    """One attempt of a body: its own name, and how often each call and how many questions it has made."""

    key: Key
    calls: Counter[Key] = field(default_factory=Counter)
    questions: int = 0


class Oracle:
    """One thread of runs.

    Attributes:
        runs: All of them, the newest last.
        is_up: Whether the service of "charge" is.
        effects: What the last execution has done, in order.
    """

    def __init__(self) -> None:
        self.runs: list[RunState] = []
        self.is_up = True
        self.effects: list[str] = []
        self._left: int | None = None
        self._run = RunState([], 0, None)

    # -- instants -----------------------------------------------------------------------------------------------------------------

    def _instant(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Died

    def _commit(self, change: Any) -> None:
        self._instant()
        change()
        self._instant()

    def _effect(self, text: str) -> None:
        self._instant()
        self.effects.append(text)
        self._instant()

    # -- executions ---------------------------------------------------------------------------------------------------------------

    def start(self, program: Program, dies_at: int | None) -> Any:
        """A new input: an unfinished run is left behind."""
        before = self.runs[-1] if self.runs else None
        previous = None
        if before is not None:
            previous = before.number if before.status == "done" else before.previous
        run = RunState(program, len(self.runs) + 1, previous)

        def begin() -> None:
            self.runs.append(run)

        def abandon() -> None:
            if before is not None:
                before.status = "abandoned"

        changes = [begin, abandon] if before is not None and before.status != "done" else [begin]
        return self._execute(run, changes, dies_at)

    def resume(self, dies_at: int | None, answer: tuple[str, Any] | None = None) -> Any:
        """Go on with the newest run; perhaps with an answer to all open questions of a text."""
        run = self.runs[-1]

        def begin() -> None:
            run.status = "running"
            for key in [key for key, text in run.open.items() if answer is not None and text == answer[0]]:
                run.answers[key] = answer[1] if answer else None
                del run.open[key]

        return self._execute(run, [begin], dies_at)

    def _execute(self, run: RunState, changes: list[Any], dies_at: int | None) -> Any:
        self.effects, self._left, self._run = [], dies_at, run
        try:
            for change in changes:
                self._commit(change)
            return self._live(run)
        except Died:
            return "died"

    def _live(self, run: RunState) -> Any:
        try:
            value = {"number": run.number, "previous": run.previous, "values": self._body(Scope(()), run.program)}
        except Asked as asked:
            questions = asked.questions
            self._commit(lambda: self._end("interrupted", questions))
            return run.texts()
        except Failed as error:
            self._forget(error)
            self._commit(lambda: self._end("failed"))
            return f"failed {error.args[0]}"
        self._commit(lambda: self._end("done"))
        return value

    def _end(self, status: str, questions: dict[Key, str] | None = None) -> None:
        self._run.status = status
        self._run.open = questions or {}

    # -- instructions -------------------------------------------------------------------------------------------------------------

    def _body(self, scope: Scope, program: Program) -> list[Any]:
        return [self._do(scope, instruction) for instruction in program]

    def _do(self, scope: Scope, instruction: Program) -> Any:
        word, *rest = instruction
        if word == "try":
            try:
                return self._do(scope, rest[0])
            except Failed:
                return "caught"
        if word == "ask":
            key = (*scope.key, ("question", scope.questions))
            scope.questions += 1
            if key not in self._run.answers:
                raise Asked({key: f"{rest[0]}?"})
            return self._run.answers[key]
        if word == "all":
            return self._all(scope, rest[0])
        name = (word, repr(rest))
        key = (*scope.key, (*name, scope.calls[name]))
        scope.calls[name] += 1
        if key not in self._run.steps:
            return self._perform(key, word, *rest)
        outcome: Any = self._run.steps[key]
        if isinstance(outcome, Failed):
            raise outcome
        return outcome

    def _all(self, scope: Scope, programs: list[Program]) -> list[Any]:
        values: list[Any] = []
        questions: dict[Key, str] = {}
        for program in programs:
            try:
                values.append(self._do(scope, ["nest", program]))
            except Asked as asked:
                questions.update(asked.questions)
        if questions:
            raise Asked(questions)
        return values

    def _perform(self, key: Key, word: str, given: Any) -> Any:
        try:
            outcome = self._nested(key, word, given) if word in {"nest", "again"} else self._leaf(word, given)
        except Failed as error:
            outcome = error

        def record() -> None:
            self._run.steps[key] = outcome

        self._commit(record)
        if isinstance(outcome, Failed):
            raise outcome
        return outcome

    def _leaf(self, word: str, n: int) -> int:
        if word == "flaky":
            self._effect(f"try {n}")
        self._effect(f"{word} {n}")
        if word == "charge" and not self.is_up:
            raise Failed(n)
        return n * 10

    def _nested(self, key: Key, word: str, program: Program) -> list[Any]:
        try:
            return self._body(Scope(key), program)
        except Failed as error:
            self._forget(error)
            if word == "nest":
                raise
        try:
            return self._body(Scope(key), program)
        except Failed as error:
            self._forget(error)
            raise

    def _forget(self, error: Failed) -> None:
        """A body has died of an error: whatever shows it is to be done again, and is so from here on, whatever dies after it."""
        for key in [key for key, outcome in self._run.steps.items() if outcome is error]:
            del self._run.steps[key]
