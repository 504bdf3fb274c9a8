"""What a person sees of a graph's checkpoints: `StateSnapshot`, with LangGraph's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast._graph.past import Past, ended, name_of, stop
from holdfast._graph.routes import START
from holdfast._snapshots import SnapshotTask, StateSnapshot, as_chunk, config_of, empty_snapshot
from holdfast.runtime import once
from holdfast.runtime.idempotency import key_in
from holdfast.runtime.naming import node_step
from holdfast.runtime.questions import Interrupt, Questions
from holdfast.runtime.stream import timestamp
from holdfast.values.codec import codec_for
from holdfast.values.failure import decode_failure

if TYPE_CHECKING:
    from holdfast._graph.kept import Ended
    from holdfast._graph.parts import Parts
    from holdfast._graph.routes import Written
    from holdfast._graph.walk import Job, Walk
    from holdfast._runs import Config
    from holdfast.typing import Checkpointer, RunRecord


NAMESPACE = "checkpoint_ns"
"""In a config, which of the graphs inside is meant: ``node:id``, with ``|`` between those of several levels."""


class Shown:
    """The checkpoints of one recorded run."""

    def __init__(self, run: Past, saver: Checkpointer, *, with_inner: bool = False) -> None:
        """Look at what is recorded of it; ``with_inner`` also at graphs inside."""
        record = run.record
        self._run = run
        self._record = record
        self._with_inner = with_inner
        self._times = {step.step: step.at for step in run.steps}
        self._is_owned = record.status == "running" and saver.is_owned(record.thread_id)
        self._asked = _asked(run)
        self._doubts = () if self._is_owned else tuple(once.doubt(record.run_id, each) for each in once.in_doubt(run.steps))

    def all(self) -> list[StateSnapshot]:
        """All of them, the oldest first."""
        shown: list[StateSnapshot] = []
        at = self._record.created
        jobs: tuple[Job, ...] = ()
        for walk in self._run.checkpoints():
            at = max([at, *(self._times.get(self._run.kept.step(job.node, job.place), at) for job in jobs)])
            shown.append(self._shown(self._run, walk, at, self._named(walk)))
            jobs = walk.jobs
        return shown

    def at(self, number: int | None) -> StateSnapshot:
        """One of them; None: the newest. When it was made is only known to `all`.

        Raises:
            PolicyError: There is no such checkpoint.
        """
        walk = self._run.at(number)
        at = self._record.updated if number is None else max([self._record.created, *self._times.values()])
        return self._shown(self._run, walk, at, self._named(walk))

    def _named(self, walk: Walk) -> Config:
        return config_of(self._record.thread_id, name_of(self._record, walk.number))

    def _shown(self, run: Past, walk: Walk, at: float, named: Config) -> StateSnapshot:
        """Where a graph is: the run's own, or one inside it."""
        done = [(job, run.kept.result(job.node, job.place)) for job in walk.jobs]
        left = [job for job, written in done if written is None]
        tasks = () if walk.is_input else tuple(self._task(run, walk, job, written, named) for job, written in done)
        is_last = bool(left) or not walk.jobs
        values = run.parts.ordered(walk.values)
        return StateSnapshot(
            values=values,
            next=(START,) if walk.is_input else tuple(job.node for job in left or walk.jobs),
            config=named,
            metadata=_metadata(self._record, walk.source, walk.step, is_owned=self._is_owned and is_last),
            created_at=timestamp(at),
            parent_config=self._parent(walk) if run is self._run else None,
            tasks=tasks,
            interrupts=tuple(question for task in tasks for question in task.interrupts),
            saved=values,
        )

    def _task(self, run: Past, walk: Walk, job: Job, written: Written | None, around: Config) -> SnapshotTask:
        digest = run.kept.step(job.node, job.place).digest()
        told = stop(run.kept, walk.number) if written is None else None
        failure = self._record.error if told and (job.node, job.place) in told.update else None
        name = key_in(self._record.run_id, digest)
        is_graph = run.parts.nodes[job.node].inner is not None
        return SnapshotTask(
            id=name,
            name=job.node,
            error=None if failure is None else decode_failure(failure),
            interrupts=tuple(question for question, places in self._asked if digest in places),
            doubts=self._doubts if written is None else (),
            result=None if written is None else written.shown(),
            state=None if written is not None or not is_graph else self._inner(run, walk, job, inside(around, job.node, name)),
        )

    def _inner(self, run: Past, walk: Walk, job: Job, named: Config) -> StateSnapshot | Config:
        """How far a graph is that is a node, or what names it."""
        if not self._with_inner:
            return named
        inner = run.inner(walk, job)
        if inner is None:
            return empty_snapshot(self._record.thread_id)._replace(config=named)
        return self._shown(inner, inner.at(None), self._record.updated, named)

    def _parent(self, walk: Walk) -> Any:
        if walk.number > (-1 if walk.start.goto is None else 0):
            return config_of(self._record.thread_id, name_of(self._record, walk.number - 1))
        before = walk.start.parent or self._record.base
        return config_of(self._record.thread_id, before) if before else None


def inside(around: Config, node: str, name: str) -> Config:
    """Names the graph that is a node of another one, with LangGraph's key for it."""
    named = around["configurable"]
    before = f"{named[NAMESPACE]}|" if NAMESPACE in named else ""
    return {"configurable": {**named, NAMESPACE: f"{before}{node}:{name}"}}


def _asked(run: Past) -> list[tuple[Interrupt, list[bytes]]]:
    """The open questions of a run, each with the steps in which it was asked, innermost first."""
    pending = Questions(run.record.run_id, run.steps).pending()
    by_step = {step.step: step for step in run.steps if step.kind == "asked"}
    codec = codec_for()
    return [(question, codec.decode(by_step[step].payload)["around"]) for step, question in pending.values()]


def _metadata(record: RunRecord, source: str, step: int, *, is_owned: bool) -> dict[str, Any]:
    return {"source": source, "step": step, "parents": {}, "status": record.status, "entry": record.entry, "is_owned": is_owned}


def finished(parts: Parts, record: RunRecord) -> StateSnapshot | None:
    """The newest checkpoint of a finished run, without a look at its steps; None for one that is not finished."""
    end: Ended | None = ended(parts, record)
    if end is None:
        return None
    parent = name_of(record, end.number - 1) if end.number > 0 else record.base
    values = parts.ordered(end.values)
    return StateSnapshot(
        values=values,
        next=(),
        config=config_of(record.thread_id, name_of(record, end.number)),
        metadata=_metadata(record, "update" if record.is_update else "loop", end.step, is_owned=False),
        created_at=timestamp(record.updated),
        parent_config=config_of(record.thread_id, parent) if parent else None,
        tasks=(),
        interrupts=(),
        saved=values,
    )


def chunk_of(parts: Parts, walk: Walk, thread_id: str, run_id: str) -> dict[str, Any]:
    """A checkpoint as streams tell it, from a run that is under way."""
    first = -1 if walk.start.goto is None else 0
    state = StateSnapshot(
        values=parts.ordered(walk.values),
        next=tuple(job.node for job in walk.jobs),
        config=config_of(thread_id, f"{run_id}:{walk.number}"),
        metadata={"source": walk.source, "step": walk.step, "parents": {}},
        created_at=None,
        parent_config=config_of(thread_id, f"{run_id}:{walk.number - 1}") if walk.number > first else None,
        tasks=tuple(SnapshotTask(key_in(run_id, node_step(b"", job.node, job.place).digest()), job.node) for job in walk.jobs),
        interrupts=(),
    )
    return as_chunk(state)
