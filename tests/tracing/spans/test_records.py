"""Spans as plain data, and their order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tracing.spans.records import SpanRow, decode, encode, in_order


def row(span_id, parent_id="", start=0):
    return SpanRow("t", span_id, parent_id, "x", start, start)


@given(st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 3)), max_size=30), st.randoms())
def test_parents_come_before_what_began_with_them(drawn, random):
    """Whatever order they are in: a parent that began no later stands before, and nobody is lost."""
    rows = [row(str(n), str(parent) if parent < n else "", start) for n, (parent, start) in enumerate(drawn)]
    random.shuffle(rows)
    ordered = in_order(rows)

    place = {each.span_id: n for n, each in enumerate(ordered)}
    known = {each.span_id: each for each in rows}
    assert sorted(known) == sorted(place)
    assert [each.start_ns for each in ordered] == sorted(each.start_ns for each in rows)
    for each in rows:
        parent = known.get(each.parent_id)
        if parent is not None and parent.start_ns == each.start_ns:
            assert place[parent.span_id] < place[each.span_id]


def test_a_tree_in_one_moment():
    """Whoever is asked for first: the depth of those above is known by then, or is not."""
    rows = [row("D", "B"), row("C", "B"), row("B", "A"), row("A")]

    assert ["A", "B", "D", "C"] == [each.span_id for each in in_order(rows)]
    assert ["A", "B", "C", "D"] == [each.span_id for each in in_order(reversed(rows))]


def test_spans_that_are_one_anothers_parents_are_there():
    """Somebody's mistake is no reason to hang, or to lose any."""
    assert {"a", "b", "c"} == {each.span_id for each in in_order([row("a", "b"), row("b", "a"), row("c", "c")])}


class Markup(str):
    """A text of somebody's class."""

    __slots__ = ()


class Count(int):
    """A number of somebody's class."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Markup("x"), "x"),
        (np.str_("x"), "x"),
        (np.float64(0.5), 0.5),
        (Count(3), 3),
        (Count(2**70), str(2**70)),
        ((np.float64(0.5), "\ud800"), [0.5, "\\ud800"]),
        (Fraction(1, 2), "Fraction(1, 2)"),
    ],
    ids=["text", "text of NumPy", "float of NumPy", "number", "huge", "several", "no number"],
)
def test_an_attribute_of_a_class_of_somebodys_is_kept_as_what_it_is(value, kept):
    """As exporters send it: a text or number that is one of Python's, too."""
    span = row("a")
    span.attributes["score"] = value

    assert kept == decode(encode(span)).attributes["score"]
