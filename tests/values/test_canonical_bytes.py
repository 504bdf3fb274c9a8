"""The canonical bytes themselves: stores outlive releases, so what a key is made of never changes without a new format of stores."""

from __future__ import annotations

import io
import math
import re
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from holdfast.errors import NotKeyable
from holdfast.values.canonical import digest, encode, encode_arguments


class Color(Enum):
    RED = 1


@dataclass
class Point:
    x: int


class Name(str):  # noqa: SLOT000 - it carries an attribute
    pass


class Pair(tuple):
    __slots__ = ()


class Own:
    def __holdfast_key__(self):
        return ["own", 1]


class Half(Fraction):
    pass


class Money(Decimal):
    __slots__ = ("currency",)


class Zone(tzinfo):
    zone = "Oslo"

    def utcoffset(self, moment):
        return timedelta(0)

    def __repr__(self):
        return "<Oslo>"


for each in (Color, Point, Name, Pair, Own, Half, Money, Zone):
    each.__module__ = "app"  # how a test's module is called depends on how pytest is run

NAMED = Name("a")
NAMED.given = True
EUROS = Money("1.5")
EUROS.currency = "EUR"

BYTES = [
    (None, b"=\xc0"),
    (True, b"=\xc3"),
    (1, b"=\x01"),
    (1.5, b"=\xcb?\xf8\0\0\0\0\0\0"),
    ("é", b"=\xa2\xc3\xa9"),
    (b"x", b"=\xc4\x01x"),
    ([1, "a"], b"=\x92\x01\xa1a"),
    ({"b": 1, "a": 2}, b"=\x82\xa1a\x02\xa1b\x01"),
    ((1, "a"), b"(\x92\x01\xa1a"),
    ((1, (2, 3)), b"T2:=\x01(\x92\x02\x03"),
    ([1, (2,)], b"L2:=\x01(\x91\x02"),
    ({2: 1, 1: 2}, b"D2:=\x01=\x02=\x02=\x01"),
    ({"b", "a"}, b"S2:=\xa1a=\xa1b"),
    (frozenset({2, 1}), b"F2:=\x01=\x02"),
    (2**64, b"i10000000000000000;"),
    (-(2**70), b"i-400000000000000000;"),
    ("\ud800", b"s3:\xed\xa0\x80"),
    (math.nan, b"N"),
    (1j, b"@7:=\x92\xcb\0\0\0\0\0\0\0\0\xcb?\xf0\0\0\0\0\0\0"),
    (bytearray(b"x"), b"@8:=\xc4\x01x"),
    (OrderedDict(b=1, a=2), b"@9:=\x94\xa1b\x01\xa1a\x02"),
    (Counter("a"), b"@10:=\x81\xa1a\x01"),
    (defaultdict(list, a=1), b"#d:L2:#c13:builtins.list=\xc0=\x81\xa1a\x01"),
    (deque([1], 3), b"@12:=\x92\x03\x01"),
    (Decimal("1.50"), b"@13:=\xa41.50"),
    (Fraction(1, 2), b"@14:=\x92\x01\x02"),
    (date(2024, 1, 2), b"@15:=\x93\xcd\x07\xe8\x01\x02"),
    (time(1, 2, 3, 4), b"@16:=\x92\x95\x01\x02\x03\x04\0\xc0"),
    (datetime(2024, 1, 2, 3, 4, 5, 6, UTC), b"@17:L2:=\x98\xcd\x07\xe8\x01\x02\x03\x04\x05\x06\0@19:L1:@18:=\x93\0\0\0"),
    (timedelta(1, 2, 3), b"@18:=\x93\x01\x02\x03"),
    (timezone(timedelta(0, 60), "x"), b"@19:L2:@18:=\x93\0<\0=\xa1x"),
    (ZoneInfo("UTC"), b"@20:=\xa3UTC"),
    (UUID(int=1), b"@21:=\xc4\x10" + b"\0" * 15 + b"\x01"),
    (PurePosixPath("a"), b"@22:=\xa1a"),
    (PureWindowsPath("a"), b"@23:=\xa1a"),
    (range(1, 5, 2), b"@26:=\x93\x01\x05\x02"),
    (slice(1, 2), b"@27:=\x93\x01\x02\xc0"),
    (re.compile("a"), b"@28:=\x92\xa1a "),
    (ip_address("1.2.3.4"), b"@29:=\xa71.2.3.4"),
    (ip_address("::1"), b"@30:=\xa3::1"),
    (ip_network("1.2.3.4"), b"@31:=\xaa1.2.3.4/32"),
    (ip_network("::1"), b"@32:=\xa7::1/128"),
    (ip_interface("1.2.3.4"), b"@33:=\xaa1.2.3.4/32"),
    (ip_interface("::1"), b"@34:=\xa7::1/128"),
    (..., b"@35:=\xc0"),
    (np.float64(1), b"@41:=\x92\xa3<f8\xc4\x08\0\0\0\0\0\0\xf0?"),
    (Color.RED, b"#e9:app.Color=\x92\xa3RED\x01"),
    (Point(1), b"#9:app.Point=\xc0A1:s1:x=\x01"),
    (NAMED, b"#8:app.Name=\xa1aA1:s5:given=\xc3"),
    (Pair((1,)), b"#8:app.Pair(\x91\x01A0:"),
    (Own(), b"#k7:app.Own=\x92\xa3own\x01"),
    (Half(1, 2), b"#8:app.Half=\x92\xc4\x04@14:\x92\x01\x02A0:"),
    (EUROS, b"#9:app.Money=\x92\xc4\x04@13:\xa31.5A1:s8:currency=\xa3EUR"),
    (Zone(), b"#z8:app.Zone=\xa6<Oslo>"),
    (typing.Any, b"#y:=\xaatyping.Any"),
    (typing.List[int], b"#a:L2:#c13:builtins.list=\xc0L1:#c12:builtins.int=\xc0"),  # noqa: UP006 - older code says it so
    (int, b"#c12:builtins.int=\xc0"),
    (math, b"#m13:builtins.math=\xa4math"),
    (len, b"#f12:builtins.len=\xc0A2:s7:builtin=\xacbuiltins.lens7:carried=\x90"),
    (list[int], b"#a:L2:#c13:builtins.list=\xc0L1:#c12:builtins.int=\xc0"),
    (memoryview(b"x"), b"#v:=\x93\xa1B\x91\x01\xc4\x01x"),
]


