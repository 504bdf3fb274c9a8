"""How a run's outcome is recorded once its last call has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.runtime.attempts import outcome_of
from holdfast.runtime.foreign import add_note, described

if TYPE_CHECKING:
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call


def conclude(run: Run, call: Call, value: Any) -> Any:
    """Journal the outcome, report failures nobody looked at, and fill the run's record; return the value, None after a failure."""
    if run.journal is not None:
        _record(run, run.journal, call, value)
    if run.error is None:
        run.facts.outcome = "ok"
        if run.sink is not None:
            run.sink("updates", {call.plan.name: value})
    else:
        run.facts.outcome = "cancelled" if outcome_of(run.error) == "cancelled" else "error"
    run.tell_uncollected()
    return value if run.error is None else None


def _record(run: Run, journal: Journal, call: Call, value: Any) -> None:
    saved = None
    if run.error is None:
        try:
            saved = journal.encode(call.plan, value)
        except Exception as error:  # noqa: BLE001 - the run's value cannot be kept (NotSerializable)
            run.error = error
    try:
        journal.end("done" if run.error is None else "failed", saved)
    except Exception as error:  # noqa: BLE001 - whatever the saver raises
        if run.error is None:
            run.error = error
        else:
            add_note(run.error, f"holdfast: nor could the end of the run be recorded: {described(error)}")
