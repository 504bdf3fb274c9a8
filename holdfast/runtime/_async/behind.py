"""The call that computes behind the caller's back, with all the calls its body makes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.runtime._async.call import perform
from holdfast.runtime._async.entry import end

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


async def perform_behind(call: Call) -> Any:
    """Make the call; that of a task is a run of its own, which ends when all calls made in it have. Its error is left in ``call.error``."""
    run = call.run
    if run is None:
        return await perform(call)
    value = await end(run, call, partial(perform, call))
    call.error, run.error = run.error, None
    run.is_over = True
    run.tell_uncollected()
    return value
