"""The state API of a graph: a checkpoint for each superstep, made from what its nodes have written, and values set by hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast._frames import trims
from holdfast._graph.channels import applied
from holdfast._graph.kept import Ended, Start
from holdfast._graph.past import begun, found, name_of, past
from holdfast._graph.routes import END, START, StateUpdate, Written, check_keys
from holdfast._graph.schema import taken_apart
from holdfast._graph.shown import NAMESPACE, Shown, finished
from holdfast._ownership import refuse_anothers
from holdfast._runs import patiently
from holdfast._snapshots import SnapshotTask, StateSnapshot, config_of, empty_snapshot
from holdfast._states import Pages, States, Thread
from holdfast.errors import InvalidUpdateError, PolicyError
from holdfast.policies.duration import seconds
from holdfast.runtime import _ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._graph.parts import Parts
    from holdfast._graph.walk import Walk
    from holdfast._plans import Seconds
    from holdfast._runs import Config
    from holdfast._settings import Settings
    from holdfast.typing import RunRecord


class GraphStates(States):
    """The part of a `CompiledStateGraph` that is about the state of its threads."""

    _parts: Parts

    def _thread(self, method: str, config: Config | None, thread_id: str | None) -> GraphThread:
        return GraphThread(self._parts, self._settings, method, config, thread_id)

    def _pages(self, thread: Thread, before: Config | None, limit: int | None) -> Pages:
        if not isinstance(thread, GraphThread):
            msg = "a graph looks at threads of graphs"
            raise TypeError(msg)
        return GraphPages(thread, before, limit)

    @trims
    def get_state(self, config: Config | None = None, *, thread_id: str | None = None, subgraphs: bool = False) -> StateSnapshot:
        """Look at a thread: its newest checkpoint, or the one that ``config`` names. Nothing is claimed or changed.

        Args:
            config: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}}``; without a checkpoint id it is the newest. What `SnapshotTask.state`
                of a node has that is a graph shows that graph.
            thread_id: The thread, instead of in ``config``.
            subgraphs: Also show how far those nodes are that are graphs, in `SnapshotTask.state`.

        Returns:
            The checkpoint; an empty one for a thread of which nothing is kept.

        Raises:
            PolicyError: The graph has no checkpointer, no thread is named, or the thread has no such checkpoint or inner graph.
            CorruptRecord: What is kept of it is damaged.
        """
        return self._thread("get_state", config, thread_id).state(subgraphs=subgraphs)

    @trims
    async def aget_state(self, config: Config | None = None, *, thread_id: str | None = None, subgraphs: bool = False) -> StateSnapshot:
        """`get_state` for async code."""
        thread = self._thread("aget_state", config, thread_id)
        look = partial(thread.state, subgraphs=subgraphs)
        return await _ports.store_call_async(thread.is_blocking, look)  # type: ignore[no-any-return]

    @trims
    def update_state(
        self, config: Config | None, values: Any, as_node: str | None = None, *, thread_id: str | None = None, wait: Seconds = None
    ) -> Config:
        """Write to the state by hand, as if a node had: what follows that node comes next. Nothing is run but its conditional edges.

        Args:
            config: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}}``; what the new checkpoint comes after, the newest without an
                id. The thread need not exist yet.
            values: What to write: a dict, or an object of the state's class; None writes nothing.
            as_node: The node; None: the one that ran last, or `START` where none has. ``END``: nothing follows.
            thread_id: The thread, instead of in ``config``.
            wait: As for `CompiledStateGraph.invoke`.

        Returns:
            The config that names the new checkpoint: ``invoke(None, config)`` goes on from it.

        Raises:
            InvalidUpdateError: ``values`` do not fit the state, or several nodes ran last and none is named.
            PolicyError: The graph has no checkpointer, no thread is named, or there is no such node or checkpoint.
            NotSerializable: ``values`` would not come back the same.
            ThreadBusyError: Somebody else works on the thread, in this process or another one.
        """
        thread = self._thread("update_state", config, thread_id)
        return thread.update([[StateUpdate(values, as_node)]], 0.0 if wait is None else seconds(wait, what="wait"))

    @trims
    async def aupdate_state(
        self, config: Config | None, values: Any, as_node: str | None = None, *, thread_id: str | None = None, wait: Seconds = None
    ) -> Config:
        """`update_state` for async code."""
        thread = self._thread("aupdate_state", config, thread_id)
        update = partial(_ports.uninterrupted_async, thread.is_blocking, thread.update, [[StateUpdate(values, as_node)]], 0.0)
        return await patiently(update, wait)

    @trims
    def bulk_update_state(
        self, config: Config | None, supersteps: Sequence[Sequence[StateUpdate]], *, thread_id: str | None = None, wait: Seconds = None
    ) -> Config:
        """Write to the state by hand, several supersteps in a row, and in each as several nodes at once: all of it, or nothing.

        Args:
            config: As for `update_state`.
            supersteps: Of each superstep what is written together, as ``StateUpdate(values, as_node)``; each makes a checkpoint.
            thread_id: As for `update_state`.
            wait: As for `update_state`.

        Returns:
            The config that names the last of the new checkpoints.

        Raises:
            PolicyError: There is nothing to write, or as for `update_state`.
            InvalidUpdateError: What is written together does not go together, or several write and one does not say as which node.
            Exception: As for `update_state`.
        """
        thread = self._thread("bulk_update_state", config, thread_id)
        return thread.update(_supersteps(supersteps), 0.0 if wait is None else seconds(wait, what="wait"))

    @trims
    async def abulk_update_state(
        self, config: Config | None, supersteps: Sequence[Sequence[StateUpdate]], *, thread_id: str | None = None, wait: Seconds = None
    ) -> Config:
        """`bulk_update_state` for async code."""
        thread = self._thread("abulk_update_state", config, thread_id)
        update = partial(_ports.uninterrupted_async, thread.is_blocking, thread.update, _supersteps(supersteps), 0.0)
        return await patiently(update, wait)


class GraphThread(Thread):
    """One thread of a graph, and perhaps a checkpoint of it."""

    def __init__(self, parts: Parts, settings: Settings, method: str, config: Config | None, thread_id: str | None) -> None:
        super().__init__(settings, method, config, thread_id)
        self._parts = parts
        named: dict[str, Any] = (config or {}).get("configurable") or {}
        self._inside = str(named.get(NAMESPACE) or "")
        if self._inside and not method.endswith("get_state"):
            msg = f"{NAMESPACE}={self._inside!r} is a graph inside {parts.name}: get_state shows it, and only the outer graph's state is changed or gone back to"
            raise PolicyError(msg)

    def state(self, *, subgraphs: bool = False) -> StateSnapshot:
        """The checkpoint that is named, else the newest; of a graph inside when one is named."""
        if not self._inside:
            return self._state(with_inner=subgraphs)
        state = self._state(with_inner=True)
        for place in self._inside.split("|"):
            inner = next((task.state for task in state.tasks if f"{task.name}:{task.id}" == place), None)
            if not isinstance(inner, StateSnapshot):
                msg = f"{NAMESPACE}={self._inside!r}: no such graph is under way in thread {self.id!r} at that checkpoint"
                raise PolicyError(msg)
            state = inner
        return state if subgraphs else state._replace(tasks=tuple(map(_without_state, state.tasks)))

    def _state(self, *, with_inner: bool) -> StateSnapshot:
        latest = self.saver.latest(self.id) if self.checkpoint_id is None else None
        if self.checkpoint_id is None and latest is None:
            return empty_snapshot(self.id)
        record, number = (latest, None) if latest is not None else found(self.saver, self.id, self.checkpoint_id or "")
        refuse_anothers(record, self._parts.name)
        quick = finished(self._parts, record) if number is None else None
        return self._shown(record, with_inner=with_inner).at(number) if quick is None else quick

    def _shown(self, record: RunRecord, *, with_inner: bool = False) -> Shown:
        return Shown(past(self._parts, self.saver, record), self.saver, with_inner=with_inner)

    def shown_all(self, record: RunRecord) -> list[StateSnapshot]:
        """All checkpoints of a run, the newest first."""
        refuse_anothers(record, self._parts.name)
        return self._shown(record).all()[::-1]

    def _config(self, record: RunRecord) -> Config:
        return config_of(self.id, name_of(record, 0))

    def _updated(self, values: Any, latest: RunRecord | None) -> list[RunRecord]:
        """One run for each superstep: only the last can be gone on with."""
        supersteps: list[list[StateUpdate]] = values
        if latest is not None:
            refuse_anothers(latest, self._parts.name)
        parent, walk = self._place(latest)
        records: list[RunRecord] = []
        for updates in supersteps:
            nodes = _write(self._parts, walk, updates)
            start = Start((), walk.goto(), walk.values, walk.step, "update", parent, walk.waiting(), nodes)
            output = None if walk.jobs else self._codec.encode(Ended(walk.values, walk.step, 0, nodes))
            unfinished = "interrupted" if updates is supersteps[-1] else "abandoned"
            records.append(self._record(self._codec.encode([start]), unfinished if walk.jobs else "done", "", output, None))
            parent = name_of(records[-1], 0)
        return records

    def _place(self, latest: RunRecord | None) -> tuple[str, Walk]:
        """The checkpoint to come after, and the walk there."""
        if self.checkpoint_id is None and latest is None:
            return "", begun(self._parts, Start(), None)
        record, number = (latest, None) if self.checkpoint_id is None else found(self.saver, self.id, self.checkpoint_id)
        if record is None:
            msg = f"thread {self.id!r} has no run"
            raise PolicyError(msg)
        walk = past(self._parts, self.saver, record).at(number)
        return name_of(record, walk.number), walk


def _without_state(task: SnapshotTask) -> SnapshotTask:
    """With what names an inner graph instead of how far that is."""
    return task._replace(state=task.state.config) if isinstance(task.state, StateSnapshot) else task


def _writer(walk: Walk, as_node: str | None, parts: Parts) -> str:
    """As which node values are written."""
    if as_node is not None:
        if as_node not in parts.nodes and as_node not in {START, END}:
            msg = f"as_node={as_node!r}: there is no such node; there are: {', '.join(parts.nodes)}"
            raise PolicyError(msg)
        return as_node
    ran = set(walk.ran) - {END}
    if walk.is_input or not ran:
        return START
    if len(ran) > 1:
        msg = f"{', '.join(sorted(ran))} ran last, so say which of them writes this: as_node={min(ran)!r}"
        raise InvalidUpdateError(msg)
    return ran.pop()


def _write(parts: Parts, walk: Walk, updates: Sequence[StateUpdate]) -> tuple[str, ...]:
    """Move the walk on as if these nodes had written this, and nothing else was to run; return which they are."""
    writes: list[tuple[str, Written]] = []
    for each in updates:
        node = _writer(walk, each.as_node, parts)
        update = taken_apart(each.values, START)
        check_keys("", update, parts.channels)
        at = parts.start if node == START else parts.nodes.get(node)
        values = applied(parts.channels, walk.values, [(node, update)])
        goto = () if at is None else tuple(target for route in at.routes for target in route.follow(values))
        writes.append((node, Written(update, goto)))
    walk.write_as(writes)
    return tuple(node for node, _ in writes)


def _is_list(given: Any) -> bool:
    return isinstance(given, (list, tuple)) and bool(given)  # pyright: ignore[reportUnknownArgumentType]


def _is_update(given: Any) -> bool:
    return isinstance(given, tuple) and 1 <= len(given) <= len(StateUpdate._fields)  # pyright: ignore[reportUnknownArgumentType]


def _supersteps(given: Any) -> list[list[StateUpdate]]:
    """What `CompiledStateGraph.bulk_update_state` is given.

    Raises:
        PolicyError: There is nothing to write, or nobody said as which node.
    """
    if not _is_list(given) or not all(_is_list(updates) and all(map(_is_update, updates)) for updates in given):
        msg = f"bulk_update_state(config, {given!r:.80}): give a list of supersteps, each a list of StateUpdate(values, as_node)"
        raise PolicyError(msg)
    supersteps = [[StateUpdate(*each) for each in updates] for updates in given]
    for updates in supersteps:
        if len(updates) > 1 and any(each.as_node is None for each in updates):
            msg = f"{len(updates)} updates make one superstep, so say of each which node writes it: StateUpdate(values, as_node)"
            raise InvalidUpdateError(msg)
    return supersteps


class GraphPages(Pages):
    """A thread's checkpoints, newest first, those of one run at a time."""

    def __init__(self, thread: GraphThread, before: Config | None, limit: Any) -> None:
        super().__init__(thread, before, limit)
        self._graph = thread
        self._first_of_all = self._first or self._before  # a checkpoint, and not a run
        self._takes_first = self._first is not None
        self._older_than: str | None = None

    def read(self) -> list[StateSnapshot]:
        """The next checkpoints; none when there are no more."""
        while self._left is None or self._left > 0:
            record, number = self._next()
            if record is None:
                break
            page = self._graph.shown_all(record)
            if number is not None:
                page = [each for each in page if _number(each) < number or (_number(each) == number and self._takes_first)]
            page = page if self._left is None else page[: self._left]
            if self._left is not None:
                self._left -= len(page)
            if page:
                return page
        return []

    def _next(self) -> tuple[RunRecord | None, int | None]:
        """The next run, and which of its checkpoints is the first to be looked at; None: its newest."""
        saver, thread = self._graph.saver, self._graph.id
        record: RunRecord | None
        if self._first_of_all is not None:
            record, number = found(saver, thread, self._first_of_all)
            self._first_of_all = None
        else:
            record, number = next(iter(saver.runs(thread, limit=1, before=self._older_than)), None), None
        self._older_than = self._older_than if record is None else record.run_id
        return record, number


def _number(state: StateSnapshot) -> int:
    """Which superstep comes next at a checkpoint."""
    return int(state.config["configurable"]["checkpoint_id"].rpartition(":")[2])
