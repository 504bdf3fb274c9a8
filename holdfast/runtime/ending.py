"""How a run's outcome is recorded once its last call has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.runtime.attempts import is_cancellation

if TYPE_CHECKING:
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call


def conclude(run: Run, call: Call, value: Any) -> Any:
    """Journal the outcome, report failures nobody looked at, and fill the run's record."""
    facts = run.facts
    saved = None
    if run.journal is not None:
        try:
            saved = run.journal.encode(call.plan, value) if call.error is None else None
        except TypeError as error:  # NotSerializable: the run's value cannot be kept
            call.error = error
        run.journal.end("done" if call.error is None else "failed", saved)
    facts.error = call.error
    facts.output = value
    if call.error is None:
        facts.outcome = "ok"
        if run.sink is not None:
            run.sink("updates", {call.plan.name: value})
    else:
        facts.outcome = "cancelled" if is_cancellation(call.error) or isinstance(call.error, KeyboardInterrupt) else "error"
    run.tell_uncollected()
    return value
