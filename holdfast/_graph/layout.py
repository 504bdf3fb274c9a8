"""The graph as it was drawn: nodes, edges, joins and branches, and what is refused when it is compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast._graph.routes import END, START
from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast._graph.schema import Schema


class Branch(NamedTuple):
    """A conditional edge.

    Attributes:
        name: What it is called: its function's name.
        path: Takes the state, returns where to go.
        ends: What it may return, and the node that stands for; None: it returns nodes themselves, any of them.
        schema: What it gets; None: what its node gets.
    """

    name: str
    path: Callable[..., Any]
    ends: dict[Any, str] | None
    schema: Schema | None


class Join(NamedTuple):
    """An edge that waits for several nodes.

    Attributes:
        sources: The nodes.
        target: Runs when all of them have run.
    """

    sources: tuple[str, ...]
    target: str


@dataclass(slots=True)
class Drawing:
    """The edges of a graph, as its builder collects them.

    Attributes:
        edges: Plain edges, in the order in which they were added.
        joins: Edges from several nodes.
        branches: Conditional edges, by node and name.
        destinations: Where a node's commands may lead: only for pictures, and to see what can be reached; None says nothing.
    """

    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    joins: list[Join] = field(default_factory=list[Join])
    branches: dict[str, dict[str, Branch]] = field(default_factory=dict[str, "dict[str, Branch]"])
    destinations: dict[str, tuple[str, ...] | None] = field(default_factory=dict[str, "tuple[str, ...] | None"])

    def after(self, node: str) -> tuple[str, ...]:
        """Where the plain edges of a node lead."""
        return tuple(dict.fromkeys(target for source, target in self.edges if source == node and target != END))

    def joins_of(self, node: str) -> tuple[int, ...]:
        """Which of the joins wait for a node, by their numbers."""
        return tuple(number for number, join in enumerate(self.joins) if node in join.sources)

    def check(self, nodes: list[str], *, is_sending: bool) -> None:
        """Refuse what cannot work.

        Args:
            nodes: The graph's nodes.
            is_sending: Whether a node may go anywhere without an edge that says so.

        Raises:
            PolicyError: There is no way in, an edge leads from or to nowhere, or a node can never run.
        """
        self._check_names(nodes)
        if not any(source == START for source, _ in self.edges) and START not in self.branches:
            first = nodes[0] if nodes else "first"
            msg = f"the graph has no way in: add_edge(START, {first!r})"
            raise PolicyError(msg)
        if not is_sending:
            self._check_reach(nodes)

    def _check_names(self, nodes: list[str]) -> None:
        known = {START, END, *nodes}
        for source, target, how in self._all_edges():
            if target == START:
                msg = f"{how} leads to START, where the graph begins: name a node, or END"
                raise PolicyError(msg)
            for name in (source, target):
                if name not in known:
                    msg = f"{how} names a node {name!r} that there is not; there are: {', '.join(nodes) or 'none'}"
                    raise PolicyError(msg)

    def _all_edges(self) -> Iterator[tuple[str, str, str]]:
        for source, target in self.edges:
            yield source, target, f"the edge {source!r} -> {target!r}"
        for join in self.joins:
            for source in join.sources:
                yield source, join.target, f"the edge {list(join.sources)!r} -> {join.target!r}"
        for source, branches in self.branches.items():
            for branch in branches.values():
                how = f"the conditional edge {branch.name!r} of {source!r}"
                yield from ((source, target, how) for target in (branch.ends or {}).values())
                yield source, END, how  # where it may lead anywhere, there is its source to look at
        for source, targets in self.destinations.items():
            yield from ((source, target, f"what node {source!r} says of its destinations") for target in targets or ())

    def _check_reach(self, nodes: list[str]) -> None:
        """A node that can never run is a forgotten edge. Where a branch may lead anywhere, nothing is certain."""
        if any(branch.ends is None for branches in self.branches.values() for branch in branches.values()):
            return
        ways: dict[str, set[str]] = {}
        for source, target, _ in self._all_edges():
            ways.setdefault(source, set()).add(target)
        reached, waiting = {START}, [START]
        while waiting:
            for target in ways.get(waiting.pop(), set()) - reached:
                reached.add(target)
                waiting.append(target)
        lost = [name for name in nodes if name not in reached]
        if lost:
            msg = (
                f"no edge leads to node {lost[0]!r}, so it can never run: add_edge(..., {lost[0]!r}); or, when a node's Command "
                f"leads there, say so: add_node(..., destinations=[{lost[0]!r}])"
            )
            raise PolicyError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a state graph's classes say.

    Attributes:
        state: The state.
        input: What goes in.
        output: What comes out.
        context: What ``runtime.context`` is made of; None: handed through.
    """

    state: Schema
    input: Schema
    output: Schema
    context: Any = None
