"""A walk as the body of a run: starts the nodes of each superstep as steps of that run, and waits for them.

What a run that is resumed finds recorded of a whole superstep is taken in without a call: a resume costs a few microseconds for each
superstep that is done. The first one that is not is begun, and the journal has the results of those of its nodes that had finished.
"""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._graph.kept import Ended, Kept, Start, handler_name, noted
from holdfast._graph.nodes import NodeError
from holdfast._graph.past import AFTER, BEFORE, STOPPED, advance, begun, skip, start_inside, stop
from holdfast._graph.routes import START, Send, Written
from holdfast._graph.shown import chunk_of
from holdfast.errors import (
    Divergence,
    GraphRecursionError,
    InvalidUpdateError,
    NotSerializable,
    PolicyError,
    RunInterrupted,
    RunPaused,
    TaskContextError,
)
from holdfast.runtime import steps
from holdfast.runtime.context import scope_for
from holdfast.runtime.handed import handed_in
from holdfast.runtime.interrupt import Command
from holdfast.runtime.run import has_room
from holdfast.runtime.stream import INTERRUPT, nodes_around

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast._graph.parts import Parts
    from holdfast._graph.walk import Done, Job
    from holdfast.policies.plan import Plan
    from holdfast.runtime.future import TaskFuture
    from holdfast.typing import StepRecord

LONG = 32
"""Supersteps of a run that is worth a copy of its state where it stops."""
DEFAULT_RECURSION_LIMIT = 10_007
"""Supersteps of one run; LangGraph's."""


