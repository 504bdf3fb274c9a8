"""At-most-once steps: what is recorded before one begins, and what a person is asked when its end is not on record.

Theory of operation. Before the body of such a step begins, an announcement is committed, whatever the durability; its outcome follows
at once when it has one. The announcement is a row of its own, in the scope that the step's body opens, and stays: so nothing that makes
other steps run again (a failure nobody survived, ``on_divergence="rerun"``) makes this one. There are three states:

- announced and ended, in a result or a failure: that is what every later call of the step gets. A failure stands, too: who knows what the
  other side has done before the answer was lost;
- announced, without an end (its process died, its asyncio task was cancelled): *in doubt*. The run stops with `InDoubt`, before anything
  is run, and goes on when a person has said what became of it (`holdfast._resolve`);
- not announced: it has not begun. So it is, too, when a person has said that it had no effect and is to be run: the announcement stays as
  ``cleared`` until it begins anew, so that whoever said so can still take it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from holdfast import clock
from holdfast._records import HOST
from holdfast.errors import Doubt, InDoubt, TaskContextError
from holdfast.runtime.idempotency import key_in
from holdfast.typing import StepId, StepRecord
from holdfast.values.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.policies.plan import Plan
    from holdfast.typing import RunRecord

_MARK = b"announced"
_MOST_SHOWN = 8
_codec = codec_for()


class Announced(NamedTuple):
    """An at-most-once step that has begun.

    Attributes:
        step: The step.
        history: See `holdfast.typing.StepRecord`.
        at: When, seconds since the epoch.
    """

    step: StepId
    history: bytes
    at: float

    def record(self) -> StepRecord:
        """What is kept of it."""
        return StepRecord(self.place(), "started", _codec.encode([*self.step, self.history]), at=self.at)

    def cleared(self) -> StepRecord:
        """What is kept of it once a person has said that it is to be run: in the same place."""
        return self.record()._replace(kind="cleared")

    def place(self) -> StepId:
        """Where that stands."""
        return StepId(self.step.digest(), self.step.name, _MARK, 0)


def announce(step: StepId, history: bytes) -> Announced:
    """An announcement of now."""
    return Announced(step, history, clock.current.time())


def announced(records: Iterable[StepRecord]) -> dict[StepId, Announced]:
    """The steps that were announced, in the order in which they were."""
    return _with_kind(records, "started")


def cleared(records: Iterable[StepRecord]) -> dict[StepId, Announced]:
    """The steps that are to be run, by what a person said, and have not begun since."""
    return _with_kind(records, "cleared")


def _with_kind(records: Iterable[StepRecord], kind: str) -> dict[StepId, Announced]:
    found: dict[StepId, Announced] = {}
    for record in records:
        if record.kind == kind:
            *step, history = _codec.decode(record.payload)
            each = Announced(StepId._make(step), history, record.at)
            found[each.step] = each
    return found


def in_doubt(records: Sequence[StepRecord]) -> list[Announced]:
    """The steps that were announced and have no end."""
    begun = announced(records)
    ended = {record.step for record in records if record.kind in {"ok", "error"}} if begun else set[StepId]()
    return [each for step, each in begun.items() if step not in ended]


def refuse_doubts(run: RunRecord, records: Sequence[StepRecord]) -> None:
    """Stop before a run goes on, or is left behind, while nobody knows what became of its steps.

    Raises:
        InDoubt: There are such steps.
    """
    doubts = in_doubt(records)
    if doubts:
        raise doubt_about(run, doubts)


def doubt_about(run: RunRecord, steps: Sequence[Announced]) -> InDoubt:
    """The error that asks a person."""
    doubts = tuple(doubt(run.run_id, each) for each in steps)
    those = "a step that may run at most once and has" if len(doubts) == 1 else f"{len(doubts)} steps that may run at most once and have"
    lines = [f"run {run.run_id!r} stops until a person has said what became of {those} no recorded end:"]
    lines += [
        f"    {each.task}, begun {datetime.fromtimestamp(each.began, UTC):%Y-%m-%d %H:%M:%S} UTC (idempotency key {each.idempotency_key})"
        for each in doubts[:_MOST_SHOWN]
    ]
    if len(doubts) > _MOST_SHOWN:
        lines.append(f"    and {len(doubts) - _MOST_SHOWN} more: see .doubts of this error")
    lines.append("Its process died or its call was cancelled, so it may have had its effect or not. Find out, and say which it was:")
    for each in doubts[:_MOST_SHOWN]:
        lines.append(f"    {how(run, each.step, 'result=...')}  # it had its effect: this is the result")
        lines.append(f"    {how(run, each.step, 'rerun=True')}  # it had none: run it")
    lines.append(f"Then go on with {'the graph' if run.entry == HOST else run.entry}.invoke(None, thread_id={run.thread_id!r}).")
    return InDoubt("\n".join(lines), task=doubts[0].task, step=doubts[0].step, doubts=doubts)


def how(run: RunRecord, step: str, answer: str) -> str:
    """What to type."""
    return f"{run.entry}.resolve(thread_id={run.thread_id!r}, step={step!r}, {answer})"


def doubt(run_id: str, each: Announced) -> Doubt:
    """A step in doubt, as a person sees it."""
    digest = each.step.digest()
    return Doubt(task=each.step.name, step=digest.hex(), began=each.at, idempotency_key=key_in(run_id, digest))


def standing(run: RunRecord, step: StepId) -> str:
    """What a failure that is raised again says about itself."""
    return (
        f"holdfast: {step.name} may run at most once and has failed with this, so it is not run again. When it is to be:\n"
        f"    {how(run, step.digest().hex(), 'rerun=True')}  # or result=..., what it should have returned"
    )


def refuse_unrecorded(plan: Plan) -> NoReturn:
    """Refuse a call in a run that keeps nothing.

    Raises:
        TaskContextError: Always.
    """
    msg = (
        f"task {plan.name} may run at most once, and this run records nothing that could tell a second time from the first: give the "
        f"entrypoint a checkpointer, e.g. @entrypoint(checkpointer=SqliteSaver('runs.db')), or the tasks inside LangGraph, "
        f"holdfast.langgraph.configure(checkpointer=...); {plan.name}.func(...) is the plain function"
    )
    raise TaskContextError(msg)
