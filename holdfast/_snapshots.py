"""What a thread's checkpoints look like to a person: one for each run, named by the run's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.runtime import once
from holdfast.runtime.foreign import shown
from holdfast.runtime.idempotency import key_in
from holdfast.runtime.questions import Interrupt, Questions
from holdfast.runtime.stream import asked_as, timestamp
from holdfast.values.failure import decode_failure

if TYPE_CHECKING:
    from holdfast._runs import Config
    from holdfast.errors import Doubt
    from holdfast.typing import Checkpointer, Codec, RunRecord


class SnapshotTask(NamedTuple):
    """What an unfinished run has yet to do: its entrypoint. Which tasks in it have finished is the journal's business.

    Attributes:
        id: Names it, as in the stream mode ``"tasks"``; the same whenever the run is resumed.
        name: The entrypoint's name.
        error: What the run failed with, rebuilt as an exception; None when it did not fail.
        interrupts: The questions it has asked that wait for an answer, of all its tasks.
        doubts: The at-most-once tasks in it that were under way when its process died: it goes on when `Entrypoint.resolve` was told of them.
        result: Of a state graph's node that has finished while others of its superstep have not: what it wrote; else None.
        state: Of a node that is a graph itself and has not finished: how far that graph is, for ``get_state(subgraphs=True)``, else the config for
            which `CompiledStateGraph.get_state` shows that; None for any other task.
    """

    id: str
    name: str
    error: Exception | None = None
    interrupts: tuple[Interrupt, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    result: dict[str, Any] | None = None
    state: StateSnapshot | Config | None = None


class StateSnapshot(NamedTuple):
    """A thread as it was at one checkpoint, with LangGraph's field names. There is one checkpoint for each run, and for each `update_state`.

    Attributes:
        values: What the newest finished run up to here returned; None when there is none yet, ``{}`` for a thread without checkpoints.
        next: ``(name,)`` of the entrypoint while the run is unfinished: ``invoke(None, config)`` would go on with it; else ``()``.
        config: Names this checkpoint: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}}``, for `Entrypoint.invoke` and the like.
        metadata: ``source`` (``"loop"`` for a finished run, ``"input"`` for an unfinished one, ``"update"`` for `update_state`), ``status``
            (as in `holdfast.typing.RunRecord`), ``entry`` (name of the entrypoint), ``is_owned`` (True while a living process works on
            the run; a run that is ``running`` and not owned has died). None for a thread without checkpoints.
        created_at: When it last changed status, ISO 8601 in UTC; None for a thread without checkpoints.
        parent_config: Names the checkpoint whose saved value this run saw as ``previous``, or which was updated; None without one. It may
            have been forgotten since.
        tasks: What is yet to be done, with its error and its questions; empty when the run is done.
        interrupts: All open questions, with the ids by which ``Command(resume={id: answer})`` answers them.
        saved: What the thread's next run sees as ``previous``: what the newest finished run returned, or its ``final(save=...)``.
    """

    values: Any
    next: tuple[str, ...]
    config: Config
    metadata: dict[str, Any] | None
    created_at: str | None
    parent_config: Config | None
    tasks: tuple[SnapshotTask, ...]
    interrupts: tuple[Interrupt, ...]
    saved: Any = None


def config_of(thread_id: str, checkpoint_id: str | None = None) -> Config:
    """The config that names a thread, or one of its checkpoints."""
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": thread_id, **named}}


def empty_snapshot(thread_id: str) -> StateSnapshot:
    """A thread of which nothing is kept."""
    return StateSnapshot({}, (), config_of(thread_id), None, None, None, (), ())


def snapshot(saver: Checkpointer, codec: Codec, record: RunRecord) -> StateSnapshot:
    """The checkpoint of a run.

    Raises:
        CorruptRecord: What is kept of it is damaged.
        StoreError: It cannot be read.
    """
    is_done = record.status == "done"
    source = record if is_done else saver.find(record.base) if record.base else None
    values = None if source is None or source.output is None else codec.decode(source.output)
    saved = values if source is None or source.saved is None else codec.decode(source.saved)
    is_owned = record.status == "running" and saver.is_owned(record.thread_id)
    tasks = () if is_done else (_task(saver, record, is_at_work=is_owned),)
    return StateSnapshot(
        values=values,
        next=tuple(task.name for task in tasks),
        config=config_of(record.thread_id, record.run_id),
        metadata={
            "source": "update" if record.is_update else "loop" if is_done else "input",
            "status": record.status,
            "entry": record.entry,
            "is_owned": is_owned,
        },
        created_at=timestamp(record.updated),
        parent_config=config_of(record.thread_id, record.base) if record.base else None,
        tasks=tasks,
        interrupts=tuple(question for task in tasks for question in task.interrupts),
        saved=saved,
    )


def _task(saver: Checkpointer, record: RunRecord, *, is_at_work: bool) -> SnapshotTask:
    steps = saver.steps(record.run_id)
    asked = tuple(question for _, question in Questions(record.run_id, steps).pending().values())
    unended = () if is_at_work else once.in_doubt(steps)  # what is under way is not in doubt
    doubts = tuple(once.doubt(record.run_id, each) for each in unended)
    error = None if record.error is None else decode_failure(record.error)
    return SnapshotTask(key_in(record.run_id), record.entry, error, asked, doubts)


def as_chunk(state: StateSnapshot) -> dict[str, Any]:
    """A checkpoint as the stream tells it: plain data, with LangGraph's keys."""
    return {
        "config": state.config,
        "parent_config": state.parent_config,
        "values": state.values,
        "metadata": state.metadata,
        "next": list(state.next),
        "tasks": [_task_as_chunk(task) for task in state.tasks],
    }


def _task_as_chunk(task: SnapshotTask) -> dict[str, Any]:
    error = None if task.error is None else shown(task.error)
    return {"id": task.id, "name": task.name, "error": error, "interrupts": tuple(asked_as(question) for question in task.interrupts)}
