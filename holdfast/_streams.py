"""What `stream` and `astream` of an entrypoint do: run it elsewhere, and yield what it tells."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from holdfast._checkpoints import Checkpoints
from holdfast._frames import trimmed
from holdfast.runtime.chunks import ChunksAsync, ChunksSync
from holdfast.runtime.loops import running_loop
from holdfast.runtime.stream import as_told, chosen_modes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from holdfast._entrypoint import Entrypoint
    from holdfast._runs import Options


def stream_sync(
    entry: Entrypoint[Any], input: Any, stream_mode: str | Sequence[str], options: Options, *, shows_inner: bool = False
) -> Iterator[Any]:
    """See `Entrypoint.stream`."""
    try:
        modes, as_pairs = chosen_modes(stream_mode)
        prepared = entry._prepare(input, options)  # noqa: SLF001 - its other half
        prepared.run.avoid(running_loop())
        try:
            with ChunksSync(prepared.run, modes, shows_inner=shows_inner) as chunks:
                told = Checkpoints(entry._settings, prepared, modes)  # noqa: SLF001 - see above
                chunks.start(functools.partial(told.around_sync, functools.partial(entry._invoke, prepared)))  # noqa: SLF001 - see above
                for chunk in chunks:
                    yield as_told(chunk, as_pairs=as_pairs, shows_inner=shows_inner)
        finally:
            prepared.leave()
    except BaseException as error:
        trimmed(error)
        raise


async def stream_async(
    entry: Entrypoint[Any], input: Any, stream_mode: str | Sequence[str], options: Options, *, shows_inner: bool = False
) -> AsyncIterator[Any]:
    """See `Entrypoint.astream`."""
    try:
        modes, as_pairs = chosen_modes(stream_mode)
        prepared = await entry._open(input, options)  # noqa: SLF001 - its other half
        try:
            async with ChunksAsync(prepared.run, modes, shows_inner=shows_inner) as chunks:
                told = Checkpoints(entry._settings, prepared, modes)  # noqa: SLF001 - see above
                chunks.start(told.around_async(functools.partial(entry._ainvoke, prepared)))  # noqa: SLF001 - see above
                async for chunk in chunks:
                    yield as_told(chunk, as_pairs=as_pairs, shows_inner=shows_inner)
        finally:
            await prepared.leave_async()
    except BaseException as error:
        trimmed(error)
        raise
