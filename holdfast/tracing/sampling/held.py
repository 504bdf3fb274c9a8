"""Spans held back until it is known whether their tree is worth keeping.

Spans come as they end, children before their parents. Nothing needs to be known when they begin, so light spans, which tell nobody, and
the SDK's can stand in one tree, and a call pays nothing. The rules, in order:

- A trace that the ratio keeps is never held: its spans leave at once.
- With the first interesting span all that is held of its trace leaves, and whatever comes later of it follows at once.
- With a local root that is not interesting, all that is held below it is let go. What comes late, after its parent was let go, goes the
  same way, unless it is interesting.

So what is held is never interesting so far, and at exit there is nothing left to decide: it is let go.

The bounds are those of `KeepInteresting`, and three of our own: on all spans together, and on what is remembered of traces that were kept
and of spans that were let go.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from holdfast.tracing.safety import firewall
from holdfast.tracing.spans.light_span import LightSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_HELD = 100_000
REMEMBERED = 10_000

_all: WeakSet[Held] = WeakSet()


class Policy(Protocol):
    """What is asked of `KeepInteresting`, which says what each means."""

    @property
    def slower_than(self) -> float | None: ...  # noqa: D102 - see there
    @property
    def max_traces(self) -> int: ...  # noqa: D102 - see there
    @property
    def max_spans(self) -> int: ...  # noqa: D102 - see there
    @property
    def max_age(self) -> float: ...  # noqa: D102 - see there
    def is_by_ratio(self, trace_id: int) -> bool: ...  # noqa: D102 - see there
    def is_interesting(self, span: Any) -> bool: ...  # noqa: D102 - see there


class _Trace:
    """What is held of one trace: spans by their id, each with its parent's id, in the order of their ends."""

    __slots__ = ("since", "spans")

    def __init__(self, since: float) -> None:
        self.since = since
        self.spans: dict[int, tuple[int, Any]] = {}


