"""Draws the tree of a run as a person reads it in five seconds: what was called, what went wrong, what was waited for, how long it took."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from holdfast.cli import describe, groups
from holdfast.cli.groups import More
from holdfast.cli.marks import ASCII, UNICODE, cells, count, took
from holdfast.tracing.store import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdfast.cli.marks import Marks
    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.tree import Node, SpanKey, Summary

_TOOK_WIDTH = 11  # cells for "2 min 05 s" and a space before it
_BAR_WIDTH = 24
_WIDE = 100  # cells from which there is room for bars
_NARROWEST = 40
_DEEPEST = 0.4  # of the width: deeper branches are not indented further
_LONGEST_END = 0.4  # of the room for texts, what may stand behind short ones
_SHORT_ARGUMENTS = 12  # cells, where an error needs the room
_DIM = "bright_black"


class Line(NamedTuple):
    """One line before it is laid out.

    Attributes:
        indent: The lines of the tree that lead to it.
        parts: Texts with their styles.
        took: What stands at the right, or ``""``.
        node: Whose bar is drawn, if any.
        short: Texts to take where those do not fit; none to cut them.
        end: What stands behind the short ones, uncut.
    """

    indent: str
    parts: list[tuple[str, str]]
    took: str = ""
    node: Node | None = None
    short: Sequence[tuple[str, str]] = ()
    end: str = ""


def render_run(
    rows: Sequence[SpanRow],
    *,
    width: int = 80,
    color: bool = False,
    run_id: str = "",
    expand: bool = False,
    errors_only: bool = False,
    is_ascii: bool = False,
    durations: Mapping[SpanKey, float] | None = None,
    now_ns: int = 0,
) -> str:
    """Draw the spans of a run as a tree that ends with a summary.

    Args:
        rows: The spans of its trace, in any order.
        width: Columns; at least 40. From 100 on each line has a bar that shows when it ran.
        color: Whether to write ANSI colours.
        run_id: Draw this run only; ``""`` draws everything in the trace.
        expand: Draw every one of many equal siblings.
        errors_only: Draw only what failed, and the way to it.
        is_ascii: Use ASCII signs.
        durations: What cached values took to compute, by trace and span id, as `holdfast.tracing.store.database.TraceStore.durations` knows it.
        now_ns: Nanoseconds since the epoch, to tell what is running from what was killed; 0 leaves that open.

    Returns:
        Lines without a trailing newline; ``""`` without rows.
    """
    nodes = tree.of_run(tree.build(rows), run_id)
    if not nodes:
        return ""
    shown = groups.folded(nodes)
    if errors_only:
        shown = groups.with_errors(shown)
    drawing = _Drawing(shown, max(width, _NARROWEST), ASCII if is_ascii else UNICODE, expand=expand, now_ns=now_ns)
    lines = [drawing.text(line) for line in drawing.lines()] or [Text("nothing failed")]
    lines += [Text(), *(drawing.text(Line("", [(line, "bold")])) for line in _summary_lines(nodes, drawing, durations))]
    return write(lines, color=color)


def summary_parts(summary: Summary, marks: Marks = UNICODE) -> list[str]:
    """The figures of a run in words, those that are zero left out."""
    parts = [count(summary.calls, "call"), count(summary.attempts, "attempt")]
    if summary.retries:
        parts.append(count(summary.retries, "retry"))
    if summary.failures:
        parts.append(f"{summary.failures} failed")
    if summary.open:
        parts.append(f"{summary.open} under way")
    if summary.hits:
        parts.append(count(summary.hits, "cache hit"))
    if summary.coalesced:
        parts.append(f"{summary.coalesced} shared")
    if summary.replayed:
        parts.append(f"{summary.replayed} replayed")
    if summary.waited_s:
        parts.append(f"waited {took(summary.waited_s, marks)}")
    if summary.hits:
        parts.append(_saved(summary, marks))
    return parts


def _saved(summary: Summary, marks: Marks) -> str:
    if not summary.saved_unknown:
        return f"saved {took(summary.saved_s, marks)}"
    if summary.saved_unknown == summary.hits:
        return "time saved unknown: what filled the cache is not in this store"
    at_least = "≥" if marks is UNICODE else ">="
    return f"saved {at_least} {took(summary.saved_s, marks)} (unknown for {summary.saved_unknown} of the hits)"


def _summary_lines(nodes: Sequence[Node], drawing: _Drawing, durations: Mapping[SpanKey, float] | None) -> list[str]:
    summary = tree.summarize(nodes, durations)
    lines = _wrap(summary_parts(summary, drawing.marks), drawing)
    longest = [node for node in tree.slowest(nodes) if not describe.is_answered(node) and not node.is_open]
    if summary.calls > len(longest) > 1:
        first, *others = [f"{describe.title(node)} {took(node.row.seconds, drawing.marks)}" for node in longest]
        lines += _wrap([f"slowest: {first}", *others], drawing)
    return lines


def _wrap(parts: Sequence[str], drawing: _Drawing) -> list[str]:
    """Join with dots into lines of the width; a part that is longer itself is broken between words."""
    dot = f" {drawing.marks.dot} "
    lines: list[str] = []
    for part in parts:
        if lines and cells(lines[-1] + dot + part) <= drawing.width:
            lines[-1] += dot + part
        else:
            lines += textwrap.wrap(part, drawing.width)
    return lines


class _Drawing:
    """Turns nodes into lines, and lines into text of one width."""

    def __init__(self, nodes: Sequence[Node], width: int, marks: Marks, *, expand: bool, now_ns: int = 0) -> None:
        self.width = width
        self.marks = marks
        self._now_ns = now_ns
        self._nodes = nodes
        self._numbers = groups.signatures(nodes)
        self._expand = expand
        self._start_ns = min((node.row.start_ns for node in nodes), default=0)
        self._span_ns = max(1, max((node.row.end_ns for node in nodes), default=0) - self._start_ns)

    def lines(self) -> Iterator[Line]:
        """Every line of the trees, top to bottom."""
        stack = [(item, "", "") for item in reversed(self._siblings(self._nodes))]  # what to draw, its indent, the indent below it
        while stack:
            item, indent, below = stack.pop()
            if isinstance(item, Line):
                yield item
                continue
            if isinstance(item, More):
                yield self._more(item, indent)
                continue
            yield self._node(item, indent)
            if said := describe.wait(item, self.marks):
                stack.append((Line(below + "   ", [(said, "yellow")]), "", ""))
            children = self._siblings(item.children)
            for position in range(len(children) - 1, -1, -1):
                is_last = position == len(children) - 1
                branch, through = (self.marks.last, "   ") if is_last else (self.marks.branch, self.marks.through)
                stack.append((children[position], below + branch, below + through))

    def text(self, line: Line) -> Text:
        """Lay a line out: texts at the left, cut where there is no room; bar and duration at the right."""
        has_bars = self.width >= _WIDE
        room = self.width - _TOOK_WIDTH - (_BAR_WIDTH + 1 if has_bars else 0)
        text = self._texts(line, room if line.took else self.width)
        if line.took:
            text.append(" " * (room - text.cell_len))
            if has_bars:
                text.append(" " + (self._bar(line.node) if line.node else " " * _BAR_WIDTH), "cyan")
            text.append(f"{line.took:>{_TOOK_WIDTH}}", _DIM)
        return text

    def _texts(self, line: Line, most: int) -> Text:
        """What stands at the left, in at most so many cells."""
        indent = (line.indent[: int(self.width * _DEEPEST)], _DIM)
        text = Text.assemble(indent, *line.parts)
        if text.cell_len <= most:
            return text
        end = line.end if cells(line.end) < most * _LONGEST_END else ""
        if end:
            text = Text.assemble(indent, *line.short)
        if text.cell_len + cells(end) > most:
            text.truncate(most - len(self.marks.more) - cells(end), overflow="crop")
            text.append(self.marks.more, _DIM)
        return text.append(end, line.parts[-1][1])

    def _siblings(self, nodes: Sequence[Node]) -> list[Node | More | Line]:
        return list(nodes) if self._expand else list(groups.collapsed(nodes, self._numbers))

    def _node(self, node: Node, indent: str) -> Line:
        mark, style = describe.sign(node, self.marks, self._now_ns)
        title_style = "bold" if node.kind == "run" else _DIM if node.kind == "span" else ""
        sign = (mark + " " * (3 - cells(mark)), style)

        def parts(title: str, *, is_located: bool) -> list[tuple[str, str]]:
            facts = describe.facts(node, self._now_ns, is_located=is_located)
            return [sign, (title, title_style), *((f" {self.marks.dot} {fact}", style if node.is_failed else _DIM) for fact in facts)]

        whole = parts(describe.title(node), is_located=True)
        place = describe.place(node)
        says_place = place and whole[-1][0].endswith(")")  # else a line below does
        short = parts(describe.title(node, _SHORT_ARGUMENTS), is_located=False) if says_place else []
        return Line(indent, whole, took(describe.seconds(node, self._now_ns), self.marks), node, short, f" ({place})" if says_place else "")

    def _more(self, more: More, indent: str) -> Line:
        said = f"{self.marks.more} {more.number} more like this, {describe.fate_of_all(more.like)}"
        return Line(indent, [(said, _DIM)], f"{self.marks.at_most} {took(more.slowest_s, self.marks)}")

    def _bar(self, node: Node) -> str:
        """When the node ran, as a bar within the time of the whole tree; at least one cell long."""
        start = min(_BAR_WIDTH - 1, (node.row.start_ns - self._start_ns) * _BAR_WIDTH // self._span_ns)
        length = max(1, round((node.row.end_ns - node.row.start_ns) * _BAR_WIDTH / self._span_ns))
        return (" " * start + self.marks.bar * length)[:_BAR_WIDTH].ljust(_BAR_WIDTH)


def write(lines: Sequence[Text], *, color: bool) -> str:
    """Lay styled lines under one another, as ANSI text or without any colour."""
    if not color:
        return "\n".join(line.plain.rstrip() for line in lines)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", no_color=False, legacy_windows=False)
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False)
    return captured.get().removesuffix("\n")
