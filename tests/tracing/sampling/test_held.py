"""Spans held back until their tree is decided: what leaves, what is let go, and how much may be held."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from holdfast.tracing import KeepInteresting
from holdfast.tracing.sampling import held
from holdfast.tracing.sampling.held import Held, Sieve
from tests.children import in_child

S = 1_000_000_000
NOTHING = 0.0


def ended(trace_id, span_id, parent_id=None, *, is_bad=False, is_remote=False):
    """A span of the SDK as a processor gets it."""
    parent = None if parent_id is None else SpanContext(trace_id, parent_id, is_remote=is_remote)
    status = Status(StatusCode.ERROR) if is_bad else Status()
    own = SpanContext(trace_id, span_id, is_remote=False)
    return ReadableSpan(str(span_id), own, parent, Resource.get_empty(), status=status, start_time=S, end_time=2 * S)


def names(spans):
    return [span.name for span in spans]


class Ticking:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def said():
    return []


@pytest.fixture
def ticking():
    return Ticking()


@pytest.fixture
def holding(said, ticking):
    """Makes a Held that keeps nothing for its ratio alone."""
    return lambda **options: Held(KeepInteresting(ratio=NOTHING, **options), say=said.append, now=ticking)


def test_a_dull_tree_is_let_go(holding):
    """With its root, and nothing of it is remembered as held."""
    some = holding()

    assert [] == some.sift([ended(1, 3, 2), ended(1, 2, 1), ended(1, 1)])
    assert (0, 0) == (some.count, some.given_up)


def test_an_interesting_tree_is_kept_whole(holding):
    """What ended before, what was the reason, and what comes after, in that order."""
    some = holding()

    assert [] == some.sift([ended(1, 4, 2)])
    assert ["4", "3"] == names(some.sift([ended(1, 3, 2, is_bad=True)]))
    assert ["2", "1"] == names(some.sift([ended(1, 2, 1), ended(1, 1)]))


def test_other_traces_are_judged_by_themselves(holding):
    """A failure in one says nothing of another."""
    some = holding()

    assert ["5"] == names(some.sift([ended(1, 2, 1), ended(2, 5, 4, is_bad=True)]))
    assert [] == some.sift([ended(1, 1)])


def test_the_part_by_ratio_leaves_at_once():
    """There is nothing to wait for."""
    assert ["2"] == names(Held(KeepInteresting(ratio=1)).sift([ended(1, 2, 1)]))


def test_what_another_service_called_is_a_tree(holding):
    """Its root is the one whose parent is elsewhere."""
    some = holding()
    some.sift([ended(1, 3, 2), ended(1, 2, 99, is_remote=True)])

    assert 0 == some.count


def test_two_trees_of_a_trace_are_told_apart(holding):
    """The end of one does not take the spans of the other along."""
    some = holding()
    some.sift([ended(1, 3, 2), ended(1, 5, 4), ended(1, 2, 99, is_remote=True)])

    assert ["5", "4"] == names(some.sift([ended(1, 4, 98, is_remote=True, is_bad=True)]))


def test_what_comes_late_goes_the_same_way(holding):
    """Below a span that was let go, also when the parent itself is late."""
    some = holding()
    some.sift([ended(1, 1), ended(1, 4, 3), ended(1, 3, 1), ended(1, 5, 4)])

    assert (0, 0) == (some.count, some.given_up)


def test_a_late_failure_leaves(holding):
    """It is told, though what was around it is gone."""
    some = holding()
    some.sift([ended(1, 2, 1), ended(1, 1)])

    assert ["3"] == names(some.sift([ended(1, 3, 1, is_bad=True)]))


TREES = st.integers(1, 12).flatmap(
    lambda size: st.tuples(
        st.tuples(*(st.integers(0, n) for n in range(size))),  # each one's parent comes before it; 0 is none
        st.permutations(range(1, size + 1)),
        st.sets(st.integers(1, size), max_size=2),
        st.lists(st.integers(1, size), max_size=4),
    )
)


@given(TREES)
def test_whatever_the_order_of_ends(tree):
    """Oracle: a span leaves when, at the first interesting end of its trace, it or anything it is in had yet to end."""
    parents, order, bad, cuts = tree
    some = Held(KeepInteresting(ratio=NOTHING), say=pytest.fail)
    spans = [ended(7, one, parents[one - 1] or None, is_bad=one in bad) for one in order]
    bounds = [0, *sorted(cuts), len(spans)]
    left = [span for start, stop in itertools.pairwise(bounds) for span in some.sift(spans[start:stop])]

    at = {one: place for place, one in enumerate(order)}

    def closed(one):
        above = parents[one - 1]
        return max(at[one], closed(above)) if above else at[one]

    first = min((at[one] for one in bad), default=None)
    expected = [str(one) for one in order if first is not None and closed(one) >= first]
    assert expected == names(left)
    assert (0, 0) == (some.count, some.given_up)


def test_too_large_a_trace_is_given_up(holding, said):
    """Counted, and said once; from then on it begins anew."""
    some = holding(max_spans=2)
    some.sift([ended(1, span_id, 1) for span_id in range(2, 9)])

    assert (1, 6) == (some.count, some.given_up)
    assert [
        "holdfast: spans that were held to see whether their trace gets interesting are given up because a trace has more than 2 spans"
    ] == said
    assert ["8", "9"] == names(some.sift([ended(1, 9, 1, is_bad=True)]))


def test_of_too_many_traces_the_oldest_is_given_up(holding, said):
    """The one whose first span came first."""
    some = holding(max_traces=2)
    some.sift([ended(trace_id, 2, 1) for trace_id in (1, 2, 3)])

    assert ["2", "1"] == names(some.sift([ended(2, 1, is_bad=True)]))
    assert ["1"] == names(some.sift([ended(1, 1, is_bad=True)]))
    assert 1 == some.given_up
    assert said[0].endswith("because more than 2 traces are under way")


def test_all_traces_together_are_bounded(holding, said, monkeypatch):
    """Or a thousand traces of two thousand spans would be gigabytes."""
    monkeypatch.setattr(held, "MAX_HELD", 5)
    some = holding()
    some.sift([ended(trace_id, span_id, 1) for trace_id in range(1, 4) for span_id in (2, 3)])

    assert (4, 2) == (some.count, some.given_up)
    assert said[0].endswith("because more than 5 spans are held")


def test_a_root_that_never_ends_is_given_up(holding, said, ticking):
    """When it is too old, as soon as any span ends."""
    some = holding(max_age="1m")
    some.sift([ended(1, 2, 1)])
    ticking.seconds = 59.0
    some.sift([ended(2, 2, 1)])
    ticking.seconds = 60.0
    some.sift([])

    assert (1, 1) == (some.count, some.given_up)
    assert said[0].endswith("because a trace is under way for longer than 60 s")


def test_a_root_that_has_become_slow_is_kept(holding, said, ticking):
    """It has lasted longer than it may by then, whatever comes."""
    some = holding(max_age="1m", slower_than="1m")
    some.sift([ended(1, 2, 1)])
    ticking.seconds = 60.0

    assert ["2"] == names(some.sift([]))
    assert ["3"] == names(some.sift([ended(1, 3, 1)]))
    assert ([], 0) == (said, some.given_up)


SPANS = st.tuples(st.integers(1, 6), st.integers(2, 40), st.sampled_from([None, 1, 2, 3]), st.sampled_from([False] * 6 + [True]))


@given(st.lists(SPANS, max_size=120), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6))
def test_no_more_is_held_than_may_be(spans, traces, each, remembered):
    """Whatever comes, and in whatever order; the count is what is held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "REMEMBERED", remembered)
        some = Held(KeepInteresting(ratio=NOTHING, max_traces=traces, max_spans=each), say=lambda _: None)
        for trace_id, span_id, parent_id, is_bad in spans:
            some.sift([ended(trace_id, span_id, parent_id, is_bad=is_bad)])
            sizes = [len(one.spans) for one in some._traces.values()]
            assert sum(sizes) == some.count
            assert len(sizes) <= traces
            assert all(1 <= size <= each for size in sizes)
            assert max(len(some._kept), len(some._gone)) <= remembered


