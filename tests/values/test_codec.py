"""What is stored comes back equal and of the same type, or is refused; bad bytes are CorruptRecord and nothing else."""

from __future__ import annotations

import contextlib
import enum
import http
import ipaddress
import math
import random
import re
import string
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from time import gmtime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from holdfast.errors import CorruptRecord, NotSerializable, PolicyError
from holdfast.typing import Codec
from holdfast.values.codec import MsgpackCodec, PickleCodec, codec_for

CODEC = codec_for()
OSLO = ZoneInfo("Europe/Oslo")
NOON = datetime(2024, 10, 27, 2, 30, 15, 250_000)  # noqa: DTZ001 - naive on purpose

KEPT = {
    "none": None,
    "bool": True,
    "int": 7,
    "int 64 bits": 2**64 - 1,
    "int beyond 64 bits": 2**64,
    "int below": -(2**63) - 1,
    "huge int": -(10**5000),
    "float": 1.5,
    "whole float": 1.0,
    "inf": -math.inf,
    "minus zero": -0.0,
    "nan": math.nan,
    "complex": complex(math.nan, -0.0),
    "str": "Ørsta\n",
    "str with surrogate": "a\ud800",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "list": [1, [2, []]],
    "tuple": (1, (2, ())),
    "list of tuples": [(1, 2), [3]],
    "set": {1, "a", None},
    "frozenset": frozenset({(1, 2)}),
    "set of frozensets": {frozenset({1})},
    "dict": {"b": 1, "a": {"c": None}},
    "dict of int keys": {1: "a", 0: "b"},
    "dict of mixed keys": {1: "a", "1": "b", None: "c", (1, 2): "d", 2.5: "e", b"x": "f"},
    "dict of bool keys": {True: 1, False: 0},
    "dict of date keys": {date(2024, 1, 1): 1},
    "dict of surrogate keys": {"\udc80": 1},
    "dict like a tag": {"__class__": "os.system", "__holdfast__": [1], "$type": "x"},
    "ordered dict": OrderedDict([("b", 1), ("a", 2)]),
    "counter": Counter("hello"),
    "defaultdict": defaultdict(list, {"a": [1]}),
    "defaultdict none": defaultdict(None, {1: 2}),
    "deque": deque([1, (2,)], maxlen=3),
    "deque unbounded": deque(["a"]),
    "decimal": Decimal("1.00"),
    "decimal nan": Decimal("NaN"),
    "fraction": Fraction(-1, 3),
    "datetime": NOON,
    "datetime utc": NOON.replace(tzinfo=UTC),
    "datetime offset": NOON.replace(tzinfo=timezone(timedelta(hours=5, minutes=45), "NPT")),
    "datetime zone fold": NOON.replace(tzinfo=OSLO, fold=1),
    "date": date(1, 1, 1),
    "time": time(23, 59, 59, 999_999, tzinfo=UTC, fold=1),
    "timedelta": timedelta(days=-1, microseconds=1),
    "timezone": timezone(timedelta(hours=-3)),
    "zone": OSLO,
    "uuid": UUID(int=7),
    "path": Path("a/b"),
    "posix path": PurePosixPath("/a"),
    "windows path": PureWindowsPath("C:/a"),
    "range": range(10, 0, -2),
    "slice": slice(1, None, 2),
    "ellipsis": ...,
    "pattern": re.compile(r"a(?P<x>\d+)", re.IGNORECASE | re.MULTILINE),
    "bytes pattern": re.compile(rb"a+"),
    "ipv4": ipaddress.ip_address("127.0.0.1"),
    "ipv6": ipaddress.ip_address("fe80::1%eth0"),
    "network": ipaddress.ip_network("10.0.0.0/8"),
    "interface": ipaddress.ip_interface("::1/64"),
    "numpy float": np.float64(1.5),
    "numpy int": np.int8(-1),
    "numpy bool": np.bool_(True),
    "numpy str": np.str_("å"),
    "numpy datetime": np.datetime64("2024-01-01T00:00", "m"),
    "deep": [[[[[[[[{"a": [({1},)]}]]]]]]]],
}


