"""The state API of an entrypoint: look at a thread's checkpoints without claiming it, and set a value by hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._frames import trimmed, trims
from holdfast._methods import of_entrypoint
from holdfast._ownership import abandoned, checkpoint, claim, tell_anothers
from holdfast._runs import address, patiently
from holdfast._snapshots import config_of, empty_snapshot, snapshot
from holdfast.errors import CorruptRecord, NotSerializable, PolicyError
from holdfast.policies.duration import seconds
from holdfast.runtime import _ports
from holdfast.runtime.ending import final
from holdfast.runtime.journal import give_back
from holdfast.typing import Commit, RunRecord
from holdfast.values.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from holdfast._plans import Seconds
    from holdfast._runs import Config
    from holdfast._settings import Settings
    from holdfast._snapshots import StateSnapshot
    from holdfast.policies.plan import Plan
    from holdfast.typing import Checkpointer, Codec

_PAGE = 50


class States:
    """The part of an `Entrypoint` that is about the state of its threads."""

    _settings: Settings

    def _thread(self, method: str, config: Config | None, thread_id: str | None) -> Thread:
        """The thread that is meant; a graph has more to show of one."""
        return Thread(self._settings, method, config, thread_id)

    def _pages(self, thread: Thread, before: Config | None, limit: int | None) -> Pages:
        """Its checkpoints."""
        return Pages(thread, before, limit)

    @trims
    @of_entrypoint
    def get_state(self, config: Config | None = None, *, thread_id: str | None = None) -> StateSnapshot:
        """Look at a thread: its newest checkpoint, or the one that ``config`` names. Nothing is claimed or changed.

        Args:
            config: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}}``; without a checkpoint id it is the newest.
            thread_id: The thread, instead of in ``config``.

        Returns:
            The checkpoint; an empty one for a thread of which nothing is kept.

        Raises:
            PolicyError: The entrypoint has no checkpointer, no thread is named, or the thread has no such checkpoint.
            CorruptRecord: What is kept of it is damaged.
        """
        return self._thread("get_state", config, thread_id).state()

    @trims
    @of_entrypoint
    async def aget_state(self, config: Config | None = None, *, thread_id: str | None = None) -> StateSnapshot:
        """`get_state` for async code."""
        thread = self._thread("aget_state", config, thread_id)
        return await _ports.store_call_async(thread.is_blocking, thread.state)  # type: ignore[no-any-return]

    @trims
    @of_entrypoint
    def get_state_history(
        self, config: Config | None = None, *, thread_id: str | None = None, before: Config | None = None, limit: int | None = None
    ) -> Iterator[StateSnapshot]:
        """Look at a thread's checkpoints, newest first. They are read page by page, and nothing is claimed or changed.

        Args:
            config: Names the thread, as for `get_state`; with a checkpoint id, that checkpoint and those older than it.
            thread_id: The thread, instead of in ``config``.
            before: Only checkpoints older than the one that this config names; None takes all.
            limit: How many at most; None: all that are kept.

        Returns:
            An iterator over the checkpoints.

        Raises:
            PolicyError: As for `get_state`, or ``limit`` is no number of checkpoints. An id that the thread does not have is found out
                by the first step of the iterator.
        """
        pages = self._pages(self._thread("get_state_history", config, thread_id), before, limit)

        def walk() -> Iterator[StateSnapshot]:
            try:
                while page := pages.read():
                    yield from page
            except BaseException as error:
                trimmed(error)
                raise

        return walk()

    @trims
    @of_entrypoint
    async def aget_state_history(
        self, config: Config | None = None, *, thread_id: str | None = None, before: Config | None = None, limit: int | None = None
    ) -> AsyncIterator[StateSnapshot]:
        """`get_state_history` for async code."""
        try:
            pages = self._pages(self._thread("aget_state_history", config, thread_id), before, limit)
            while page := await _ports.store_call_async(pages.thread.is_blocking, pages.read):
                for each in page:
                    yield each
        except BaseException as error:
            trimmed(error)
            raise

    @trims
    @of_entrypoint
    def update_state(self, config: Config | None, values: Any, *, thread_id: str | None = None, wait: Seconds = None) -> Config:
        """Make a checkpoint by hand: the thread's next run sees ``values`` as ``previous``. Nothing is run.

        An unfinished run that was the thread's newest is `abandoned`, as by a new input; its own checkpoint can still be gone back to.

        Args:
            config: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}}``; what the new checkpoint comes after, the newest without an
                id. The thread need not exist yet.
            values: What the next run sees as ``previous`` (None too is a value), and `get_state` shows; ``final(value=, save=)`` sets the two apart.
            thread_id: The thread, instead of in ``config``.
            wait: How long to wait for a thread that somebody else works on, as for `Entrypoint.invoke`; None does not wait.

        Returns:
            The config that names the new checkpoint.

        Raises:
            PolicyError: As for `get_state`.
            NotSerializable: ``values`` would not come back the same.
            InDoubt: The thread's newest run has a step of which a person has to say what became of it.
            ThreadBusyError: Somebody else works on the thread, in this process or another one.
        """
        thread = self._thread("update_state", config, thread_id)
        return thread.update(values, 0.0 if wait is None else seconds(wait, what="wait"))

    @trims
    @of_entrypoint
    async def aupdate_state(self, config: Config | None, values: Any, *, thread_id: str | None = None, wait: Seconds = None) -> Config:
        """`update_state` for async code."""
        thread = self._thread("aupdate_state", config, thread_id)
        update = partial(_ports.uninterrupted_async, thread.is_blocking, thread.update, values, 0.0)
        return await patiently(update, wait)


class Thread:
    """One thread of an entrypoint, and perhaps a checkpoint of it.

    Raises:
        PolicyError: ``method`` has nothing to look at.
    """

    def __init__(self, settings: Settings, method: str, config: Config | None, thread_id: str | None) -> None:
        plan = settings.plan
        if settings.checkpointer is None or plan.codec is None:
            what, how = (
                ("graph", "compile(SqliteSaver('runs.db'))") if plan.is_graph else ("entrypoint", "@entrypoint(SqliteSaver('runs.db'))")
            )
            msg = f"{plan.name}.{method}(): this {what} keeps nothing: give it a checkpointer, e.g. {how}"
            raise PolicyError(msg)
        _, _, named, self.checkpoint_id = address(config, thread_id)
        if named is None:
            msg = f"{plan.name}.{method}() needs a thread: give thread_id='t', or config={{'configurable': {{'thread_id': 't'}}}}"
            raise PolicyError(msg)
        self.id: str = named
        self.saver: Checkpointer = settings.checkpointer
        self.is_blocking = self.saver.is_blocking
        self._plan: Plan = plan
        self._codec: Codec = plan.codec

    def state(self) -> StateSnapshot:
        """The checkpoint that is named, else the newest."""
        record = self.saver.latest(self.id) if self.checkpoint_id is None else checkpoint(self.saver, self.id, self.checkpoint_id)
        return empty_snapshot(self.id) if record is None else self.shown(record)

    def shown(self, record: RunRecord) -> StateSnapshot:
        """The checkpoint of a run."""
        try:
            return snapshot(self.saver, self._codec, record)
        except CorruptRecord as error:
            tell_anothers(error, record, self._plan.name)
            raise

    def update(self, values: Any, wait: float) -> Config:
        """Add a checkpoint that holds ``values``."""
        lease = claim(self.saver, self.id, wait)
        try:
            latest = self.saver.latest(self.id)
            records = self._updated(values, latest)
            commits = [Commit(lease, record.run_id, run=record) for record in records]
            left = None if latest is None else abandoned(self.saver, latest, records[0].updated)
            if left is not None:
                commits.append(Commit(lease, left.run_id, run=left))
            for problem in self.saver.commit(commits):
                if problem is not None:
                    raise problem
        finally:
            give_back(self.saver, lease)
        return self._config(records[-1])

    def _config(self, record: RunRecord) -> Config:
        return config_of(self.id, record.run_id)

    def _updated(self, values: Any, latest: RunRecord | None) -> list[RunRecord]:
        """The run that holds ``values``, and that nobody ran; of a graph there may be several."""
        after = latest if self.checkpoint_id is None else checkpoint(self.saver, self.id, self.checkpoint_id)
        value, saved = (values.value, values.save) if isinstance(values, final) else (values, values)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        try:
            output = self._codec.encode(value)
            state = None if saved is value else self._codec.encode(saved)
        except NotSerializable as error:
            msg = f"values={values!r:.200} cannot be kept as the state of {self._plan.name}: {error}"
            raise NotSerializable(msg, where=error.where) from error
        return [self._record(self._codec.encode([]), "done", "" if after is None else after.run_id, output, state)]

    def _record(self, input: bytes, status: str, base: str, output: bytes | None, saved: bytes | None) -> RunRecord:
        now = clock.current.time()
        return RunRecord(
            run_id=uuid7(clock.current.time_ns()),
            thread_id=self.id,
            entry=self._plan.name,
            code="",
            status=status,
            input=input,
            base=base,
            output=output,
            saved=saved,
            created=now,
            updated=now,
        )


class Pages:
    """A thread's checkpoints, newest first, some at a time.

    Raises:
        PolicyError: ``before`` or ``limit`` cannot work.
    """

    def __init__(self, thread: Thread, before: Config | None, limit: Any) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            msg = f"limit={limit!r} is not a number of checkpoints: give 1 or more, or None for all"
            raise PolicyError(msg)
        self.thread = thread
        self._left: int | None = limit
        self._first = thread.checkpoint_id
        self._before = None if before is None else self._checkpoint_in(before)
        self._is_checked = before is None

    def _checkpoint_in(self, before: Config) -> str:
        _, _, named, checkpoint_id = address(before, None)
        if self._first is not None:
            msg = f"before={before!r} and config both say where to begin, and config names checkpoint {self._first!r}: give one of them"
            raise PolicyError(msg)
        if checkpoint_id is None or named not in {None, self.thread.id}:
            msg = f"before={before!r} names no checkpoint of thread {self.thread.id!r}: give the config of one, as in StateSnapshot.config"
            raise PolicyError(msg)
        return checkpoint_id

    def read(self) -> list[StateSnapshot]:
        """The next checkpoints; none when there are no more."""
        found = self._records()
        if self._left is not None:
            self._left -= len(found)
        if found:
            self._before = found[-1].run_id
        return [self.thread.shown(record) for record in found]

    def _records(self) -> list[RunRecord]:
        thread = self.thread
        if self._before is not None and not self._is_checked:
            checkpoint(thread.saver, thread.id, self._before)
            self._is_checked = True
        if self._first is not None:
            first, self._first = checkpoint(thread.saver, thread.id, self._first), None
            return [first]
        if self._left == 0:
            return []
        return thread.saver.runs(thread.id, limit=_PAGE if self._left is None else min(self._left, _PAGE), before=self._before)
