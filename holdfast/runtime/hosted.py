"""A run whose bodies somebody else executes: the nodes of a LangGraph superstep.

Theory of operation. In a run of ours we execute the body: we see it begin, return and raise. Of a node we see the task calls that it makes, and
nothing else. So

- there is a root scope for each execution of a node, made at its first task call, and one run for all nodes that are executed together;
- nothing is done at the end of a node, for nobody tells us: the thread is owned while calls are under way (`holdfast.runtime.tenancy`), and the
  run's record says ``done`` from its first step on, so that it is kept, and forgotten, like any other;
- a failure that reaches a node is not recorded, because we never learn whether the node got over it: when the node is executed again, the
  task is, too, as a LangGraph task would be. Inside a task of ours all is as ever;
- no divergence is certain: between two task calls a node is given things that we do not see (the answer to a question, say);
- a step that stopped its node, by asking a question, is run again whenever the node is, even after it has returned: LangGraph finds its
  answers by counting the questions, so each has to be asked again. The tasks that such a step has called are replayed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from holdfast.runtime.background import background_loop
from holdfast.runtime.context import Scope
from holdfast.runtime.journal import Journal
from holdfast.runtime.loops import running_loop
from holdfast.runtime.naming import Names
from holdfast.runtime.run import Run
from holdfast.runtime.signals import is_signal
from holdfast.runtime.state import Call
from holdfast.runtime.tenancy import tenancy_of
from holdfast.runtime.trail import Trail
from holdfast.typing import Lease, StepId, StepRecord

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from holdfast.events import RunFacts
    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache, Checkpointer, Commit, RunRecord

_STOPPED = "holdfast.stopped"
"""Name of the record that says that a step has stopped its node."""


class HostedJournal(Journal):
    """The finished steps of a hosted run; see the module."""

    def __init__(self, saver: Checkpointer, run: RunRecord) -> None:
        """Continue from what is recorded of ``run``."""
        tenancy = tenancy_of(saver, run.thread_id)
        self._tenancy, self._seen = tenancy, tenancy.changes
        steps = saver.steps(run.run_id)
        super().__init__(saver, Lease(run.thread_id, "", 0), run, steps, on_divergence="warn")
        self._is_begun = bool(steps)
        self._begin_lock = threading.Lock()
        self._names: dict[bytes, Names] = {}

    def enter(self) -> None:
        """Own the thread, and look again at what is recorded if somebody else may have written meanwhile.

        Raises:
            ThreadBusyError: Another process owns it, or a run of an entrypoint.
        """
        self._lease = self._tenancy.enter()
        if self._seen != self._tenancy.changes:
            self._seen = self._tenancy.changes
            for record in self._saver.steps(self.run.run_id):
                self._steps.setdefault(record.step, record)

    def leave(self) -> None:
        """What `enter` was called for has ended."""
        self._tenancy.leave(self.run.run_id)

    def names_in(self, scope: Scope) -> Names:
        """Each node names its own steps: two may have different tasks of the same name."""
        *_, root = scope.outward()
        found = self._names.get(root.step)
        return self._names.setdefault(root.step, Names()) if found is None else found

    def outcome(self, call: Call, value: Any) -> StepRecord | None:
        """Remember how a call ended, as far as that will hold when the node is executed again."""
        step, error = call.step, call.error
        if step is None:
            return None
        stop = StepId(step.digest(), _STOPPED, b"", 0)
        if error is not None and is_signal(error):
            self._steps[stop] = record = StepRecord(stop, "ok", b"")
            return record  # written before LangGraph hears of it: the answer may come at once
        if error is None and stop in self._steps:
            return None
        is_nodes_own = call.parent is not None and call.parent.call.is_body
        if isinstance(error, Exception) and is_nodes_own and not call.plan.is_once:
            return None
        return super().outcome(call, value)

    def _commit(self, steps: tuple[StepRecord, ...], run: RunRecord | None = None) -> Commit:
        with self._begin_lock:
            if not self._is_begun:
                self._is_begun = True
                latest = self._saver.latest(self.run.thread_id)
                self.run = self.run._replace(base="" if latest is None else latest.passes_on)
                self.soon(super()._commit((), self.run))  # in line before all others
        return super()._commit(steps, run)


class HostedRun(Run):
    """One run of nodes that are executed together, for as long as any of them is.

    Attributes:
        stream: Takes what bodies write; None: nobody does.
    """

    def __init__(self, facts: RunFacts, *, cache: Callable[[], Cache], max_concurrency: int | None = None) -> None:
        """Open it; nothing is kept until `keep_in` says where."""
        super().__init__(facts, cache=cache, max_concurrency=max_concurrency)
        self._loops: dict[Call, asyncio.AbstractEventLoop | None] = {}
        self._kept: HostedJournal | None = None
        self.stream: Callable[[Any], None] | None = None

    def tell(self, value: Any) -> None:
        """Send what a body has written to the stream of whoever conducts."""
        if self.stream is not None:
            self.stream(value)

    def keep_in(self, journal: HostedJournal) -> None:
        """Record finished steps in ``journal``, and take them from there."""
        self.journal = self._kept = journal

    def scope(self, plan: Plan, fingerprint: bytes) -> Scope:
        """The root scope of an execution of the node that ``plan`` stands for and ``fingerprint`` names."""
        call = Call(plan, (), {}, self)
        call.is_body = True
        call.step = StepId(b"", plan.name, fingerprint, 0)
        scope = Scope(self, call)
        if self.journal is not None:
            scope.trail = Trail(0, None)
            scope.trail.lose()
        return scope

    def opened(self, call: Call) -> bool:
        """Own the thread for as long as the call takes, and count it.

        Raises:
            ThreadBusyError: Another process works on the thread, or a run of an entrypoint.
        """
        if self._kept is not None:
            self._kept.enter()
        self._loops[call] = self._loop_around(call)
        return super().opened(call)

    def _loop_around(self, call: Call) -> asyncio.AbstractEventLoop | None:
        loop, caller = running_loop(), None if call.parent is None else call.parent.call
        if caller is None or loop is None:
            return loop if caller is None else self._loops.get(caller)
        if caller.is_body and not caller.plan.is_async and call.future is not None:
            self.avoid(loop)  # a sync node on the thread of a loop, a notebook's, which is blocked until the graph has ended
            call.future.may_block = True
            return None
        return loop

    def settling(self, call: Call) -> None:
        """Give the thread back before anybody sees the outcome: another process may be told to go on at once."""
        if self._loops.pop(call, self) is not self and self._kept is not None:
            self._kept.leave()

    def _left(self, call: Call) -> None:
        self.settling(call)  # one that was cancelled before it began is never settled
        super()._left(call)

    def loop_of(self, call: Call) -> asyncio.AbstractEventLoop:
        """The loop that the call was made on, or the one around it: one run may have nodes on a loop and nodes on threads."""
        return self._loops.get(call) or background_loop(self.level)
