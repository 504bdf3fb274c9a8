"""Answer a question from the text files of a folder, as a state graph: plan, read every file, judge, widen the search if need be, write.

    $ python examples/research_graph.py "how long does a retry wait" docs

The files are read in parallel. Kill it whenever you like and start it again with the same words: files that were read are not read again.
What it remembers is in `research.db`. With `--draw` it only draws the graph.
"""

from __future__ import annotations

import argparse
import hashlib
import operator
import re
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from holdfast import END, START, CompiledStateGraph, Send, SqliteSaver, StateGraph

ENOUGH = 3
"""Passages that make a report."""
ROUNDS = 3
"""Times that the files are read, at most."""
SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "do",
        "does",
        "for",
        "from",
        "how",
        "in",
        "is",
        "it",
        "long",
        "many",
        "much",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
    ]
)


class Passage(TypedDict):
    """A paragraph that has some of the words looked for."""

    file: str
    line: int
    text: str
    hits: int


class Research(TypedDict):
    """What the nodes work on."""

    question: str
    folder: str
    words: list[str]
    rounds: int
    passages: Annotated[list[Passage], operator.add]
    report: str


class Order(TypedDict):
    """What one call of `read` gets."""

    file: str
    words: list[str]


def plan(state: Research) -> dict[str, object]:
    """The words worth looking for."""
    words = [word for word in re.findall(r"\w+", state["question"].lower()) if word not in SMALL_WORDS]
    return {"words": words or [state["question"].lower()], "rounds": 1}


def files(state: Research) -> list[Send | str]:
    """One call of `read` for each file; nothing to read is a report, too."""
    found = sorted(path for path in Path(state["folder"]).rglob("*") if path.suffix in {".md", ".txt", ".rst"} and path.is_file())
    return [Send("read", {"file": str(path), "words": state["words"]}) for path in found] or ["write"]


def read(order: Order) -> dict[str, list[Passage]]:
    """The best paragraph of a file."""
    print(f"reading {order['file']}\n", end="", flush=True)  # the newline too: several of these run at once
    best: Passage | None = None
    line = 1
    for paragraph in Path(order["file"]).read_text(encoding="utf-8").split("\n\n"):
        text = " ".join(paragraph.split())
        hits = sum(word in text.lower() for word in order["words"])
        if hits > (0 if best is None else best["hits"]):
            best = {"file": order["file"], "line": line + len(paragraph) - len(paragraph.lstrip("\n")), "text": text, "hits": hits}
        line += paragraph.count("\n") + 2
    return {"passages": [] if best is None else [best]}


def judge(state: Research) -> Literal["write", "widen"]:
    """Is it enough, or is there no use in going on?"""
    good = {(each["file"], each["line"]) for each in state["passages"] if each["hits"] * 2 >= len(state["words"])}
    return "write" if len(good) >= ENOUGH or state["rounds"] >= ROUNDS else "widen"


def widen(state: Research) -> dict[str, object]:
    """Look for the beginnings of the words, shorter each time."""
    return {"words": [word[: max(4, len(word) - state["rounds"])] for word in state["words"]], "rounds": state["rounds"] + 1}


def write(state: Research) -> dict[str, str]:
    """The passages, the best ones first, each once."""
    best: dict[tuple[str, int], Passage] = {}
    for each in state["passages"]:
        key = each["file"], each["line"]
        best[key] = max(best.get(key, each), each, key=lambda passage: passage["hits"])
    ranked = sorted(best.values(), key=lambda passage: (-passage["hits"], passage["file"]))[:ENOUGH]
    quoted = [f"{number}. {each['text'][:300]}\n   ({each['file']}, line {each['line']})" for number, each in enumerate(ranked, 1)]
    return {"report": "\n".join([f"# {state['question']}", "", *(quoted or ["Nothing was found."])])}


def judged(_: Research) -> None:
    """Where all files have been read: `judge` decides what comes next."""


def built(saver: SqliteSaver | None = None) -> CompiledStateGraph:
    """The graph."""
    graph = StateGraph(Research)
    for node in (plan, read, judged, widen, write):
        graph.add_node(node)
    graph.add_edge(START, "plan").add_conditional_edges("plan", files, ["read", "write"])
    graph.add_edge("read", "judged").add_conditional_edges("judged", judge)
    graph.add_conditional_edges("widen", files, ["read"]).add_edge("write", END)
    return graph.compile(saver, name="research")


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("question", nargs="?", default="")
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--draw", action="store_true", help="draw the graph instead")
    given = parser.parse_args()
    if given.draw:
        print(built().get_graph().draw_ascii())
        return
    app = built(SqliteSaver("research.db"))
    thread = hashlib.sha256(f"{given.question}\0{given.folder}".encode()).hexdigest()[:12]
    stands = app.get_state(thread_id=thread)
    start: dict[str, object] | None = None if stands.next else {"question": given.question, "folder": given.folder, "passages": []}
    if start is not None and stands.values:  # asked before, and answered
        print(stands.values["report"])
        return
    print(app.invoke(start, thread_id=thread)["report"])


if __name__ == "__main__":
    main()
