"""Keys of the user's own classes, of functions, classes and library values."""

from __future__ import annotations

import functools
import operator
import re
import time
import types
import typing
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum, Flag, auto
from typing import NamedTuple

import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from holdfast.errors import NotKeyable
from holdfast.values.canonical import encode


class Client:
    pass


class Model(pydantic.BaseModel):
    name: str
    size: int = 1


class OpenModel(pydantic.BaseModel, extra="allow"):
    name: str
    _note: str = pydantic.PrivateAttr("")


@attrs.define
class Attrs:
    name: str
    size: int = 1


@attrs.frozen(slots=False)
class FrozenAttrs:
    name: str


class Struct(msgspec.Struct):
    name: str
    size: int = 1


class Pair(NamedTuple):
    left: int
    right: int


class OtherPair(NamedTuple):
    left: int
    right: int


@dataclass(slots=True, frozen=True)
class Slotted:
    name: str


@dataclass
class Lazy:
    name: str
    seen: list[int] = field(default_factory=list, compare=False)

    @functools.cached_property
    def length(self):
        return len(self.name)


class Named(str):  # noqa: SLOT000 - most people's have none
    pass


class Keyed:
    def __init__(self, identity, noise):
        self.identity = identity
        self.noise = noise

    def __holdfast_key__(self):
        return self.identity

    def method(self):
        return self.noise


class Tree(Enum):
    OAK = ("oak", 20)
    ELM = object()


class Mode(Flag):
    READ = auto()
    WRITE = auto()


SAME = {
    "pydantic": (Model(name="a"), Model(name="a", size=1)),
    "attrs": (Attrs("a"), Attrs("a", 1)),
    "struct": (Struct("a"), Struct("a", 1)),
    "slots": (Slotted("a"), Slotted("a")),
    "namedtuple": (Pair(1, 2), Pair(right=2, left=1)),
    "own key": (Keyed(1, Client()), Keyed(1, object())),
    "flag": (Mode.READ | Mode.WRITE, Mode.WRITE | Mode.READ),
    "lambda": (lambda x: x + 1, lambda x: x + 1),
    "bound method": (Keyed(1, 2).method, Keyed(1, 3).method),
    "partial": (functools.partial(int, base=2), functools.partial(int, base=2)),
    "builtin": (len, len),
    "alias": (list[int] | None, list[int] | None),
    "typing alias": (typing.Optional[int], typing.Optional[int]),  # noqa: UP045 - older code says it so
    "pattern": (re.compile("a", re.IGNORECASE), re.compile("a", re.IGNORECASE)),
}