def test_memory_is_bounded():
    """Roots that never end, many times what may be held: what was given up is freed."""
    some = Held(KeepInteresting(ratio=NOTHING, max_traces=20, max_spans=30), say=lambda _: None)
    alive = weakref.WeakSet()
    for trace_id in range(1, 201):
        for span_id in range(2, 50):
            span = ended(trace_id, span_id, 1)
            alive.add(span)
            some.sift([span])
    del span
    gc.collect()

    assert some.count == len(alive) <= 20 * 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_holds_nothing(holding):
    """What is held is its parent's to send, and a lock that was held is nobody's there."""
    some = holding()
    some.sift([ended(1, 2, 1)])
    some._lock.acquire()
    found = in_child(lambda: ["1"] == names(some.sift([ended(1, 1, is_bad=True)])))
    some._lock.release()

    assert 0 == found
    assert ["2", "1"] == names(some.sift([ended(1, 1, is_bad=True)]))


def test_threads_may_share_it(holding):
    """Each trace is whole, whoever ends its spans."""
    some, left = holding(), []

    def end(first):
        for trace_id in range(first, 2_000, 4):
            for span in (ended(trace_id, 2, 1), ended(trace_id, 1, is_bad=trace_id % 2 == 0)):
                left.extend(some.sift([span]))

    threads = [threading.Thread(target=end, args=(first,)) for first in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 2 * 999 == len(left)
    assert (0, 0) == (some.count, some.given_up)


class Lane:
    failed = 0


def test_a_release_is_written_in_batches():
    """However much has been held: backends limit the size of a request."""
    written = []
    sieve = Sieve(KeepInteresting(ratio=NOTHING), written.append, 2)
    sieve.lane = Lane()
    sieve([ended(1, span_id, 1, is_bad=span_id == 4) for span_id in (2, 3, 4)])

    assert [["2", "3"], ["4"]] == [names(batch) for batch in written]
    assert 0 == sieve.lane.failed


def test_what_fails_is_counted_as_what_was_to_leave():
    """The lane adds what it handed over: here one span, where three were to leave and two have not."""

    def write(batch):
        if len(batch) > 1:
            raise OSError("no")

    sieve = Sieve(KeepInteresting(ratio=NOTHING), write, 2)
    sieve.lane = Lane()
    sieve([ended(1, 2, 1), ended(1, 3, 1)])
    with pytest.raises(OSError, match="no"):
        sieve([ended(1, 1, is_bad=True)])

    assert 3 - 1 == sieve.lane.failed
