"""Questions a run asks people: open ones, answered ones, and which steps are parked until an answer comes.

A question is a step of its scope, the k-th that its body asks; its id comes from the run and that, so it is the same in every execution.
While a question is open, the step that asked it and all steps around that one are parked: when the run is resumed without an answer that
could move them on, they are not run, only shown again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.errors import Divergence, NotSerializable, UnknownInterruptError
from holdfast.typing import StepId, StepRecord
from holdfast.values.codec import codec_for, refused_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.runtime.context import Scope

NAME = "interrupt"
_ID_DIGITS = 32
_codec = codec_for()


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that waits for an answer.

    Attributes:
        value: What was given to `interrupt`.
        id: Names the question; give it to ``Command(resume={id: answer})``. The same in every execution of the run.
        error: Why the last answer was not accepted; empty when there was none.
    """

    value: Any
    id: str
    error: str = ""

    def __repr__(self) -> str:
        """Without an error while there is none."""
        error = f", error={self.error!r}" if self.error else ""
        return f"Interrupt(value={self.value!r}, id={self.id!r}{error})"


class Questions:
    """The questions of one run.

    Attributes:
        open: Those that this execution has come upon and that wait for an answer, in the order in which it did.
    """

    def __init__(self, run_id: str, steps: Sequence[StepRecord]) -> None:
        """Start from what is recorded."""
        self.open: list[Interrupt] = []
        self._key = blake2b(run_id.encode()).digest()  # an id may be longer than a key
        self._recorded = {record.step: record for record in steps if record.kind in {"asked", "answered"}}
        self._new: dict[StepId, StepRecord] = {}
        self._parked: dict[bytes, list[Interrupt]] = {}
        self._within: dict[bytes, dict[str, Interrupt]] = {}
        self._lock = threading.Lock()

    def id_of(self, step: StepId) -> str:
        """What the person answering names the question by."""
        return blake2b(step.digest(), key=self._key, digest_size=_ID_DIGITS // 2).hexdigest()

    def pending(self) -> dict[str, tuple[StepId, Interrupt]]:
        """The recorded questions that wait for an answer."""
        found: dict[str, tuple[StepId, Interrupt]] = {}
        for step, record in self._recorded.items():
            if record.kind == "asked":
                asked = _codec.decode(record.payload)
                name = self.id_of(step)
                found[name] = (step, Interrupt(asked["value"], name, asked["error"]))
        return found

    # -- answering ----------------------------------------------------------------------------------------------------------------

    def answer(self, resume: Any) -> tuple[StepRecord, ...]:
        """Match the answer of a ``Command(resume=...)`` to the questions; return what is to be recorded.

        Raises:
            UnknownInterruptError: There is no such question, it has been answered, or there are several and no id says which is meant.
            NotSerializable: An answer cannot be kept.
        """
        pending = self.pending()
        answers = resume if _is_by_id(resume) else self._only(pending, resume)
        unknown = [name for name in answers if name not in pending]
        if unknown:
            known = ", ".join(pending) or "none"
            msg = f"no open question has the id {unknown[0]!r}: it was answered already, or belongs to another run; open are: {known}"
            raise UnknownInterruptError(msg)
        return tuple(self._answered(*pending[name], value) for name, value in answers.items())

    @staticmethod
    def _only(pending: dict[str, tuple[StepId, Interrupt]], value: Any) -> dict[str, Any]:
        if len(pending) == 1:
            return {next(iter(pending)): value}
        if not pending:
            msg = "Command(resume=...) answers a question, and this run has none open"
            raise UnknownInterruptError(msg)
        shown = "; ".join(f"{name}: {question.value!r:.80}" for name, (_, question) in pending.items())
        msg = f"{len(pending)} questions are open, so say which one this answers: Command(resume={{id: answer}}) with one of {shown}"
        raise UnknownInterruptError(msg)

    def _answered(self, step: StepId, question: Interrupt, answer: Any) -> StepRecord:
        asked = _codec.decode(self._recorded[step].payload)
        try:
            payload = _codec.encode({**asked, "answer": answer, "error": question.error})
        except NotSerializable as problem:
            raise refused_as(f"the answer to {question.value!r:.80}", problem, "result['answer']", "answer") from problem
        record = StepRecord(step, "answered", payload, at=clock.current.time())
        self._recorded[step] = record
        return record

    def park(self, answered: Iterable[StepRecord]) -> None:
        """Work out which steps wait for answers; ``answered`` are the questions whose answers have just come."""
        moving: set[bytes] = set()
        for record in answered:
            moving.update(_codec.decode(record.payload)["around"])
        for step, question in self.pending().values():
            asked = _codec.decode(self._recorded[step].payload)
            for each in asked["around"]:
                self._within.setdefault(each, {})[question.id] = question
                if each and each not in moving:
                    self._parked.setdefault(each, []).append(question)

    def parked(self, step: StepId) -> list[Interrupt]:
        """The questions that a step waits for without having to be run; they are shown again."""
        if not self._parked:
            return []
        found = self._parked.get(step.digest(), [])
        with self._lock:
            self.open += [question for question in found if question not in self.open]
        return found

    # -- asking -------------------------------------------------------------------------------------------------------------------

    def ask(self, scope: Scope, value: Any) -> tuple[StepId, Any]:
        """Ask the next question of a scope: its step, and the recorded answer in a list of one, or None.

        Raises:
            Divergence: The recorded answer was given to another question.
        """
        with self._lock:
            number, scope.questions = scope.questions, scope.questions + 1
        step = StepId(scope.step, NAME, b"", number)
        record = self._recorded.get(step)
        if record is None or record.kind != "answered":
            return step, None
        answered = _codec.decode(record.payload)
        if _codec.encode(answered["value"]) != _codec.encode(value):
            self._refuse(scope, answered["value"], value)
        return step, [answered["answer"]]

    @staticmethod
    def _refuse(scope: Scope, recorded: Any, actual: Any) -> None:
        msg = (
            f"{scope.call.plan.name} asks {actual!r:.200} where it asked {recorded!r:.200} when the answer was given, so that answer is not "
            f"used. What differs each time (the time, a random number) must come from a task, so that it is the same when the run is resumed."
        )
        raise Divergence(msg, recorded=f"{recorded!r:.200}", actual=f"{actual!r:.200}")

    def put(self, scope: Scope, step: StepId, value: Any, error: str = "") -> None:
        """Leave a question open.

        Raises:
            NotSerializable: It cannot be kept.
        """
        around = [each.step for each in scope.outward()]
        try:
            payload = _codec.encode({"value": value, "error": error, "around": around})
        except NotSerializable as problem:
            raise refused_as(f"what {scope.call.plan.name} asks", problem, "result['value']", "question") from problem
        with self._lock:
            self._new[step] = self._recorded[step] = StepRecord(step, "asked", payload, at=clock.current.time())
            question = Interrupt(_codec.decode(payload)["value"], self.id_of(step), error)
            self.open.append(question)
            for each in around:
                self._within.setdefault(each, {})[question.id] = question

    def waiting(self, step: StepId) -> list[Interrupt]:
        """The open questions of a step that waits: its own, and those of steps made in it."""
        with self._lock:
            return list(self._within.get(step.digest(), {}).values())

    def to_record(self) -> tuple[StepRecord, ...]:
        """The questions asked in this execution."""
        return tuple(self._new.values())


def _is_by_id(resume: Any) -> bool:
    """A dict whose keys are all ids; any other dict is an answer itself."""
    return isinstance(resume, dict) and bool(resume) and all(map(_is_id, resume))  # pyright: ignore[reportUnknownArgumentType]


def _is_id(name: Any) -> bool:
    return isinstance(name, str) and len(name) == _ID_DIGITS and set(name) <= set("0123456789abcdef")