class Held:
    """Holds spans of undecided trees; see the module. Any thread may use it.

    Args:
        policy: What is interesting, and how much may be held.
        say: Told once when spans are given up; None says it on stderr.
        now: A clock that never goes back, in seconds.

    Attributes:
        policy: As given.
        count: How many spans are held.
        given_up: How many were let go undecided, because of the bounds.
    """

    def __init__(self, policy: Policy, *, say: Callable[[str], object] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self._say = firewall.stderr if say is None else say
        self._now = now
        # An OrderedDict has its first item at hand; a dict that loses its first again and again has not.
        self._kept: OrderedDict[int, None] = OrderedDict()
        self.given_up = 0
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Hold nothing, and a lock of its own, in a forked child: what is held is its parent's to send."""
        self._lock = threading.Lock()
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._gone: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.count = 0

    def sift(self, spans: Iterable[Any]) -> list[Any]:
        """Take ended spans; return those that may leave now, these and held ones."""
        leaving: list[Any] = []
        with self._lock:
            for span in spans:
                self._judge(span, leaving)
            self._let_old_ones_go(leaving)
        return leaving

    def _judge(self, span: Any, leaving: list[Any]) -> None:
        trace_id, span_id, parent_id = _place_of(span)
        if self.policy.is_by_ratio(trace_id):
            leaving.append(span)
        elif trace_id in self._kept or self.policy.is_interesting(span):
            self._keep(trace_id, leaving)
            leaving.append(span)
        elif parent_id is None or (trace_id, parent_id) in self._gone:  # a span id is one of a kind in its trace only
            self._let_go(trace_id, span_id)
        else:
            self._hold(trace_id, span_id, parent_id, span)

    def _keep(self, trace_id: int, leaving: list[Any]) -> None:
        _remember(self._kept, trace_id)
        leaving.extend(span for _, span in self._take(trace_id).values())

    def _take(self, trace_id: int) -> dict[int, tuple[int, Any]]:
        held = self._traces.pop(trace_id, None)
        if held is None:
            return {}
        self.count -= len(held.spans)
        return held.spans

    def _let_go(self, trace_id: int, root_id: int) -> None:
        """Drop what is held below this one; what belongs to another root of the same trace stays."""
        held = self._traces.get(trace_id)
        spans = {} if held is None else held.spans
        for span_id in _below(root_id, spans):
            _remember(self._gone, (trace_id, span_id))
            self.count -= spans.pop(span_id, None) is not None
        if not spans:
            self._traces.pop(trace_id, None)

    def _hold(self, trace_id: int, span_id: int, parent_id: int, span: Any) -> None:
        held = self._traces.get(trace_id)
        if held is None:
            held = self._traces[trace_id] = _Trace(self._now())
        self.count += span_id not in held.spans
        held.spans[span_id] = parent_id, span
        if len(held.spans) > self.policy.max_spans:
            self._give_up(trace_id, f"a trace has more than {self.policy.max_spans:,} spans")
        elif len(self._traces) > self.policy.max_traces:
            self._give_up(next(iter(self._traces)), f"more than {self.policy.max_traces:,} traces are under way")
        elif self.count > MAX_HELD:
            self._give_up(next(iter(self._traces)), f"more than {MAX_HELD:,} spans are held")

    def _let_old_ones_go(self, leaving: list[Any]) -> None:
        begun = self._now() - self.policy.max_age
        is_slow = self.policy.slower_than is not None and self.policy.slower_than <= self.policy.max_age
        while self._traces:
            trace_id, held = next(iter(self._traces.items()))
            if held.since > begun:
                return
            if is_slow:
                self._keep(trace_id, leaving)
            else:
                self._give_up(trace_id, f"a trace is under way for longer than {self.policy.max_age:g} s")

    def _give_up(self, trace_id: int, reason: str) -> None:
        is_first = not self.given_up
        self.given_up += len(self._take(trace_id))
        if is_first:
            self._say(f"holdfast: spans that were held to see whether their trace gets interesting are given up because {reason}")


class Sieve:
    """What a lane writes to in front of an exporter: lets through what may leave.

    Args:
        policy: What that is.
        write: Takes spans.
        batch: Most spans in one ``write``.

    Attributes:
        lane: Whose it is; to be set before the first span comes.
    """

    lane: firewall.Lane

    def __init__(self, policy: Policy, write: Callable[[Sequence[Any]], object], batch: int) -> None:
        self._held = Held(policy)
        self._write = write
        self._batch = batch

    def __call__(self, spans: Sequence[Any]) -> None:
        """Take ended spans, and write what may leave."""
        leaving = self._held.sift(spans)
        left = len(leaving)
        try:
            for start in range(0, len(leaving), self._batch):
                batch = leaving[start : start + self._batch]
                self._write(batch)
                left -= len(batch)
        finally:
            if left:  # an error is on its way to the lane, which counts what it gave us, not what was to leave
                self.lane.failed += left - len(spans)


def _place_of(span: Any) -> tuple[int, int, int | None]:
    """Ids of a span's trace, of itself, and of its parent; None for the last of a root in this process."""
    above: Any
    if isinstance(span, LightSpan):
        trace_id, span_id, above = span.trace.id, span.span_id, span.above
    else:
        trace_id, span_id, above = span.context.trace_id, span.context.span_id, span.parent
    if above is None or getattr(above, "is_remote", False):  # a light span, which has no such thing, is of this process
        return trace_id, span_id, None
    return trace_id, span_id, above.span_id


def _below(root_id: int, spans: dict[int, tuple[int, Any]]) -> list[int]:
    """The ids of a span and of all below it."""
    children: dict[int, list[int]] = {}
    for span_id, (parent_id, _) in spans.items():
        children.setdefault(parent_id, []).append(span_id)
    found = [root_id]
    for span_id in found:  # grows while it is read
        found.extend(children.pop(span_id, ()))
    return found


def _remember(ids: OrderedDict[Any, None], one: object) -> None:
    """Add an id, as the last to be forgotten."""
    ids[one] = None
    ids.move_to_end(one)
    if len(ids) > REMEMBERED:
        ids.popitem(last=False)


def _reset_all() -> None:
    for held in list(_all):
        held.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
