"""``Entrypoint.resolve``: a person says what became of an at-most-once step whose end is not on record.

Not a ``Command(resume=...)``: that answers what the body asks, goes on at once, and an answer is one value. Here the question comes from
the record, the answer is one of three kinds (a result, a failure, "run it"), and who gives it, an operator's shell say, need not be the
process that goes on.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast import clock
from holdfast._frames import trims
from holdfast._methods import of_entrypoint
from holdfast._ownership import claim, refuse_anothers
from holdfast._records import HOST
from holdfast._runs import check_id, patiently
from holdfast.errors import NotSerializable, PolicyError, UnknownInterruptError
from holdfast.policies.duration import seconds
from holdfast.policies.remembered import remembered
from holdfast.runtime import _ports, once
from holdfast.runtime.interrupt import NOTHING
from holdfast.runtime.journal import give_back
from holdfast.runtime.writer import writer_of
from holdfast.typing import UNFINISHED, Commit, StepRecord
from holdfast.values.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._plans import Seconds
    from holdfast._settings import Settings
    from holdfast.errors import Doubt
    from holdfast.runtime.once import Announced
    from holdfast.typing import Checkpointer, Lease, RunRecord


class Finding(NamedTuple):
    """What a person has found out about a step.

    Attributes:
        kind: ``ok`` or ``error``; empty: it had no effect and is to be run.
        payload: The encoded result or failure.
    """

    kind: str
    payload: bytes = b""


class Resolvable:
    """The part of an entrypoint that settles doubts."""

    _settings: Settings

    @trims
    @of_entrypoint
    def resolve(
        self,
        *,
        thread_id: str,
        step: str | None = None,
        result: Any = NOTHING,
        error: Exception | None = None,
        rerun: bool = False,
        wait: Seconds = None,
    ) -> tuple[Doubt, ...]:
        """Say what became of an at-most-once step that is in doubt, or has failed. Nothing is run: ``invoke(None)`` then goes on.

        Give one of ``result``, ``error`` and ``rerun``. Said again before the run has ended, it replaces what was said; ``rerun`` can be
        taken back until the step has begun.

        Args:
            thread_id: The thread that stopped with `InDoubt`.
            step: The step's id, as in that error's text and `InDoubt.step`; None is the only one there is.
            result: It had its effect: what it should have returned; None is a result, too.
            error: It has failed: what the body gets raised.
            rerun: True when it had no effect: it is run when the body asks for it. Tasks that it had finished itself are not done again.
            wait: How long to wait for a thread that somebody works on, as in `Entrypoint.invoke`.

        Returns:
            What is still in doubt in this run.

        Raises:
            UnknownInterruptError: There is no such step, or there are several and ``step`` does not say which.
            ThreadBusyError: Somebody works on the thread, in this process or another one.
            NotSerializable: The result cannot be kept.
            PolicyError: Not one of the three was given, the entrypoint has no checkpointer, or the thread's last run is another entrypoint's.
        """
        return _of(self._settings, thread_id, wait).settle(step, finding(result, error, rerun=rerun))

    @trims
    @of_entrypoint
    async def aresolve(
        self,
        *,
        thread_id: str,
        step: str | None = None,
        result: Any = NOTHING,
        error: Exception | None = None,
        rerun: bool = False,
        wait: Seconds = None,
    ) -> tuple[Doubt, ...]:
        """`resolve` for async code."""
        settling = _of(self._settings, thread_id, None)
        settle = functools.partial(settling.settle, step, finding(result, error, rerun=rerun))
        return await patiently(functools.partial(_ports.uninterrupted_async, settling.is_blocking, settle), wait)


def finding(result: Any, error: Any, *, rerun: bool) -> Finding:
    """What a person said, checked."""
    given = [result is not NOTHING, error is not None, bool(rerun)]
    if sum(given) != 1:
        msg = "say one thing: result=... (it had its effect), error=... (it has failed) or rerun=True (it had none, and is to be run)"
        raise PolicyError(msg)
    if rerun:
        return Finding("")
    if error is not None:
        if not isinstance(error, Exception):
            msg = f"error={error!r}: give an exception, which the body gets raised, e.g. error=ConnectionError('declined')"
            raise PolicyError(msg)
        return Finding("error", remembered(error))
    try:
        return Finding("ok", codec_for(type(result)).encode(result))
    except NotSerializable as problem:
        msg = f"the result given cannot be checkpointed: {problem}"
        raise NotSerializable(msg, where=problem.where) from problem


def _of(settings: Settings, thread_id: str, wait: Seconds) -> Settling:
    if settings.checkpointer is None:
        msg = f"entrypoint {settings.plan.name} records nothing, so nothing of it can be in doubt: give it a checkpointer"
        raise PolicyError(msg)
    return Settling(settings.checkpointer, settings.plan.name, thread_id, wait)


class Settling:
    """One look at a thread by somebody who knows more.

    Args:
        saver: Where it is recorded.
        name: Whose runs are meant: the entrypoint's of that name.
        thread_id: The thread.
        wait: How long to wait for a thread that somebody works on.
    """

    def __init__(self, saver: Checkpointer, name: str, thread_id: str, wait: Seconds) -> None:
        self._name = name
        self._saver = saver
        self.is_blocking = saver.is_blocking
        self._thread_id = check_id("thread_id", thread_id) or ""
        self._wait = 0.0 if wait is None else seconds(wait, what="wait")

    def settle(self, step: str | None, finding: Finding) -> tuple[Doubt, ...]:
        """Record the finding; return what is still in doubt."""
        lease = claim(self._saver, self._thread_id, self._wait)
        try:
            run = self._conducted(step) if self._name == HOST else self._last()
            records = self._saver.steps(run.run_id)
            chosen = _chosen(run, records, step)
            writer_of(self._saver).commit(_change(lease, run, chosen, finding))
        finally:
            give_back(self._saver, lease)
        return tuple(once.doubt(run.run_id, each) for each in once.in_doubt(records) if each != chosen)

    def _last(self) -> RunRecord:
        """The thread's last run, which has to be unfinished."""
        run = self._saver.latest(self._thread_id)
        if run is None or run.status not in UNFINISHED:
            state = "there is no such thread" if run is None else f"its last run is {run.status}"
            msg = f"nothing is in doubt in thread {self._thread_id!r}: {state}"
            raise UnknownInterruptError(msg)
        refuse_anothers(run, self._name)
        return run

    def _conducted(self, step: str | None) -> RunRecord:
        """The newest run that LangGraph conducts and that has the step, or a step in doubt."""
        for run in self._saver.runs(self._thread_id):
            doubts, open_ = to_settle(self._saver.steps(run.run_id)) if run.entry == HOST else ([], [])
            if any(each.step.digest().hex() == step for each in open_) or (step is None and doubts):
                return run
        msg = f"nothing is in doubt in thread {self._thread_id!r}" + ("" if step is None else f", and no step {step!r} is open in it")
        raise UnknownInterruptError(msg)