DIFFERENT = {
    "pydantic value": (Model(name="a"), Model(name="b")),
    "pydantic extra": (OpenModel(name="a", more=1), OpenModel(name="a", more=2)),
    "pydantic dict": (Model(name="a"), {"name": "a", "size": 1}),
    "attrs value": (Attrs("a"), Attrs("a", 2)),
    "attrs class": (FrozenAttrs("a"), Slotted("a")),
    "struct value": (Struct("a"), Struct("b")),
    "namedtuple class": (Pair(1, 2), OtherPair(1, 2)),
    "namedtuple tuple": (Pair(1, 2), (1, 2)),
    "own key": (Keyed(1, 0), Keyed(2, 0)),
    "own key value": (Keyed(1, 0), 1),
    "enum": (Tree.OAK, Tree.ELM),
    "enum value": (Tree.OAK, ("oak", 20)),
    "flag": (Mode.READ, Mode.READ | Mode.WRITE),
    "lambda": (lambda x: x + 1, lambda x: x + 2),
    "bound method": (Keyed(1, 0).method, Keyed(2, 0).method),
    "partial": (functools.partial(int, base=2), functools.partial(int, base=3)),
    "partial function": (functools.partial(int), functools.partial(float)),
    "builtin": (len, repr),
    "builtin method": ("a".upper, "b".upper),
    "method": (str.upper, str.lower),
    "class": (int, float),
    "class function": (int, len),
    "module": (re, types),
    "alias": (list[int], list[str]),
    "alias class": (list[int], list),
    "union": (int | None, int | str),
    "pattern": (re.compile("a"), re.compile("a", re.IGNORECASE)),
    "pattern text": (re.compile("a"), "a"),
    "lru": (functools.lru_cache(len), functools.lru_cache(repr)),
    "slice": (slice(1), slice(2)),
    "structured array": (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
    "datetime64": (np.datetime64("2024-01-01", "D"), np.datetime64("2024-01-01", "s")),
}


@pytest.mark.parametrize("name", SAME)
def test_equal_content_shares_a_key(name):
    """Instances are told apart by class and content, functions by name and code."""
    left, right = SAME[name]

    assert encode(left) == encode(right)


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_content_is_another_key(name):
    """Class, fields, code and carried values all count."""
    left, right = DIFFERENT[name]

    assert encode(left) != encode(right)


def test_closures_are_told_apart_by_what_they_hold():
    """Two functions of one name and code differ by their cells."""

    def adder(n):
        return lambda x: x + n

    assert encode(adder(1)) == encode(adder(1))
    assert encode(adder(1)) != encode(adder(2))


def test_functions_in_closures_count_by_their_code():
    """A helper carried along counts with its code."""

    def using(helper):
        return lambda x: helper(x)  # noqa: PLW0108 - it is the closure that counts

    assert encode(using(lambda x: x)) != encode(using(lambda x: -x))


def test_recursive_closures_can_be_keyed():
    """A function that holds itself is no endless structure."""

    def make():
        def factorial(n):
            return n * factorial(n - 1) if n else 1

        return factorial

    assert encode(make()) == encode(make())


def test_shared_closures_cost_no_explosion():
    """Forty functions that each hold all those before are described once each."""

    def grow(held):
        return lambda: held

    functions: list = []
    for _ in range(40):
        functions = [*functions, functools.partial(grow, *functions)]

    assert len(encode(functions[-1])) < 100_000


def test_attributes_of_builtin_subclasses_count():
    """A str with an attribute is not the str without."""
    plain, marked = Named("a"), Named("a")
    marked.mark = 1

    assert encode(plain) != encode(marked)


def test_content_is_read_past_overridden_methods():
    """A subclass cannot hide what it holds."""

    class Quiet(list):
        def __iter__(self):
            return iter(())

    assert encode(Quiet([1])) != encode(Quiet([2]))


def test_cached_properties_do_not_count():
    """Reading a property does not change a dataclass's key."""
    value = Lazy("Oslo")
    before = encode(value)
    assert 4 == value.length

    assert before == encode(value)


def test_fields_outside_comparison_count():
    """A function may read them, so another value is another key."""
    assert encode(Lazy("Oslo", [1])) != encode(Lazy("Oslo", [2]))


def test_private_attributes_of_models_count():
    """They are part of a pydantic model's equality."""
    left, right = OpenModel(name="a"), OpenModel(name="a")
    right._note = "x"

    assert encode(left) != encode(right)


def test_local_classes_of_subclassed_kinds():
    """A subclass of a standard type differs from its base and keeps its content."""

    class Money(Decimal):
        pass

    assert encode(Money("1")) != encode(Decimal(1))
    assert encode(Money("1")) != encode(Money("2"))

    class Sorted(OrderedDict):
        pass

    assert encode(Sorted(a=1, b=2)) != encode(Sorted(b=2, a=1))


def test_an_unset_field_is_refused():
    """A half-made instance has no key."""
    half = object.__new__(Slotted)
    with pytest.raises(NotKeyable, match="Slotted with a field that is not set"):
        encode(half)


def test_unknown_time_zones_are_refused_by_path():
    """A zone that cannot be named would let two moments share a key."""

    class Odd(tzinfo):
        def utcoffset(self, moment):
            return timedelta(0)

    with pytest.raises(NotKeyable, match="Odd"):
        encode(datetime(2024, 1, 1, tzinfo=Odd()))


def test_zones_of_pytz_are_keyed_by_name_and_offset():
    """What says its name as pytz's zones do is keyed by its repr."""

    class Zone(tzinfo):
        def __init__(self, zone, offset):
            self.zone = zone
            self.offset = offset

        def utcoffset(self, moment):
            return timedelta(hours=self.offset)

        def __repr__(self):
            return f"<Zone {self.zone} {self.offset}>"

    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    keys = {encode(noon.replace(tzinfo=Zone(*each))) for each in [("Oslo", 1), ("Oslo", 2), ("Rome", 1), ("Rome", 1)]}
    assert 3 == len(keys)


def test_own_key_may_be_refused_too():
    """What ``__holdfast_key__`` returns must be keyable itself."""
    with pytest.raises(NotKeyable, match="Client"):
        encode(Keyed(Client(), 0))


def test_hidden_fields_are_refused():
    """A time.struct_time holds a zone that its tuple does not show."""
    with pytest.raises(NotKeyable, match="struct_time"):
        encode(time.gmtime(0))


def test_an_operator_is_named_not_opened():
    """Functions written in C are told apart by their names."""
    assert encode(operator.add) != encode(operator.sub)
