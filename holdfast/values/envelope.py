"""The sealed record in which values are stored: header, seal, payload.

::

    "HF" version codec flags stored_at ttl | trace id, span id, when flagged | seal, 32 bytes | payload

The seal is a keyed BLAKE2b-256 over the namespace and digest of the key, the header and the payload. It is checked, in constant time,
before anything but the version is looked at: a flipped bit, a record written without the secret, and a record moved to another key are
all the same `CorruptRecord`. The algorithm is fixed by the version, never by what a record says.
"""

from __future__ import annotations

import hmac
import struct
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import CorruptRecord

if TYPE_CHECKING:
    from holdfast.typing import CacheKey

_MAGIC = b"HF"
_VERSION = 1
_FIXED = struct.Struct(">2sBBBdd")
_SEAL = 32
_TRACE, _SPAN = 16, 8
_NEGATIVE, _HAS_TTL, _HAS_TRACE, _HAS_SPAN = 1, 2, 4, 8
_LONGEST_KEY = 64


class Envelope(NamedTuple):
    """What a sealed record holds.

    Attributes:
        payload: The encoded value, or the encoded failure when ``negative``.
        codec: Id of the codec that encoded it.
        stored_at: Seconds since the epoch.
        ttl: Seconds; None never expires.
        negative: True for a remembered failure.
        origin: Trace id (32 hex digits) and span id (16) of the call that produced it, each "" when unknown.
    """

    payload: bytes
    codec: int
    stored_at: float
    ttl: float | None
    negative: bool
    origin: tuple[str, str]


def seal(
    payload: bytes,
    *,
    secret: bytes,
    key: CacheKey,
    codec: int,
    stored_at: float,
    ttl: float | None,
    negative: bool = False,
    origin: tuple[str, str] = ("", ""),
) -> bytes:
    """The sealed record of an encoded value; see `Envelope` for the arguments.

    Args:
        payload: The encoded value.
        secret: What seals it; never empty.
        key: The key it is stored under, the only one under which it can be opened.
        codec: 0-255.
        stored_at: Seconds since the epoch.
        ttl: Seconds; None never expires.
        negative: True when the payload is a failure.
        origin: Trace id and span id in hex digits, or "".
    """
    trace, span = bytes.fromhex(origin[0]), bytes.fromhex(origin[1])
    if len(trace) not in (0, _TRACE) or len(span) not in (0, _SPAN):
        raise ValueError(f"origin={origin!r} is not a trace id of 32 hex digits and a span id of 16")
    flags = _NEGATIVE * negative | _HAS_TTL * (ttl is not None) | _HAS_TRACE * bool(trace) | _HAS_SPAN * bool(span)
    header = _FIXED.pack(_MAGIC, _VERSION, codec, flags, stored_at, ttl or 0.0) + trace + span
    return header + _seal_of(secret, key, header, payload) + payload


def unseal(data: bytes, *, secret: bytes, key: CacheKey) -> Envelope:
    """Check a record and take it apart.

    Raises:
        CorruptRecord: It is damaged, of another version, or was not sealed with this secret for this key.
    """
    if len(data) < _FIXED.size or data[:3] != _PREFIX:
        raise CorruptRecord("a stored record is cut short or of another format")
    _, _, codec, flags, stored_at, ttl = _FIXED.unpack_from(data)
    trace_end = _FIXED.size + (_TRACE if flags & _HAS_TRACE else 0)
    header_end = trace_end + (_SPAN if flags & _HAS_SPAN else 0)
    header, stated, payload = data[:header_end], data[header_end : header_end + _SEAL], data[header_end + _SEAL :]
    if not hmac.compare_digest(stated, _seal_of(secret, key, header, payload)):
        raise CorruptRecord("a stored record has a wrong seal: it is damaged, or was written with another secret or for another key")
    origin = (data[_FIXED.size : trace_end].hex(), data[trace_end:header_end].hex()) if header_end > _FIXED.size else ("", "")
    return Envelope(payload, codec, stored_at, ttl if flags & _HAS_TTL else None, bool(flags & _NEGATIVE), origin)


_PREFIX = _MAGIC + bytes([_VERSION])


def _seal_of(secret: bytes, key: CacheKey, header: bytes, payload: bytes) -> bytes:
    """Everything before the payload is preceded by its length, so that no two inputs look alike."""
    namespace, digest = key
    sealed = _keyed(secret, namespace).copy()
    sealed.update(b"%d:%b%d:%b" % (len(digest), digest, len(header), header))
    sealed.update(payload)
    return sealed.digest()


@lru_cache(maxsize=1024)
def _keyed(secret: bytes, namespace: str) -> blake2b:
    """A hash that has taken in the secret and the namespace: copying it takes 0.04 us, making one 0.3 us and the namespace as long again."""
    if not secret:
        raise ValueError("a record cannot be sealed with an empty secret")
    if len(secret) > _LONGEST_KEY:  # as HMAC does
        secret = blake2b(secret).digest()
    keyed = blake2b(digest_size=_SEAL, key=secret, person=b"holdfast-record")
    data = namespace.encode("utf-8", "surrogatepass")
    keyed.update(b"%d:%b" % (len(data), data))
    return keyed
