# Generated from holdfast/runtime/_async/step.py by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""One dispatched call: perform it, journal the outcome, and only then resolve the future: durable before anyone sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.runtime import _ports, steps
from holdfast.runtime._sync.call import perform

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


def run_step(call: Call) -> None:
    """Run a call that has been claimed, on its own thread or asyncio task."""
    value = perform(call)
    if call.step is not None:
        record(call, value)
    steps.settle(call, value)


def record(call: Call, value: Any) -> None:
    """Journal the outcome. A value that cannot be kept, or a saver that fails, fails the step."""
    if call.step is None or call.run is None or call.run.journal is None:
        return
    journal = call.run.journal
    if call.error is not None:
        if isinstance(call.error, Exception):
            journal.fail(call.step, call.error)
        return
    try:
        payload = journal.encode(call.plan, value)
        _ports.store_call_sync(journal.is_blocking, journal.commit, call.step, payload)
    except Exception as error:  # noqa: BLE001 - whatever the saver raises is the step's outcome: nobody may see an unrecorded result
        call.error = error
