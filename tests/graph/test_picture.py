"""Pictures of graphs: Mermaid text as LangGraph writes it, and letters."""

from __future__ import annotations

import textwrap
from typing import TypedDict

import pytest

from holdfast import END, START, Command, StateGraph


class State(TypedDict):
    n: int


def passes(state):
    """Writes nothing."""


def graph_of(names: str) -> StateGraph:
    graph = StateGraph(State)
    for name in names.split():
        graph.add_node(name, passes)
    return graph


def drawn(graph: StateGraph) -> str:
    return graph.compile().get_graph().draw_ascii()


def text(picture: str) -> str:
    return textwrap.dedent(picture).strip("\n")


def test_mermaid():
    """The head and foot of LangGraph's; what nothing follows leads to the end; what is decided is dotted, with its answer."""
    graph = graph_of("a b").add_edge(START, "a").add_conditional_edges("a", passes, {"again": "a", "b": "b"})

    assert text(
        """
        ---
        config:
          flowchart:
            curve: linear
        ---
        graph TD;
        \t__start__([<p>__start__</p>]):::first
        \ta(a)
        \tb(b)
        \t__end__([<p>__end__</p>]):::last
        \t__start__ --> a;
        \ta -. &nbsp;again&nbsp; .-> a;
        \ta -.-> b;
        \tb --> __end__;
        \tclassDef default fill:#f2f0ff,line-height:1.2
        \tclassDef first fill-opacity:0
        \tclassDef last fill:#bfb6fc
        """
    ) == graph.compile().get_graph().draw_mermaid().rstrip("\n")


def test_letters_of_a_diamond():
    """Rows from top to bottom, and an edge that passes a row has a place in it."""
    graph = graph_of("a bb c").add_edge(START, "a").add_edge("a", "bb").add_edge("a", "c").add_edge("bb", "c").add_edge("c", END)

    assert (
        text(
            """
        +-----------+
        | __start__ |
        +-----------+
              |
              v
            +---+
            | a |
            +---+
              |
            +-+---+
            v     |
         +----+   |
         | bb |   |
         +----+   |
            |     |
            | +---+
            +-+
              v
            +---+
            | c |
            +---+
              |
              v
         +---------+
         | __end__ |
         +---------+
        """
        ).splitlines()
        == drawn(graph).splitlines()
    )


def test_what_leads_back_is_listed():
    """Loops, of a node with itself too, are no lines of the picture."""
    graph = graph_of("a b").add_edge(START, "a").add_edge("a", "b").add_edge("b", "b").add_conditional_edges("b", passes, ["a"])

    assert ["b --> b", "b ..> a"] == drawn(graph).splitlines()[-2:]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_every_node_is_in_the_picture_once(size):
    """However long the chain and wide the fan."""
    names = [f"node{number}" for number in range(size)]
    chain, fan = graph_of(" ".join(names)), graph_of(" ".join(names))
    for before, after in zip([START, *names], [*names, END], strict=True):
        chain.add_edge(before, after)
    for name in names:
        fan.add_edge(START, name)

    for picture in (drawn(chain), drawn(fan)):
        assert [1] * size == [picture.count(f"| {name} |") for name in names]


def test_destinations_of_commands():
    """Dotted, whether an annotation or the option says so."""
    graph = graph_of("b").add_node("a", lambda state: Command(goto="b"), destinations=("b",)).add_edge(START, "a")

    assert ("a", "b", None, True) in graph.compile().get_graph().edges


def test_a_branch_without_a_map_may_lead_anywhere():
    """To each node, and to the end."""
    graph = graph_of("a b").add_conditional_edges(START, lambda state: "a")

    assert {"a", "b", END} == {edge.target for edge in graph.compile().get_graph().edges if edge.source == START}
