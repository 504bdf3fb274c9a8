"""What happens around each attempt, for both colours: records, limits, and the policy's decision after a failure."""

from __future__ import annotations

from concurrent.futures import CancelledError as FutureCancelled
from typing import TYPE_CHECKING, Any, cast

from holdfast import clock, events
from holdfast._frames import trimmed
from holdfast._secrets import hidden
from holdfast.errors import Divergence, NodeTimeoutError, RunInterrupted
from holdfast.policies.retry import AttemptState, Retry, Stop, StopReason, decide, explain
from holdfast.runtime import cache_entry, stream
from holdfast.runtime.context import current
from holdfast.runtime.foreign import add_note, described, shown
from holdfast.runtime.signals import is_signal
from holdfast.runtime.unawaited import COROUTINE, refuse_coroutine
from holdfast.values.marks import RESULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.events import BriefTracer, InBrief, StepTracer
    from holdfast.policies.plan import Plan
    from holdfast.runtime.journal import Journal
    from holdfast.runtime.state import Call


def begin(call: Call) -> None:
    """Number the attempt and tell the observer, in the context the body is about to run in."""
    call.number += 1
    if call.plan.cache is not None:
        cache_entry.begin(call)
    if call.started is None and (call.plan.retry or call.plan.deadline is not None):
        call.started = clock.current.monotonic()
    if call.brief is not None and _begun_in_brief(call, call.brief):
        return
    if call.observer is not None and call.facts is not None:
        call.facts.attempts = call.number
        call.attempt = events.AttemptFacts(
            call=call.facts,
            number=call.number,
            started_ns=clock.current.time_ns(),
            timeout_s=call.plan.timeout,
            deadline_s=None if call.plan.deadline is None else call.remaining(),
        )
        call.observer.attempt_started(call.attempt)


def _begun_in_brief(call: Call, brief: InBrief) -> bool:
    """Tell of the attempt in brief; False where the observer wants records, which there are from then on."""
    observer: Any = call.observer  # a `StepTracer`, as below: a cast would be a call
    brief.begun_ns = clock.current.time_ns()
    brief.memos = observer.step_started(call.plan, brief)
    if brief.memos is None:
        give_records(call)
    return brief.memos is not None


def give_records(call: Call) -> None:
    """End telling of a call in brief, if that is done: there is more to say."""
    brief, observer = call.brief, call.observer
    if brief is None or observer is None:
        return
    call.brief = None
    if brief.memos is None:
        call.facts = call.recorded(brief, (None, None))[0]
        call.facts.attempts = 0
        open_call(call)
    else:
        call.facts, call.attempt = call.recorded(brief, brief.memos)
        cast("StepTracer", observer).step_recorded(brief, call.attempt)


def begun(call: Call, started: float, observer: BriefTracer, memo: Any, began_ns: int) -> Call:
    """A call whose first attempt was made outside the driver; with its records, if it was told in brief when it began."""
    call.number, call.started = 1, started
    if memo is not None:
        _record(call, observer, memo, began_ns)
    return call


def judge(call: Call, value: Any, error: BaseException | None) -> float | None:
    """What comes of an attempt made outside the driver: seconds until the next, or None, with ``call.error`` set where the caller gets one."""
    try:
        return passed(call, value) if error is None else failed(call, error)
    except BaseException as broken:  # noqa: BLE001 - whatever it is, it is this call's outcome
        broke(call, broken)
        return None


def _record(call: Call, observer: BriefTracer, memo: Any, began_ns: int) -> None:
    call.record(observer, began_ns)
    if call.facts is not None:
        call.facts.attempts = call.number
        call.facts.begun_ns = began_ns
        call.attempt = events.AttemptFacts(call=call.facts, number=call.number, started_ns=began_ns)
        observer.brief_recorded(memo, call.attempt)


def passed(call: Call, result: Any) -> float | None:
    """After a body that returned: seconds until the next attempt when a policy dislikes the result, else None."""
    if type(result) is COROUTINE:
        refuse_coroutine(call.plan, result)
    if call.plan.checks_result:
        decision, index = _decide(call, None, result)
        if isinstance(decision, Retry):
            return _will_retry(call, decision, index, None, result)
        if decision.reason is not StopReason.OK:
            _keep_result(call, decision)
    if call.run is not None and call.run.journal is not None and call.run.journal.replay.has_trails:
        _check_trail(call, call.run.journal)
    if call.brief is not None:
        observer: Any = call.observer
        if observer.step_passed(call.plan, call.brief, clock.current.time_ns()):
            call.brief = None
            return None
        give_records(call)
    if call.attempt is not None:
        _end_attempt(call, "ok", None)
    return None


