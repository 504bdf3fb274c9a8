"""Guarded: observers may fail, calls may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from holdfast.events import BriefTracer, CallTracer, RunTracer, StepTracer
from holdfast.tracing.safety import firewall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdfast.events import AttemptFacts, Called, CallFacts, InBrief, Note, Observer, Remains, RunFacts

F = TypeVar("F")


@runtime_checkable
class Frugal(Protocol):
    """An observer that is often content with failures.

    Attributes:
        may_want: False while it certainly wants no successes, and need not be asked.
    """

    may_want: bool

    def wants_successes(self) -> bool:
        """Whether it is to be told now of calls and attempts that succeed."""
        ...


class Guarded:
    """An observer that tells several others, in order, and lets nothing they raise into a call.

    What they raise is said once on stderr and counted: this is the documented exception to "no silent except".

    Attributes:
        failures: How often an observer raised.
    """

    def __init__(self, *observers: Observer) -> None:
        """Tell ``observers`` in this order at every start, end and note."""
        self.failures = 0
        self.observers = observers
        self._run_started = _busy(observer.run_started for observer in observers)
        self._run_ended = _busy(observer.run_ended for observer in observers)
        self._call_started = _busy(observer.call_started for observer in observers)
        self._call_ended = _busy(observer.call_ended for observer in observers)
        self._attempt_started = _busy(observer.attempt_started for observer in observers)
        self._attempt_ended = _busy(observer.attempt_ended for observer in observers)
        self._noted = _busy(observer.noted for observer in observers)
        self._tracers = [observer for observer in observers if isinstance(observer, RunTracer)]
        self._followers = [observer for observer in observers if isinstance(observer, CallTracer)]
        briefs = [observer for observer in observers if isinstance(observer, BriefTracer)]
        self._frugal = tuple(observer for observer in observers if isinstance(observer, Frugal))
        self._brief = briefs[0] if len(briefs) == 1 and len(briefs) + len(self._frugal) == len(observers) else None
        brief: object = self._brief
        self._steps = brief if isinstance(brief, StepTracer) else _WithRecords()
        self._step_started, self._step_passed = self._steps.step_started, self._steps.step_passed

    def run_opened(self, run: RunFacts) -> None:
        """See `holdfast.events.RunTracer`."""
        for each in self._tracers:
            try:
                each.run_opened(run)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def run_died(self, remains: Remains) -> None:
        """See `holdfast.events.RunTracer`."""
        for each in self._tracers:
            try:
                each.run_died(remains)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def call_followed(self, call: CallFacts) -> None:
        """See `holdfast.events.CallTracer`."""
        for each in self._followers:
            try:
                each.call_followed(call)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def brief_started(self, called: Called, began_ns: int) -> Any:
        """See `holdfast.events.BriefTracer`; None as soon as one of the observers wants to be told of successes."""
        if self._brief is None:
            return None
        try:
            for each in self._frugal:
                if each.may_want and each.wants_successes():
                    return None
            return self._brief.brief_started(called, began_ns)
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)

    def brief_passed(self, memo: Any, called: Called, ended_ns: int) -> bool:
        """See `holdfast.events.BriefTracer`; False as soon as one of the observers wants to be told of successes by now."""
        try:
            for each in self._frugal:
                if each.may_want and each.wants_successes():
                    return False
            return self._brief.brief_passed(memo, called, ended_ns)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)
            return True

    def brief_recorded(self, memo: Any, attempt: AttemptFacts) -> None:
        """See `holdfast.events.BriefTracer`."""
        try:
            self._brief.brief_recorded(memo, attempt)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)

    def step_started(self, called: Called, brief: InBrief) -> tuple[Any, Any] | None:
        """See `holdfast.events.StepTracer`; None as soon as one of the observers wants to be told of successes."""
        try:
            for each in self._frugal:
                if each.may_want and each.wants_successes():
                    return None
            return self._step_started(called, brief)
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)
            return None

    def step_passed(self, called: Called, brief: InBrief, ended_ns: int) -> bool:
        """See `holdfast.events.StepTracer`; False as soon as one of the observers wants to be told of successes by now."""
        try:
            for each in self._frugal:
                if each.may_want and each.wants_successes():
                    return False
            return self._step_passed(called, brief, ended_ns)
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)
            return True

    def step_recorded(self, brief: InBrief, attempt: AttemptFacts) -> None:
        """See `holdfast.events.StepTracer`."""
        try:
            self._steps.step_recorded(brief, attempt)
        except Exception as error:  # noqa: BLE001 - counted and said once; see the class
            self._count(error)

    # Ten of these are called for a run with one task, so the loop is written out in each: 0.2 us instead of 0.4.

    def run_started(self, run: RunFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._run_started:
            try:
                method(run)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def run_ended(self, run: RunFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._run_ended:
            try:
                method(run)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def call_started(self, call: CallFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._call_started:
            try:
                method(call)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def call_ended(self, call: CallFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._call_ended:
            try:
                method(call)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._attempt_started:
            try:
                method(attempt)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._attempt_ended:
            try:
                method(attempt)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def noted(self, note: Note) -> None:
        """See `holdfast.events.Observer`."""
        for method in self._noted:
            try:
                method(note)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def _count(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            firewall.stderr(f"holdfast: a fault in tracing was kept from your call; the trace may have gaps: {firewall.describe(error)}")


class _WithRecords:
    """Stands for an observer that makes do without records, where there is none."""

    def step_started(self, _called: Called, _brief: InBrief) -> None:
        return None

    def step_passed(self, _called: Called, _brief: InBrief, _ended_ns: int) -> bool:
        return False

    def step_recorded(self, _brief: InBrief, _attempt: AttemptFacts) -> None:
        return None


def _busy(methods: Iterable[Callable[[F], None]]) -> tuple[Callable[[F], None], ...]:
    """Those that do something."""
    return tuple(method for method in methods if not getattr(method, "does_nothing", False))
