"""A compiled graph: everything its runs and its pictures need, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast._graph.kept import GraphCodec, handler_name
from holdfast._graph.nodes import Node, Route, Ways, checked, function_of, handler_plan, node_plan, start_node
from holdfast._graph.routes import START
from holdfast._plans import build_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast._graph.channels import Channel
    from holdfast._graph.layout import Drawing, Join, Shape
    from holdfast._graph.schema import Schema
    from holdfast._plans import Retries, Timeout
    from holdfast.policies import CachePolicy
    from holdfast.policies.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What `StateGraph.add_node` was given for one node; None where `StateGraph.set_node_defaults` decides."""

    function: Callable[..., Any]
    schema: Schema
    retry_policy: Retries = None
    cache_policy: CachePolicy | None = None
    timeout: Timeout = None
    error_handler: Callable[..., Any] | None = None
    is_deferred: bool = False
    inner: Parts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A compiled graph.

    Attributes:
        name: Its name.
        shape: Its classes.
        channels: All keys of its state, those that only its nodes' own classes name included.
        nodes: Its nodes.
        start: Decides where it begins; None: its edges say.
        edges: Where the plain edges of each node lead.
        joins: Edges from several nodes.
        joins_of: Which of those wait for each node.
        deferred: The nodes that wait until nothing else is left.
        codec: Encodes what is kept of it.
        drawing: Its edges as they were drawn.
        is_async: Whether any of its nodes is.
    """

    name: str
    shape: Shape
    channels: dict[str, Channel]
    nodes: dict[str, Node]
    start: Node | None
    edges: dict[str, tuple[str, ...]]
    joins: tuple[Join, ...]
    joins_of: dict[str, tuple[int, ...]]
    deferred: frozenset[str]
    codec: GraphCodec
    drawing: Drawing
    is_async: bool

    def ordered(self, values: dict[str, Any]) -> dict[str, Any]:
        """A state with its keys in the order in which they were declared."""
        return {key: values[key] for key in self.channels if key in values}

    def public(self, values: dict[str, Any]) -> dict[str, Any]:
        """The keys of the state's own class: those that only nodes' classes name are theirs."""
        return {key: values[key] for key in self.shape.state.keys if key in values}

    def output(self, values: dict[str, Any]) -> dict[str, Any]:
        """What comes out: the keys of the output class that are known."""
        return {key: values[key] for key in self.shape.output.keys if key in values}


def assemble(name: str, shape: Shape, options: dict[str, NodeOptions], drawing: Drawing) -> Parts:
    """Make the parts of a graph whose edges have been checked.

    Raises:
        PolicyError: A node's function or policy cannot work.
    """
    schemas = [shape.state, shape.input, shape.output, *(each.schema for each in options.values())]
    channels: dict[str, Channel] = {}
    for schema in schemas:
        for key, channel in schema.channels.items():
            channels.setdefault(key, channel)
    annotations = [channel.annotation for schema in schemas for channel in schema.channels.values()]
    codec = GraphCodec([*annotations, *(schema.cls for schema in schemas)])
    ways = Ways(channels, tuple(options), codec)
    nodes = {node: _node(node, each, drawing, ways) for node, each in options.items()}
    routes = _routes(START, drawing, shape.input, ways)
    sources = (START, *options)
    return Parts(
        name=name,
        shape=shape,
        channels=channels,
        nodes=nodes,
        start=start_node(shape.input, routes, ways) if routes else None,
        edges={source: drawing.after(source) for source in sources},
        joins=tuple(drawing.joins),
        joins_of={source: numbers for source in sources if (numbers := drawing.joins_of(source))},
        deferred=frozenset(node for node, each in options.items() if each.is_deferred),
        codec=codec,
        drawing=drawing,
        is_async=any(node.plan.is_async for node in nodes.values()),
    )


def _node(name: str, options: NodeOptions, drawing: Drawing, ways: Ways) -> Node:
    what = f"node {name!r}"
    inner = build_plan(
        function_of(options.function, what),
        decorator="node",
        name=name,
        retry_policy=options.retry_policy,
        cache_policy=options.cache_policy,
        timeout=options.timeout,
    )
    routes = _routes(name, drawing, options.schema, ways)
    plan = node_plan(checked(inner, what), routes, ways, is_graph=options.inner is not None)
    return Node(name, plan, options.schema, routes, _handling(name, options.error_handler, ways), options.is_deferred, options.inner)


def _handling(node: str, handler: Callable[..., Any] | None, ways: Ways) -> Plan | None:
    """The plan of a node's error handler."""
    if handler is None:
        return None
    what = f"the error handler of node {node!r}"
    inner = build_plan(function_of(handler, what), decorator="node", name=handler_name(node))
    return handler_plan(checked(inner, what, "error"), node, ways)


def _routes(name: str, drawing: Drawing, schema: Schema, ways: Ways) -> tuple[Route, ...]:
    """The conditional edges of a node, or of `START`."""
    return tuple(Route(name, branch, branch.schema or schema, ways) for branch in drawing.branches.get(name, {}).values())
