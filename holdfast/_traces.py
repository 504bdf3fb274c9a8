"""What a run's record says of where it was traced: known before the run begins, and kept for whoever goes on after it.

The record is in step with who looks after the spans. While a run is ``running`` its span is open; whoever goes on with it, or takes its
place, owns the thread and records in one transaction that it has the spans of the dead process in hand. So nobody else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast.errors import ThreadBusyError
from holdfast.events import Origin, Remains, RunTracer
from holdfast.runtime import outbox
from holdfast.typing import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.events import Observer
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.run import Run
    from holdfast.typing import Checkpointer, RunRecord, StepRecord

_LEFT = "left:"
"""Before the trace of an abandoned run whose process died, while its spans are open: its status says so no longer."""
_HEALED = "healed:"
"""Before the trace of a run whose process died, and whose spans were given their end, until somebody goes on with it."""


def remains(record: RunRecord, steps: Sequence[StepRecord]) -> Remains | None:
    """What is known of the process that left a run; None when it left nothing to be looked after.

    Args:
        record: The run, whose thread nobody else owns.
        steps: What is recorded of it.
    """
    is_open = record.trace.startswith(_LEFT) or (record.status == "running" and not record.trace.startswith(_HEALED))
    if not is_open or not record.trace:
        return None
    seen = max(record.created, *(step.at for step in steps), 0.0 if record.status == "abandoned" else record.updated)
    spans = outbox.open_spans(steps)
    ended = [step for step in steps if step.kind in {"ok", "error"}] if spans else []
    ends = {step.step.digest().hex(): (step.kind, int(step.at * 1e9)) for step in ended}
    return Remains(record.run_id, record.thread_id, record.entry, _plain(record), int(seen * 1e9), spans, ends)


def origin(record: RunRecord) -> Origin:
    """What a run goes on from that goes on with a recorded one."""
    return Origin(record.run_id, _plain(record))


def _plain(record: RunRecord) -> str:
    return record.trace.removeprefix(_LEFT).removeprefix(_HEALED)


def left_behind(record: RunRecord) -> str:
    """What stands as the trace of a run that another one takes the place of, while nobody looks after the spans of its dead process."""
    return record.trace if remains(record, ()) is None else _LEFT + _plain(record)


def begin(
    run: Run,
    journal: Journal,
    observer: Observer | None,
    answered: tuple[StepRecord, ...],
    abandoned: RunRecord | None,
    left: Remains | None,
) -> None:
    """Record that a run is at work and where it is traced; then have the spans that a dead process left open given their end.

    Args:
        run: The run.
        journal: Its journal.
        observer: Who listens to it.
        answered: Steps to record with it.
        abandoned: The run that it takes the place of, to be recorded too.
        left: What that one, or an earlier execution of this run, left when its process died.
    """
    listener: Any = observer
    tracer = listener if isinstance(listener, RunTracer) else None
    if tracer is not None:
        run.facts.started_ns = clock.current.time_ns()
        tracer.run_opened(run.facts)
        run.facts.outbox = outbox.Outbox(journal)
    is_traced = bool(run.facts.trace)
    before = journal.run.trace if left is not None and left.run_id == journal.run.run_id else ""
    journal.run = journal.run._replace(trace=run.facts.trace or before)
    if abandoned is not None and is_traced and left is not None:
        abandoned = abandoned._replace(trace=left.trace)
    journal.begin(answered, abandoned, outbox.places(left.spans) if is_traced and left is not None else ())
    if tracer is not None and is_traced and left is not None:
        tracer.run_died(left)


def unhealed(saver: Checkpointer) -> Iterator[Remains]:
    """What dead processes left open, of all threads that nobody works on."""
    for thread in saver.threads():
        if not thread.is_owned:
            for record in saver.runs(thread.thread_id):
                if record.trace and remains(record, ()) is not None and (left := remains(record, saver.steps(record.run_id))) is not None:
                    yield left


def settle(saver: Checkpointer, left: Remains, heal: Callable[[Remains], bool]) -> bool:
    """Have ``heal`` look after the spans of a dead process, unless somebody else does or has done.

    Args:
        saver: Where the run is recorded.
        left: What is left of it.
        heal: Does it; False when it could not.

    Returns:
        True when it is done, now and here.

    Raises:
        StoreError: It was done, and could not be recorded.
    """
    try:
        lease = saver.claim(left.thread_id)
    except ThreadBusyError:
        return False  # resumed meanwhile, or somebody else heals it
    try:
        record = saver.find(left.run_id)
        found = None if record is None else remains(record, ())
        if record is None or found is None or found.trace != left.trace or not heal(left):
            return False
        (problem,) = saver.commit(
            [Commit(lease, record.run_id, dropped=outbox.places(left.spans), run=record._replace(trace=_HEALED + left.trace))]
        )
        if problem is not None:
            raise problem
    finally:
        saver.release(lease)
    return True