class Body:
    """One execution of a graph, in the scope of a run's body or of the node whose function it is."""

    def __init__(self, parts: Parts, start: Start) -> None:
        """Look where the run begins."""
        self._parts = parts
        self._start = start
        self._scope = scope_for(parts.name)
        self._journal = self._scope.run.journal
        self._kept = None if self._journal is None else Kept(self._scope.step, self._journal.recorded, parts.codec, self._claim)
        self._limit = _limit(handed_in(self._scope).config)
        sink = self._scope.run.sink
        self._is_heard = sink is not None and (self._scope.call.is_body or sink.shows_inner)
        self._has_room = not parts.is_async and has_room()
        self._made = 0
        self._failed: list[tuple[str, str]] = []
        self.walk = start.walk = begun(parts, start, self._scope.run.previous if self._scope.call.is_body else None)

    # -- what is done already -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go to where the run stands, and tell a stream of it."""
        if self.walk.is_input and not self._scope.run.facts.resumed:
            self._tell_checkpoint()
        self._catch_up()
        if not self.walk.is_input:
            self._tell()

    def _catch_up(self) -> None:
        """Take in the supersteps that are recorded."""
        if self._kept is None:
            if self.walk.is_input and self._parts.start is None:
                self.walk.land([(job, Written()) for job in self.walk.jobs])
            return
        if self._scope.call.is_body:
            skip(self.walk, self._kept)
        while advance(self._parts, self.walk, self._kept):
            pass
        self._refuse_renamed()

    def _claim(self, record: StepRecord) -> None:
        """Tell the journal that a recorded step was asked for."""
        if self._journal is not None:
            self._journal.replay.claimed(record, self._plan(record.step.name))

    def _plan(self, step: str) -> Plan:
        """What runs under a name in the journal."""
        name = step.removeprefix(handler_name(""))
        node = self._parts.start if name == START else self._parts.nodes.get(name)
        plan = None if node is None else node.plan if name == step else node.handler
        if plan is None:
            raise unknown_node(self._parts, name, self._scope.run.facts.run_id)
        return plan

    def _refuse_renamed(self) -> None:
        """Stop before anything runs when nodes that this run has made are not there any more: the graph would go other ways."""
        journal, kept = self._journal, self._kept
        if journal is None or kept is None:
            return
        told = stop(kept, self.walk.number)
        goto = () if told is None or told.goto is None else told.goto
        names = [name for target in goto if (name := target.node if isinstance(target, Send) else target) != START]
        names += [step.name.removeprefix(handler_name("")) for step in journal.replay.unclaimed(self._scope.step)]
        unknown = next((name for name in names if name not in self._parts.nodes), None)
        if unknown is not None:
            raise unknown_node(self._parts, unknown, journal.run.run_id)

    # -- one superstep ------------------------------------------------------------------------------------------------------------

    def launch(self) -> list[tuple[Job, TaskFuture[Any]]]:
        """Start the jobs of the next superstep.

        Raises:
            GraphRecursionError: There have been too many.
            RunPaused: The run is to stop before one of them.
        """
        walk, parts = self.walk, self._parts
        if self._made >= self._limit:
            raise self._too_many()
        if self._start.before:
            self._pause(BEFORE, self._start.before, [job.node for job in walk.jobs])
        self._made += 1
        started: list[tuple[Job, TaskFuture[Any]]] = []
        is_alone = len(walk.jobs) == 1 and self._has_room
        values = walk.input_values() if walk.is_input else walk.values
        for job in walk.jobs:
            node = parts.start if job.node == START and parts.start is not None else parts.nodes[job.node]
            future = steps.submit(self._scope, node.plan, (node.given(values, job.arg),), {}, job.place, is_alone=is_alone)
            started.append((job, future))
        return started

    def handle(self, job: Job, error: Exception) -> TaskFuture[Any] | None:
        """Have a failed node's error handler take over; None when it has none, or the run itself is at its end."""
        node = self._parts.nodes.get(job.node)
        run = self._scope.run
        if node is None or node.handler is None or run.verdict is not None or run.is_stopping:
            self._failed.append((job.node, job.place))
            return None
        given = node.given(self.walk.values, job.arg)
        return steps.submit(self._scope, node.handler, (given, NodeError(job.node, error)), {}, job.place)

    def stopped(self, error: BaseException) -> None:
        """Note where the run stops, for whoever looks at it: which nodes are at work, and which has failed."""
        if self._is_heard and isinstance(error, RunInterrupted):
            self._tell_questions()
        if self._journal is not None and self.walk.jobs:
            is_whole = self._scope.call.is_body and self.walk.number >= LONG and self.walk.amended != self.walk.number
            try:
                note = self._note(STOPPED, "", [self.walk.here(self._failed, is_whole=is_whole)])
            except NotSerializable:  # a reducer has made of what was kept what cannot be
                note = self._note(STOPPED, "", [self.walk.here(self._failed, is_whole=False)])
            self._journal.hold(note)

    def _note(self, name: str, place: str, value: list[Start]) -> StepRecord:
        return noted(self._scope.step, self._parts.codec, name, place, value, clock.current.time())

    def land(self, done: list[Done]) -> None:
        """Apply what the jobs wrote; tell who listens; stop where that is wanted.

        Raises:
            RunPaused: The run is to stop after one of them.
        """
        self.walk.land(done)
        if self._is_heard:
            self._tell()
        if self._start.after and self.walk.jobs:
            self._pause(AFTER, self._start.after, self.walk.ran)

    def _pause(self, which: str, wanted: frozenset[str], nodes: Sequence[str]) -> None:
        """Stop at a breakpoint, unless this run has stopped there before."""
        journal, number = self._journal, str(self.walk.number)
        if not ("*" in wanted or any(node in wanted for node in nodes)):
            return
        if journal is None or self._kept is None:
            msg = f"interrupt_{which[1:]}: the graph {self._parts.name} keeps nothing, so it could not go on: compile(checkpointer=SqliteSaver('runs.db'))"
            raise TaskContextError(msg)
        is_begun_here = which == BEFORE and self.walk.number == 0 and self._start.goto is not None  # somebody said: go on from here
        if is_begun_here or self._kept.note(which, number) is not None:
            return
        journal.hold(self._note(which, number, []))
        raise RunPaused(f"{self._parts.name} stops {which[1:]} {', '.join(nodes)}")

    def _too_many(self) -> GraphRecursionError:
        next_ones = ", ".join(job.node for job in self.walk.jobs)
        return GraphRecursionError(
            f"{self._parts.name} has made {self._limit} supersteps, as many as recursion_limit allows, and {next_ones} would come next: look for a "
            f"loop that does not end, or give config={{'recursion_limit': {2 * self._limit}}}"
        )

    def ended(self) -> Ended:
        """What the run leaves, now that there is nothing more to run."""
        walk = self.walk
        if walk.for_parent is not None and self._scope.call.is_body:
            msg = f"a node of {self._parts.name} returned Command(graph=Command.PARENT), and this graph is not a node of another one"
            raise InvalidUpdateError(msg, node=walk.ran[0])
        return Ended(walk.values, walk.step, walk.number, walk.ran)

    # -- telling ------------------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Tell a stream of the state."""
        sink = self._scope.run.sink
        if self._is_heard and sink is not None:
            sink("values", self._parts.public(self.walk.values), self._inside())
            self._tell_checkpoint()

    def _inside(self) -> tuple[str, ...]:
        """In which nodes this graph is, of those around it."""
        return () if self._scope.call.is_body else nodes_around(self._scope)

    def _tell_questions(self) -> None:
        """Tell a stream what an inner graph waits for. What all of the run waits for is told at its end."""
        journal, sink, step = self._journal, self._scope.run.sink, self._scope.call.step
        questions = () if journal is None or step is None else tuple(journal.questions.waiting(step))
        if questions and sink is not None:
            sink("updates", {INTERRUPT: questions}, self._inside())
            sink("values", {**self._parts.public(self.walk.values), INTERRUPT: questions}, self._inside())

    def _tell_checkpoint(self) -> None:
        run = self._scope.run
        if self._scope.call.is_body and run.sink is not None and self._journal is not None:
            run.sink("checkpoints", chunk_of(self._parts, self.walk, run.facts.thread_id, run.facts.run_id))


