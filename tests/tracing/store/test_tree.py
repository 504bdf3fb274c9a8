"""The tree of a run: every span in one place, and figures that add up."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tracing.spans.records import SpanRow, decode, encode
from holdfast.tracing.store import tree

TRACE = "0198c0de7d3a7c1b9a4e0c8f3c3f7a10"
RUN = "0198c0de-7d3a-7c1b-9a4e-0c8f3c3f7a10"


def span(number, parent, kind="", *, start=0, end=1, status="unset", run_id=RUN, **attributes):
    """Make a row; ``number`` and ``parent`` become ids, underscores in attribute names become dots where two stand together."""
    known = {name.replace("__", "."): value for name, value in attributes.items()}
    if kind:
        known |= {"holdfast.span.type": kind, "holdfast.workflow.name": "plan"} | ({"holdfast.run.id": run_id} if run_id else {})
    parent_id = f"{parent:016x}" if parent else ""
    return SpanRow(TRACE, f"{number:016x}", parent_id, f"span {number}", start * 10**9, end * 10**9, status, "", known)


def shape(nodes):
    """Kinds and labels as nested tuples."""
    return [(node.kind, node.label, shape(node.children)) for node in nodes]


def task(number, parent=1, name="forecast", **options):
    """Make a task row."""
    return span(number, parent, "task", holdfast__task__name=name, **options)


def attempt(number, parent, n, **options):
    """Make an attempt row."""
    return span(number, parent, "attempt", holdfast__attempt__number=n, holdfast__task__name="forecast", **options)


def test_nests_runs_tasks_attempts_and_other_spans():
    """Children stand under their parents in order of time, whatever the order of the rows."""
    rows = [
        span(5, 4, start=3),
        attempt(4, 2, 2, start=2),
        attempt(3, 2, 1, start=1),
        task(6, name="geocode", start=9),
        task(2, start=1),
        span(1, 0, "run"),
    ]

    assert [
        (
            "run",
            "plan",
            [
                ("task", "forecast", [("attempt", "attempt 1", []), ("attempt", "attempt 2", [("span", "span 5", [])])]),
                ("task", "geocode", []),
            ],
        )
    ] == shape(tree.build(rows))


def test_a_run_inside_somebody_elses_trace_is_a_root():
    """The caller's span belongs to another program: that is no loss worth a stand-in."""
    assert [("run", "plan", [])] == shape(tree.build([span(1, 99, "run")]))


def test_orphans_stand_inside_their_run():
    """A span whose parent was not recorded stands under a stand-in, inside its run."""
    rows = [span(1, 0, "run"), span(3, 77, "task", holdfast__task__name="geocode"), attempt(4, 88, 1)]

    assert [
        ("run", "plan", [("missing", "span", [("task", "geocode", [])]), ("missing", "forecast", [("attempt", "attempt 1", [])])])
    ] == shape(tree.build(rows))


def test_a_killed_run_has_a_stand_in():
    """Of a run that never ended, what did end stands under one node that covers its time."""
    (root,) = tree.build([task(2, start=3, end=5), attempt(4, 9, 1, start=6, end=8)])

    assert ("missing", "plan", [("task", "forecast", []), ("missing", "forecast", [("attempt", "attempt 1", [])])]) == shape([root])[0]
    assert ("", 5.0) == (root.outcome, root.row.seconds)


def test_orphans_outside_runs_are_roots_of_their_own():
    """A call under a span that another program keeps, or that has not ended."""
    assert [("missing", "span", [("task", "forecast", [])])] == shape(tree.build([task(2, parent=9, run_id="")]))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12), st.sampled_from(["", "run", "task", "attempt"]), st.booleans()), max_size=20)
)
def test_every_span_is_in_exactly_one_place(drawn):
    """For any parents at all, circles included, no span is lost or shown twice."""
    rows = {number: span(number, parent, kind, run_id=RUN if has_run else "") for number, parent, kind, has_run in drawn}

    shown = Counter(node.row.span_id for node in tree.walk(tree.build(rows.values())) if node.kind != "missing")
    assert Counter(row.span_id for row in rows.values()) == shown


def test_deep_trees_do_not_overflow():
    """Ten thousand nested spans are walked without recursion."""
    rows = [span(number, number - 1) for number in range(1, 10_001)]

    assert 10_000 == sum(1 for _ in tree.walk(tree.build(rows)))


def test_of_run_takes_one_run_of_a_trace():
    """Two runs of one trace are told apart; without an id everything is taken."""
    roots = tree.build([span(9, 0), span(1, 9, "run"), span(2, 9, "run", run_id="other"), task(3, parent=2, run_id="other")])

    assert [("run", "plan", [("task", "forecast", [])])] == shape(tree.of_run(roots, "other"))
    assert roots == tree.of_run(roots, "")
    assert roots == tree.of_run(roots, "unknown")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (span(1, 0, "run", holdfast__run__outcome="cancelled"), "cancelled"),
        (span(1, 0, "task", holdfast__task__outcome="replayed"), "replayed"),
        (span(1, 0, "attempt", status="error"), "error"),
        (span(1, 0), "ok"),
    ],
)
def test_outcome(row, expected):
    """What the span says, else what its status says."""
    assert expected == tree.build([row])[0].outcome


