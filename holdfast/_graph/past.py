"""What is recorded of a graph's runs, walked through again: by a run that goes on, by one that branches off, and by whoever looks at its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast._graph.kept import Ended, Kept, Start
from holdfast._graph.routes import Written
from holdfast._graph.schema import taken_apart
from holdfast._graph.walk import Walk
from holdfast._ownership import checkpoint
from holdfast.errors import CorruptRecord, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast._graph.parts import Parts
    from holdfast._graph.walk import Job
    from holdfast.typing import Checkpointer, RunRecord, StepRecord

BEFORE, AFTER, COMMAND, STOPPED = ":before", ":after", ":command", ":stopped"
"""Names of notes: no node can have them."""


def begun(parts: Parts, start: Start, previous: Ended | None) -> Walk:
    """The walk of a run, at its beginning."""
    if start.values is not None:
        return Walk(parts, start, start.values, start.step)
    if previous is None:
        return Walk(parts, start, {}, start.step)
    return Walk(parts, start, previous.values, previous.step + 1)


def last_stop(kept: Kept) -> Start | None:
    """What was noted when the graph last stopped. There is one such note: it takes the place of the one before."""
    told = kept.note(STOPPED, "")
    return told[0] if told else None


def stop(kept: Kept, number: int) -> Start | None:
    """The same, if that was before this superstep."""
    told = last_stop(kept)
    return told if told is not None and told.step == number else None


def skip(walk: Walk, kept: Kept) -> None:
    """Go where a long run last stopped: its state was kept there, so that resuming it a hundred times is not a hundred walks."""
    told = last_stop(kept)
    if told is not None and told.values is not None:
        walk.go_to(told)


def start_inside(parts: Parts, state: Any) -> Start:
    """What a graph begins with that is a node, and gets this state."""
    return Start(tuple((key, value) for key, value in taken_apart(state, parts.name) if key in parts.shape.input.keys))


def advance(parts: Parts, walk: Walk, kept: Kept) -> bool:
    """Take in the next superstep, if it is recorded."""
    if walk.is_input and parts.start is None:
        walk.land([(job, Written()) for job in walk.jobs])
        return True
    told = kept.note(COMMAND, str(walk.number))
    if told and walk.amended != walk.number:
        walk.amend(told[0])
    done = walk.recorded(kept) if walk.jobs else None
    if done is None:
        return False
    walk.land(done)
    return True


class Past(NamedTuple):
    """One recorded run of a graph.

    Attributes:
        record: The run.
        steps: What is recorded of it.
        kept: The same, by node and superstep.
        walk: Where it begins; it is moved on by `checkpoints`.
        parts: The graph.
    """

    record: RunRecord
    steps: Sequence[StepRecord]
    kept: Kept
    walk: Walk
    parts: Parts

    def checkpoints(self) -> Iterator[Walk]:
        """The walk at each of its checkpoints, the oldest first: one object that moves on.

        It ends where a superstep could not be applied: two values for a key without a reducer, a reducer that raised.
        """
        yield self.walk
        while self._advance():
            yield self.walk

    def _advance(self) -> bool:
        try:
            return advance(self.parts, self.walk, self.kept)
        except CorruptRecord:
            raise
        except Exception:  # noqa: BLE001 - of a reducer of the user's; the run itself has raised it, and shall show its last good state
            return False

    def inner(self, walk: Walk, job: Job) -> Past | None:
        """The graph that a node is which has not ended, at its beginning; None while nothing is recorded of it."""
        node = self.parts.nodes[job.node]
        scope = self.kept.step(job.node, job.place).digest()
        if node.inner is None or not any(step.step.scope == scope for step in self.steps):
            return None
        start = start_inside(node.inner, node.given(walk.values, job.arg).state)
        kept = self.kept.within(scope, node.inner.codec)
        return Past(self.record, self.steps, kept, begun(node.inner, start, None), node.inner)

    def at(self, number: int | None) -> Walk:
        """The walk at one checkpoint; None: where the run stands.

        Raises:
            PolicyError: It has no such checkpoint.
        """
        if number is None:
            skip(self.walk, self.kept)
        for walk in self.checkpoints():
            if walk.number == number:
                return walk
        if number is None:
            return self.walk
        msg = f"checkpoint_id={name_of(self.record, number)!r}: run {self.record.run_id!r} has no such checkpoint; its last is {self.walk.number}"
        raise PolicyError(msg)


def past(parts: Parts, saver: Checkpointer, record: RunRecord) -> Past:
    """A recorded run, at its beginning.

    Raises:
        CorruptRecord: What is kept of it is damaged, or is no graph's.
    """
    steps = saver.steps(record.run_id)
    by_name = {step.step: step for step in steps}
    kept = Kept(b"", by_name.get, parts.codec)
    given: Any = parts.codec.decode(record.input)
    start = given[0] if given else Start()
    if not isinstance(start, Start):
        msg = f"run {record.run_id!r} is no graph's: the entrypoint {record.entry!r} made it"
        raise CorruptRecord(msg)
    before = saver.find(record.base) if record.base and start.values is None else None
    previous: Any = None if before is None or before.output is None else parts.codec.decode(before.output)
    return Past(record, steps, kept, begun(parts, start, previous), parts)


def ended(parts: Parts, record: RunRecord) -> Ended | None:
    """What a finished run left; None for one that is not."""
    return None if record.status != "done" or record.output is None else parts.codec.decode(record.output)


def name_of(record: RunRecord, number: int) -> str:
    """The id of a checkpoint: its run's, and which superstep comes next in it."""
    return f"{record.run_id}:{number}"


def found(saver: Checkpointer, thread: str, checkpoint_id: str) -> tuple[RunRecord, int | None]:
    """The run of a checkpoint, and the superstep that comes next there; None: its newest.

    Raises:
        PolicyError: The thread has no such run.
    """
    run_id, sign, number = checkpoint_id.rpartition(":")
    if sign and number.removeprefix("-").isdigit():
        return checkpoint(saver, thread, run_id), int(number)
    return checkpoint(saver, thread, checkpoint_id), None
