"""Pictures of a graph: what nodes and edges there are, as Mermaid text and in letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast._graph.letters import drawn
from holdfast._graph.routes import END, START

if TYPE_CHECKING:
    from holdfast._graph.layout import Drawing

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
        nodes: The nodes, `START` first, `END` last.
        edges: The edges; a node that nothing follows has one to `END`.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]

    def draw_mermaid(self) -> str:
        """The graph in the language of https://mermaid.js.org, which many viewers of Markdown draw.

        Returns:
            The text, as LangGraph writes it; edges that something decides about are dotted.
        """
        lines = [f"\t{_box(node)}\n" for node in self.nodes]
        for edge in self.edges:
            label = "" if edge.data is None else f" &nbsp;{edge.data}&nbsp; "
            dotted, plain = f"-.{label}.->" if label else "-.->", f"--{label}-->" if label else "-->"
            lines.append(f"\t{_id(edge.source)} {dotted if edge.conditional else plain} {_id(edge.target)};\n")
        return _HEAD + "".join(lines) + _FOOT

    def draw_ascii(self) -> str:
        """The graph in letters, from top to bottom; edges that lead back up are listed below it.

        Returns:
            The text; edges that something decides about are dotted.
        """
        return drawn(self.nodes, [(edge.source, edge.target, edge.conditional) for edge in self.edges])


def picture(nodes: tuple[str, ...], drawing: Drawing) -> Picture:
    """The picture of a graph."""
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


def _id(node: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\{ord(letter):x}" for letter in node)


def _box(node: str) -> str:
    if node == START:
        return f"{node}([<p>{node}</p>]):::first"
    if node == END:
        return f"{node}([<p>{node}</p>]):::last"
    return f"{_id(node)}({node})"