def _check_trail(call: Call, journal: Journal) -> None:
    """A body that returns without having asked for all that was recorded diverges, too."""
    scope = current.get()
    if scope is None or scope.call is not call or call.run is None:
        return
    try:
        journal.left(scope)
    except Divergence as error:
        call.run.halt(error)
        raise


def _keep_result(call: Call, stop: Stop) -> None:
    """No further attempt for a result the policy dislikes: it is the caller's, unless judging it failed."""
    call.error = stop.failure
    if stop.failure is not None:
        add_note(stop.failure, explain(stop, attempts=call.number, elapsed=_elapsed(call)))
    if call.facts is not None and call.attempt is not None:
        call.facts.stop_reason = call.attempt.reason = str(stop.reason)


def failed(call: Call, error: BaseException) -> float | None:
    """After a body that raised: seconds until the next attempt, or None with ``call.error`` set to what the caller gets."""
    if call.brief is not None:
        give_records(call)
    if call.attempt is not None or call.plan.shows_errors:  # else nobody sees it before it is the caller's, if it ever is
        trimmed(error)
    if call.run is not None and call.run.journal is not None:
        _give_up_failures(call, call.run.journal, error)
        error = _question_of(error)
    if (
        not isinstance(error, Exception) or isinstance(error, FutureCancelled) or _is_verdict(call, error) or is_signal(error)
    ):  # nothing to retry
        call.error = trimmed(error)
        _end_attempt(call, outcome_of(error), error)
        return None
    if not call.plan.retry:
        call.error = trimmed(error)
        if call.facts is not None and call.attempt is not None:
            call.facts.stop_reason = call.attempt.reason = _reason_without_policy(error)
            _end_attempt(call, outcome_of(error), error)
        return None
    decision, index = _decide(call, error, None)
    if isinstance(decision, Retry):
        return _will_retry(call, decision, index, error, None)
    call.error = trimmed(error)
    add_note(error, explain(decision, attempts=call.number, elapsed=_elapsed(call)))
    if call.facts is not None and call.attempt is not None:
        call.facts.stop_reason = str(decision.reason)
        call.attempt.reason = str(decision.reason)
        _end_attempt(call, outcome_of(error), error)
    return None


def _give_up_failures(call: Call, journal: Journal, error: BaseException) -> None:
    scope = current.get()
    if scope is not None and scope.call is not call:
        scope = None  # it failed before its body had a scope
    if scope is not None:
        scope.is_failed = True
    journal.supersede(error, scope)


def _question_of(error: BaseException) -> BaseException:
    """What stands for an open question, when asyncio's TaskGroup has made a group of it; any other error as it is."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    asked, rest = group.split(RunInterrupted)
    if asked is None or not (rest is None or isinstance(rest, Exception)):  # Ctrl-C counts more
        return group
    question: BaseException = asked
    while isinstance(question, BaseExceptionGroup):
        question = question.exceptions[0]
    return question


def open_call(call: Call) -> None:
    """Work on a call begins, in the context its body will run in."""
    if call.observer is not None and call.facts is not None:
        call.facts.begun_ns = clock.current.time_ns()
        call.observer.call_started(call.facts)


def close_call(call: Call, value: Any) -> None:
    """The call has its outcome."""
    facts = call.facts
    if call.observer is None or facts is None:
        return
    facts.ended_ns = clock.current.time_ns()
    facts.waited_s = call.waited
    facts.error = call.error
    facts.result = shown_result(call.plan, value)
    if not facts.outcome:
        facts.outcome = "ok" if call.error is None else outcome_of(call.error)
    call.observer.call_ended(facts)


def shown_result(plan: Plan, value: Any) -> Any:
    """What observers may see of what a body returned."""
    if plan.secrets and RESULT in plan.secrets:
        return hidden(value)
    said = getattr(value, "shown", None) if plan.is_node or plan.is_graph else None
    return value if said is None else said()  # what a node wrote, the state that a graph left


def broke(call: Call, error: BaseException) -> None:
    """An error from between the attempts (a cancelled wait, a store that is no store) is the call's outcome."""
    call.error = error
    if call.brief is not None:
        give_records(call)
    if call.attempt is not None:
        _end_attempt(call, outcome_of(error), error)


