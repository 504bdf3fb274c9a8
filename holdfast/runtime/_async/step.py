"""One dispatched call: perform it, and leave the rest to `holdfast.runtime.outcomes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime._async.call import perform
from holdfast.runtime.outcomes import finish

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


async def run_step(call: Call) -> None:
    """Run a call that has been claimed, on its own thread or asyncio task."""
    finish(call, await perform(call))
