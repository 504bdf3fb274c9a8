"""`recorded`: what holdfast did, as plain literals and as a readable tree, from its facts alone (no tracing library involved)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast import events
from holdfast.events import AttemptFacts, CallFacts, Note, Observer, RunFacts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    Facts = RunFacts | CallFacts | AttemptFacts

_LEVELS = {events.DEBUG: "debug", events.INFO: "info", events.WARNING: "warning", events.ERROR: "error"}
_RUN = ("name", "outcome", "error", "resumed", "calls", "cache_hits", "replayed")
_CALL = (
    "outcome",
    "error",
    "result",
    "attempts",
    "waited_s",
    "stop_reason",
    "cache",
    "cache_cause",
    "cache_tier",
    "cache_age_s",
    "cache_stored",
)
_ATTEMPT = ("number", "outcome", "error", "timeout_s", "deadline_s", "will_retry", "wait_s", "reason", "policy", "abandoned")

_inside: ContextVar[_Node | None] = ContextVar("holdfast_testing_inside", default=None)


@dataclass(eq=False)
class _Node:
    """A record and the records of what happened inside it."""

    facts: Facts
    outer: _Node | None
    children: list[_Node] = field(default_factory=list["_Node"])


class RecordingObserver:
    """Keeps what the runtime emits. Thread-safe.

    Attributes:
        facts: A dict for each attempt, call and run, in the order in which they ended; see `recorded`.
        notes: A dict for each note: ``event``, ``level``, ``text`` and its fields.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.facts: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self._roots: list[_Node] = []
        self._nodes: dict[int, _Node] = {}  # by identity of the record, which the node keeps alive
        self._lock = threading.Lock()

    def tree(self) -> str:
        """Draw what happened as indented lines: runs, the calls made in them in order, and the attempts of calls that needed several.

        ::

            run plan ok
              forecast ok attempts=2 waited=0.5
                attempt 1 error ConnectionError -> retry in 0.5
                attempt 2 ok
              summarize ok cache=hit
        """
        with self._lock:
            return "\n".join(line for node in _sorted(self._roots) for line in _draw(node, 0))

    def clear(self) -> None:
        """Forget everything recorded so far."""
        with self._lock:
            for kept in (self.facts, self.notes, self._roots, self._nodes):
                kept.clear()

    # -- Observer -----------------------------------------------------------------------------------------------------------------------

    def run_started(self, run: RunFacts) -> None:
        """Remember the run; what is called in this context from now on is inside it."""
        self._enter(run, _inside.get())

    def run_ended(self, run: RunFacts) -> None:
        """Record the run."""
        self._leave(run, {"kind": "run", **_plain(run, _RUN)})

    def call_started(self, call: CallFacts) -> None:
        """Remember who made the call."""
        self._add(call, None if call.is_behind else _inside.get())

    def call_ended(self, call: CallFacts) -> None:
        """Record the call."""
        arguments = dict(zip(call.names, call.arguments, strict=False))
        self._record({"kind": "body" if call.is_body else "call", "name": call.name, "arguments": arguments, **_plain(call, _CALL)})

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """Remember the attempt; what is called in this context from now on is inside it."""
        self._enter(attempt, self._nodes.get(id(attempt.call)))

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """Record the attempt."""
        self._leave(attempt, {"kind": "attempt", "name": attempt.call.name, **_plain(attempt, _ATTEMPT)})

    def noted(self, note: Note) -> None:
        """Record the note."""
        with self._lock:
            self.notes.append({"event": note.event, "level": _LEVELS.get(note.level, str(note.level)), "text": note.text, **note.fields})

    def _enter(self, facts: Facts, outer: _Node | None) -> None:
        _inside.set(self._add(facts, outer))

    def _leave(self, facts: Facts, record: dict[str, Any]) -> None:
        node = self._nodes.get(id(facts))
        around = node.outer if node is not None else None
        if around is not None and isinstance(around.facts, CallFacts):
            around = around.outer  # an attempt ends: its call's maker is current again
        _inside.set(around)
        self._record(record)

    def _add(self, facts: Facts, outer: _Node | None) -> _Node:
        node = _Node(facts, outer)
        with self._lock:
            self._nodes[id(facts)] = node
            (self._roots if outer is None else outer.children).append(node)
        return node

    def _record(self, record: dict[str, Any]) -> None:
        with self._lock:
            self.facts.append(record)


