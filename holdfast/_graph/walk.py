"""The supersteps of a graph: from the state and what the nodes wrote to the next state and the next nodes.

Nothing here runs anything, waits, or knows a clock or a store. So the same walk is made by a run as it goes on, by one that is resumed, and
by `get_state`, from what is recorded.

Rules, as LangGraph has them:

1. All nodes of a superstep see the state as it was before. What they write is applied together, in the order of their names, calls made by
   `Send` last: all of it, or nothing.
2. A node runs next when an edge of a node that has just run leads to it, or all sources of a join have run since it last did.
3. A deferred node waits until nothing else is left to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast._graph.channels import MISSING, applied, beginning
from holdfast._graph.kept import Start
from holdfast._graph.routes import START, Send

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from holdfast._graph.kept import Kept, Waiting
    from holdfast._graph.parts import Parts
    from holdfast._graph.routes import Written
    from holdfast._graph.schema import Update

    Done = tuple["Job", Written]
    """A job, and what it has written."""


class Job(msgspec.Struct, frozen=True):
    """A call of a node.

    Attributes:
        node: The node.
        place: Names the call in its graph's run: the superstep, and for one made by `Send` its number there.
        arg: What a `Send` carries; `MISSING`: it gets the state.
    """

    node: str
    place: str
    arg: Any = MISSING


class Walk:
    """Where one run of a graph is.

    Attributes:
        values: The state.
        number: The superstep that comes next, counted from -1 where a run has an input, from 0 else.
        step: The same, counted over all runs of the thread.
        jobs: What it runs; empty when the graph has come to its end.
        source: What made this state: ``input``, ``loop``, ``fork`` or ``update``.
        ran: The nodes that made it.
        for_parent: What a node has said to the graph around this one, which ends this one; None while none has.
        amended: The last superstep that a command has changed; None for none.
    """

    def __init__(self, parts: Parts, start: Start, values: dict[str, Any], step: int) -> None:
        """Begin.

        Args:
            parts: The graph.
            start: What the run begins with.
            values: The state before, as the thread's last run left it.
            step: The number of the first superstep.
        """
        self._parts = parts
        joins, deferred = start.waiting
        self._arrived: dict[int, set[str]] = {number: set(names) for number, names in joins}
        self._deferred: set[str] = set(deferred)
        self.step = step
        self.source = start.source
        self.ran = start.ran
        self.values = {**beginning(parts.channels), **values}
        self.number = -1
        self.jobs: tuple[Job, ...] = (Job(START, "-1"),)
        if start.goto is not None:  # it begins in the middle
            self.number = 0
            self._write([(START, start.update)])
            self.jobs = self._jobs({target for target in start.goto if isinstance(target, str)}, _sends(start.goto))
        self.start = start
        self.for_parent: Written | None = None
        self.amended: int | None = None

    @property
    def is_input(self) -> bool:
        """Whether what comes next is only to take the input in."""
        return self.number == -1

    def input_values(self) -> dict[str, Any]:
        """The state with the input, before anything has run."""
        return applied(self._parts.channels, self.values, [(START, self.start.update)])

    def land(self, done: Sequence[Done]) -> None:
        """Apply what a superstep's nodes wrote, and go on. Before the first one it is the input that is written.

        Args:
            done: All jobs of the superstep; that of the input has written what the conditional edges of `START` say.

        Raises:
            InvalidUpdateError: They do not go together; nothing is applied.
            Exception: What a reducer raised; nothing is applied.
        """
        for_parent: Written | None = None
        writes: list[tuple[str, Update]] = [(START, self.start.update)] if self.is_input else []
        ran: list[str] = []
        for job, written in done:
            ran.append(job.node)
            if written.is_for_parent:
                for_parent = for_parent or written
            else:
                writes.append((job.node, written.update))
        self._write(writes)
        self.for_parent = for_parent
        self.ran = tuple(ran)
        self._go_on(done)

    def _write(self, writes: list[tuple[str, Update]]) -> None:
        self.values = applied(self._parts.channels, self.values, writes)

    def _go_on(self, done: Sequence[Done]) -> None:
        """Go where the edges lead, and what was written says."""
        edges, joins = self._parts.edges, self._parts.joins_of
        if self._arrived:
            self._leave()
        names: set[str] = set()
        sends: list[Send] = []
        for job, written in done:
            if not written.is_handled:
                names.update(edges.get(job.node, ()))
                if job.node in joins:
                    self._arrive(job.node)
            for target in written.goto:
                if isinstance(target, Send):
                    sends.append(target)
                else:
                    names.add(target)
        if self._arrived:
            names.update(self._joined())
        self.source = "loop"
        self.number += 1
        self.step += 1
        self.jobs = self._jobs(names, sends) if self.for_parent is None else ()

    def _leave(self) -> None:
        """Empty the joins whose targets have run."""
        for number, arrived in self._arrived.items():
            join = self._parts.joins[number]
            if join.target in self.ran and len(arrived) == len(join.sources):
                arrived.clear()

    def _arrive(self, node: str) -> None:
        for number in self._parts.joins_of[node]:
            self._arrived.setdefault(number, set()).add(node)

    def _joined(self) -> Iterable[str]:
        """The targets of joins that are complete: they are, until the target has run, whatever is written by hand meanwhile."""
        for number, arrived in self._arrived.items():
            join = self._parts.joins[number]
            if len(arrived) == len(join.sources):
                yield join.target

    def _jobs(self, names: set[str], sends: Sequence[Send], begun: AbstractSet[str] = frozenset()) -> tuple[Job, ...]:
        """What to run; a deferred node that has begun does not wait any more."""
        if self._parts.deferred:
            names = self._without_deferred(names - begun, is_last=not sends and not begun)
        place = str(self.number)
        names = names | begun if begun else names
        jobs = [Job(name, place) for name in (sorted(names) if len(names) > 1 else names)]
        if sends:
            jobs += [Job(send.node, f"{place}.{index}", send.arg) for index, send in enumerate(sends)]
        return tuple(jobs)

    def _without_deferred(self, names: set[str], *, is_last: bool) -> set[str]:
        self._deferred |= names & self._parts.deferred
        names = names - self._parts.deferred
        if not names and is_last:
            names, self._deferred = self._deferred, set()
        return names

    def write_as(self, writes: Sequence[tuple[str, Written]]) -> None:
        """Go on as if these nodes alone had run here, and had written this."""
        self.number = max(self.number, 0)
        self.land([(Job(node, str(self.number)), written) for node, written in writes])

    def amend(self, start: Start) -> None:
        """Apply a command that came while this superstep waited: what it writes, and where it goes beside."""
        self._write([(START, start.update)])
        self.amended = self.number
        goto = start.goto or ()
        begun = {job.node for job in self.jobs if job.arg is MISSING}
        sends = [Send(job.node, job.arg) for job in self.jobs if job.arg is not MISSING] + _sends(goto)
        self.jobs = self._jobs({target for target in goto if isinstance(target, str)}, sends, begun)

    def here(self, failed: Sequence[tuple[str, str]], *, is_whole: bool) -> Start:
        """What to note of a stop: where it is, which calls have failed, and with ``is_whole`` all that `go_to` has to know."""
        if not is_whole:
            return Start(tuple(failed), self.goto(), step=self.number)
        return Start(tuple(failed), self.goto(), self.values, self.number, ran=self.ran, waiting=self.waiting())

    def go_to(self, at: Start) -> None:
        """Be where `here` was made in an earlier execution, without the way there."""
        joins, deferred = at.waiting
        self._arrived = {number: set(names) for number, names in joins}
        self._deferred = set(deferred)
        self.step += at.step - self.number
        self.number, self.ran, self.source = at.step, at.ran, "loop"
        self.values = {**beginning(self._parts.channels), **(at.values or {})}
        goto = at.goto or ()
        self.jobs = self._jobs({target for target in goto if isinstance(target, str)}, _sends(goto))

    def waiting(self) -> Waiting:
        """What a run that begins here has to know of what came before."""
        joins = tuple((number, tuple(sorted(names))) for number, names in sorted(self._arrived.items()) if names)
        return joins, tuple(sorted(self._deferred))

    def goto(self) -> tuple[str | Send, ...]:
        """The jobs, as a run that begins here is told of them."""
        return tuple(job.node if job.arg is MISSING else Send(job.node, job.arg) for job in self.jobs)

    def recorded(self, kept: Kept) -> list[Done] | None:
        """The jobs of this superstep, when all of them are done."""
        found: list[Done] = []
        for job in self.jobs:
            written = kept.result(job.node, job.place)
            if written is None:
                return None
            found.append((job, written))
        return found


def _sends(goto: Iterable[str | Send]) -> list[Send]:
    return [target for target in goto if isinstance(target, Send)]