def typed(value):
    """A hashable value together with the types of its parts."""
    if isinstance(value, (set, frozenset, tuple)):
        parts = map(typed, value)
        return type(value), tuple(parts) if isinstance(value, tuple) else frozenset(parts)
    return type(value), value


def same(left, right):
    """Equal, NaN included, and of the same types all through."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (np.ndarray, np.generic)):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same(a, b) for pair in pairs for a, b in zip(*pair, strict=True))
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return typed(left) == typed(right)
    if isinstance(left, (float, complex, Decimal)):
        return repr(left) == repr(right)
    if isinstance(left, datetime):
        return repr(left) == repr(right)
    return left == right


@pytest.mark.parametrize("name", KEPT)
def test_comes_back_the_same(name):
    """Each standard type comes back equal and of the same type, alone and inside others."""
    value = KEPT[name]

    assert same(value, CODEC.decode(CODEC.encode(value)))
    nested = {"a": [(value,)]}
    assert same(nested, CODEC.decode(CODEC.encode(nested)))


@pytest.mark.parametrize("name", ["defaultdict", "deque", "ordered dict"])
def test_what_equality_does_not_see(name):
    """Factory, bound and order survive."""
    value = KEPT[name]
    back = CODEC.decode(CODEC.encode(value))

    assert getattr(value, "default_factory", None) is getattr(back, "default_factory", None)
    assert getattr(value, "maxlen", None) == getattr(back, "maxlen", None)
    assert list(value) == list(back)


ARRAYS = {
    "ints": np.arange(6, dtype="i4"),
    "big endian": np.arange(6, dtype=">i2"),
    "matrix": np.arange(6.0).reshape(2, 3),
    "column-major": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "scalar": np.array(5),
    "empty": np.zeros((0, 3)),
    "bool": np.array([True, False]),
    "complex": np.array([1j]),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "dates": np.array(["2024-01-01"], "datetime64[D]"),
    "fields": np.array([(1, 2.5, [3, 4])], dtype=[("a", "<i4"), ("b", "<f8"), ("c", "u1", (2,))]),
    "nested fields": np.zeros(2, dtype=[("a", [("b", "<i4")])]),
    "half": np.ones(2, "f2"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_the_same(name):
    """By dtype, shape, memory order and content, writable, with memory of their own."""
    value = ARRAYS[name]
    back = CODEC.decode(CODEC.encode(value))

    np.testing.assert_array_equal(value, back, strict=True)
    assert value.flags.f_contiguous == back.flags.f_contiguous or not value.flags.contiguous
    assert back.flags.writeable
    assert back.flags.owndata


class Text(str):
    __slots__ = ()


class Plain:
    pass


REFUSED = {
    "instance": Plain(),
    "object": object(),
    "str subclass": Text("a"),
    "enum not named": http.HTTPStatus.OK,
    "exception": ValueError("x"),
    "class": int,
    "function": len,
    "lambda": lambda: 1,
    "generator": (x for x in ()),
    "lock": threading.Lock(),
    "struct_time": gmtime(0),
    "memoryview": memoryview(b"a"),
    "defaultdict of a function": defaultdict(lambda: 1),
    "object array": np.array([None]),
    "masked array": np.ma.masked_array([1], [True]),
    "dict view": {}.keys(),
    "module": re,
    "bool enum": enum.Enum("E", "A").A,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_is_refused(name):
    """Whatever would not come back itself is refused, alone and inside others."""
    with pytest.raises(NotSerializable):
        CODEC.encode(REFUSED[name])
    with pytest.raises(NotSerializable) as caught:
        CODEC.encode({"items": [1, (2, REFUSED[name])]})

    assert caught.value.where.startswith("result['items'][1][1]")


@pytest.mark.parametrize("value", [[{"a": Plain()}], [OrderedDict(a=Plain())], ({1: Plain()},), deque([Plain()])])
def test_refusals_name_type_and_place(value):
    """The path leads to the part, through every kind of container."""
    with pytest.raises(NotSerializable, match=r"^result\[.*\] is a .*\.Plain, which would not come back from a store as it is"):
        CODEC.encode(value)


def test_refusals_name_both_fixes():
    """The text says what to write, ready to be copied."""
    with pytest.raises(NotSerializable) as caught:
        CODEC.encode({"status": http.HTTPStatus.OK})

    assert (
        "result['status'] is a http.HTTPStatus, which would not come back from a store as it is: "
        "name HTTPStatus in the task's return annotation, or call holdfast.register(HTTPStatus)"
    ) == str(caught.value).replace("is an http", "is a http")


def test_refusals_of_unknown_sorts_show_the_long_form():
    """For a class that no annotation can help, the text shows what register needs."""
    with pytest.raises(NotSerializable, match=r"holdfast\.register\(Plain, dump=\.\.\., load=\.\.\.\)"):
        CODEC.encode(Plain())


def test_self_reference_is_refused():
    """A list that contains itself ends in an error, not in a crash."""
    loop: list = []
    loop.append(loop)
    with pytest.raises(NotSerializable, match="100 levels"):
        CODEC.encode(loop)


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {1: x}])
def test_depth_limit_is_one_that_can_be_read_back(wrap):
    """What is accepted at the limit decodes too."""
    value = 1
    for _ in range(99):
        value = wrap(value)
    assert value == CODEC.decode(CODEC.encode(value))
    for _ in range(3):
        value = wrap(value)
    with pytest.raises(NotSerializable, match="100 levels"):
        CODEC.encode(value)


HASHABLE = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3) | st.dates(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=4,
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=5),
    st.text(st.characters(categories=["Cs", "Ll"]), max_size=3),
    st.binary(max_size=5),
    st.binary(max_size=5).map(bytearray),
    st.decimals(),
    st.fractions(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from([range(3), PurePosixPath("a"), ..., re.compile("a")]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.text(string.ascii_letters, max_size=3), inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=2).map(OrderedDict),
        st.sets(HASHABLE, max_size=3),
        st.frozensets(HASHABLE, max_size=3),
    ),
    max_leaves=10,
)


@settings(max_examples=60)
@given(VALUES)
def test_round_trip(value):
    """Arbitrary nested values come back equal, with the same types at every depth."""
    assert same(value, CODEC.decode(CODEC.encode(value)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_plain_values_are_plain_messagepack(value):
    """JSON-like results are stored as any MessagePack reader reads them."""
    assert value == msgspec.msgpack.decode(CODEC.encode(value))


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_corrupt(data):
    """No input makes decode raise anything else."""
    with contextlib.suppress(CorruptRecord):
        CODEC.decode(data)


def test_flipped_bytes_decode_or_are_corrupt():
    """Damage to real records neither crashes nor escapes as another error."""
    chance = random.Random(7)
    corrupt = 0
    for value in [*KEPT.values(), *ARRAYS.values()]:
        record = CODEC.encode([value])
        for _ in range(40):
            damaged = bytearray(record)
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            try:
                CODEC.decode(bytes(damaged))
            except CorruptRecord:
                corrupt += 1
    assert corrupt > 500


def ext(code, payload):
    """The bytes of an extension with any payload."""
    return msgspec.msgpack.encode(Ext(code, msgspec.msgpack.encode(payload)))


HUGE_RANGE = Ext(26, msgspec.msgpack.encode([0, 10**15, 1]))
HOSTILE = {
    "unknown code": ext(99, None),
    "unknown class": ext(100, ["os.system", "true", {}]),
    "class without parts": ext(100, ["x"]),
    "bytearray by size": ext(8, 10**12),
    "tuple of a range": ext(1, HUGE_RANGE),
    "set of a range": ext(2, HUGE_RANGE),
    "counter of a range": ext(10, HUGE_RANGE),
    "fraction to compute": ext(14, ["1e999999999", 1]),
    "array without content": ext(40, ["<f8", [10**12], "C", b""]),
    "array of nothing": ext(40, ["|S0", [10**12], "C", b""]),
    "array of objects": ext(40, ["|O", [1], "C", b"12345678"]),
    "array of object fields": ext(40, [[["a", "|O"]], [1], "C", b"12345678"]),
    "array of a negative shape": ext(40, ["<f8", [-1, -1], "C", b"12345678"]),
    "scalar of objects": ext(41, ["O8", b"12345678"]),
    "zone of a path": ext(20, "../../../../etc/passwd"),
    "unhashable member": ext(2, [[1]]),
    "unhashable key": ext(4, [[1], 2]),
    "odd pairs": ext(4, [1, 2, 3]),
    "factory not builtin": ext(11, ["eval", {}]),
    "month 13": ext(15, [2024, 13, 1]),
    "bad pattern": ext(28, ["(", 0]),
    "array header": b"\xdd\xff\xff\xff\xff",
    "map header": b"\xdf\xff\xff\xff\xff",
    "str header": b"\xdb\xff\xff\xff\xff",
    "nesting": b"\x91" * 100_000,
    "trailing": b"\x01\x01",
    "empty": b"",
}


def nested_extensions():
    """Ten thousand tuples within each other."""
    data = b"\xc0"
    for _ in range(3000):
        data = b"\xc9" + len(b"\x91" + data).to_bytes(4, "big") + b"\x01\x91" + data
    return data


HOSTILE["nested extensions"] = nested_extensions()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_records_are_corrupt(name):
    """Forged records claim neither memory nor time, and run nothing."""
    with pytest.raises(CorruptRecord):
        CODEC.decode(HOSTILE[name])


def test_is_a_codec():
    """Both codecs keep the protocol, with ids that tell them apart."""
    pickle_codec = PickleCodec(secret=b"s" * 16)

    assert isinstance(CODEC, Codec)
    assert isinstance(pickle_codec, Codec)
    assert (1, 2) == (CODEC.id, pickle_codec.id)


def test_one_codec_per_annotation():
    """Asking again costs nothing; an annotation that cannot be hashed works too."""
    from typing import Annotated

    assert codec_for(list[int]) is codec_for(list[int])
    assert isinstance(codec_for(Annotated[int, []]), MsgpackCodec)


def test_pickle_round_trip():
    """What can be pickled comes back."""
    codec = PickleCodec(secret=b"s" * 32)

    assert http.HTTPStatus.OK is codec.decode(codec.encode(http.HTTPStatus.OK))


RAN: list[str] = []


class Bomb:
    def __reduce__(self):
        return RAN.append, ("boom",)


def test_nothing_is_unpickled_before_the_signature_is_checked():
    """A pickle signed with another secret, or not at all, never runs."""
    import pickle

    codec = PickleCodec(secret=b"s" * 16)
    forged = PickleCodec(secret=b"t" * 16).encode(Bomb())
    for data in (forged, pickle.dumps(Bomb()), b"\0" * 32 + pickle.dumps(Bomb()), b""):
        with pytest.raises(CorruptRecord, match="signature"):
            codec.decode(data)

    assert [] == RAN


@pytest.mark.parametrize("secret", [b"", b"short", "text that is long enough", None])
def test_pickle_needs_a_secret(secret):
    """A missing or guessable secret would let others run code."""
    with pytest.raises(PolicyError, match="secret="):
        PickleCodec(secret=secret)


def test_pickle_refuses_and_reports():
    """What pickle cannot take is NotSerializable, what it cannot load CorruptRecord; the secret is not shown."""
    codec = PickleCodec(secret=b"s" * 16)
    with pytest.raises(NotSerializable):
        codec.encode(threading.Lock())
    broken = b"not a pickle"
    with pytest.raises(CorruptRecord, match="cannot be loaded"):
        codec.decode(codec._sign(broken) + broken)
    assert "ssss" not in repr(codec)
