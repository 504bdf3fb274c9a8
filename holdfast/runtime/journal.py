"""One run's journal: which steps are finished, and replaying them.

Rules:

1. A finished step is taken from here whenever the same call is made again: after a retry of the body around it, or when a run is resumed.
   "The same call" is (enclosing step, task name, fingerprint of its arguments, occurrence); an occurrence is counted anew in each attempt
   of the enclosing body.
2. A failure that the body survived is replayed too. When an attempt of a body ends in an error, the failures that it did not survive are
   forgotten (`holdfast.runtime.failures`), and nothing else: the next attempt runs those steps again.
3. A value that would not come back the same fails its step at once (`NotSerializable`), not the resume months later.
4. What the saver cannot take ends the run at once (`holdfast.runtime.run.Run.halt`), and is not recorded as its outcome.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.errors import CorruptRecord, NotSerializable, StoreError, ThreadBusyError
from holdfast.policies.remembered import remembered
from holdfast.runtime import once
from holdfast.runtime.attempts import is_cancellation
from holdfast.runtime.failures import Failures
from holdfast.runtime.foreign import add_note
from holdfast.runtime.late import Late
from holdfast.runtime.naming import Names, node_step
from holdfast.runtime.questions import Questions
from holdfast.runtime.replay import Replay
from holdfast.runtime.sight import place
from holdfast.runtime.trail import LOST
from holdfast.runtime.writer import writer_of
from holdfast.typing import Commit, StepRecord
from holdfast.values.failure import decode_failure

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.state import Call
    from holdfast.typing import Checkpointer, Lease, RunRecord, StepId

MISSING: Any = object()


class Journal:
    """The finished steps of one run, and the saver they go to.

    Attributes:
        run: The run's own record.
        names: Names its steps.
        replay: What was recorded before this execution of the run began.
        questions: What people are asked.
        failures: The steps that have failed.
        is_blocking: True when a commit may do I/O.
        writer: Writes its changes.
        late: Those that nobody waits for.
        durability: ``sync``: a step's future resolves after its commit; ``async``: the commit follows; ``exit``: with the run's end.
    """

    def __init__(
        self,
        saver: Checkpointer,
        lease: Lease,
        run: RunRecord,
        steps: Sequence[StepRecord] = (),
        *,
        durability: str = "sync",
        on_divergence: str = "raise",
    ) -> None:
        """Continue from ``steps``, the recorded ones."""
        self.run = run
        self.names = Names()
        self.replay = Replay(steps, on_divergence, self.forget)
        self.questions = Questions(run.run_id, steps)
        self.durability = durability
        self.is_blocking = saver.is_blocking
        self._saver = saver
        self.writer = writer_of(saver)
        self._lease = lease
        self._steps = {record.step: record for record in steps}
        self._announced = once.announced(steps)
        self.failures = Failures()
        self._dropped: list[StepId] = []
        self._beside: set[StepId] = set()
        self._held: dict[StepId, StepRecord] = {}
        self.late = Late(self.writer, self.change)
        self._open: dict[StepId, Call] = {}
        self._lock = threading.RLock()  # several threads and tasks make and end calls at once; one ends others while it writes

    # -- a call is made -----------------------------------------------------------------------------------------------------------

    def name_step(self, plan: Plan, scope: Scope, values: tuple[Any, ...], step_key: str) -> tuple[StepId, bytes]:
        """Name a call made in ``scope`` with the bound ``values``, and the place of the scope's trail where it was made.

        Raises:
            PolicyError: Another function of the same task name was called in this run.
            Divergence: At this place the record has another step.
        """
        if plan.is_node:  # which ones come when is the graph's business
            return node_step(scope.step, plan.name, step_key), LOST
        step = self.names_in(scope).step(plan, scope, values, step_key, self._lock)
        if scope.trail is not None and scope.trail.digest == LOST and not self.failures:
            return step, LOST  # nobody will ask where this was, and finding it out is a tenth of a replayed step
        here = place()
        point = self.replay.follow(scope, step, here, self._steps.get)
        if self.failures:
            self.failures.went_on(here)
        return step, point

    def names_in(self, scope: Scope) -> Names:
        """What names the steps made in ``scope``."""
        del scope  # all bodies of a run have the same tasks
        return self.names

    def left(self, scope: Scope) -> None:
        """The body of ``scope`` has returned.

        Raises:
            Divergence: By the record it should have asked for one more step.
        """
        self.replay.left(scope, scope.place or place(), self._steps.get)

    def started(self, step: StepId, call: Call) -> None:
        """Remember a step that is under way."""
        self._open[step] = call

    def under_way(self, step: StepId, scope: Scope) -> TaskFuture[Any] | None:
        """The future of a step that an earlier attempt of its body started and did not give up; from now on it is ``scope``'s."""
        if step not in self._open:
            return None
        with self._lock:
            call = self._open.get(step)
            future = None if call is None else call.future
            if call is None or call.is_cancelled or future is None or future.done():
                return None  # one that is done, `find` knows about
            call.parent = scope
            return future

    def ended(self, step: StepId, call: Call) -> None:
        """It is under way no longer; a call that has taken its place since stays."""
        with self._lock:
            if self._open.get(step) is call:
                del self._open[step]

    def find(self, step: StepId, plan: Plan) -> tuple[Any, Exception | None]:
        """The recorded value or failure of a step, or `MISSING`.

        Raises:
            InDoubt: It may run at most once, and has begun.
            CorruptRecord: What was recorded cannot be read.
        """
        record = self._steps.get(step)
        if record is None:
            if plan.is_once and step in self._announced:
                raise once.doubt_about(self.run, [self._announced[step]])
            return MISSING, None
        self.replay.claimed(record, plan)
        if record.kind == "ok":
            return self._decoded(record, plan), None
        with self._lock:
            return None, self.failures.get(step) or self._failed_before(record)

    def _decoded(self, record: StepRecord, plan: Plan) -> Any:
        try:
            return self._codec(plan).decode(record.payload)
        except CorruptRecord as error:
            error.add_note(f"It is the recorded result of task {plan.name}, step {record.step.digest().hex()} of run {self.run.run_id!r}.")
            raise

    def _failed_before(self, record: StepRecord) -> Exception:
        error = self.failures.add(record.step, decode_failure(record.payload))
        if record.step in self._announced:
            add_note(error, once.standing(self.run, record.step))
        return error

    @staticmethod
    def _codec(plan: Plan) -> Any:
        if plan.codec is None:
            msg = f"task {plan.name} has no codec"
            raise NotSerializable(msg)
        return plan.codec

    def recorded(self, step: StepId) -> StepRecord | None:
        """What is recorded under this name, whatever it is."""
        return self._steps.get(step)

    # -- a call has its outcome ---------------------------------------------------------------------------------------------------

    def encode(self, plan: Plan, value: Any) -> bytes:
        """Encode a result, or raise NotSerializable naming the task."""
        try:
            return self._codec(plan).encode(value)  # type: ignore[no-any-return]
        except NotSerializable as error:
            msg = f"the result of {'node' if plan.is_node else 'task'} {plan.name} cannot be checkpointed: {error}"
            raise NotSerializable(msg, where=error.where) from error

    def outcome(self, call: Call, value: Any) -> StepRecord | None:
        """Remember how a call ended; return what is to be written of it now, a failure while it is `standing`.

        A failure is remembered in case the body catches it and goes on. A cancellation and an open question are no outcomes.
        """
        step = call.step
        if step is None:
            return None
        if call.error is None:
            try:
                return self.result(step, call.plan, call.history, value)
            except NotSerializable as error:
                call.error = error
        is_verdict = call.run is not None and call.error is call.run.verdict
        if not isinstance(call.error, Exception) or is_cancellation(call.error) or is_verdict:
            return None
        record = StepRecord(step, "error", remembered(call.error), call.history, self.replay.code(call.plan), clock.current.time())
        with self._lock:
            if not call.plan.is_once and self._is_late(step, call):
                if call.run is not None and call.run.verdict is not None:
                    call.error = call.run.verdict  # a body that is still at work must not act on what is not recorded
                return None
            self.failures.add(step, call.error, call.future)
            return self._record(record, call.plan)

    def _is_late(self, step: StepId, call: Call) -> bool:
        """True for a failure that comes when whoever asked for it is over: nobody survives it, nor takes it from here any more."""
        parent = call.parent
        if call.run is None or not (call.run.is_stopping or (parent is not None and (parent.is_failed or parent.call.run is None))):
            return False
        self._open.pop(step, None)
        return True

    def result(self, step: StepId, plan: Plan, history: bytes, value: Any) -> StepRecord | None:
        """Remember a step's result; return what is to be written now.

        Raises:
            NotSerializable: It would not come back the same.
        """
        record = StepRecord(step, "ok", self.encode(plan, value), history, self.replay.code(plan), clock.current.time())
        return self._record(record, plan)

    @contextlib.contextmanager
    def standing(self, record: StepRecord) -> Generator[bool]:
        """Whether a failure is still remembered; nobody forgets it within the block, so what is put in line there comes before that."""
        with self._lock:
            yield self._steps.get(record.step) is record

    def announce(self, step: StepId, history: bytes) -> Commit:
        """Remember that an at-most-once step is about to run; return what is to be committed before it does."""
        each = self._announced[step] = once.announce(step, history)
        return self._commit((each.record(),))

    def withdraw(self, step: StepId) -> None:
        """Forget an announcement: the step was cancelled before its body began."""
        self._drop((self._announced.pop(step).place(),))

    def _record(self, record: StepRecord, plan: Plan) -> StepRecord | None:
        if self.durability == "exit" and not plan.is_once:
            with self._lock:
                self._held[record.step] = self._steps[record.step] = record
            return None
        self._steps[record.step] = record
        return record

    def change(self, record: StepRecord) -> Commit:
        """What writes a step."""
        return self._commit((record,))

    def _commit(self, steps: tuple[StepRecord, ...], run: RunRecord | None = None) -> Commit:
        return Commit(self._lease, self.run.run_id, steps, (), run)

    def commit(self, change: Commit) -> None:
        """Write a change; it is durable, as far as the saver is, when this returns.

        Raises:
            StoreError: It could not be written.
            ThreadBusyError: Somebody else owns the thread now.
        """
        self.writer.commit(change)

    def hold(self, record: StepRecord) -> None:
        """Write what is no step of the body together with the end of this execution of the run."""
        with self._lock:
            self._held[record.step] = self._steps[record.step] = record

    def keep_beside(self, kept: tuple[StepRecord, ...], dropped: tuple[StepId, ...]) -> None:
        """Write what is no step of the body, and forget some; what is kept goes when the run ends.

        Raises:
            StoreError: It could not be written.
            ThreadBusyError: Somebody else owns the thread now.
        """
        self._beside.update(record.step for record in kept)
        self._beside.difference_update(dropped)
        self.writer.commit(Commit(self._lease, self.run.run_id, kept, dropped))

    def check_late(self) -> None:
        """Raise what went wrong with a commit that nobody waited for."""
        if self.late.error is not None:
            raise self.late.error

    # -- forgetting ---------------------------------------------------------------------------------------------------------------

    def supersede(self, error: BaseException, scope: Scope | None) -> None:
        """Forget the failures that the attempt of ``scope``, which has ended in ``error``, did not survive."""
        self.forget(self.failures.fatal(error, scope))

    def forget(self, steps: Sequence[StepId]) -> None:
        """Forget steps: they run again when they are asked for. What may run at most once, and has begun, is not forgotten."""
        gone: list[StepId] = []
        with self._lock:
            for step in steps:
                if step in self._announced:
                    continue
                self.failures.drop(step)
                self._held.pop(step, None)
                if self._steps.pop(step, None) is not None:
                    gone.append(step)
        if self.durability == "exit":
            self._dropped += gone
        elif gone:
            self._drop(tuple(gone))

    def _drop(self, steps: tuple[StepId, ...]) -> None:
        """Have steps forgotten by the saver, too: put in line at once, and so before whatever is recorded of them later."""
        self.soon(Commit(self._lease, self.run.run_id, dropped=steps))

    def soon(self, change: Commit) -> None:
        """Put a change in line that nobody waits for; trouble shows at the next `check_late`, or at the end."""
        if self.is_blocking:
            self.late.put(change)
            return
        try:
            self.commit(change)
        except (StoreError, ThreadBusyError) as error:
            self.late.error = error

    # -- the run ------------------------------------------------------------------------------------------------------------------

    def begin(self, answered: tuple[StepRecord, ...] = (), abandoned: RunRecord | None = None, dropped: tuple[StepId, ...] = ()) -> None:
        """Record that the run is at work, and the end of one whose place it takes; ``dropped`` is forgotten of that one, else of this."""
        self.writer.commit(self._commit(answered, self.run)._replace(dropped=() if abandoned else dropped))
        if abandoned is not None:
            self.writer.commit(Commit(self._lease, abandoned.run_id, (), dropped, abandoned))

    def end(self, status: str, output: bytes | None, saved: bytes | None, error: Exception | None) -> None:
        """Record how the run ended, or that it waits for answers."""
        self.check_late()
        now = clock.current.time()
        failure = None if error is None else remembered(error)
        self.run = self.run._replace(status=status, output=output, saved=saved, error=failure, updated=now)
        steps = (*self._held.values(), *self.questions.to_record())
        self.writer.commit(self._commit(steps, self.run)._replace(dropped=(*self._dropped, *self._beside.copy())))

    def owns(self, saver: Checkpointer, thread_id: str) -> bool:
        """Whether its run is the owner of this thread."""
        return self._saver is saver and self._lease.thread_id == thread_id

    def release(self) -> None:
        """Give the thread back, whatever became of the run."""
        give_back(self._saver, self._lease)


def give_back(saver: Checkpointer, lease: Lease) -> None:
    """Give a thread back, whatever was done with it."""
    try:
        saver.release(lease)
    except StoreError as error:  # a store that is broken: the lease goes with this process
        text = f"thread {lease.thread_id!r} could not be given back: {error}"
        events.note("holdfast.journal.not_released", events.WARNING, text, thread_id=lease.thread_id)
