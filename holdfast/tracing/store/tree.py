"""The tree of a run, made from its spans: runs, tasks, attempts and the user's own spans, with the figures a person asks for.

Pure: rows in, nodes and numbers out. `holdfast.cli.render` draws it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from holdfast.tracing import convention as names
from holdfast.tracing.spans.records import SpanRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Kind = Literal["run", "task", "attempt", "span", "missing"]
SpanKey = tuple[str, str]
"""Trace id and span id."""

_HITS = ("hit", "negative")


@dataclass(slots=True, eq=False)
class Node:
    """A span and what happened inside it.

    Attributes:
        row: The span; for a ``missing`` one a stand-in that covers the time of its children.
        kind: ``run``, ``task`` or ``attempt`` of holdfast, ``span`` of somebody else, or ``missing``: its children name a parent that
            was not recorded, because it has not ended yet, its process was killed, or it belongs to another program.
        children: In order of time.
    """

    row: SpanRow
    kind: Kind
    children: list[Node] = field(default_factory=list["Node"])

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute of the span."""
        return self.row.attributes.get(name, default)

    @property
    def label(self) -> str:
        """The name without what the kind says already: ``plan``, ``forecast``, ``attempt 2``, ``GET /forecast``."""
        if self.kind == "run":
            return str(self.get(names.WORKFLOW_NAME, self.row.name))
        if self.kind == "task":
            return str(self.get(names.TASK_NAME, self.row.name))
        if self.kind == "attempt" and names.ATTEMPT_NUMBER in self.row.attributes:
            return f"attempt {self.get(names.ATTEMPT_NUMBER)}"
        return self.row.name

    @property
    def is_open(self) -> bool:
        """Whether it was last seen under way: it may still be, or its process was killed."""
        return self.row.is_open

    @property
    def is_failed(self) -> bool:
        """Whether the span ended in an error."""
        return self.row.status == "error"

    @property
    def outcome(self) -> str:
        """``ok``, ``error``, ``timeout``, ``cancelled``, ``interrupted``, ``replayed``, or ``""`` when it is not known."""
        if self.kind == "missing" or self.is_open:
            return ""
        said = self.get(f"holdfast.{self.kind}.outcome", "")
        return str(said or ("error" if self.is_failed else "ok"))

    @property
    def is_attempt(self) -> bool:
        """Whether it is an execution of a body: an attempt, or a task or run that is its own only attempt."""
        return self.kind == "attempt" or (self.kind == "task" and names.ATTEMPT_NUMBER in self.row.attributes)

    @property
    def retries(self) -> int:
        """Attempts after the first that were made of this task or run body."""
        return max(0, int(self.get(names.ATTEMPT_COUNT, 1)) - 1) if self.kind in ("run", "task") else 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run.

    Attributes:
        calls: Calls of tasks, those answered by cache or journal included.
        attempts: Executions of a body, the run's own apart unless it was retried.
        retries: Attempts after a first one.
        failures: Calls that failed in the end.
        open: Calls that were last seen under way.
        hits: Calls answered by the cache.
        coalesced: Calls that shared the computation of another.
        replayed: Calls answered by the journal.
        waited_s: Seconds between attempts, added up over calls that may have waited at the same time.
        saved_s: What the cache hits took when they were computed, as far as known.
        saved_unknown: Hits for which that is not known.
    """

    calls: int = 0
    attempts: int = 0
    retries: int = 0
    failures: int = 0
    open: int = 0
    hits: int = 0
    coalesced: int = 0
    replayed: int = 0
    waited_s: float = 0.0
    saved_s: float = 0.0
    saved_unknown: int = 0


def build(rows: Iterable[SpanRow]) -> list[Node]:
    """Make trees of the spans of one trace.

    Args:
        rows: In any order; of two with the same id the last counts.

    Returns:
        The roots, in order of time. Every row is in exactly one place: one whose parent is absent stands under a ``missing`` node,
        inside its run when the run is there.
    """
    nodes = {row.span_id: Node(row, _kind(row)) for row in _last_seen(rows)}
    roots: list[Node] = []
    orphans: dict[str, list[Node]] = defaultdict(list)
    for node in nodes.values():
        parent = nodes.get(node.row.parent_id)
        if parent is not None:
            parent.children.append(node)
        elif node.kind == "run" or not node.row.parent_id:
            roots.append(node)
        else:
            orphans[node.row.parent_id].append(node)
    _cut_circles(nodes, roots, orphans)
    _adopt(orphans, nodes, roots)
    for node in walk(roots):
        node.children.sort(key=_moment)
    return sorted(roots, key=_moment)


def _last_seen(rows: Iterable[SpanRow]) -> Iterator[SpanRow]:
    """A call under way was told of once, its run ever since: it was last seen when its run was."""
    known = list(rows)
    seen = {row.attributes.get(names.RUN_ID): row.end_ns for row in known if row.is_open and _kind(row) == "run"}
    for row in known:
        last = seen.get(row.attributes.get(names.RUN_ID), 0) if row.is_open else 0
        yield msgspec.structs.replace(row, end_ns=last) if last > row.end_ns else row


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """Each node before its children, at any depth."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def of_run(roots: Sequence[Node], run_id: str) -> list[Node]:
    """The part of a trace that is one run; everything for ``""`` or when the run is not in it."""
    if run_id:
        for node in walk(roots):
            if node.kind in ("run", "missing") and node.get(names.RUN_ID) == run_id:
                return [node]
    return list(roots)


def origins(nodes: Sequence[Node]) -> set[SpanKey]:
    """The spans that computed what the cache answered with."""
    return {key for node in walk(nodes) if _is_hit(node) and (key := _origin(node))}


