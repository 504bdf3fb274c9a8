"""The ``console`` backend: each trace as a tree on stderr, when its root has ended.

run plan                                        1.240 s
forecast                                      0.810 s  miss  3 attempts
forecast attempt 1                  ERROR   0.100 s  httpx.ConnectTimeout: timed out  next in 0.4 s
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.tree import Node

MAX_TRACES = 200
MAX_SPANS = 2000
_NAME_WIDTH = 44


class Trees:
    """Collects spans until the root of their trace ends, then prints the tree.

    What ends after the tree around it was printed, such as a span that a body left running, is printed when it ends, with the name of
    the span it belongs to.

    Bounded: a trace with more than `MAX_SPANS` spans is printed in parts, of more than `MAX_TRACES` open ones the oldest is printed as far
    as it is known, and spans are told from late ones for the last `MAX_TRACES` printed.

    Args:
        write: Takes one line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._open: dict[str, list[SpanRow]] = {}
        self._printed: dict[str, dict[str, str]] = {}

    def add(self, row: SpanRow, *, is_root: bool) -> None:
        """Take an ended span; print its trace when it is complete (``is_root``: the parent is elsewhere or nowhere) or too long."""
        spans = self._open.setdefault(row.trace_id, [])
        spans.append(row)
        if is_root or len(spans) >= MAX_SPANS:
            self._print(row.trace_id)
        elif (above := self._printed.get(row.trace_id, {}).get(row.parent_id)) is not None:
            self._print_late(row, above)
        elif len(self._open) > MAX_TRACES:
            self._print(next(iter(self._open)))

    def _print(self, trace_id: str) -> None:
        rows = self._open.pop(trace_id)
        self._remember(trace_id, rows)
        for line in render(rows):
            self._write(line)

    def _print_late(self, row: SpanRow, above: str) -> None:
        """The part of the tree that has just become complete; what else is open in its trace stays open."""
        rows = self._open.pop(row.trace_id)
        part = next(node for node in tree.walk(tree.build(rows)) if node.row is row)
        done = [node.row for node in tree.walk([part])]
        if rest := [each for each in rows if all(each is not known for known in done)]:
            self._open[row.trace_id] = rest
        self._remember(row.trace_id, done)
        self._write(f"after {above} had ended:")
        for line in _lines([part], 1):
            self._write(line)

    def _remember(self, trace_id: str, rows: Sequence[SpanRow]) -> None:
        printed = self._printed.pop(trace_id, {})
        printed.update((row.span_id, row.name) for row in rows)
        self._printed[trace_id] = printed  # the last one is the youngest
        if len(self._printed) > MAX_TRACES:
            del self._printed[next(iter(self._printed))]


def render(rows: Sequence[SpanRow]) -> Iterator[str]:
    """The lines of one trace."""
    roots = tree.build(rows)
    yield from _lines(roots, 0)


def _lines(nodes: Sequence[Node], depth: int) -> Iterator[str]:
    for node in nodes:
        name = f"{'  ' * depth}{node.row.name}"
        words = "  ".join(_words(node))
        yield f"{name:<{_NAME_WIDTH}} {'ERROR' if node.is_failed else '':<5} {node.row.seconds:8.3f} s  {words}".rstrip()
        yield from _lines(node.children, depth + 1)


def _words(node: Node) -> Iterator[str]:
    if node.get(names.CACHE_RESULT):
        yield str(node.get(names.CACHE_RESULT))
    if node.get(names.RETRY_COUNT) and node.kind == "task":
        yield f"{node.get(names.ATTEMPT_COUNT)} attempts"
    if node.outcome not in {"ok", "error", ""}:
        yield node.outcome
    if node.is_failed:
        yield f"{node.get(names.ERROR_TYPE, '')}: {node.row.status_text}"
    if (wait := node.get(names.RETRY_WAIT_S)) is not None:
        yield f"next in {_short(wait)} s"
    if node.get(names.RETRY_STOP_REASON) and node.retries:
        yield f"stopped: {node.get(names.RETRY_STOP_REASON)}"


def _short(seconds: Any) -> str:
    return f"{float(seconds):.3g}"
