"""The bytes of stored results: stores outlive releases, so what one release wrote the next must read."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from hashlib import blake2b

import pytest

from holdfast.errors import NotSerializable
from holdfast.values import kinds
from holdfast.values.codec import PickleCodec, codec_for, packed


@dataclass
class Point:
    x: object


Point.__module__ = "app"  # how a test's module is called depends on how pytest is run
CODEC = codec_for(Point)

BYTES = [
    ({"b": 1, "a": [None]}, b"\x82\xa1b\x01\xa1a\x91\xc0"),
    ((1,), b"\xd5\x01\x91\x01"),
    ({(1,)}, b"\xc7\x05\x02\x91\xd5\x01\x91\x01"),
    ({"a": (1,)}, b"\x81\xa1a\xd5\x01\x91\x01"),
    ({1: 2}, b"\xc7\x03\x04\x92\x01\x02"),
    ({"a": (1,), 2: 3}, b"\xc7\x09\x04\x94\xa1a\xd5\x01\x91\x01\x02\x03"),
    ({"\ud800": 1}, b"\xc7\x0a\x04\x92\xc7\x05\x06\xc4\x03\xed\xa0\x80\x01"),
    (("a", -(2**63), 2**64 - 1), b"\xc7\x15\x01\x93\xa1a\xd3\x80" + b"\0" * 7 + b"\xcf" + b"\xff" * 8),
    ((2**64,), b"\xc7\x0f\x01\x91\xc7\x0b\x05\xc4\t\x01" + b"\0" * 8),
    ((-(2**63) - 1,), b"\xc7\x0f\x01\x91\xc7\x0b\x05\xc4\t\xff\x7f" + b"\xff" * 7),
    (("é", "\ud800"), b"\xc7\x0c\x01\x92\xa2\xc3\xa9\xc7\x05\x06\xc4\x03\xed\xa0\x80"),
    ((math.nan, 1.5, True, None, b"x"), b"\xc7\x18\x01\x95\xcb\x7f\xf8" + b"\0" * 6 + b"\xcb\x3f\xf8" + b"\0" * 6 + b"\xc3\xc0\xc4\x01x"),
    ([...], b"\x91\xd4\x23\xc0"),
    (Point((1,)), b"\xc7\x13d\x93\xa9app.Point\x80\x81\xa1x\xd5\x01\x91\x01"),
]


@pytest.mark.parametrize(("value", "expected"), BYTES, ids=lambda value: repr(value)[:20])
def test_the_bytes_of_a_result(value, expected):
    """Whoever changes one of these makes what is stored unreadable."""
    assert expected == CODEC.encode(value)


KINDS = """
    1 builtins.tuple, 2 builtins.set, 3 builtins.frozenset, 4 builtins.dict, 5 builtins.int, 6 builtins.str, 7 builtins.complex,
    8 builtins.bytearray, 9 collections.OrderedDict, 10 collections.Counter, 11 collections.defaultdict, 12 collections.deque,
    13 decimal.Decimal, 14 fractions.Fraction, 15 datetime.date, 16 datetime.time, 17 datetime.datetime, 18 datetime.timedelta,
    19 datetime.timezone, 20 zoneinfo.ZoneInfo, 21 uuid.UUID, 22 pathlib.PurePosixPath, 23 pathlib.PureWindowsPath,
    24 pathlib.PosixPath, 25 pathlib.WindowsPath, 26 builtins.range, 27 builtins.slice, 28 re.Pattern, 29 ipaddress.IPv4Address,
    30 ipaddress.IPv6Address, 31 ipaddress.IPv4Network, 32 ipaddress.IPv6Network, 33 ipaddress.IPv4Interface,
    34 ipaddress.IPv6Interface, 35 types.EllipsisType, 40 numpy.ndarray, 41 numpy.generic
"""


def test_the_codes_of_the_standard_types():
    """A code is never given to another type; new types are added at the end."""
    assert " ".join(KINDS.split()) == ", ".join(f"{kind.code} {kind.module}.{kind.name}" for kind in kinds.KINDS)


def nest(levels, innermost):
    """``innermost`` in that many lists."""
    for _ in range(levels):
        innermost = [innermost]
    return innermost


@pytest.mark.parametrize(
    ("innermost", "most"),
    [(1, 101), ([], 100), ((), 99), ((1,), 99), ({1: 2}, 99), (2**70, 99), (..., 99), (Point(1), 98), (Point([1]), 98)],
)
def test_how_deep_a_result_may_be(innermost, most):
    """A hundred levels and one for what is not a container; an extension needs one for its parts."""
    value = nest(most, innermost)

    assert repr(value) == repr(CODEC.decode(CODEC.encode(value)))
    with pytest.raises(NotSerializable, match="is nested deeper than 100 levels"):
        CODEC.encode(nest(most + 1, innermost))


def test_a_frame_of_plain_contents_is_what_the_codec_makes_of_lists():
    """And of any others the codec has to be asked: they, or what is in them, have a kind."""
    assert CODEC.encode(["w", [["a", 1]], 2]) == packed(("w", [("a", 1)], 2), [1])
    assert [None, None, None] == [packed(("w", value), [value]) for value in ((1,), [Point(1)], 2**70)]


@pytest.mark.parametrize(("levels", "is_for_the_codec"), [(90, False), (95, True), (108, True)])
def test_a_frame_takes_no_contents_that_the_codec_would_refuse(levels, is_for_the_codec):
    """Not even with eight levels around them, which is the most: the codec is asked in time, and says that they are too deep."""
    contents = frame = nest(levels, 1)
    for _ in range(8):
        frame = (frame,)
    made = packed(frame, [contents])

    assert is_for_the_codec == (made is None)
    if made is not None:
        assert CODEC.encode(nest(8, contents)) == made


def test_a_pickle_stands_behind_its_signature():
    """32 bytes of BLAKE2b with a key made from the secret, over a pickle of protocol 5."""
    codec = PickleCodec(secret=b"s" * 16)
    key = blake2b(b"s" * 16, digest_size=32, person=b"holdfast-pickle").digest()
    data = pickle.dumps((1, "a"), protocol=5)

    assert blake2b(data, digest_size=32, key=key).digest() + data == codec.encode((1, "a"))


def test_a_pickle_codec_shows_no_secret():
    """It stands in the repr of a policy."""
    assert "PickleCodec(secret=...)" == repr(PickleCodec(secret=b"s" * 16))


def test_what_cannot_be_pickled_is_the_result():
    """There is no path into it."""
    with pytest.raises(NotSerializable, match=r"^result cannot be pickled: ") as caught:
        PickleCodec(secret=b"s" * 16).encode(lambda: None)

    assert "result" == caught.value.where