@pytest.mark.parametrize(("value", "expected"), BYTES, ids=lambda value: type(value).__name__)
def test_the_bytes_of_a_value(value, expected):
    """Whoever changes one of these makes every stored key of such values a miss."""
    assert expected == encode(value)


def test_arguments_are_a_tuple():
    """Of their values; names only serve in errors."""
    assert encode((1, [2])) == encode_arguments(("a", "b"), iter([1, [2]]))


def test_a_digest_is_16_bytes_of_blake2b():
    """As `b2sum -l 128` has it."""
    assert "cae66941d9efbd404e4d88758ea67670" == digest(b"").hex()


def nest(levels, innermost):
    """``innermost`` in that many lists."""
    for _ in range(levels):
        innermost = [innermost]
    return innermost


@pytest.mark.parametrize(
    ("innermost", "most"),
    [
        (1, 101),
        ([], 100),
        ((1,), 100),
        ({1: 2}, 99),
        (math.nan, 99),
        ({1}, 99),
        (2**70, 99),
        (Point(1), 99),
        (Point((1,)), 99),
        (Point({1}), 98),
    ],
)
def test_how_deep_a_key_may_be(innermost, most):
    """A hundred levels and one for what is not a container; a form of its own takes one more."""
    encode(nest(most, innermost))
    with pytest.raises(NotKeyable, match=r"^value[^ ]* is nested deeper than 100 levels \(does it contain itself\?\)"):
        encode(nest(most + 1, innermost))


def test_arguments_that_are_too_deep_together():
    """All arguments are one level deeper than each alone."""
    with pytest.raises(NotKeyable, match=r"^city is nested deeper than 100 levels") as caught:
        encode_arguments(("city",), [nest(101, 1)])

    assert "city" == caught.value.where


def test_the_whole_text_of_a_refusal():
    """What, why, and both ways out."""
    with pytest.raises(NotKeyable) as caught:
        encode(SimpleNamespace(), where="x")

    assert (
        "x is a types.SimpleNamespace: no stable cache key can be made from it. Leave it out of the key with "
        'CachePolicy(ignore=("x",)) if no result depends on it, or make the key yourself with CachePolicy(key_func=...).'
    ) == str(caught.value)


def test_of_the_object_of_a_method_its_class_says_what_counts():
    """To leave it out is the second choice: every account would be served the results of the first."""
    with pytest.raises(
        NotKeyable, match=r"it\. Give the class a method __holdfast_key__ that returns .* or leave self out of the key with"
    ):
        encode_arguments(("self", "city"), (SimpleNamespace(), "Oslo"))


def test_what_is_too_deep_as_an_argument_only_is_refused_in_the_same_words():
    """A value by itself may be one level deeper."""
    value = nest(101, 1)
    encode(value)
    with pytest.raises(NotKeyable) as caught:
        encode_arguments(("x",), (value,))

    assert (
        "x is nested deeper than 100 levels (does it contain itself?): no stable cache key can be made from it. Leave it out of the key with "
        'CachePolicy(ignore=("x",)) if no result depends on it, or make the key yourself with CachePolicy(key_func=...).'
    ) == str(caught.value)


def test_a_zone_without_a_key_says_how_to_make_one_with():
    """The fix stands in parentheses."""
    first_of_utc = b"\0" * 12 + b"\0\0\0\0" + b"\0\0\0\x01" + b"\0\0\0\x04"  # one kind of time, a name of four bytes
    kind_of_time = b"\0" * 6 + b"UTC\0"
    zone = ZoneInfo.from_file(io.BytesIO(b"TZif" + b"\0" * 16 + first_of_utc + kind_of_time))
    with pytest.raises(NotKeyable, match=r"made from it \(make it with ZoneInfo\(key\)\)\. Leave"):
        encode(zone, where="zone")