def outcome_of(error: BaseException) -> str:
    """What the record of a run, call or attempt says about an error: ``cancelled`` (also by Ctrl-C), ``interrupted``, ``timeout``, ``error``."""
    if isinstance(error, RunInterrupted) or is_signal(error):
        return "interrupted"
    if is_cancellation(error) or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return "cancelled"
    return "timeout" if isinstance(error, NodeTimeoutError) else "error"


def is_cancellation(error: BaseException) -> bool:
    """True for what asyncio and concurrent.futures raise on cancellation, without importing asyncio for those who do not use it."""
    if isinstance(error, Exception):
        return isinstance(error, FutureCancelled)
    return any(cls.__name__ == "CancelledError" and cls.__module__ == "asyncio.exceptions" for cls in type(error).__mro__)


def _is_verdict(call: Call, error: Exception) -> bool:
    return call.run is not None and error is call.run.verdict


def is_given_up(call: Call) -> bool:
    """True for an outcome that says nothing about what another call would get: a cancellation, a failure whose run would not retry it."""
    error = call.error
    if error is None:
        return False
    return not isinstance(error, Exception) or is_cancellation(error) or is_signal(error) or (call.run is not None and call.run.is_stopping)


def _decide(call: Call, error: Exception | None, result: Any) -> tuple[Retry | Stop, int]:
    plan, now = call.plan, clock.current
    if call.counts is None:
        call.counts = [0] * len(plan.retry)
    # in the order of the fields: by name it takes twice as long
    state = AttemptState(call.number, error, result, _elapsed(call), now.time(), now.draw(), call.remaining(), call.waited)
    try:
        decision, index = decide(plan.retry, call.counts, state)
    except Exception as failure:  # noqa: BLE001 - an error that cannot be looked at: its __str__ raises, say
        return Stop(StopReason.PREDICATE_FAILED, f"it could not be judged: {described(failure)}", failure), 0
    if isinstance(decision, Retry):
        if call.run is not None and call.run.is_stopping:
            return Stop(StopReason.CANCELLED, "the run is ending"), index
        before_retry = plan.retry[index].before_retry
        if before_retry is not None:
            return _before_retry(before_retry, state, decision), index
    return decision, index


def _before_retry(before_retry: Callable[[AttemptState, Retry], object], state: AttemptState, decision: Retry) -> Retry | Stop:
    """Call the policy's ``before_retry``; if that fails there is no retry, and the caller gets the attempt's own error with a note."""
    try:
        before_retry(state, decision)
    except Exception as failure:  # noqa: BLE001 - the user's function
        return Stop(StopReason.PREDICATE_FAILED, f"before_retry raised {described(failure)}", failure)
    return decision


def _will_retry(call: Call, decision: Retry, index: int, error: BaseException | None, result: Any) -> float:
    call.waited += decision.delay
    stream.task_retried(call, error, decision.delay)
    if call.attempt is not None:
        call.attempt.will_retry = True
        call.attempt.wait_s = decision.delay
        call.attempt.reason = decision.reason
        if len(call.plan.retry) > 1:
            call.attempt.policy = f"RetryPolicy {index + 1} of {len(call.plan.retry)}"
        _end_attempt(call, "error" if error is None else outcome_of(error), error)
    else:  # nobody observes: for a person to read, without the fields that machines would
        what = described(error) if error is not None else f"result {shown(result):.80}"
        text = f"{call.plan.name} attempt {call.number} failed ({what}), next in {decision.delay:.3g} s"
        events.note("holdfast.retry.scheduled", events.WARNING, text)
    return decision.delay


def _end_attempt(call: Call, outcome: str, error: BaseException | None) -> None:
    attempt, observer = call.attempt, call.observer
    if attempt is None or observer is None:
        return
    call.attempt = None
    attempt.ended_ns = clock.current.time_ns()
    attempt.outcome = outcome
    attempt.error = error
    observer.attempt_ended(attempt)


def _elapsed(call: Call) -> float:
    return 0.0 if call.started is None else clock.current.monotonic() - call.started


def _reason_without_policy(error: BaseException) -> str:
    return "deadline" if isinstance(error, NodeTimeoutError) and error.cause == "deadline" else "no_retry_policy"
