"""MetricObserver: durations and counts through OpenTelemetry's metrics API, for whoever has set a meter provider.

Durations are histograms, one for each operation, whose count is the number of operations; they are recorded with the span they belong to, so
that exemplars lead from a slow bucket to its trace. Counts are plain integers here that are read when metrics are collected: a counter of
the SDK costs 10 us for each increment. Nothing is done, and nothing counted, while there is no meter provider.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry.metrics import Observation, _internal

from holdfast.tracing import convention as names
from holdfast.tracing.metrics import measures
from holdfast.tracing.spans import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Histogram

    from holdfast.events import AttemptFacts, CallFacts, Note, RunFacts
    from holdfast.tracing.metrics.measures import Measure

_COUNTED = (measures.RETRIES, measures.RETRIES_EXHAUSTED, measures.CACHE_REQUESTS)
_Series = tuple[str, ...]
_AGED = frozenset({"hit", "stale", "stale_if_error"})
_observers: WeakSet[MetricObserver] = WeakSet()


class MetricObserver:
    """Measures from facts; see the module.

    Args:
        provider: A meter provider to use instead of the process's (for tests).
    """

    def __init__(self, provider: metrics.MeterProvider | None = None) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._histograms: dict[Measure, Histogram] = {}
        self._counts: dict[Measure, Counter[_Series]] = {measure: Counter() for measure in _COUNTED}
        self._active: dict[int, str] = {}
        self._seen: set[str] = set()
        _observers.add(self)

    def anew_in_child(self) -> None:
        """After a fork: what is under way is so in the parent alone, whose other threads may have held the lock."""
        self._lock = threading.Lock()
        self._active.clear()

    def run_started(self, run: RunFacts) -> None:
        """Nothing is measured."""

    def run_ended(self, run: RunFacts) -> None:
        """Its duration."""
        if self.wants_successes():
            known = {names.WORKFLOW_NAME: run.name, **_outcome(run)}
            self._record(measures.RUN_DURATION, run.ended_ns - run.started_ns, known, run)

    def call_started(self, call: CallFacts) -> None:
        """One more is under way."""
        if self.wants_successes() and not call.is_body:
            self._active[id(call)] = call.name
            self._seen.add(call.name)

    def call_ended(self, call: CallFacts) -> None:
        """Its duration, what the cache said, and whether retries were in vain."""
        if not self.wants_successes() or call.is_body:
            return
        self._active.pop(id(call), None)
        if call.cache:
            self._count(measures.CACHE_REQUESTS, call.name, call.cache)
        if call.cache in _AGED:
            self._histograms[measures.CACHE_HIT_AGE].record(max(0.0, call.cache_age_s), {names.TASK_NAME: call.name}, _context(call))
        if call.attempts:
            known = {names.TASK_NAME: call.name, **_outcome(call)}
            self._record(measures.TASK_DURATION, call.ended_ns - call.started_ns, known, call)
        if attributes.is_exhausted(call):
            self._count(measures.RETRIES_EXHAUSTED, call.name, attributes.error_type(call))

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """Nothing is measured."""

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """Its duration, and the retry that follows it. The body of an entrypoint goes by the entrypoint's name."""
        if not self.wants_successes():
            return
        name = attempt.call.name
        self._record(
            measures.ATTEMPT_DURATION, attempt.ended_ns - attempt.started_ns, {names.TASK_NAME: name, **_outcome(attempt)}, attempt
        )
        if attempt.will_retry:
            self._histograms[measures.RETRY_WAIT].record(attempt.wait_s, {names.TASK_NAME: name}, _context(attempt))
            self._count(measures.RETRIES, name, attributes.error_type(attempt))

    def noted(self, note: Note) -> None:
        """Nothing is measured."""

    run_started.does_nothing = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    attempt_started.does_nothing = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    noted.does_nothing = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]

    may_want = True  # an application may set its meter provider at any time

    def wants_successes(self) -> bool:
        """Whether anybody collects, and so counts successes, too; makes the instruments the first time."""
        if self._histograms:
            return True
        if self._provider is None and _internal._METER_PROVIDER is None:  # noqa: SLF001 - the public getter makes a provider that does nothing
            return False
        with self._lock:
            if not self._histograms:
                self._histograms = self._instruments()
        return True

    def _instruments(self) -> dict[Measure, Histogram]:
        meter = metrics.get_meter(names.SCOPE, "", self._provider, names.SCHEMA_URL)
        for measure in _COUNTED:
            meter.create_observable_counter(measure.name, [self._reader(measure)], measure.unit, measure.meaning)
        active = measures.TASKS_ACTIVE
        meter.create_observable_up_down_counter(active.name, [self._observe_active], active.unit, active.meaning)
        return {
            measure: meter.create_histogram(
                measure.name, measure.unit, measure.meaning, explicit_bucket_boundaries_advisory=measure.buckets
            )
            for measure in measures.MEASURES
            if measure.instrument == "histogram"
        }

    def _record(self, measure: Measure, nanoseconds: int, known: dict[str, str], facts: RunFacts | CallFacts | AttemptFacts) -> None:
        self._histograms[measure].record(max(0, nanoseconds) / 1e9, known, _context(facts))

    def _count(self, measure: Measure, *series: str) -> None:
        with self._lock:
            self._counts[measure][series] += 1

    def _reader(self, measure: Measure) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            with self._lock:
                counts = self._counts[measure].copy()
            return [Observation(number, dict(zip(measure.attributes, series, strict=True))) for series, number in counts.items()]

        return observe

    def _observe_active(self, _: CallbackOptions) -> Iterable[Observation]:
        known = Counter(self._active.copy().values())
        return [Observation(known[name], {names.TASK_NAME: name}) for name in self._seen.copy()]  # also 0, where nothing is left


def _outcome(facts: RunFacts | CallFacts | AttemptFacts) -> dict[str, str]:
    known = {measures.OUTCOME: facts.outcome}
    return known | {names.ERROR_TYPE: attributes.error_type(facts)} if attributes.has_failed(facts) else known


def _context(facts: RunFacts | CallFacts | AttemptFacts) -> Context | None:
    """A context with the span that was made of these facts, for exemplars; None, for the current one, when none was made."""
    span: Any = getattr(facts.memo, "span", facts.memo)
    return trace.set_span_in_context(span) if isinstance(span, trace.Span) else None


def _anew_in_child() -> None:
    for observer in _observers:
        observer.anew_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_anew_in_child)