def summarize(nodes: Sequence[Node], durations: Mapping[SpanKey, float] | None = None) -> Summary:
    """Count what happened in these trees.

    Args:
        nodes: From `build` or `of_run`.
        durations: Seconds taken by the spans of `origins`, as far as known; those in the trees themselves need not be in it.
    """
    every = list(walk(nodes))
    tasks = [node for node in every if node.kind == "task"]
    hits = [node for node in tasks if _is_hit(node)]
    replayed = [node for node in tasks if node.outcome == "replayed"]
    coalesced = [node for node in tasks if node.get(names.CACHE_RESULT) == "coalesced"]
    omitted_hits, omitted_replays = _omitted(every, hits + coalesced, replayed)
    known = {(node.row.trace_id, node.row.span_id): node.row.seconds for node in every} | dict(durations or {})
    saved = [known[key] for node in hits if (key := _origin(node)) in known]
    attempts = [node for node in every if node.is_attempt]
    return Summary(
        calls=len(tasks) + omitted_hits + omitted_replays,
        attempts=len(attempts),
        retries=sum(int(node.get(names.ATTEMPT_NUMBER, 1)) > 1 for node in attempts),
        failures=sum(node.is_failed for node in tasks),
        open=sum(node.is_open for node in tasks),
        hits=len(hits) + omitted_hits,
        coalesced=len(coalesced),
        replayed=len(replayed) + omitted_replays,
        waited_s=sum((float(node.get(names.RETRY_WAIT_S, 0.0)) for node in attempts), 0.0),
        saved_s=sum(saved, 0.0),
        saved_unknown=len(hits) - len(saved) + omitted_hits,
    )


def slowest(nodes: Sequence[Node], limit: int = 3) -> list[Node]:
    """The tasks that took longest, waits included, longest first."""
    return sorted((node for node in walk(nodes) if node.kind == "task"), key=lambda node: -node.row.seconds)[:limit]


def _kind(row: SpanRow) -> Kind:
    said = row.attributes.get(names.SPAN_TYPE)
    return said if said in ("run", "task", "attempt") else "span"


def _moment(node: Node) -> tuple[int, int, str]:
    number = node.get(names.ATTEMPT_NUMBER) or node.get(names.TASK_INDEX) or 0
    return node.row.start_ns, int(number), node.row.span_id


def _is_hit(node: Node) -> bool:
    return node.kind == "task" and node.get(names.CACHE_RESULT) in _HITS


def _origin(node: Node) -> SpanKey | None:
    trace_id, span_id = node.get(names.CACHE_ORIGIN_TRACE_ID, ""), node.get(names.CACHE_ORIGIN_SPAN_ID, "")
    return (trace_id, span_id) if trace_id and span_id else None


def _omitted(every: list[Node], answered: list[Node], replayed: list[Node]) -> tuple[int, int]:
    """Hits, shared ones included, and replayed calls that got no span of their own, as their runs counted them."""
    with_span = Counter((node.get(names.RUN_ID), "hit") for node in answered)
    with_span.update((node.get(names.RUN_ID), "replayed") for node in replayed)
    omitted = Counter[str]()
    for run in every:
        if run.kind == "run" and names.RUN_SPANS_OMITTED in run.row.attributes:
            run_id = run.get(names.RUN_ID)
            omitted["hit"] += max(0, int(run.get(names.CACHE_HITS, 0)) - with_span[run_id, "hit"])
            omitted["replayed"] += max(0, int(run.get(names.RUN_REPLAYED, 0)) - with_span[run_id, "replayed"])
    return omitted["hit"], omitted["replayed"]


def _cut_circles(nodes: dict[str, Node], roots: list[Node], orphans: dict[str, list[Node]]) -> None:
    """Make roots and orphans of spans that are their own ancestors: damaged data must not make other spans disappear."""
    reached = {node.row.span_id for node in walk([*roots, *(node for group in orphans.values() for node in group)])}
    for node in sorted(nodes.values(), key=lambda node: node.kind != "run"):
        if node.row.span_id not in reached:
            nodes[node.row.parent_id].children.remove(node)
            (roots if node.kind == "run" else orphans[node.row.parent_id]).append(node)
            reached.update(each.row.span_id for each in walk([node]))


def _adopt(orphans: dict[str, list[Node]], nodes: dict[str, Node], roots: list[Node]) -> None:
    """Give each group of orphans a stand-in for its parent, inside its run; and each run that is not there a stand-in too."""
    runs = {node.get(names.RUN_ID): node for node in nodes.values() if node.kind == "run"}
    homeless: dict[str, list[Node]] = defaultdict(list)
    for parent_id, group in orphans.items():
        run_id = group[0].get(names.RUN_ID, "")
        run = runs.get(run_id)
        is_task = run_id and all(node.kind == "attempt" for node in group)
        name = str(group[0].get(names.TASK_NAME, "")) if is_task else ""
        if run is not None and all(node is not run for node in walk(group)):
            run.children.append(_stand_in(parent_id, name or "span", group))
        elif run is None and run_id:
            homeless[run_id].extend([_stand_in(parent_id, name, group)] if name else group)
        else:
            roots.append(_stand_in(parent_id, "span", group))
    roots.extend(_stand_in("", str(group[0].get(names.WORKFLOW_NAME, "run")), group) for group in homeless.values())


def _stand_in(span_id: str, name: str, children: list[Node]) -> Node:
    shared = (names.RUN_ID, names.THREAD_ID, names.WORKFLOW_NAME)
    row = SpanRow(
        trace_id=children[0].row.trace_id,
        span_id=span_id,
        parent_id="",
        name=name,
        start_ns=min(node.row.start_ns for node in children),
        end_ns=max(node.row.end_ns for node in children),
        attributes={name: children[0].get(name) for name in shared if name in children[0].row.attributes},
    )
    return Node(row, "missing", children)
