"""Bounded JSON of arguments and results."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.tracing.spans import capture

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20) | st.dates() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


def value(thing):
    """What is captured of one value, decoded."""
    return json.loads(capture.result(thing, "values")[0])


@given(ANYTHING)
def test_it_is_json_within_the_limit(thing):
    """For whatever value, in bytes of UTF-8, in both modes."""
    for mode in ("values", "shape"):
        text, _ = capture.result(thing, mode)
        assert len(text.encode()) <= capture.LIMIT
        json.loads(text)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(min_size=1), ANYTHING, max_size=4))
def test_arguments_are_json_within_the_limit(arguments):
    """All of them together."""
    text, _ = capture.arguments(tuple(arguments), tuple(arguments.values()), "values")

    assert len(text.encode()) <= capture.LIMIT
    json.loads(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abc xyz", max_size=8),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=12,
    )
)
def test_small_json_comes_back_equal(thing):
    """What fits is not changed."""
    text, is_cut = capture.result(thing, "values")

    if not is_cut:
        assert thing == json.loads(text)


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    token: str = "abc"


@attrs.define
class Attrs:
    x: int


class Struct(msgspec.Struct):
    x: int


class Model(pydantic.BaseModel):
    x: int
    key: pydantic.SecretStr = pydantic.SecretStr("abc")


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (Colour.RED, "Colour.RED"),
        (Point(1), {"x": 1, "token": "[redacted]"}),
        (Attrs(1), {"x": 1}),
        (Struct(1), {"x": 1}),
        (Model(x=1), {"x": 1, "key": "<pydantic.types.SecretStr>"}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        (OrderedDict(a=(1, {2})), {"a": [1, [2]]}),
        (b"abc", "<bytes[3]>"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (float("nan"), "nan"),
        (10**100, "<int of 333 bits>"),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        (object(), "<object>"),
        (len, "<builtin_function_or_method>"),
        ("half \ud800", "half ?"),
        ("key sk-abcdefghijklmnop", "key [redacted]"),
    ],
)
def test_known_kinds_are_readable(thing, expected):
    """Read field by field; the rest is shown as its class."""
    assert expected == value(thing)


class Hostile:
    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__
    __len__ = __repr__
    __iter__ = __repr__
    __hash__ = None

    def __getattr__(self, name):
        raise RuntimeError(name)

    @property
    def __class__(self):
        raise RuntimeError


class HostileDict(dict):
    def items(self):
        raise RuntimeError

    __iter__ = items


class HostileList(list):
    def __iter__(self):
        raise RuntimeError


@dataclass
class HostileField:
    x: int

    @property
    def x(self):
        raise RuntimeError

    @x.setter
    def x(self, value):
        pass


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Hostile, f"<{__name__}.Hostile>"),
        (lambda: HostileDict(a=1), {"a": 1}),
        (lambda: HostileList([1]), [1]),
        (lambda: HostileField(1), {"x": "<RuntimeError>"}),
        (lambda: [Hostile()], [f"<{__name__}.Hostile>"]),
    ],
)
def test_the_users_own_code_is_not_run(make, expected):
    """Nothing of it can raise into a call, or take its time."""
    captured = value(make())

    assert expected == captured


def test_what_contains_itself_ends_at_the_depth():
    """Six levels are shown."""
    loop = []
    loop.append(loop)

    text, is_cut = capture.result(loop, "values")

    assert '[[[[[["…"]]]]]]' == text
    assert is_cut


def test_a_huge_argument_leaves_room_for_the_others():
    """Each has its share of what is left."""
    text, is_cut = capture.arguments(("big", "small"), ("x" * 10_000, "seen"), "values")

    assert "seen" == json.loads(text)["small"]
    assert is_cut


def test_a_small_argument_leaves_its_share_to_the_others():
    """The limit is one for all."""
    text, _ = capture.arguments(("small", "big"), ("s", "x" * 10_000), "values")

    assert len(text) > 0.9 * capture.LIMIT


def test_secrets_are_masked_by_name():
    """Parameters, keys at any depth, and what looks like a secret in a text."""
    text, _ = capture.arguments(
        ("password", "options", "url"),
        ("hunter2", {"headers": {"Authorization": "Bearer abc", "accept": "x"}}, "https://me:hunter2@host/"),
        "values",
    )

    assert {
        "password": "[redacted]",
        "options": {"headers": {"Authorization": "[redacted]", "accept": "x"}},
        "url": "https://[redacted]@host/",
    } == json.loads(text)


def test_shapes_are_types_and_sizes():
    """No value, not even a key of a dict."""
    text, _ = capture.arguments(("city", "days", "point", "rows"), ("Oslo", 3, Point(1), [1, 2]), "shape")

    assert {"city": "str[4]", "days": "int", "point": f"{__name__}.Point", "rows": "list[2]"} == json.loads(text)
