"""Pictures of a graph: what nodes and edges there are, as Mermaid text and in letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast._graph.letters import drawn
from holdfast._graph.routes import END, START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast._graph.layout import Drawing
    from holdfast._graph.parts import Parts

_HEAD = "---\nconfig:\n  flowchart:\n    curve: linear\n---\ngraph TD;\n"
_FOOT = "\tclassDef default fill:#f2f0ff,line-height:1.2\n\tclassDef first fill-opacity:0\n\tclassDef last fill:#bfb6fc\n"


class Edge(NamedTuple):
    """An edge in a picture.

    Attributes:
        source: Where it begins.
        target: Where it ends.
        data: What its function returns to go there, when that is not the target's name.
        conditional: Whether something decides if it is gone along.
    """

    source: str
    target: str
    data: str | None = None
    conditional: bool = False


class Picture(NamedTuple):
    """What `CompiledStateGraph.get_graph` returns.

    Attributes:
        nodes: The nodes, `START` first, `END` last; with ``xray``, those of a graph that is the node ``search`` are named ``search:...``.
        edges: The edges; a node that nothing follows has one to `END`.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]

    def draw_mermaid(self) -> str:
        """The graph in the language of https://mermaid.js.org, which many viewers of Markdown draw.

        Returns:
            The text, as LangGraph writes it; edges that something decides about are dotted, and the nodes of an inner graph have a frame.
        """
        lines = [*self._boxes(""), *self._inside("")]
        return _HEAD + "".join(f"\t{line}\n" for line in lines) + _FOOT

    def _boxes(self, graph: str) -> list[str]:
        return [_box(node) for node in self.nodes if _graph_of(node) == graph]

    def _inside(self, graph: str) -> Iterator[str]:
        """The edges of a graph, and the graphs inside it."""
        yield from (_line(edge) for edge in self.edges if _common(edge) == graph)
        for inner in self._graphs():
            if _graph_of(inner) == graph:
                yield f"subgraph {self._frame(inner)}"
                yield from self._boxes(inner)
                yield from self._inside(inner)
                yield "end"

    def _graphs(self) -> list[str]:
        """The inner graphs that there are, also those that hold nothing but graphs."""
        found = [":".join(parts[:depth]) for node in self.nodes for parts in [node.split(":")] for depth in range(1, len(parts))]
        return list(dict.fromkeys(found))

    def _frame(self, graph: str) -> str:
        """The last part of its name, as LangGraph does it, unless another one has the same."""
        name = graph.rpartition(":")[2]
        is_only = [each.rpartition(":")[2] for each in self._graphs()].count(name) == 1
        return name if is_only else f"{_id(graph)}[{name}]"

    def draw_ascii(self) -> str:
        """The graph in letters, from top to bottom; edges that lead back up are listed below it.

        Returns:
            The text; edges that something decides about are dotted.
        """
        return drawn(self.nodes, [(edge.source, edge.target, edge.conditional) for edge in self.edges])


def opened(outer: Picture, node: str, inner: Picture) -> Picture:
    """A picture with the nodes of a graph in the place of the node that it is.

    Args:
        outer: The picture.
        node: The node.
        inner: The picture of its graph. Its `START` and `END` are left out where one edge leads from or to them, as in LangGraph.

    Returns:
        The picture; the same one when that graph has not one first and one last node.
    """
    inner = _without_end(_without_end(inner, START, first=True), END, first=False)
    firsts, lasts = _ends(inner, first=True), _ends(inner, first=False)
    if len(firsts) != 1 or len(lasts) != 1:
        return outer
    first, last = f"{node}:{firsts[0]}", f"{node}:{lasts[0]}"
    own = [
        edge._replace(source=last if edge.source == node else edge.source, target=first if edge.target == node else edge.target)
        for edge in outer.edges
    ]
    added = [edge._replace(source=f"{node}:{edge.source}", target=f"{node}:{edge.target}") for edge in inner.edges]
    at = outer.nodes.index(node)
    return Picture((*outer.nodes[:at], *(f"{node}:{each}" for each in inner.nodes), *outer.nodes[at + 1 :]), (*own, *added))


def _ends(picture: Picture, *, first: bool) -> list[str]:
    """The nodes to which no edge leads, or from which none does."""
    led = {edge.target if first else edge.source for edge in picture.edges}
    return [node for node in picture.nodes if node not in led]


def _without_end(picture: Picture, node: str, *, first: bool) -> Picture:
    """Without a node at one end, where that leaves one other."""
    touching = [edge for edge in picture.edges if node in {edge.source, edge.target}]
    rest = Picture(tuple(each for each in picture.nodes if each != node), tuple(edge for edge in picture.edges if edge not in touching))
    return rest if len(touching) == 1 and len(_ends(rest, first=first)) == 1 else picture


def picture_of(parts: Parts, *, xray: bool | int) -> Picture:
    """The picture of a graph; with ``xray`` its inner graphs are opened, True all of them, a number so many levels."""
    found = picture(tuple(parts.nodes), parts.drawing)
    if xray:
        deeper = xray if xray is True else xray - 1
        for name, node in parts.nodes.items():
            if node.inner is not None:
                found = opened(found, name, picture_of(node.inner, xray=deeper))
    return found


def picture(nodes: tuple[str, ...], drawing: Drawing) -> Picture:
    """The picture of a graph without a look into its nodes."""
    edges = [Edge(source, target) for source, target in drawing.edges]
    edges += [Edge(source, join.target) for join in drawing.joins for source in join.sources]
    for source, branches in drawing.branches.items():
        for branch in branches.values():
            ends = {name: name for name in (*nodes, END)} if branch.ends is None else branch.ends
            edges += [Edge(source, target, None if answer == target else str(answer), conditional=True) for answer, target in ends.items()]
    for source, targets in drawing.destinations.items():
        edges += [Edge(source, target, conditional=True) for target in targets or ()]
    led = {edge.source for edge in edges}
    edges += [Edge(node, END) for node in nodes if node not in led]
    ends_somewhere = any(edge.target == END for edge in edges)
    return Picture((START, *nodes, *((END,) if ends_somewhere else ())), tuple(dict.fromkeys(edges)))


def _graph_of(node: str) -> str:
    """The inner graph that a node is one of; empty for the outer graph."""
    return node.rpartition(":")[0]


def _common(edge: Edge) -> str:
    """The innermost graph that has both ends of an edge in it."""
    common: list[str] = []
    for one, other in zip(_graph_of(edge.source).split(":"), _graph_of(edge.target).split(":"), strict=False):
        if one != other:
            break
        common.append(one)
    return ":".join(common)


def _line(edge: Edge) -> str:
    label = "" if edge.data is None else f" &nbsp;{edge.data}&nbsp; "
    dotted, plain = f"-.{label}.->" if label else "-.->", f"--{label}-->" if label else "-->"
    return f"{_id(edge.source)} {dotted if edge.conditional else plain} {_id(edge.target)};"


def _id(node: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\{ord(letter):x}" for letter in node)


def _box(node: str) -> str:
    name = node.rpartition(":")[2]
    label = f"<p>{name}</p>" if name in {START, END} else name
    if node == START:
        return f"{node}([{label}]):::first"
    if node == END:
        return f"{node}([{label}]):::last"
    return f"{_id(node)}({label})"
