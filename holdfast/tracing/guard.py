"""Guarded: observers may fail, calls may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import firewall

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.events import AttemptFacts, CallFacts, Note, Observer, RunFacts


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
        self._run_started = tuple(observer.run_started for observer in observers)
        self._run_ended = tuple(observer.run_ended for observer in observers)
        self._call_started = tuple(observer.call_started for observer in observers)
        self._call_ended = tuple(observer.call_ended for observer in observers)
        self._attempt_started = tuple(observer.attempt_started for observer in observers)
        self._attempt_ended = tuple(observer.attempt_ended for observer in observers)
        self._noted = tuple(observer.noted for observer in observers)

    def run_started(self, run: RunFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._run_started, run)

    def run_ended(self, run: RunFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._run_ended, run)

    def call_started(self, call: CallFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._call_started, call)

    def call_ended(self, call: CallFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._call_ended, call)

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._attempt_started, attempt)

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._attempt_ended, attempt)

    def noted(self, note: Note) -> None:
        """See `holdfast.events.Observer`."""
        self._tell(self._noted, note)

    def _tell(self, methods: tuple[Callable[[Any], None], ...], facts: Any) -> None:
        for method in methods:
            try:
                method(facts)
            except Exception as error:  # noqa: BLE001 - counted and said once; see the class
                self._count(error)

    def _count(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            firewall.stderr(f"holdfast: a fault in tracing was kept from your call; the trace may have gaps: {firewall.describe(error)}")
