"""Canonical bytes: which values share a key, which must not, and what is refused."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import NotKeyable
from holdfast.values.canonical import digest, encode, encode_arguments


class Color(Enum):
    RED = 1
    BLUE = 2


class Size(IntEnum):
    SMALL = 1


class Name(str):
    __slots__ = ()


class Celsius(float):
    __slots__ = ()


class Options(dict):
    pass


@dataclass
class Point:
    x: float
    y: float = 0


@dataclass
class Place:
    x: float
    y: float = 0


OSLO, ROME = ZoneInfo("Europe/Oslo"), ZoneInfo("Europe/Rome")
NOON = datetime(2024, 10, 27, 2, 30)  # noqa: DTZ001 - naive on purpose

SAME = {
    "dict order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "nested dict order": ([{"a": {"x": 1, "y": 2}, "b": 3}], [{"b": 3, "a": {"y": 2, "x": 1}}]),
    "mixed keys order": ({1: "a", "1": "b", None: "c"}, {None: "c", "1": "b", 1: "a"}),
    "tuple keys order": ({(1, 2): 1, (2, 1): 2}, {(2, 1): 2, (1, 2): 1}),
    "set order": ({"a", "b", "c"}, {"c", "b", "a"}),
    "set of tuples": ({(1, 2), (3, 4)}, {(3, 4), (1, 2)}),
    "frozenset order": (frozenset("abc"), frozenset("cba")),
    "nan": (math.nan, float("nan")),
    "nan of other bits": (math.nan, -math.nan),
    "nan within": ([1, (math.nan,)], [1, (-math.nan,)]),
    "equal strings": ("oslo", "os" + "lo"),
    "big int": (10**30, 10**29 * 10),
    "counter order": (Counter("aab"), Counter("baa")),
    "defaultdict order": (defaultdict(list, a=1, b=2), defaultdict(list, b=2, a=1)),
    "datetime": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=timezone(timedelta(0)))),
    "dataclass": (Point(1.0), Point(1.0, 0)),
    "array memory order": (np.array([[1, 2], [3, 4]]), np.asfortranarray([[1, 2], [3, 4]])),
    "array view": (np.arange(10)[::2], np.array([0, 2, 4, 6, 8])),
    "enum": (Color.RED, Color(1)),
    "subclass of dict order": (Options(a=1, b=2), Options(b=2, a=1)),
}

DIFFERENT = {
    "int float": (1, 1.0),
    "int bool": (1, True),
    "zero false": (0, False),
    "float bool": (1.0, True),
    "int str": (1, "1"),
    "none str": (None, "None"),
    "none empty": (None, ""),
    "none zero": (None, 0),
    "bytes str": (b"a", "a"),
    "bytes bytearray": (b"a", bytearray(b"a")),
    "bytes memoryview": (b"a", memoryview(b"a")),
    "list tuple": ([1, 2], (1, 2)),
    "nested list tuple": ([[1]], [(1,)]),
    "tuple in tuple": ((1, (2,)), (1, [2])),
    "empty list tuple": ([], ()),
    "empty dict list": ({}, []),
    "empty dict set": ({}, set()),
    "set frozenset": ({1}, frozenset({1})),
    "set list": ({1}, [1]),
    "list order": ([1, 2], [2, 1]),
    "nesting": ([[1], [2]], [[1, 2]]),
    "nesting of tuples": (((1,), (2,)), ((1, 2),)),
    "joined strings": (("ab", "c"), ("a", "bc")),
    "separator in string": (["a,b"], ["a", "b"]),
    "string like an encoding": ("s1:a", "a"),
    "zero minus zero": (0.0, -0.0),
    "nan none": (math.nan, None),
    "inf": (math.inf, -math.inf),
    "big int sign": (2**70, -(2**70)),
    "int over 64 bits": (2**64, 0),
    "surrogate": ("\ud800", "?"),
    "surrogate pair": ("\ud800\udc00", "\U00010000"),
    "composed text": ("é", "e\u0301"),
    "complex": (1j, 1),
    "complex sign": (complex(0.0, 0.0), complex(0.0, -0.0)),
    "dict value": ({"a": 1}, {"a": 2}),
    "dict pairs": ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    "dict int key": ({1: 0}, {"1": 0}),
    "dict bool key": ({1: 0}, {True: 0}),
    "dict ordered": ({"a": 1}, OrderedDict(a=1)),
    "ordered order": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "dict counter": ({"a": 1}, Counter(a=1)),
    "dict defaultdict": ({"a": 1}, defaultdict(list, a=1)),
    "defaultdict factory": (defaultdict(list), defaultdict(set)),
    "dict subclass": ({"a": 1}, Options(a=1)),
    "deque list": (deque([1]), [1]),
    "deque maxlen": (deque([1], 1), deque([1], 2)),
    "decimal float": (Decimal("0.5"), 0.5),
    "decimal digits": (Decimal("1.0"), Decimal("1.00")),
    "fraction": (Fraction(1, 2), 0.5),
    "date datetime": (date(2024, 10, 27), datetime.combine(NOON, time())),
    "naive aware": (NOON, NOON.replace(tzinfo=UTC)),
    "zones": (NOON.replace(tzinfo=OSLO), NOON.replace(tzinfo=ROME)),
    "fold": (NOON.replace(tzinfo=OSLO), NOON.replace(tzinfo=OSLO, fold=1)),
    "same moment": (datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2024, 1, 1, tzinfo=UTC)),
    "microsecond": (NOON, NOON.replace(microsecond=1)),
    "time": (time(1), time(1, tzinfo=UTC)),
    "timedelta int": (timedelta(seconds=1), 1),
    "zone name": (OSLO, ROME),
    "uuid str": (UUID(int=1), str(UUID(int=1))),
    "path str": (PurePosixPath("a"), "a"),
    "path flavour": (PurePosixPath("a"), PureWindowsPath("a")),
    "ip str": (ip_address("127.0.0.1"), "127.0.0.1"),
    "ip network": (ip_address("10.0.0.0"), ip_network("10.0.0.0/32")),
    "range list": (range(2), [0, 1]),
    "enum value": (Color.RED, 1),
    "enum member": (Color.RED, Color.BLUE),
    "int enum": (Size.SMALL, 1),
    "str subclass": (Name("a"), "a"),
    "float subclass": (Celsius(1.0), 1.0),
    "dataclass class": (Point(1), Place(1)),
    "dataclass field": (Point(1), Point(2)),
    "dataclass dict": (Point(1, 2), {"x": 1, "y": 2}),
    "array dtype": (np.array([1], "i4"), np.array([1], "i8")),
    "array shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "array list": (np.array([1]), [1]),
    "big arrays": (np.arange(5000), np.concatenate([np.arange(2500), [-1], np.arange(2501, 5000)])),
    "numpy scalar": (np.float64(1), 1.0),
    "numpy scalars": (np.int32(1), np.int64(1)),
    "class name": (int, "int"),
    "ellipsis": (..., None),
}


@pytest.mark.parametrize("name", SAME)
def test_equal_values_share_a_key(name):
    """What is equal and of one type all through has one encoding."""
    left, right = SAME[name]

    assert encode(left) == encode(right)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_values_have_different_keys(name):
    """A difference in value or type, at any depth, is a different encoding."""
    left, right = DIFFERENT[name]

    assert encode(left) != encode(right)


@pytest.mark.parametrize("name", DIFFERENT)
def test_differences_show_inside_containers(name):
    """The forms for plain and for other containers keep values apart alike."""
    left, right = DIFFERENT[name]

    assert encode({"k": [0, (left,)]}) != encode({"k": [0, (right,)]})


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.text(st.characters(categories=["Cs"]), max_size=2),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.fractions(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from(Color),
)
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)


def containers(inner):
    """Values that hold ``inner`` ones."""
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.sets(HASHABLE, max_size=3),
        st.lists(inner, max_size=2).map(deque),
        st.builds(Point, inner, inner),
    )


VALUES = st.recursive(ATOMS, containers, max_leaves=12)


def typed(value):
    """An independent account of a value and all its types, free of order where order has no meaning."""
    name = type(value).__name__
    match value:
        case dict():
            return (name, tuple(sorted((repr((typed(k), typed(v)))) for k, v in value.items())))
        case set() | frozenset():
            return (name, tuple(sorted(repr(typed(member)) for member in value)))
        case list() | tuple() | deque():
            return (name, tuple(typed(item) for item in value))
        case Point():
            return (name, typed(value.x), typed(value.y))
        case datetime():
            return (name, repr(value.replace(tzinfo=None)), str(value.tzinfo))
        case complex():
            return (name, repr(value.real), repr(value.imag))
        case _:
            return (name, repr(value))


def rebuilt(value):
    """An equal value of other objects, with dicts and sets filled in the opposite order."""
    match value:
        case dict():
            return {rebuilt(k): rebuilt(v) for k, v in reversed(value.items())}
        case set() | frozenset():
            return type(value)(reversed([rebuilt(member) for member in value]))
        case list() | tuple() | deque():
            return type(value)(rebuilt(item) for item in value)
        case Point():
            return Point(rebuilt(value.x), rebuilt(value.y))
        case str():
            return "".join(list(value))
        case _:
            return value


@settings(max_examples=60)
@given(VALUES)
def test_order_and_identity_do_not_count(value):
    """An equal value built another way has the same encoding."""
    assert encode(value) == encode(rebuilt(value))


@settings(max_examples=150)
@given(VALUES, VALUES)
def test_encoding_is_injective(left, right):
    """Two values share an encoding exactly when they look the same to an independent, typed repr."""
    assert (typed(left) == typed(right)) == (encode(left) == encode(right))


@settings(max_examples=40)
@given(st.lists(st.lists(VALUES, max_size=2), max_size=3), st.lists(st.lists(VALUES, max_size=2), max_size=3))
def test_encodings_can_be_joined(left, right):
    """Encodings end themselves: two sequences of them are equal only part by part."""
    joined = [b"".join(encode(value) for value in values) for values in (left, right)]

    assert (typed(left) == typed(right)) == (joined[0] == joined[1])


SAMPLE = """
import math, sys
from datetime import datetime, timezone
from enum import Enum
sys.path.insert(0, sys.argv[1])
from holdfast.values.canonical import digest, encode
from holdfast.values.fingerprint import fingerprint
value = {"b": {"x", "y", "z", 1, None}, "a": [frozenset("hash seed"), (1, 2.5, math.nan)], 3: {("t", 1): b"x", ("u", 2): {}},
         "when": datetime(2024, 1, 1, tzinfo=timezone.utc), "fn": len}