def test_summary_counts_calls_attempts_and_retries():
    """A call that was retried twice, one that was its own attempt and failed, one that the cache answered, one shared, one replayed."""
    rows = [
        span(1, 0, "run"),
        task(2, holdfast__attempt__count=3),
        attempt(3, 2, 1, status="error", holdfast__retry__scheduled=True, holdfast__retry__wait_s=0.5),
        attempt(4, 2, 2, status="error", holdfast__retry__scheduled=True, holdfast__retry__wait_s=1.0),
        attempt(5, 2, 3),
        task(6, status="error", holdfast__attempt__number=1),
        task(7, holdfast__cache__result="hit"),
        task(8, holdfast__cache__result="coalesced"),
        task(9, holdfast__task__outcome="replayed"),
    ]

    assert tree.Summary(
        calls=5, attempts=4, retries=2, failures=1, hits=1, coalesced=1, replayed=1, waited_s=1.5, saved_s=0.0, saved_unknown=1
    ) == tree.summarize(tree.build(rows))


def test_summary_counts_the_retries_of_a_body():
    """Attempts of an entrypoint's own body stand directly under the run."""
    rows = [
        span(1, 0, "run", holdfast__attempt__count=2),
        attempt(2, 1, 1, status="error", holdfast__retry__wait_s=2.0),
        attempt(3, 1, 2),
        task(4, 3, holdfast__attempt__number=1),
    ]

    assert tree.Summary(calls=1, attempts=3, retries=1, waited_s=2.0) == tree.summarize(tree.build(rows))


def test_summary_counts_calls_that_got_no_span():
    """Hits and replayed calls beyond the limit of spans are counted from the run's own figures."""
    rows = [
        span(1, 0, "run", holdfast__run__spans_omitted=12, holdfast__cache__hits=11, holdfast__run__replayed=3),
        task(2, holdfast__cache__result="hit"),
        task(3, holdfast__task__outcome="replayed"),
        task(4, holdfast__cache__result="coalesced"),  # one of the 11
    ]

    assert tree.Summary(calls=14, hits=10, coalesced=1, replayed=3, saved_unknown=10) == tree.summarize(tree.build(rows))


def test_summary_adds_up_what_the_hits_saved():
    """What the first computation took: in the same trace, in the store, or unknown."""

    def hit(number, span_id, trace_id=TRACE):
        origin = {"holdfast__cache__origin__trace_id": trace_id, "holdfast__cache__origin__span_id": span_id}
        return task(number, holdfast__cache__result="hit", **origin)

    here = f"{2:016x}"
    rows = [span(1, 0, "run"), task(2, start=1, end=4), hit(3, here), hit(4, "aa" * 8, "bb" * 16), hit(5, "cc" * 8, "dd" * 16)]
    nodes = tree.build(rows)

    assert {(TRACE, here), ("bb" * 16, "aa" * 8), ("dd" * 16, "cc" * 8)} == tree.origins(nodes)
    figures = tree.summarize(nodes, {("bb" * 16, "aa" * 8): 0.25})
    assert (3, 3.25, 1) == (figures.hits, figures.saved_s, figures.saved_unknown)


def test_slowest_tasks_come_first():
    """Only tasks, longest first, as many as asked."""
    nodes = tree.build([span(1, 0, "run", end=99), *(task(n, start=0, end=n) for n in (3, 7, 5)), attempt(9, 7, 1, end=50)])

    assert [7.0, 5.0] == [node.row.seconds for node in tree.slowest(nodes, 2)]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=4), st.text())
def test_rows_come_back_as_they_were(attributes, text):
    """Encoding and decoding a row changes nothing."""
    row = SpanRow(TRACE, "0" * 16, "", text, 5, 9, "error", text, attributes, [(text, 7, attributes)], [(TRACE, "1" * 16, attributes)])

    assert row == decode(encode(row))


def test_what_msgpack_cannot_hold_becomes_text():
    """Huge integers, lone surrogates and foreign objects do not lose the row."""
    row = SpanRow(TRACE, "0" * 16, "", "a\ud800b", 5, 9, "unset", "", {"big": 2**70, "object": complex(1, 2), "list": (-(2**65), "\udc80")})

    assert decode(encode(row)) == SpanRow(
        TRACE,
        "0" * 16,
        "",
        "a\\ud800b",
        5,
        9,
        "unset",
        "",
        {"big": "1180591620717411303424", "object": "(1+2j)", "list": ["-36893488147419103232", "\\udc80"]},
    )
