"""Makes a large tree small: equal siblings stand for one another, branches without errors can be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from holdfast.cli.describe import queued
from holdfast.tracing import convention as names
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.tracing.store.tree import Node

SHOWN = 3
"""How many of a group of equal siblings are drawn, when there are at least two more."""


class More(NamedTuple):
    """Siblings that are not drawn, because they are like the node before them.

    Attributes:
        like: One of them.
        number: How many.
        slowest_s: Seconds of the one that took longest.
    """

    like: Node
    number: int
    slowest_s: float


def signatures(nodes: Sequence[Node]) -> dict[int, int]:
    """A number for each node, by ``id()``: the same for nodes that differ only in times, arguments and texts, down to the leaves."""
    numbers: dict[tuple[object, ...], int] = {}
    found: dict[int, int] = {}
    for node in reversed(list(tree.walk(nodes))):  # children before parents
        what = (
            node.kind,
            node.label,
            node.outcome,
            node.row.status,
            node.get(names.ERROR_TYPE),
            node.get(names.CACHE_RESULT),
            bool(queued(node)),
        )
        children = tuple(found[id(child)] for child in node.children)
        found[id(node)] = numbers.setdefault((*what, children), len(numbers))
    return found


def collapsed(siblings: Sequence[Node], numbers: dict[int, int]) -> Iterator[Node | More]:
    """The siblings, with all but the first `SHOWN` of each large group of equal ones replaced by one `More`."""
    groups: dict[int, list[Node]] = {}
    for node in siblings:
        groups.setdefault(numbers[id(node)], []).append(node)
    for node in siblings:
        group = groups[numbers[id(node)]]
        is_large = len(group) > SHOWN + 1
        if not is_large or any(node is shown for shown in group[:SHOWN]):
            yield node
        if is_large and node is group[SHOWN - 1]:
            rest = group[SHOWN:]
            yield More(node, len(rest), max(each.row.seconds for each in rest))


def folded(nodes: Sequence[Node]) -> list[Node]:
    """Copies of the trees in which a task with a single attempt is that attempt: one line instead of two that say the same."""
    copies: dict[int, Node] = {}
    for node in reversed(list(tree.walk(nodes))):  # children before parents
        children = [copies[id(child)] for child in node.children]
        row = node.row
        if node.kind == "task" and len(children) == 1 and children[0].kind == "attempt" and not children[0].get(names.RETRY_SCHEDULED):
            (only,) = children
            row, children = msgspec.structs.replace(row, attributes=only.row.attributes | row.attributes), only.children
        copies[id(node)] = tree.Node(row, node.kind, children)
    return [copies[id(node)] for node in nodes]


def with_errors(nodes: Sequence[Node]) -> list[Node]:
    """Copies of the trees that keep only what failed, and the way to it."""
    copies: dict[int, Node] = {}
    for node in reversed(list(tree.walk(nodes))):  # children before parents
        children = [copies[id(child)] for child in node.children if id(child) in copies]
        if children or node.is_failed:
            copies[id(node)] = tree.Node(node.row, node.kind, children)
    return [copies[id(node)] for node in nodes if id(node) in copies]