def node_of(parts: Parts, before: frozenset[str], after: frozenset[str]) -> Callable[..., Any]:
    """What a node of another graph does that is this one: it walks in the node's own scope, so its steps are journaled with that run."""
    inner, inner_async = body_sync(parts), body_async(parts)

    def start_of(state: Any) -> Start:
        start = start_inside(parts, state)
        start.before, start.after = before, after
        return start

    def result_of(start: Start, ended: Ended) -> dict[str, Any] | Command[Any]:
        said = None if start.walk is None else start.walk.for_parent
        return parts.output(ended.values) if said is None else Command(update=dict(said.update), goto=said.goto)

    def subgraph(state: Any) -> Any:
        start = start_of(state)
        return result_of(start, inner(start))

    async def subgraph_async(state: Any) -> Any:
        start = start_of(state)
        return result_of(start, await inner_async(start))

    return subgraph_async if parts.is_async else subgraph


def unknown_node(parts: Parts, name: str, run_id: str) -> Divergence:
    """A recorded node that the graph has no more."""
    known = ", ".join(parts.nodes)
    return Divergence(
        f"run {run_id!r} has a node {name!r}, which the graph {parts.name} has no more: was it renamed? It has: {known}. Give the node its old "
        f"name to go on, or begin anew with an input",
        recorded=name,
        actual=known,
    )


def _limit(config: dict[str, Any]) -> int:
    limit = config.get("recursion_limit", DEFAULT_RECURSION_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        msg = f"recursion_limit={limit!r}: give a whole number of at least 1"
        raise PolicyError(msg)
    return limit


def body_sync(parts: Parts) -> Callable[[Start], Ended]:
    """The body of a run of a graph, for sync code."""

    def graph(start: Start) -> Ended:
        body = Body(parts, start)
        body.begin()
        started: list[tuple[Job, TaskFuture[Any]]] = []
        try:
            while body.walk.jobs:
                started = body.launch()
                body.land([(job, _outcome_sync(body, job, future)) for job, future in started])
        except BaseException as error:
            body.stopped(error)
            if isinstance(error, Exception):
                wait([future for _, future in started])  # what its siblings return is kept
            raise
        return body.ended()

    return graph


def body_async(parts: Parts) -> Callable[[Start], Any]:
    """The same for async code."""

    async def graph(start: Start) -> Ended:
        body = Body(parts, start)
        body.begin()
        started: list[tuple[Job, TaskFuture[Any]]] = []
        try:
            while body.walk.jobs:
                started = body.launch()
                body.land([(job, await _outcome_async(body, job, future)) for job, future in started])
        except BaseException as error:
            body.stopped(error)
            if isinstance(error, Exception) and started:
                import asyncio

                siblings: Any = [future for _, future in started]
                await asyncio.wait(siblings)  # what its siblings return is kept
            raise
        return body.ended()

    return graph


def _outcome_sync(body: Body, job: Job, future: TaskFuture[Any]) -> Any:
    try:
        return future.result()
    except Exception as error:
        handling = body.handle(job, error)
        if handling is None:
            raise
    return handling.result()


async def _outcome_async(body: Body, job: Job, future: TaskFuture[Any]) -> Any:
    try:
        return await future
    except Exception as error:
        handling = body.handle(job, error)
        if handling is None:
            raise
    return await handling
