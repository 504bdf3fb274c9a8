"""Protocols through which the layers meet: what the runtime asks of a cache and of a codec.

Nothing here does any work, so every layer may import it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable


class CacheKey(NamedTuple):
    """Names one cached value.

    Attributes:
        namespace: Whose value it is: module, qualified name and version or code fingerprint of the task.
        digest: 16 bytes over the canonical encoding of the arguments.
    """

    namespace: str
    digest: bytes


class Entry(NamedTuple):
    """A value read from a cache. Whether it is fresh is judged by the policy at read time, not by the store.

    Attributes:
        value: The decoded value, or the exception instance when ``negative``.
        stored_at: When it was stored, seconds since the epoch.
        ttl: The time to live it was stored with, seconds; ``None`` never expires.
        size: Bytes of the encoded value.
        tier: ``"memory"`` or ``"disk"``.
        negative: True for a remembered failure.
        origin_trace_id: Trace that produced it, 32 hex digits, or ``""``.
        origin_span_id: Span that produced it, 16 hex digits, or ``""``.
    """

    value: Any
    stored_at: float
    ttl: float | None
    size: int
    tier: str
    negative: bool = False
    origin_trace_id: str = ""
    origin_span_id: str = ""


@runtime_checkable
class Codec(Protocol):
    """Turns values into bytes and back, exactly."""

    @property
    def id(self) -> int:
        """One byte that names the codec in an envelope."""
        ...

    def encode(self, value: Any, /) -> bytes:
        """Encode, or raise `holdfast.NotSerializable` naming the offending part."""
        ...

    def decode(self, data: bytes, /) -> Any:
        """Decode what `encode` made, or raise `holdfast.errors.CorruptRecord`."""
        ...


@runtime_checkable
class Cache(Protocol):
    """What the runtime asks of a cache. No method raises for trouble in the store: that is a miss and a note."""

    @property
    def is_blocking(self) -> bool:
        """True when `get` and `set` may do I/O, so that async callers go through a thread."""
        ...

    def peek(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in the in-process tier only; never blocks."""
        ...

    def get(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in every tier."""
        ...

    def set(
        self,
        key: CacheKey,
        value: Any,
        codec: Codec,
        /,
        *,
        ttl: float | None,
        negative: bool = False,
        tags: tuple[str, ...] = (),
        origin: tuple[str, str] = ("", ""),
    ) -> int | None:
        """Store ``value`` in every tier; return its size in bytes, or None when it could not be stored.

        Raises:
            NotSerializable: The codec refuses the value (the caller turns this into a note).
        """
        ...

    def delete(self, key: CacheKey, /) -> bool:
        """Forget one entry; True when there was one."""
        ...

    def purge(self, *, namespace: str | None = None, tag: str | None = None) -> int:
        """Forget a namespace (a trailing ``*`` matches any ending), a tag, or everything; return how many."""
        ...

    def close(self) -> None:
        """Release files and connections. The cache may be used again: it reopens lazily."""
        ...
