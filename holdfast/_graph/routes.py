"""Where a graph goes: `Send`, and what a node's result is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from holdfast._graph.schema import taken_apart
from holdfast._lookalikes import langgraphs
from holdfast.errors import InvalidUpdateError
from holdfast.runtime.interrupt import NOTHING, Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, KeysView

    from holdfast._graph.schema import Update

START = "__start__"
"""Where a graph begins: ``add_edge(START, "first")``."""
END = "__end__"
"""Where a graph ends: ``add_edge("last", END)``."""


@dataclass(frozen=True, slots=True)
class Send:
    """A call of a node with an argument of its own instead of the state; several of one node run in parallel.

    Attributes:
        node: The node's name.
        arg: What it gets.
    """

    node: str
    arg: Any


class StateUpdate(NamedTuple):
    """What `CompiledStateGraph.bulk_update_state` writes as one node.

    Attributes:
        values: What to write: a dict, or an object of the state's class; None writes nothing.
        as_node: The node; None, where nothing else is written in the same superstep: the one that ran last.
    """

    values: Any
    as_node: str | None = None


class Written(msgspec.Struct, frozen=True):
    """What came of one call of a node: this is what a checkpointer keeps of it.

    Attributes:
        update: What it writes to the state, in order.
        goto: Where it goes beside its edges: what its `Command` and its conditional edges say.
        is_handled: True for what an error handler returned: it follows no edges of the node that failed.
        is_for_parent: True for a command to the graph around.
    """

    update: Update = ()
    goto: tuple[str | Send, ...] = ()
    is_handled: bool = False
    is_for_parent: bool = False

    def going(self, goto: tuple[str | Send, ...]) -> Written:
        """The same, with more places to go to."""
        return self if not goto else Written(self.update, self.goto + goto, self.is_handled, self.is_for_parent)

    def shown(self) -> dict[str, Any] | None:
        """The update as streams tell it."""
        return dict(self.update) if self.update else None


def written_by(node: str, result: Any, keys: KeysView[str], targets: Collection[str]) -> Written:
    """What a node's result says.

    Args:
        node: The node.
        result: A dict, a state object, a `Command`, None, or a list of such.
        keys: The keys of the state.
        targets: Where one can go.

    Raises:
        InvalidUpdateError: It has a key that the state has not, goes where there is no node, or is none of these.
    """
    if type(result) is dict and result.keys() <= keys:  # what most nodes return
        return Written(tuple(result.items()))  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(result, (list, tuple, Command)):
        plain = taken_apart(result, node)
        check_keys(node, plain, keys)
        return Written(plain)
    parts = _listed(result)
    update: Update = ()
    goto: tuple[str | Send, ...] = ()
    for_parent = {isinstance(part, Command) and part.graph == Command.PARENT for part in parts}
    if len(for_parent) > 1:
        msg = f"node {node!r} returned commands for its own graph and for the one around: return one sort"
        raise InvalidUpdateError(msg, node=node)
    for part in parts:
        update += taken_apart(part.update if isinstance(part, Command) else part, node)
        goto += goto_of(node, cast("Any", part)) if isinstance(part, Command) else ()
    if True in for_parent:  # its keys and targets are the parent's to check
        return Written(update, goto, is_for_parent=True)
    check_keys(node, update, keys)
    return Written(update, checked_targets(node, goto, targets))


def goto_of(node: str, command: Command[Any]) -> tuple[str | Send, ...]:
    """The targets of a command."""
    if command.graph not in {None, Command.PARENT}:
        msg = f"node {node!r} returned Command(graph={command.graph!r}): leave it out, or give Command.PARENT"
        raise InvalidUpdateError(msg, node=node)
    if command.resume is not NOTHING and node != START:
        msg = f"node {node!r} returned Command(resume=...): an answer is given to invoke, a node says update= and goto="
        raise InvalidUpdateError(msg, node=node)
    return as_targets(command.goto)


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]  # pyright: ignore[reportUnknownArgumentType]


def as_targets(goto: Any) -> tuple[Any, ...]:
    """One target, or several, as a tuple."""
    return tuple(goto) if isinstance(goto, (list, tuple, set, frozenset)) else (goto,)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def check_keys(node: str, update: Update, keys: Collection[str]) -> None:
    """Refuse keys that the state has not.

    Raises:
        InvalidUpdateError: There is one.
    """
    for key, _ in update:
        if key not in keys:
            who = "the input has" if node == START else "the update has" if not node else f"node {node!r} returned"
            msg = f"{who} a key {key!r} that is not declared{_meant(key, keys)}; declared are: {', '.join(map(str, keys))}"
            raise InvalidUpdateError(msg, node=node, key=str(key))


def checked_targets(node: str, goto: Iterable[Any], targets: Collection[str], by: str = "") -> tuple[str | Send, ...]:
    """The targets, when there are such nodes; `END` is dropped, for it leads nowhere.

    Raises:
        InvalidUpdateError: One is no node, or no name.
    """
    found: list[str | Send] = []
    for target in goto:
        name = target.node if isinstance(target, Send) else target
        if name == END and not isinstance(target, Send):
            continue
        if not isinstance(name, str) or name not in targets:
            how = f"the conditional edge {by!r} of node {node!r} leads" if by else f"node {node!r} goes" if node else "the command goes"
            theirs = langgraphs(target)
            why = f"which is {theirs}" if theirs else f"and there is no such node{_meant(name, targets)}; there are: {', '.join(targets)}"
            msg = f"{how} to {target!r:.80}, {why}"
            raise InvalidUpdateError(msg, node=node)
        found.append(target)
    return tuple(found)


def _meant(name: Any, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(str(name), list(known), n=1, cutoff=0.75)
    return f" (did you mean {close[0]!r}?)" if close else ""
