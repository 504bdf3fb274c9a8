"""Sealed records open only whole, with the secret, and under their own key."""

from __future__ import annotations

import struct
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import CorruptRecord
from holdfast.typing import NO_TERMS, CacheKey, Terms
from holdfast.values.envelope import Envelope, seal, unseal

KEY = CacheKey("app.forecast:1", b"k" * 16)
SECRET = b"s" * 32
ORIGIN = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def sealed(payload=b"payload", *, secret=SECRET, key=KEY, **options):
    """A record with ordinary values where none are given."""
    return seal(payload, secret=secret, key=key, **{"codec": 1, "stored_at": 1.5, "ttl": 60.0, "origin": ORIGIN, **options})


@given(
    st.binary(max_size=50),
    st.integers(0, 255),
    st.floats(allow_nan=False),
    st.none() | st.floats(allow_nan=False),
    st.booleans(),
    st.sampled_from([("", ""), ORIGIN, (ORIGIN[0], ""), ("", ORIGIN[1])]),
    st.text(),
    st.builds(Terms, st.none() | st.floats(allow_nan=False), st.text(max_size=50), st.none() | st.floats(allow_nan=False)),
)
def test_opens_as_it_was_sealed(payload, codec, stored_at, ttl, negative, origin, namespace, terms):
    """Every field comes back."""
    key = CacheKey(namespace, b"d" * 16)
    record = sealed(payload, key=key, codec=codec, stored_at=stored_at, ttl=ttl, negative=negative, origin=origin, terms=terms)

    assert Envelope(payload, codec, stored_at, ttl, negative, origin, terms) == unseal(record, secret=SECRET, key=key)


@pytest.mark.parametrize("terms", [NO_TERMS, Terms(5.0, "etag", 7.0)])
def test_every_flipped_bit_is_noticed(terms):
    """Header, origin, terms, seal and payload are all covered."""
    record = sealed(terms=terms)
    for at in range(len(record)):
        for bit in range(8):
            damaged = bytearray(record)
            damaged[at] ^= 1 << bit
            with pytest.raises(CorruptRecord):
                unseal(bytes(damaged), secret=SECRET, key=KEY)


def test_a_record_of_which_nothing_was_said_is_as_it_always_was():
    """An older holdfast beside this one reads it; of another it says that it is of another format, and computes."""
    assert (1, 2) == (sealed()[2], sealed(terms=Terms(etag="x"))[2])


@pytest.mark.parametrize("terms", [NO_TERMS, Terms(5.0, "etag", 7.0)])
def test_every_cut_and_addition_is_noticed(terms):
    """A record cut short anywhere, or longer than it was, does not open."""
    record = sealed(terms=terms)
    for damaged in [*(record[:length] for length in range(len(record))), record + b"\0", b"\0" + record, b""]:
        with pytest.raises(CorruptRecord):
            unseal(damaged, secret=SECRET, key=KEY)


@pytest.mark.parametrize(
    "key", [CacheKey("app.other:1", b"k" * 16), CacheKey("app.forecast:1", b"j" * 16), CacheKey("app.forecast:", b"1" + b"k" * 15)]
)
def test_a_record_moved_to_another_key_does_not_open(key):
    """Swapping entries in a store is damage, not a wrong answer."""
    with pytest.raises(CorruptRecord, match="seal"):
        unseal(sealed(), secret=SECRET, key=key)


def test_key_and_payload_cannot_trade_bytes():
    """Where the key ends and the record begins is part of what is sealed."""
    record = sealed(key=CacheKey("ab", b"c"))
    with pytest.raises(CorruptRecord):
        unseal(record, secret=SECRET, key=CacheKey("a", b"bc"))


@pytest.mark.parametrize("secret", [b"t" * 32, SECRET + b"\0", SECRET[:-1]])
def test_another_secret_does_not_open(secret):
    """Who does not know the secret cannot write a record."""
    with pytest.raises(CorruptRecord, match="seal"):
        unseal(sealed(), secret=secret, key=KEY)


