"""Tells a stream of a run's checkpoint: when the run begins, and again when it has ended or waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import events
from holdfast._snapshots import as_chunk, snapshot
from holdfast.runtime import _ports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast._runs import Prepared
    from holdfast._settings import Settings

_MODES = frozenset({"checkpoints", "debug"})


class Checkpoints:
    """The checkpoint of one run, for whoever reads its stream in one of ``modes``."""

    def __init__(self, settings: Settings, prepared: Prepared, modes: tuple[str, ...]) -> None:
        """Tell nothing of a run that keeps nothing, or was finished long ago."""
        self._saver = settings.checkpointer
        self._codec = settings.plan.codec
        self._run = prepared.run
        is_graph = settings.plan.is_graph  # it tells of each superstep itself
        self._is_wanted = not _MODES.isdisjoint(modes) and prepared.answer is None and not is_graph
        self._is_blocking = self._saver is not None and self._saver.is_blocking

    def _tell(self) -> None:
        """Read it back, so that it is what `get_state` shows. Trouble is a note: who only looks on does not end the run."""
        saver, codec, sink = self._saver, self._codec, self._run.sink
        if saver is None or codec is None or sink is None or not self._is_wanted:
            return
        try:
            record = saver.find(self._run.facts.run_id)
            chunk = None if record is None else as_chunk(snapshot(saver, codec, record))
        except Exception as error:  # noqa: BLE001 - the store's, or of the user's own code that rebuilds a value
            text = f"the checkpoint of run {self._run.facts.run_id} could not be read for its stream: {error}"
            events.note("holdfast.stream.no_checkpoint", events.WARNING, text, run_id=self._run.facts.run_id)
            return
        if chunk is not None:
            sink("checkpoints", chunk)

    def around_sync(self, execute: Callable[[], Any]) -> Any:
        """Execute the run, and tell before and after."""
        self._tell()
        try:
            return execute()
        finally:
            self._tell()

    async def around_async(self, execute: Callable[[], Awaitable[Any]]) -> Any:
        """Execute the run, and tell before and after. Not in a ``finally``: a coroutine that is being closed cannot wait."""
        if self._is_wanted:
            await _ports.store_call_async(self._is_blocking, self._tell)
        try:
            value = await execute()
        except GeneratorExit:
            raise
        except BaseException:
            await self._tell_end()
            raise
        await self._tell_end()
        return value

    async def _tell_end(self) -> None:
        """Whoever is cancelled meanwhile: the run has ended."""
        if self._is_wanted:
            await _ports.uninterrupted_async(self._is_blocking, self._tell)
