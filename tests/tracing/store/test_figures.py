"""The figures of tasks, counted from spans by hand and by an independent count."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tracing.spans.records import SpanRow
from holdfast.tracing.store.figures import TaskFigures, of_tasks, percentile

MS = 10**6


def span(kind, task, ms=1, status="unset", *, is_open=False, **attributes):
    """A span of a task; ``__`` in names stands for a dot."""
    known = {key.replace("__", "."): value for key, value in attributes.items()}
    known |= {"holdfast.span.type": kind, "holdfast.task.name": task}
    return SpanRow("t" * 32, "s" * 16, "", task, 5 * MS, (5 + ms) * MS, status, "", known, is_open=is_open)


def test_the_figures_of_a_task_in_which_everything_happens():
    """Only executed calls count for shares and durations; whatever is under way, or nobody's task, does not count at all."""
    retried = {"holdfast__attempt__count": 3, "holdfast__retry__waited_s": 0.5, "holdfast__cache__result": "miss"}
    rows = [
        span("task", "fetch", 40, **retried),
        span("attempt", "fetch", 1, "error", error__type="a.Reset"),
        span("attempt", "fetch", 1, "error", error__type="b.Slow"),
        span("attempt", "fetch", 1),
        span("task", "fetch", 10, "error", holdfast__attempt__count=1, holdfast__attempt__number=1, error__type="b.Slow"),
        span("task", "fetch", 20, holdfast__attempt__count=1, holdfast__attempt__number=1),
        span("task", "fetch", 0, holdfast__cache__result="hit"),
        span("task", "fetch", 0, holdfast__cache__result="coalesced"),
        span("task", "fetch", 0, "error", holdfast__cache__result="negative"),
        span("task", "fetch", 0, holdfast__task__outcome="replayed"),
        span("task", "fetch", 9000, holdfast__task__outcome="cancelled", holdfast__attempt__count=1),
        span("task", "fetch", 9000, is_open=True),
        span("task", "book", 5, holdfast__attempt__count=1),
        SpanRow("t" * 32, "s" * 16, "", "GET /", 0, 1),
    ]
    book, fetch = of_tasks(rows)

    assert ("book", 1, 1) == (book.task, book.calls, book.executed)
    assert (
        TaskFigures(
            task="fetch",
            calls=8,
            executed=3,
            attempts=5,
            flaky=2,
            failures=2,
            hits=3,
            misses=1,
            replayed=1,
            p50_s=0.02,
            p95_s=0.04,
            max_s=0.04,
            waited_s=0.5,
            errors={"b.Slow": 2, "a.Reset": 1},
        )
        == fetch
    )
    assert (2 / 3, 5 / 3, 0.75) == (fetch.flaky_share, fetch.attempts_per_call, fetch.hit_share)


def test_a_task_that_was_never_executed_has_no_durations():
    """And no shares of nothing."""
    (figures,) = of_tasks([span("task", "fetch", 0, holdfast__task__outcome="replayed")])

    assert (None, None, None, 0.0, 0.0, None) == (
        figures.p50_s,
        figures.p95_s,
        figures.max_s,
        figures.flaky_share,
        figures.attempts_per_call,
        figures.hit_share,
    )


def test_attempts_alone_make_no_task():
    """Their call is still under way."""
    assert [] == of_tasks([span("attempt", "fetch", 1, "error", error__type="a.Reset")])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.booleans(), st.integers(0, 50))))
def test_any_calls(calls):
    """Sums, extremes and orders agree with those of the calls themselves."""
    rows = [span("task", name, ms, "error" if bad else "unset", holdfast__attempt__count=n) for name, n, bad, ms in calls]
    by_name = defaultdict(list)
    for name, *rest in calls:
        by_name[name].append(rest)

    found = {each.task: each for each in of_tasks(rows)}

    assert sorted(by_name) == list(found)
    for name, known in by_name.items():
        durations = [ms / 1000 for _, _, ms in known]
        each = found[name]
        assert (len(known), sum(n for n, _, _ in known)) == (each.calls, each.attempts)
        assert sum(n > 1 or bad for n, bad, _ in known) == each.flaky
        assert max(durations) == each.max_s
        for share, value in ((0.5, each.p50_s), (0.95, each.p95_s)):
            assert sum(each <= value for each in durations) >= share * len(durations)
            assert sum(each < value for each in durations) < share * len(durations)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1.0, 4)])
def test_percentiles_are_values_that_were_there(share, expected):
    """By nearest rank."""
    assert expected == percentile([1, 2, 3, 4], share)