def test_long_secrets_work():
    """A secret longer than BLAKE2's key is hashed first."""
    record = sealed(secret=b"x" * 200)

    assert b"payload" == unseal(record, secret=b"x" * 200, key=KEY).payload
    with pytest.raises(CorruptRecord):
        unseal(record, secret=b"x" * 199, key=KEY)


def test_another_version_does_not_open():
    """A record of a later holdfast is told apart before anything else is read."""
    record = bytearray(sealed())
    record[2] = 3
    with pytest.raises(CorruptRecord, match="another format"):
        unseal(bytes(record), secret=SECRET, key=KEY)


def test_an_empty_secret_seals_nothing():
    """A seal that anybody can make is none."""
    with pytest.raises(ValueError, match="empty secret"):
        sealed(secret=b"")


@pytest.mark.parametrize("origin", [("0a", ""), ("", "0a"), ("zz" * 16, "")])
def test_origins_are_trace_and_span_ids(origin):
    """Ids of another form are refused when sealing."""
    with pytest.raises(ValueError, match=r"origin|hexadecimal"):
        sealed(origin=origin)


def test_the_payload_is_not_hidden():
    """A seal authenticates; it does not encrypt."""
    assert sealed(b"plain to see").endswith(b"plain to see")


def by_hand(payload, *, secret=SECRET, namespace=b"app.forecast:1", flags=0, ttl=0.0, ids=b""):
    """A record as the module's docstring describes it."""
    header = b"HF\x01\x07" + bytes([flags]) + struct.pack(">dd", 1.5, ttl) + ids
    sealed = b"%d:%b16:%b%d:%b%b" % (len(namespace), namespace, b"k" * 16, len(header), header, payload)
    return header + blake2b(sealed, digest_size=32, key=secret, person=b"holdfast-record").digest() + payload


IDS = bytes.fromhex("".join(ORIGIN))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ttl": None}, by_hand(b"p")),
        ({"ttl": None, "negative": True}, by_hand(b"p", flags=1)),
        ({"ttl": 60.0}, by_hand(b"p", flags=2, ttl=60.0)),
        ({"ttl": 0.0}, by_hand(b"p", flags=2)),
        ({"ttl": None, "origin": (ORIGIN[0], "")}, by_hand(b"p", flags=4, ids=IDS[:16])),
        ({"ttl": None, "origin": ("", ORIGIN[1])}, by_hand(b"p", flags=8, ids=IDS[16:])),
        ({"ttl": 60.0, "negative": True, "origin": ORIGIN}, by_hand(b"p", flags=15, ttl=60.0, ids=IDS)),
    ],
)
def test_the_bytes_of_a_record(options, expected):
    """Records outlive releases: another layout needs another version."""
    record = seal(b"p", secret=SECRET, key=KEY, codec=7, stored_at=1.5, **options)

    assert expected == record
    assert Envelope(b"p", 7, 1.5, options["ttl"], options.get("negative", False), options.get("origin", ("", ""))) == unseal(
        record, secret=SECRET, key=KEY
    )


@pytest.mark.parametrize(("secret", "key"), [(b"x" * 64, b"x" * 64), (b"x" * 65, blake2b(b"x" * 65).digest())])
def test_the_longest_secret_that_is_used_as_it_is(secret, key):
    """64 bytes, which BLAKE2 takes as a key; longer ones are hashed to as many, as HMAC does."""
    assert by_hand(b"p", secret=key) == seal(b"p", secret=secret, key=KEY, codec=7, stored_at=1.5, ttl=None)


def test_a_namespace_of_any_text_can_be_sealed():
    """A lone surrogate, from a file name perhaps, is no reason to fail."""
    key = CacheKey("\ud800", b"k" * 16)

    assert by_hand(b"p", namespace=b"\xed\xa0\x80") == seal(b"p", secret=SECRET, key=key, codec=7, stored_at=1.5, ttl=None)
