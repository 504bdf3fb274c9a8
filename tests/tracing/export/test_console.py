"""Trees on a terminal."""

from __future__ import annotations

from holdfast.tracing.export import console
from holdfast.tracing.export.console import Trees
from holdfast.tracing.spans.records import SpanRow


def row(span_id, parent_id="", trace_id="t", **more):
    return SpanRow(
        **{"trace_id": trace_id, "span_id": span_id, "parent_id": parent_id, "name": span_id, "start_ns": 0, "end_ns": 10**9, **more}
    )


def test_a_trace_is_a_tree_with_what_a_person_asks_for():
    """Names, durations, attempts, waits, errors and hits."""
    rows = [
        row("forecast attempt 1", "forecast", status="error", status_text="reset", end_ns=10**8,
            attributes={"holdfast.span.type": "attempt", "error.type": "ConnectionError", "holdfast.retry.wait_s": 0.4}),
        row("forecast attempt 2", "forecast", start_ns=5 * 10**8, attributes={"holdfast.span.type": "attempt"}),
        row("forecast", "run plan", attributes={"holdfast.span.type": "task", "holdfast.attempt.count": 2, "holdfast.retry.count": 1, "holdfast.cache.result": "miss"}),
        row("summary", "run plan", start_ns=10**9, attributes={"holdfast.span.type": "task", "holdfast.cache.result": "hit"}),
        row("run plan", attributes={"holdfast.span.type": "run", "holdfast.run.outcome": "ok"}),
    ]  # fmt: skip

    assert [
        "run plan                                              1.000 s",
        "  forecast                                            1.000 s  miss  2 attempts",
        "    forecast attempt 1                       ERROR    0.100 s  ConnectionError: reset  next in 0.4 s",
        "    forecast attempt 2                                0.500 s",
        "  summary                                             0.000 s  hit",
    ] == list(console.render(rows))


def test_a_trace_is_printed_when_its_root_has_ended():
    """Children end first."""
    printed = []
    trees = Trees(printed.append)
    trees.add(row("b", "a"), is_root=False)
    assert [] == printed

    trees.add(row("a"), is_root=True)

    assert ["a", "b"] == [line.split()[0] for line in printed]


def test_a_root_may_have_its_parent_in_another_process():
    """Then its children are complete as well."""
    printed = []
    Trees(printed.append).add(row("a", "elsewhere"), is_root=True)

    assert "a" in printed[-1]


def test_what_ends_after_its_tree_is_printed_when_it_ends():
    """A thread that a body left behind, say; with its own part of the tree, and the name of the span it belongs to."""
    printed = []
    trees = Trees(printed.append)
    trees.add(row("run"), is_root=True)
    del printed[:]

    trees.add(row("GET", "late"), is_root=False)
    trees.add(row("unrelated", "open"), is_root=False)
    assert [] == printed
    trees.add(row("late", "run"), is_root=False)
    trees.add(row("later", "late"), is_root=False)

    assert ["after run had ended:", "late", "GET", "after late had ended:", "later"] == [
        line if line.startswith("after") else line.split()[0] for line in printed
    ]


def test_what_has_been_printed_is_not_remembered_for_ever(monkeypatch):
    """A program may run for years."""
    monkeypatch.setattr(console, "MAX_TRACES", 2)
    printed = []
    trees = Trees(printed.append)
    for number in range(3):
        trees.add(row(f"r{number}", trace_id=str(number)), is_root=True)
    del printed[:]
    trees.add(row("late", "r0", trace_id="0"), is_root=False)
    assert [] == printed
    trees.add(row("late", "r2", trace_id="2"), is_root=False)

    assert "after r2 had ended:" == printed[0]


def test_memory_is_bounded_in_spans(monkeypatch):
    """A long trace is printed in parts."""
    monkeypatch.setattr(console, "MAX_SPANS", 3)
    printed = []
    trees = Trees(printed.append)
    for number in range(3):
        trees.add(row(str(number), "root"), is_root=False)

    assert 3 == sum(line.strip().startswith(("0", "1", "2")) for line in printed)


def test_memory_is_bounded_in_traces(monkeypatch):
    """Of too many open ones the oldest is printed as far as it is known."""
    monkeypatch.setattr(console, "MAX_TRACES", 2)
    printed = []
    trees = Trees(printed.append)
    for number in range(3):
        trees.add(row(f"s{number}", "root", trace_id=str(number)), is_root=False)

    assert any("s0" in line for line in printed)
    assert not any("s1" in line for line in printed)
