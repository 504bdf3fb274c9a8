"""How a run's outcome is recorded once its last call has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from holdfast import events
from holdfast.errors import RunInterrupted, RunPaused, StoreError, ThreadBusyError
from holdfast.runtime import stream
from holdfast.runtime.attempts import is_cancellation, outcome_of
from holdfast.runtime.foreign import add_note, described
from holdfast.values.refusal import tell_of

if TYPE_CHECKING:
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call
    from holdfast.runtime.stream import Sink

V_co = TypeVar("V_co", covariant=True)
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class final(Generic[V_co, S_co]):  # noqa: N801 - LangGraph's name, entrypoint.final
    """What an entrypoint returns when its result and what the thread's next run sees as ``previous`` are two things.

    Attributes:
        value: What `Entrypoint.invoke` returns.
        save: What the next run's ``previous`` is.
    """

    value: V_co
    save: S_co


tell_of(
    final,
    "is an entrypoint.final",
    "return it by itself from the entrypoint's body, not inside other data and not from a task: return entrypoint.final(value=..., save=...)",
)


def result_of(value: Any) -> Any:
    """What an entrypoint's caller gets of what its body returned."""
    return value.value if isinstance(value, final) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def conclude(run: Run, call: Call, value: Any) -> Any:
    """Journal the outcome, report failures nobody looked at, and fill the run's record; return the value, None after a failure."""
    if run.verdict is not None:
        run.error = _judged(run, run.verdict)
    saved = value
    if isinstance(value, final):
        value, saved = value.value, value.save  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if run.journal is not None:
        try:
            value = _record(run, run.journal, call, value, saved)
        finally:
            run.journal.release()
    if run.error is not None:
        run.facts.outcome = "cancelled" if outcome_of(run.error) == "cancelled" else "error"
    elif run.facts.outcome != "interrupted":
        run.facts.outcome = "ok"
    if run.sink is not None and not call.plan.is_graph:  # a graph tells of its state itself
        _tell(run, run.sink, call, value)
    run.tell_uncollected()
    return value if run.error is None else None  # pyright: ignore[reportUnknownVariableType]


def _tell(run: Run, sink: Sink, call: Call, value: Any) -> None:
    is_interrupted = run.facts.outcome == "interrupted"
    stream.body_ended(call, value, run.error, value[stream.INTERRUPT] if is_interrupted else ())
    if run.error is not None:
        return
    # A tuple in streams, a list from invoke: as in LangGraph.
    chunk = {stream.INTERRUPT: tuple(value[stream.INTERRUPT])} if is_interrupted else value
    sink("updates", chunk if is_interrupted else {call.plan.name: value})
    sink("values", chunk)


def _judged(run: Run, verdict: Exception) -> BaseException:
    """The run's error: what halted it counts more than what its body made of that (calls of a halted run are cancelled), but less than Ctrl-C."""
    error = run.error
    return verdict if error is None or isinstance(error, (Exception, RunInterrupted)) or is_cancellation(error) else error


def _record(run: Run, journal: Journal, call: Call, value: Any, saved: Any) -> Any:
    """Record how the run ended; return what `invoke` returns."""
    if isinstance(run.error, (StoreError, ThreadBusyError)) and run.error is run.verdict:
        return None  # not the run's outcome: it goes on where it was
    questions = journal.questions.open
    if (
        (questions or isinstance(run.error, RunPaused))
        and run.verdict is None
        and (run.error is None or isinstance(run.error, (Exception, RunInterrupted)))
    ):
        _tell_error(run, call)
        run.error, run.facts.outcome = None, "interrupted"  # whatever the body made of it
        _end(run, journal, "interrupted")
        return {stream.INTERRUPT: list(questions)}
    output = state = None
    if run.error is None:
        try:
            output = journal.encode(call.plan, value)
            state = None if saved is value else journal.encode(call.plan, saved)
        except Exception as error:  # noqa: BLE001 - the run's value cannot be kept (NotSerializable)
            run.error = error
    if run.error is None:
        journal.replay.tell_unclaimed(call.plan.name)
        _end(run, journal, "done", output, state)
    else:
        _end(run, journal, "cancelled" if outcome_of(run.error) == "cancelled" else "failed")
    return value


def _tell_error(run: Run, call: Call) -> None:
    """Say what a run failed with that ends with a question all the same: what failed is tried again when it is resumed."""
    error = run.error
    if isinstance(error, Exception) and not is_cancellation(error):
        events.note(
            "holdfast.run.failed_beside_question",
            events.WARNING,
            f"{call.plan.name} raised {described(error)} while it waits for an answer; what failed is tried again when it is resumed",
            call=call.facts,
            run_id=run.facts.run_id,
            error_type=type(error).__qualname__,
        )


def _end(run: Run, journal: Journal, status: str, output: bytes | None = None, saved: bytes | None = None) -> None:
    try:
        journal.end(status, output, saved, run.error if isinstance(run.error, Exception) else None)
    except Exception as error:  # noqa: BLE001 - whatever the saver raises
        if run.error is None:
            run.error = error
        else:
            add_note(run.error, f"holdfast: nor could the end of the run be recorded: {described(error)}")