def to_settle(records: Sequence[StepRecord]) -> tuple[list[Announced], list[Announced]]:
    """The steps in doubt; and all that a person may speak of.

    Those are the failed ones, too, and those of which one spoke before: no code made their result, or they are yet to run.
    """
    begun = once.announced(records)
    doubts = once.in_doubt(records)
    ended = {record.step: record for record in records if record.step in begun}
    spoken = [begun[each] for each, record in ended.items() if record.kind == "error" or not record.code]
    return doubts, doubts + spoken + list(once.cleared(records).values())


def _chosen(run: RunRecord, records: Sequence[StepRecord], step: str | None) -> Announced:
    """The step that is meant: the only one in doubt, else the only one that a person may speak of."""
    doubts, open_ = to_settle(records)
    found = (doubts or open_) if step is None else [each for each in open_ if each.step.digest().hex() == step]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{each.step.digest().hex()} ({each.step.name})" for each in doubts or open_) or "none"
    if step is None and found:
        msg = f"{len(found)} steps of run {run.run_id!r} are in doubt, so say which one is meant by step=...: {known}"
    else:
        what = "is open" if step is None else f"{step!r} is open"
        msg = f"no step {what} in run {run.run_id!r}: it has a result of its own, or belongs to another run; open are: {known}"
    raise UnknownInterruptError(msg)


def _change(lease: Lease, run: RunRecord, each: Announced, finding: Finding) -> Commit:
    if not finding.kind:
        return Commit(lease, run.run_id, steps=(each.cleared(),), dropped=(each.step,))
    record = StepRecord(each.step, finding.kind, finding.payload, each.history, at=clock.current.time())
    return Commit(lease, run.run_id, steps=(each.record(), record))
