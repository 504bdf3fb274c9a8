"""Which values MessagePack keeps as they are."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest

from holdfast.values.plain import are_plain, is_plain


class Name(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


class Items(list):
    pass


PLAIN = ["a", 1, True, None, b"x", 1.5, math.inf, [], {}, [1, 1.5, "a"], {"a": 1}]
OTHER = [
    math.nan,
    (),
    (1,),
    set(),
    {1: 1},
    {"a": 1, None: 2},
    Name("a"),
    Number(1),
    Items(),
    OrderedDict(),
    bytearray(b"x"),
    1j,
    object(),
    [1, math.nan, 2],
    [(1,)],
    {"a": (1,)},
    {Name("a"): 1},
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_what_comes_back_as_it_is(value):
    """Exact types only."""
    assert is_plain(value, 0)
    assert are_plain([value], 1)
    assert are_plain((1, value), 1)


@pytest.mark.parametrize("value", OTHER, ids=[type(value).__name__ for value in OTHER])
def test_what_would_come_back_as_something_else(value):
    """Or not at all, or as other bytes each time; one such part is enough."""
    assert not is_plain(value, 9)
    assert not is_plain([value], 9)
    assert not is_plain({"a": value, "b": 1}, 9)
    assert not are_plain([1, value, 1], 9)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "dicts"])
def test_how_deep_is_looked(wrap):
    """A container within another takes a level each; the outermost is free."""
    value = wrap(1)
    for depth in range(5):
        assert is_plain(value, depth)
        assert depth == 0 or not is_plain(value, depth - 1)
        value = wrap(value)
