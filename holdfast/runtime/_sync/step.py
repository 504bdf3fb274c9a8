# Generated from holdfast/runtime/_async/step.py by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""One dispatched call: perform it, and leave the rest to `holdfast.runtime.outcomes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime._sync.call import perform
from holdfast.runtime.outcomes import finish

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


def run_step(call: Call) -> None:
    """Run a call that has been claimed, on its own thread or asyncio task."""
    finish(call, perform(call))
