"""Fixtures of the runtime's tests: the runs that were made, and an observer that holds the runtime to the rules of `holdfast.events`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from holdfast import _runs as runs
from holdfast import events
from holdfast.events import AttemptFacts, CallFacts, Note, RunFacts
from holdfast.runtime import flight
from holdfast.runtime.run import Run
from holdfast.testing import FakeClock
from tests.runtime.stale import CACHES

Inside = tuple[object, "Inside | None"]
_inside: ContextVar[Inside | None] = ContextVar("rules_inside", default=None)


class Rules:
    """Checks rules 1 and 2 of `holdfast.events`: each start has one end, on the same thread and in the same context, inside what was open there.

    Attributes:
        breaches: What was wrong, as text.
        ended: Kind, name and outcome of all that ended, in that order.
    """

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self.ended: list[tuple[str, str, str]] = []
        self._open: dict[int, tuple[object, int]] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Fail with all breaches, and with what was started and never ended."""
        left = [f"never ended: {facts}" for facts, _ in self._open.values()]
        assert [] == [*self.breaches, *left]

    def _start(self, facts: object) -> None:
        with self._lock:
            if id(facts) in self._open:
                self.breaches.append(f"started twice: {facts}")
            self._open[id(facts)] = (facts, threading.get_ident())
        _inside.set((facts, _inside.get()))

    def _end(self, kind: str, name: str, facts: Any) -> None:
        here = _inside.get()
        with self._lock:
            started = self._open.pop(id(facts), None)
            if started is None:
                self.breaches.append(f"ended without a start, or twice: {facts}")
            elif started[1] != threading.get_ident():
                self.breaches.append(f"ended on another thread: {facts}")
            if here is None or here[0] is not facts:
                self.breaches.append(f"ended in another context, or before what is inside it: {facts}, in {here}")
            if not facts.outcome:
                self.breaches.append(f"no outcome: {facts}")
            self.ended.append((kind, name, facts.outcome))
        _inside.set(None if here is None else here[1])

    def run_started(self, run: RunFacts) -> None:
        self._start(run)

    def run_ended(self, run: RunFacts) -> None:
        self._end("run", run.name, run)

    def call_started(self, call: CallFacts) -> None:
        self._start(call)

    def call_ended(self, call: CallFacts) -> None:
        self._end("body" if call.is_body else "call", call.name, call)

    def attempt_started(self, attempt: AttemptFacts) -> None:
        self._start(attempt)

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        self._end("attempt", attempt.call.name, attempt)

    def noted(self, note: Note) -> None:
        pass


@pytest.fixture
def rules() -> Iterator[Rules]:
    """An observer of everything in the test; at its end, no rule may have been broken."""
    rules = Rules()
    before = events.observe(rules)
    yield rules
    events.observe(before)
    rules.check()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Every run made in the test."""
    opened: list[Run] = []

    class Noted(Run):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(self)

    monkeypatch.setattr(runs, "Run", Noted)
    return opened


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls that have joined the computation of another: each gets that one's outcome, however late its thread comes to wait for it."""
    joined: list[Any] = []
    board = flight.board

    def noted(call: Any) -> Any:
        future = board(call)
        if future is not None:
            joined.append(call)
        return future

    monkeypatch.setattr(flight, "board", noted)
    return joined


@pytest.fixture
def still() -> Iterator[FakeClock]:
    """Virtual time that the test alone moves."""
    with FakeClock(auto=False) as clock:
        yield clock


@pytest.fixture(params=["resilient", "task"])
def kind(request: pytest.FixtureRequest) -> str:
    """How a function is decorated."""
    return str(request.param)


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A cache of each kind."""
    made = CACHES[request.param](tmp_path / "cache")
    yield made
    made.close()