def work(city, *, units={"a", "b", "c"}):
    def inner(x):
        return x in {"one", "two", "three"} and units
    return inner
print(digest(encode(value)).hex(), fingerprint(work), fingerprint(work("Oslo")))
"""


def test_the_same_in_every_process(tmp_path):
    """Neither the hash seed nor the process shows in digests and fingerprints."""
    script = tmp_path / "sample.py"
    script.write_text(SAMPLE)
    import holdfast

    root = str(Path(holdfast.__file__).parents[1])

    def run(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, script, root], env=environment, capture_output=True, text=True, check=True).stdout

    assert [run("0")] * 2 == [run("1"), run("random")]


class Client:
    """Stands for what has no content to key it by."""


def broken():
    yield 1


def carrying(client):
    """A function with a closure."""
    return lambda: client


UNKEYABLE = {
    "instance": (Client(), "p"),
    "nested": ({"options": {"session": Client()}}, "p['options']['session']"),
    "in a list": ([1, [2, Client()]], "p[1][1]"),
    "in a tuple": ((1, Client()), "p[1]"),
    "in a set": ({Client()}, "p{...}"),
    "behind an int key": ({7: Client()}, "p[7]"),
    "as a key": ({Client(): 1}, "p[<Client>]"),
    "in a dataclass": (Point(Client()), "p.x"),
    "deep": ([{"a": Point(1, [Client()])}], "p[0]['a'].y[0]"),
    "lock": (threading.Lock(), "p"),
    "generator": (broken(), "p"),
    "iterator": (iter([1]), "p"),
    "closure": (carrying(Client()), "p.closure['client']"),
    "object array": (np.array([None]), "p"),
    "object()": (object(), "p"),
}


@pytest.mark.parametrize("name", UNKEYABLE)
def test_refusals_name_the_path(name):
    """What has no stable content is refused, and the error says where it is."""
    value, path = UNKEYABLE[name]
    with pytest.raises(NotKeyable) as caught:
        encode(value, where="p")

    assert path == caught.value.where


def test_refusals_name_type_and_both_ways_out():
    """The text says what the part is and what can be done about it."""
    with pytest.raises(NotKeyable) as caught:
        encode({"session": threading.Lock()}, where="options")

    text = str(caught.value)
    assert text.startswith("options['session'] is a _thread.lock: ")
    assert 'CachePolicy(ignore=("options",))' in text
    assert "key_func=" in text


def test_files_are_refused(tmp_path):
    """An open file is not its content."""
    with (tmp_path / "f").open("w") as file, pytest.raises(NotKeyable, match="TextIOWrapper"):
        encode(file)


def test_self_reference_is_refused():
    """A list that contains itself ends in an error, not in a crash."""
    loop: list = []
    loop.append({"again": loop})
    with pytest.raises(NotKeyable, match=r"value\[0\]\['again'\].* 100 levels"):
        encode(loop)


def nest(levels, innermost=1):
    """``innermost`` in that many lists."""
    for _ in range(levels):
        innermost = [innermost]
    return innermost


def test_depth_limit():
    """A hundred levels pass, more do not, whatever is inside."""
    assert encode(nest(100)) != encode(nest(99))
    for innermost in (1, (1,), {1: 2}):
        with pytest.raises(NotKeyable, match="100 levels"):
            encode(nest(102, innermost))


def test_a_shallow_stack_is_an_error_not_a_crash():
    """Near the recursion limit the refusal still is NotKeyable."""

    def descend():
        try:
            return descend()
        except RecursionError:
            with pytest.raises(NotKeyable):
                encode(nest(90, {1: 2}))
            return True

    assert descend()


def test_digest_is_16_bytes():
    """Keys have one size."""
    assert 16 == len(digest(encode("anything")))


def test_arguments_are_encoded_as_their_tuple():
    """The short way for a whole call gives the bytes of the tuple."""
    assert encode(("Oslo", {"units": "metric"})) == encode_arguments(("city", "options"), ["Oslo", {"units": "metric"}])


def test_arguments_are_refused_by_name():
    """An error for a whole call names the parameter."""
    with pytest.raises(NotKeyable) as caught:
        encode_arguments(("city", "client"), ["Oslo", {"a": Client()}])

    assert "client['a']" == caught.value.where


def test_a_long_path_is_cut():
    """Errors stay readable at any depth."""
    with pytest.raises(NotKeyable) as caught:
        encode(nest(60, Client()))

    assert "value" + "[0]" * 12 + "..." == caught.value.where
