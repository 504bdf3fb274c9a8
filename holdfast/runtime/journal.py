"""One run's journal: which steps are finished, and replaying them.

Rules:

1. A finished step is taken from here whenever the same call is made again: after a retry of the body around it, or when a failed run is
   resumed. "The same call" is (enclosing step, task name, fingerprint of its arguments, occurrence); an occurrence is counted anew in each
   attempt of the enclosing body.
2. A failure that the body caught is replayed too. When an attempt of a body ends in an error, the failures in that error's chain
   (itself, causes, contexts, group members) are forgotten, and nothing else: the next attempt runs those steps again.
3. A value that would not come back the same fails its step at once (`NotSerializable`), not the resume months later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from holdfast import events
from holdfast.errors import NotKeyable, NotSerializable, PolicyError
from holdfast.typing import StepId
from holdfast.values.canonical import digest, encode
from holdfast.values.names import place

if TYPE_CHECKING:
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture
    from holdfast.typing import Checkpointer

MISSING: Any = object()


class Journal:
    """The finished steps of one run, and the saver they go to."""

    def __init__(self, saver: Checkpointer, thread_id: str, run_id: str, steps: dict[StepId, bytes]) -> None:
        """Continue from ``steps``, the finished ones."""
        self._saver = saver
        self._thread_id = thread_id
        self._run_id = run_id
        self._steps = steps
        self._failures: dict[StepId, Exception] = {}
        self._owners: dict[str, Any] = {}
        self._opaque_told: set[str] = set()
        self._open: dict[StepId, TaskFuture[Any]] = {}
        self._lock = threading.Lock()  # several threads and tasks make and end calls at once
        self.is_blocking = saver.is_blocking

    def name_step(self, plan: Plan, scope: Scope, values: tuple[Any, ...], step_key: str = "") -> StepId:
        """Name a call made in ``scope`` with the bound ``values``; a ``step_key`` sets it apart from equal calls.

        Raises:
            PolicyError: Another function of the same task name was called in this run.
        """
        owner = self._owners.setdefault(plan.name, plan.fn)
        if owner is not plan.fn and getattr(owner, "__code__", owner) is not getattr(plan.fn, "__code__", plan.fn):
            both = f"{place(owner)} and {place(plan.fn)}"
            msg = f"{both} are both tasks named {plan.name!r} in one run, so their steps cannot be told apart: give one of them task(name=...)"
            raise PolicyError(msg)
        fingerprint = self._fingerprint(plan, values, step_key)
        kind = (plan.name, fingerprint)
        with self._lock:
            if scope.occurrences is None:
                scope.occurrences = {}
            occurrence = scope.occurrences.get(kind, 0)
            scope.occurrences[kind] = occurrence + 1
        return StepId(scope.step, plan.name, fingerprint, occurrence)

    def _fingerprint(self, plan: Plan, values: tuple[Any, ...], step_key: str) -> bytes:
        parts = [step_key.encode("utf-8", "surrogatepass")]
        for name, value in zip(plan.names, values, strict=True):
            if name in plan.injected:
                continue
            try:
                parts.append(encode(value, where=name))
            except NotKeyable as error:
                kind = f"{type(value).__module__}.{type(value).__qualname__}"
                parts.append(b"opaque:" + kind.encode())
                self._tell_opaque(plan.name, name, kind, error)
        return digest(b"".join(len(part).to_bytes(8, "big") + part for part in parts))

    def _tell_opaque(self, task: str, parameter: str, kind: str, error: NotKeyable) -> None:
        if task in self._opaque_told:
            return
        self._opaque_told.add(task)
        events.note(
            "holdfast.journal.opaque_argument",
            events.INFO,
            f"argument {parameter!r} of {task} counts in the journal only by its type {kind}: {error}",
            task=task,
            parameter=parameter,
        )

    # -- steps under way ----------------------------------------------------------------------------------------------------------

    def started(self, step: StepId, future: TaskFuture[Any]) -> None:
        """Remember a step that is under way."""
        with self._lock:
            self._open[step] = future

    def under_way(self, step: StepId) -> TaskFuture[Any] | None:
        """The future of a step that an earlier attempt of its body started and that is not done; one that is done, `find` knows about."""
        future = self._open.get(step)
        return None if future is None or future.done() else future

    def ended(self, step: StepId, future: TaskFuture[Any]) -> None:
        """It is under way no longer; a call that has taken its place since stays."""
        with self._lock:
            if self._open.get(step) is future:
                del self._open[step]

    # -- finished steps -----------------------------------------------------------------------------------------------------------

    def find(self, step: StepId, plan: Plan) -> tuple[Any, Exception | None]:
        """The recorded value or failure of a step, or `MISSING`."""
        payload = self._steps.get(step)
        if payload is not None and plan.codec is not None:
            return plan.codec.decode(payload), None
        failure = self._failures.get(step)
        return (None, failure) if failure is not None else (MISSING, None)

    def encode(self, plan: Plan, value: Any) -> bytes:
        """Encode a result, or raise NotSerializable naming the task."""
        if plan.codec is None:
            msg = f"task {plan.name} has no codec"
            raise NotSerializable(msg)
        try:
            return plan.codec.encode(value)
        except NotSerializable as error:
            msg = f"the result of task {plan.name} cannot be checkpointed: {error}"
            raise NotSerializable(msg, where=error.where) from error

    def commit(self, step: StepId, payload: bytes) -> None:
        """Record a finished step; durable, as far as the saver is, when this returns."""
        self._saver.commit(self._thread_id, self._run_id, [(step, payload)])
        self._steps[step] = payload

    def fail(self, step: StepId, error: Exception) -> None:
        """Remember a failure, in case the body catches it and goes on."""
        with self._lock:
            self._failures[step] = error

    def supersede(self, error: BaseException) -> None:
        """Forget the failures in the chain of an error that ended an attempt of a body."""
        if not self._failures:
            return
        chain = _chain(error)
        with self._lock:
            for step in [step for step, failure in self._failures.items() if id(failure) in chain]:
                del self._failures[step]

    def end(self, status: str, previous: bytes | None) -> None:
        """Record how the run ended."""
        self._saver.end(self._thread_id, self._run_id, status, previous)


def _chain(error: BaseException) -> set[int]:
    """The identities of an error, its causes and contexts, and the members of groups among them; a chain may be longer than the stack."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions  # pyright: ignore[reportUnknownMemberType]
    return seen
