"""Opens a run's journal: owns the thread, and finds out whether there is something to go on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from holdfast import clock, events
from holdfast._ownership import abandoned, checkpoint, claim, refuse_anothers, tell_anothers
from holdfast._plans import input_annotation
from holdfast._traces import origin, remains
from holdfast.errors import CorruptRecord, NotKeyable, NotSerializable, PolicyError, RunExists, UnknownInterruptError
from holdfast.runtime.interrupt import NOTHING, Command, Input
from holdfast.runtime.journal import Journal, give_back
from holdfast.runtime.once import refuse_doubts
from holdfast.runtime.outbox import without_spans
from holdfast.runtime.questions import Questions
from holdfast.typing import UNFINISHED, RunRecord
from holdfast.values.canonical import digest, encode
from holdfast.values.codec import codec_for, refused_as
from holdfast.values.fingerprint import code_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._settings import Settings
    from holdfast.events import Remains
    from holdfast.runtime.run import Run
    from holdfast.typing import Checkpointer, Lease, StepRecord


class NoInput:
    """Stands for "no input was given", because None can be one."""

    def __repr__(self) -> str:
        return "no input"


NO_INPUT = NoInput()


def unwrapped(input: Any) -> Any:
    """What the body gets: the value of an `Input`, anything else as it is."""
    return input.value if isinstance(input, Input) else input  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


class Request(msgspec.Struct, frozen=True):
    """What the caller asks for.

    Attributes:
        input: The input, a `Command`, an `Input`, None (resume) or `NO_INPUT`.
        thread_id: The thread.
        is_named: True when the caller named the thread, so that there may be something to resume.
        run_id: The caller's idempotency key, else a new id.
        is_keyed: True when the caller gave the run id.
        checkpoint_id: The run to go back to; None goes on from the newest.
        wait: Seconds to wait for a thread that somebody else works on.
    """

    input: Any
    thread_id: str
    is_named: bool
    run_id: str
    is_keyed: bool
    checkpoint_id: str | None
    wait: float


class Opened(NamedTuple):
    """What the run starts from.

    Attributes:
        input: What the body gets, or `NO_INPUT`.
        answers: Answers to record when it begins; of a branch, all that is recorded of the run it branches off.
        abandoned: The unfinished run that it takes the place of, to be recorded then, too.
        answer: A list with the value of a run that is finished already, else None.
        left: What the process of the run that it goes on with, or takes the place of, left when it died.
    """

    input: Any
    answers: tuple[StepRecord, ...] = ()
    abandoned: RunRecord | None = None
    answer: list[Any] | None = None
    left: Remains | None = None


def open_journal(settings: Settings, run: Run, saver: Checkpointer, request: Request) -> Opened:
    """Own the thread and give the run its journal; it is for the caller to `Journal.begin`, or to `Journal.release`.

    Raises:
        ThreadBusyError: Somebody else works on the thread.
        RunExists: The run id was used with another input.
        UnknownInterruptError: A `Command` answers nothing that is open.
        InDoubt: The run to go on with, or to leave behind, has a step of which a person has to say what became of it.
        PolicyError: There is nothing to resume.
    """
    lease = claim(saver, request.thread_id, request.wait)
    try:
        opened = (settings.opener or Opener)(settings, run, saver, lease, request).open()
    except BaseException:
        give_back(saver, lease)
        raise
    if opened.answer is not None:
        give_back(saver, lease)
    return opened


class Opener:
    """One opening of a thread."""

    def __init__(self, settings: Settings, run: Run, saver: Checkpointer, lease: Lease, request: Request) -> None:
        self._settings = settings
        self._plan = settings.plan
        self._run = run
        self._saver = saver
        self._lease = lease
        self._request = request
        self._codec = codec_for(input_annotation(settings.plan.fn))
        self._latest = saver.latest(request.thread_id)

    def open(self) -> Opened:
        request, latest = self._request, self._latest
        at = latest if request.checkpoint_id is None else checkpoint(self._saver, request.thread_id, request.checkpoint_id)
        given: Any = request.input
        if isinstance(given, Command):
            return self._answer(given, at)  # pyright: ignore[reportUnknownArgumentType]
        if request.is_keyed:
            known = self._saver.find(request.run_id)
            if known is not None:
                return self._again(known, at)
        if at is not None and request.checkpoint_id is not None:
            return self._go_back(at)
        if request.input is None and request.is_named:
            return self._resume(latest)
        return self._begin(unwrapped(request.input), "" if latest is None else latest.passes_on)

    def _answer(self, command: Command[Any], at: RunRecord | None) -> Opened:
        if command.resume is NOTHING:
            what = "update= and goto= are for state graphs" if command.is_for_graph else "Command() says nothing"
            msg = f"{what}: give the answer, Command(resume=...)"
            raise PolicyError(msg)
        if at is not None and at.status != "done":
            refuse_anothers(at, self._plan.name)
            known = self._saver.find(self._request.run_id) if self._request.is_keyed and not self._is_newest(at) else None
            if known is not None:
                return self._again(known, at)
            return self._go_on(at, command) if self._is_newest(at) else self._branch(at, command)
        which = "its last run" if self._request.checkpoint_id is None else f"run {self._request.checkpoint_id!r}"
        state = "there is no such thread" if at is None else f"{which} is {at.status}"
        msg = f"Command(resume=...) answers a question, and thread {self._request.thread_id!r} has none open: {state}"
        raise UnknownInterruptError(msg)

    def _resume(self, latest: RunRecord | None) -> Opened:
        if latest is None:
            msg = (
                f"invoke(None) resumes a thread, and there is no thread {self._request.thread_id!r} yet: give an input, or Input(None) to start "
                f"a run with None as its input"
            )
            raise PolicyError(msg)
        refuse_anothers(latest, self._plan.name)
        return self._go_on(latest, None) if latest.status in UNFINISHED else self._finished(latest)

    def _again(self, known: RunRecord, at: RunRecord | None) -> Opened:
        """A run id that was used before: with the same input, from the same checkpoint, it is the same run."""
        request = self._request
        given = None if isinstance(request.input, Command) else unwrapped(request.input)
        if known.entry != self._plan.name:
            msg = f"run {known.run_id!r} was made by the entrypoint {known.entry!r}, not by {self._plan.name!r}: give another run_id"
            raise RunExists(msg)
        if known.thread_id != request.thread_id and request.is_named:
            msg = f"run {known.run_id!r} was made on thread {known.thread_id!r}: give that thread_id, or another run_id"
            raise RunExists(msg)
        if at is not None and request.checkpoint_id is not None and not self._is_from(at, known, is_input=given is not None):
            msg = (
                f"run {known.run_id!r} was not made from checkpoint {at.run_id!r}: give the checkpoint it was made from, or another run_id"
            )
            raise RunExists(msg)
        if given is not None and not self._is_same(known.input, given):
            msg = (
                f"run {known.run_id!r} was made with another input ({_mark(self._decoded(known))}, not {_mark(given)}): give another run_id"
            )
            raise RunExists(msg)
        if known.status in UNFINISHED and self._is_newest(known):
            return self._go_on(known, None)
        return self._finished(known)

    def _finished(self, known: RunRecord) -> Opened:
        self._check_key(known)
        if known.output is None or self._plan.codec is None:
            msg = f"run {known.run_id!r} is {known.status} and was followed by another one: it cannot go on, and has no result"
            raise RunExists(msg)
        return Opened(NO_INPUT, answer=[self._plan.codec.decode(known.output)])

    def _check_key(self, record: RunRecord) -> None:
        """A run that goes on, or is over, has its own id: another one would be passed over, and its giver would take it for a key."""
        request = self._request
        if request.is_keyed and record.run_id != request.run_id:
            msg = (
                f"run_id={request.run_id!r} is the key of a new run, and this goes on with run {record.run_id!r} of thread {record.thread_id!r}: "
                f"leave run_id out, or give an input to begin a run"
            )
            raise PolicyError(msg)

    def _go_on(self, record: RunRecord, command: Command[Any] | None) -> Opened:
        self._check_key(record)
        run = self._run
        recorded = self._saver.steps(record.run_id)
        refuse_doubts(record, recorded)
        amended = () if command is None else self._amended(record, recorded, command)
        steps = (*recorded, *amended)
        run.facts.run_id, run.facts.resumed, run.facts.origin = record.run_id, True, origin(record)
        run.config["configurable"]["run_id"] = record.run_id
        run.previous = self._previous(record.base)
        now = record._replace(status="running", error=None, code=self._code(), updated=clock.current.time())
        journal = self._journal(now, without_spans(steps))
        answers = () if command is None or command.resume is NOTHING else journal.questions.answer(command.resume)
        journal.questions.park(answers)
        run.journal = journal
        return Opened(self._decoded(record), (*amended, *answers), left=remains(record, steps))

    def _amended(self, record: RunRecord, steps: Sequence[StepRecord], command: Command[Any]) -> tuple[StepRecord, ...]:
        """What to record of a command beside its answers: for a state graph, what it writes and where it goes."""
        del record, steps
        if command.is_for_graph:
            msg = f"Command(update=..., goto=...) is for state graphs, and {self._plan.name} is none: give Command(resume=...) alone"
            raise PolicyError(msg)
        return ()

    def _go_back(self, at: RunRecord) -> Opened:
        """Go on from a checkpoint that was named.

        An input begins a run that sees what was saved there. None does that run: an unfinished one goes on (in a branch, if another one came
        after it), a finished one is done again from its input, with nothing of it replayed. A value set by hand is what it is.
        """
        if self._request.input is not None:
            return self._begin(unwrapped(self._request.input), at.passes_on)
        refuse_anothers(at, self._plan.name)
        if at.is_update:
            return self._finished(at)
        if at.status == "done":
            _tell_again(at)
            return self._begin(self._decoded(at), at.base)
        return self._go_on(at, None) if self._is_newest(at) else self._branch(at, None)

    def _begin(self, given: Any, base: str) -> Opened:
        record = self._new(self._encoded(given), base)
        self._run.previous = self._previous(base)
        self._run.journal = self._journal(record, ())
        return Opened(given, abandoned=self._abandoned(record), left=self._left())

    def _branch(self, at: RunRecord, command: Command[Any] | None) -> Opened:
        """A new run that begins with all that an unfinished one has recorded, and goes on from there."""
        steps = {step.step: step for step in without_spans(self._saver.steps(at.run_id))}
        answers = () if command is None else Questions(at.run_id, tuple(steps.values())).answer(command.resume)
        steps.update((answer.step, answer) for answer in answers)
        record = self._new(at.input, at.base)
        self._run.facts.resumed, self._run.facts.origin = True, origin(at)
        self._run.previous = self._previous(at.base)
        self._run.journal = journal = self._journal(record, tuple(steps.values()))
        journal.questions.park(answers)
        return Opened(self._decoded(at), tuple(steps.values()), self._abandoned(record), left=self._left())

    def _new(self, input: bytes, base: str) -> RunRecord:
        now, request = clock.current.time(), self._request
        return RunRecord(request.run_id, request.thread_id, self._plan.name, self._code(), "running", input, base, created=now, updated=now)

    def _journal(self, record: RunRecord, steps: Sequence[StepRecord]) -> Journal:
        settings = self._settings
        return Journal(self._saver, self._lease, record, steps, durability=settings.durability, on_divergence=settings.on_divergence)

    def _is_newest(self, record: RunRecord) -> bool:
        return self._latest is not None and self._latest.run_id == record.run_id

    def _abandoned(self, record: RunRecord) -> RunRecord | None:
        """The thread's newest run, if it is unfinished and ``record`` takes its place."""
        latest = self._latest
        return None if latest is None else abandoned(self._saver, latest, record.updated)

    def _left(self) -> Remains | None:
        """What the process of the thread's newest run, which another one takes the place of, left when it died."""
        latest = self._latest
        return None if latest is None or latest.status != "running" else remains(latest, self._saver.steps(latest.run_id))

    def _previous(self, base: str) -> Any:
        record = self._saver.find(base) if base else None
        if record is None and base:  # a run that stays only for the value it saved: what it saw itself is not kept
            msg = (
                f"run {base!r}, whose saved value was seen as previous, is forgotten (see keep_last and max_age of the checkpointer), so what came "
                f"of it cannot be done again: give an input, to begin a run that sees what was saved since"
            )
            raise PolicyError(msg)
        saved = None if record is None else record.output if record.saved is None else record.saved
        if record is None or saved is None or self._plan.codec is None:
            return None
        try:
            return self._plan.codec.decode(saved)
        except CorruptRecord as error:
            tell_anothers(error, record, self._plan.name)
            raise

    def _encoded(self, given: Any) -> bytes:
        try:
            return self._codec.encode([] if given is NO_INPUT else [given])
        except NotSerializable as error:
            what, annotation = f"the input of {self._plan.name}", "the annotation of the entrypoint's input"
            raise refused_as(what, error, "result[0]", "input", annotation) from error

    def _decoded(self, record: RunRecord) -> Any:
        given = self._codec.decode(record.input)
        return given[0] if given else NO_INPUT

    def _is_from(self, at: RunRecord, known: RunRecord, *, is_input: bool) -> bool:
        """Whether going on from ``at`` would make such a run as ``known``, or is that run."""
        if known.run_id == at.run_id:
            return True
        return known.base == at.passes_on if is_input else (known.input, known.base) == (at.input, at.base)

    def _is_same(self, recorded: bytes, given: Any) -> bool:
        if self._encoded(given) == recorded:
            return True
        before = self._codec.decode(recorded)
        return bool(before) == (given is not NO_INPUT) and (not before or _mark(before[0]) == _mark(given))

    def _code(self) -> str:
        return code_fingerprint(self._settings.function)


def _tell_again(record: RunRecord) -> None:
    events.note(
        "holdfast.run.done_again",
        events.WARNING,
        f"run {record.run_id!r} of thread {record.thread_id!r} is finished, and invoke(None) from its checkpoint does it again, every task anew; "
        f"for what it returned leave the checkpoint_id out, or look at get_state(config).values",
        run_id=record.run_id,
    )


def _mark(value: Any) -> str:
    """A short fingerprint of an input, the same for equal inputs."""
    if value is NO_INPUT:
        return "no input"
    try:
        return f"fingerprint {digest(encode(value)).hex()[:12]}"
    except NotKeyable:
        return f"a {type(value).__qualname__}"
