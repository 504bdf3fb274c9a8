"""Protocols through which the layers meet: what the runtime asks of a cache and of a codec.

Plain data and protocols, so every layer may import it.
"""

from __future__ import annotations

from hashlib import blake2b
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
        """Encode a value.

        Args:
            value: The value.

        Returns:
            Its bytes.

        Raises:
            holdfast.NotSerializable: It would not come back as it is; the text names the offending part.
        """
        ...

    def decode(self, data: bytes, /) -> Any:
        """Decode what `encode` made.

        Args:
            data: The bytes.

        Returns:
            An equal value of the same type.

        Raises:
            holdfast.CorruptRecord: They are not what `encode` makes.
        """
        ...


@runtime_checkable
class Cache(Protocol):
    """What the runtime asks of a cache. No method raises for trouble in the store: that is a miss and a note."""

    @property
    def is_blocking(self) -> bool:
        """True when `get` and `set` may do I/O, so that async callers go through a thread."""
        ...

    def peek(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in the in-process tier only; never blocks.

        Args:
            key: Names the entry.
            codec: Decodes its value.

        Returns:
            The entry, fresh or not; None when it is not there, or cannot be used.
        """
        ...

    def get(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in every tier.

        Args:
            key: Names the entry.
            codec: Decodes its value.

        Returns:
            The entry, fresh or not; None when it is nowhere, or cannot be used.
        """
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
        """Store a value in every tier.

        Args:
            key: Names the entry; what was there is replaced.
            value: The value; with ``negative``, an exception.
            codec: Encodes it.
            ttl: Seconds it is meant to stay fresh, for the store to evict it by; None for ever.
            negative: True for a remembered failure.
            tags: Words by which it can be purged.
            origin: Trace and span id of what produced it, in hex digits; empty texts where nothing traced.

        Returns:
            Its size in bytes; None when it could not be stored.

        Raises:
            NotSerializable: The codec refuses the value (the caller turns this into a note).
        """
        ...

    def delete(self, key: CacheKey, /) -> bool:
        """Forget one entry.

        Args:
            key: Names the entry.

        Returns:
            True when there was one.
        """
        ...

    def purge(self, *, namespace: str | None = None, tag: str | None = None) -> int:
        """Forget entries: everything, or those of a namespace, a tag, or both.

        Args:
            namespace: Only this one; a trailing ``*`` matches any ending. None takes all.
            tag: Only entries with this tag; None takes all.

        Returns:
            How many there were.
        """
        ...

    def close(self) -> None:
        """Release files and connections. The cache may be used again: it reopens lazily."""
        ...


class StepId(NamedTuple):
    """Names one step of a run.

    Attributes:
        scope: Digest of the enclosing step; empty for the entrypoint's own body.
        name: Task name.
        fingerprint: 16 bytes over the canonical encoding of the bound arguments.
        occurrence: 0 for the first equal call in its scope, then 1, 2, ...
    """

    scope: bytes
    name: str
    fingerprint: bytes
    occurrence: int

    def digest(self) -> bytes:
        """16 bytes naming the step: the scope of whatever its body calls."""
        name = self.name.encode("utf-8", "surrogatepass")
        parts = (self.scope, name, self.fingerprint, str(self.occurrence).encode())
        return blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=16).digest()


class Saved(NamedTuple):
    """What a checkpointer holds of a thread.

    Attributes:
        run_id: Its latest run.
        status: ``running``, ``done`` or ``failed``.
        input: The encoded input of that run.
        steps: Encoded results of the finished steps.
        previous: The encoded value last returned (or saved) by a run of the thread, or None.
    """

    run_id: str
    status: str
    input: bytes
    steps: dict[StepId, bytes]
    previous: bytes | None


@runtime_checkable
class Checkpointer(Protocol):
    """Keeps the steps of runs, so that a finished step is never done again. It sees bytes only."""

    @property
    def is_blocking(self) -> bool:
        """True when `commit` may do I/O, so that async callers go through a thread."""
        ...

    def load(self, thread_id: str, /) -> Saved | None:
        """Look a thread up.

        Args:
            thread_id: The thread.

        Returns:
            Its latest run, and what that left; None for an unknown thread.
        """
        ...

    def begin(self, thread_id: str, run_id: str, input_: bytes, /) -> None:
        """Start a new run of a thread; the steps of the run before are forgotten, its saved value is kept.

        Args:
            thread_id: The thread; unknown ones are made.
            run_id: The new run.
            input_: Its encoded input.
        """
        ...

    def commit(self, thread_id: str, run_id: str, steps: list[tuple[StepId, bytes]], /) -> None:
        """Add finished steps; durable, as far as the saver is, when this returns.

        Args:
            thread_id: The thread.
            run_id: The run that made them; nothing is added when the thread has a newer one.
            steps: Each step's name and encoded outcome.
        """
        ...

    def end(self, thread_id: str, run_id: str, status: str, previous: bytes | None, /) -> None:
        """Record how a run ended.

        Args:
            thread_id: The thread.
            run_id: The run; nothing is recorded when the thread has a newer one.
            status: ``done`` or ``failed``.
            previous: The encoded value that replaces the thread's saved one; None leaves that as it is.
        """
        ...
