"""One dispatched call: perform it, journal included, and only then resolve the future: durable before anyone sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime import steps
from holdfast.runtime._async.call import perform

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


async def run_step(call: Call) -> None:
    """Run a call that has been claimed, on its own thread or asyncio task."""
    steps.settle(call, await perform(call))