@contextmanager
def recorded() -> Generator[RecordingObserver]:
    """Record what holdfast does inside the block; whoever observed before goes on observing too.

    The dicts in ``.facts`` have a ``kind`` (``attempt``, ``call``, ``body`` for an entrypoint's own body, ``run``), a ``name``, and of the
    fields in `holdfast.events` those that differ from their default, without times and ids: two equal runs compare equal. An error is
    given as ``"ConnectionError: reset"``.
    """
    recording = RecordingObserver()
    with observing(recording):
        yield recording


@contextmanager
def observing(*observers: Observer) -> Generator[None]:
    """Let ``observers`` listen inside the block, after whoever listened before."""
    before = events.observer
    events.observe(_All((*([before] if before is not None else []), *observers)))
    try:
        yield
    finally:
        events.observe(before)


class _All:
    """Tells several observers, in order. What they raise is the test's to see."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        self._tracers = [each for each in observers if isinstance(each, events.RunTracer)]
        self._followers = [each for each in observers if isinstance(each, events.CallTracer)]

    def run_opened(self, run: RunFacts) -> None:
        for each in self._tracers:
            each.run_opened(run)

    def run_died(self, remains: events.Remains) -> None:
        for each in self._tracers:
            each.run_died(remains)

    def call_followed(self, call: CallFacts) -> None:
        for each in self._followers:
            each.call_followed(call)

    def run_started(self, run: RunFacts) -> None:
        for each in self._observers:
            each.run_started(run)

    def run_ended(self, run: RunFacts) -> None:
        for each in self._observers:
            each.run_ended(run)

    def call_started(self, call: CallFacts) -> None:
        for each in self._observers:
            each.call_started(call)

    def call_ended(self, call: CallFacts) -> None:
        for each in self._observers:
            each.call_ended(call)

    def attempt_started(self, attempt: AttemptFacts) -> None:
        for each in self._observers:
            each.attempt_started(attempt)

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        for each in self._observers:
            each.attempt_ended(attempt)

    def noted(self, note: Note) -> None:
        for each in self._observers:
            each.noted(note)


# -- plain literals ---------------------------------------------------------------------------------------------------------------------


def _plain(facts: Facts, names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields that differ from their default."""
    defaults = _defaults(type(facts))
    found = {name: getattr(facts, name) for name in names}
    return {name: _text(value) if name == "error" else value for name, value in found.items() if not _is_same(value, defaults[name])}


@cache
def _defaults(kind: type[Facts]) -> dict[str, Any]:
    """What the fields of a record are where nothing was said. Kept: msgspec takes more than a millisecond to find out."""
    return {each.name: each.default for each in msgspec.structs.fields(kind)}


def _is_same(value: object, default: object) -> bool:
    return value is default or (isinstance(value, str | int | float) and value == default)


def _text(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {error}" if str(error) else type(error).__qualname__


# -- drawing ----------------------------------------------------------------------------------------------------------------------------


def _sorted(nodes: list[_Node]) -> list[_Node]:
    """In the order in which the calls were made, which is not always that in which work on them began."""
    return sorted(nodes, key=lambda node: node.facts.index if isinstance(node.facts, CallFacts) else 0)


def _draw(node: _Node, depth: int) -> Iterator[str]:
    facts = node.facts
    if isinstance(facts, CallFacts) and facts.is_body:
        yield from _draw_attempts(node, depth)  # they belong to the run itself
        return
    yield "  " * depth + _line(facts)
    for child in _sorted(node.children) if not isinstance(facts, CallFacts) else ():
        yield from _draw(child, depth + 1)
    if isinstance(facts, CallFacts):
        yield from _draw_attempts(node, depth + 1)


def _draw_attempts(call: _Node, depth: int) -> Iterator[str]:
    """A single attempt says nothing that its call does not say: only what happened inside it is drawn."""
    if len(call.children) > 1:
        for attempt in call.children:
            yield from _draw(attempt, depth)
    else:
        for child in _sorted([child for attempt in call.children for child in attempt.children]):
            yield from _draw(child, depth)


def _line(facts: Facts) -> str:
    outcome = facts.outcome or "open"
    error = f" {type(facts.error).__qualname__}" if facts.error is not None else ""
    if isinstance(facts, RunFacts):
        return f"run {facts.name} {outcome}{error}"
    if isinstance(facts, AttemptFacts):
        then = f" -> retry in {facts.wait_s:g}" if facts.will_retry else f" -> {facts.reason}" if facts.reason else ""
        return f"attempt {facts.number} {outcome}{error}{then}"
    details = {
        "attempts": facts.attempts if facts.attempts > 1 else "",
        "waited": f"{facts.waited_s:g}" if facts.waited_s else "",
        "stop": facts.stop_reason,
        "cache": facts.cache,
    }
    return f"{facts.name} {outcome}{error}" + "".join(f" {name}={value}" for name, value in details.items() if value)
