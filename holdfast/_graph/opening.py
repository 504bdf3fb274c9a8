"""Opens a run of a graph: there is more to go back to than runs, and more to begin with than an input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._graph.kept import Start, noted
from holdfast._graph.past import COMMAND, found, name_of, past
from holdfast._graph.routes import START, as_targets, check_keys, checked_targets
from holdfast._graph.schema import taken_apart
from holdfast._journals import NO_INPUT, Opener
from holdfast._ownership import refuse_anothers
from holdfast.errors import NotSerializable, PolicyError, UnknownInterruptError
from holdfast.runtime.interrupt import NOTHING, Command
from holdfast.typing import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._graph.parts import Parts
    from holdfast._graph.walk import Walk
    from holdfast._journals import Opened, Request
    from holdfast._settings import Settings
    from holdfast.runtime.run import Run
    from holdfast.typing import Checkpointer, Lease, RunRecord, StepRecord


class GraphOpener(Opener):
    """One opening of a thread for a graph."""

    def __init__(self, parts: Parts, settings: Settings, run: Run, saver: Checkpointer, lease: Lease, request: Request) -> None:
        """Open for ``parts``; the rest is the runtime's."""
        super().__init__(settings, run, saver, lease, request)
        self._parts = parts
        self._codec = parts.codec

    def open(self) -> Opened:
        """Find out what is meant, and give the run its journal."""
        request, latest = self._request, self._latest
        given: Any = request.input
        if latest is not None:
            refuse_anothers(latest, self._plan.name)
        at = None if request.checkpoint_id is None else self._other_checkpoint(request.checkpoint_id)
        if request.is_keyed and not (isinstance(given, Command) and given.resume is not NOTHING):
            known = self._saver.find(request.run_id)
            if known is not None:
                return self._again(known, None)
        if at is not None:
            return self._begin(self._branching(at, given), "")
        if isinstance(given, Command):
            return self._command(given)  # pyright: ignore[reportUnknownArgumentType]
        if given is None:
            if not request.is_named:
                raise nothing_given(self._plan.name)
            return self._resume(latest)
        return self._begin_after(given)

    def _other_checkpoint(self, checkpoint_id: str) -> tuple[RunRecord, Walk] | None:
        """The checkpoint that is named; None when that is where the thread stands."""
        record, number = found(self._saver, self._request.thread_id, checkpoint_id)
        refuse_anothers(record, self._plan.name)
        if number is None:
            return None if self._is_newest(record) else (record, past(self._parts, self._saver, record).at(None))
        stands = past(self._parts, self._saver, record).at(None).number
        if self._is_newest(record) and number == stands:
            return None
        return record, past(self._parts, self._saver, record).at(number)

    def _branching(self, at: tuple[RunRecord, Walk], given: Any) -> Start:
        """What a run begins with that goes on from a checkpoint."""
        record, walk = at
        if isinstance(given, Command) and given.resume is not NOTHING:
            msg = f"Command(resume=...) answers a question of where thread {record.thread_id!r} stands, and not of an older checkpoint: leave checkpoint_id out"
            raise UnknownInterruptError(msg)
        parent = name_of(record, walk.number)
        if walk.is_input and given is None:
            return replace(walk.start, values=walk.values, parent=parent, step=walk.step + 1)
        on_top = Start(
            goto=walk.goto(), values=walk.values, step=walk.step + 1, source="fork", parent=parent, waiting=walk.waiting(), ran=walk.ran
        )
        if given is None:
            return on_top
        if isinstance(given, Command):
            update, goto = commanded(self._parts, given)  # pyright: ignore[reportUnknownArgumentType]
            return replace(on_top, update=update, goto=(*walk.goto(), *goto), source="loop")
        return replace(self._input(given), values=walk.values, step=walk.step + 1, parent=parent)

    @staticmethod
    def _input(given: Any) -> Start:
        return Start() if given is NO_INPUT else given

    def _begin_after(self, start: Any) -> Opened:
        """A run that begins with the state of the thread, be its last run finished or not."""
        latest = self._latest
        start = self._input(start)
        if latest is None or latest.status == "done":
            return self._begin(start, "" if latest is None else latest.run_id)
        walk = past(self._parts, self._saver, latest).at(None)
        return self._begin(replace(start, values=walk.values, step=walk.step + 1, parent=name_of(latest, walk.number)), "")

    def _command(self, command: Command[Any]) -> Opened:
        latest = self._latest
        if not command.is_for_graph or (latest is not None and latest.status in UNFINISHED):
            if latest is not None and latest.status in UNFINISHED and command.resume is NOTHING and command.is_for_graph:
                return self._go_on(latest, command)
            return self._answer(command, latest)
        if command.resume is not NOTHING:
            return self._answer(command, latest)
        update, goto = commanded(self._parts, command)
        return self._begin_after(Start(update, goto, step=0, source="loop"))

    def _amended(self, record: RunRecord, steps: Sequence[StepRecord], command: Command[Any]) -> tuple[StepRecord, ...]:
        """A command that comes while a run waits is noted at the superstep that waits."""
        del steps
        if not command.is_for_graph:
            return ()
        walk = past(self._parts, self._saver, record).at(None)
        if walk.amended == walk.number:
            msg = f"run {record.run_id!r} has been given a Command(update=..., goto=...) where it stands already: use update_state"
            raise PolicyError(msg)
        update, goto = commanded(self._parts, command)
        return (noted(b"", self._parts.codec, COMMAND, str(walk.number), [Start(update, goto)], clock.current.time()),)

    def _encoded(self, given: Any) -> bytes:
        try:
            return self._codec.encode([] if given is NO_INPUT else [given])
        except NotSerializable as error:  # it names the key already
            msg = f"the input of {self._plan.name} cannot be checkpointed: {error}"
            raise NotSerializable(msg, where=error.where) from error

    def _is_same(self, recorded: bytes, given: Any) -> bool:
        """What a run was given is the same; what it began with, the thread says."""
        before = self._codec.decode(recorded)
        start: Start = before[0] if before else Start()
        return start.__holdfast_key__()[:2] == self._input(given).__holdfast_key__()[:2]


def commanded(parts: Parts, command: Command[Any]) -> tuple[Any, Any]:
    """What a command given by a caller writes, and where it goes.

    Raises:
        InvalidUpdateError: There is no such key, or node.
        PolicyError: It is for another graph.
    """
    if command.graph is not None:
        msg = f"Command(graph={command.graph!r}) is what a node of a graph inside another one returns: leave graph= out"
        raise PolicyError(msg)
    update = taken_apart(command.update, START)
    check_keys("", update, parts.channels)
    return update, checked_targets("", as_targets(command.goto), parts.nodes)


def nothing_given(name: str) -> PolicyError:
    """None as an input, where there is nothing to go on with."""
    return PolicyError(
        f"{name} was given None, and there is no thread to go on with: give an input, or the thread_id of the thread to resume"
    )
