"""Protocols through which the layers meet: what the runtime asks of a cache, a codec and a checkpointer.

Plain data and protocols, so every layer may import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from holdfast._records import NO_TERMS, UNFINISHED, Commit, Lease, Pruned, RunRecord, StepId, StepRecord, Terms, ThreadInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._evidence import Tap


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
        tap: Where a hit is noted for the recorder of evidence; None when nobody records.
        own_ttl: Seconds it is fresh, whatever the policy says; None leaves it to that. This and the next two are its `Terms`.
        etag: See there.
        modified: See there.
    """

    value: Any
    stored_at: float
    ttl: float | None
    size: int
    tier: str
    negative: bool = False
    origin_trace_id: str = ""
    origin_span_id: str = ""
    tap: Tap | None = None
    own_ttl: float | None = None
    etag: str = ""
    modified: float | None = None


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
        terms: Terms = NO_TERMS,
    ) -> int | None:
        """Store a value in every tier.

        Args:
            key: Names the entry; what was there is replaced.
            value: The value; with ``negative``, an exception.
            codec: Encodes it.
            ttl: Seconds it may be of use, for the store to evict it by; None for ever.
            negative: True for a remembered failure.
            tags: Words by which it can be purged.
            origin: Trace and span id of what produced it, in hex digits; empty texts where nothing traced.
            terms: What the computation said of it; left out where it said nothing.

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

        Raises:
            StoreError: It could not be forgotten, and may be served again.
        """
        ...

    def purge(self, *, namespace: str | None = None, tag: str | None = None) -> int:
        """Forget entries: everything, or those of a namespace, a tag, or both.

        Args:
            namespace: Only this one; a ``*``, wherever it stands, matches anything. None takes all.
            tag: Only entries with this tag; None takes all.

        Returns:
            How many there were.

        Raises:
            StoreError: Not all of them could be forgotten.
        """
        ...

    def close(self) -> None:
        """Release files and connections. The cache may be used again: it reopens lazily."""
        ...


@runtime_checkable
class Checkpointer(Protocol):
    """Keeps runs and their steps, so that a finished step is never done again. It sees bytes only.

    `holdfast.testing.CheckpointerContract` is the test every implementation has to pass. Trouble in the store is a `StoreError`; what can
    be no id (a number, ``""``, a NUL in it, more than 255 characters) is a `PolicyError` of every method that takes one.
    """

    @property
    def is_blocking(self) -> bool:
        """True when its methods may do I/O, so that async callers go through a thread."""
        ...

    def claim(self, thread_id: str, /, *, force: bool = False) -> Lease:
        """Become the one owner of a thread, which need not exist yet.

        Args:
            thread_id: The thread.
            force: Take it from a living owner; what that one writes from now on is refused.

        Returns:
            The right to write to it.

        Raises:
            ThreadBusyError: Somebody alive owns it, in this process or another one.
        """
        ...

    def release(self, lease: Lease, /) -> None:
        """Give a thread back; nothing happens when it has been taken already.

        Args:
            lease: What `claim` returned.
        """
        ...

    def is_owned(self, thread_id: str, /) -> bool:
        """Look whether somebody works on a thread, without claiming it.

        Args:
            thread_id: The thread, which need not exist.

        Returns:
            True while a living process owns it, this one or another.
        """
        ...

    def commit(self, commits: Sequence[Commit], /) -> list[Exception | None]:
        """Make changes in one transaction; they are durable, as far as the saver is, when this returns.

        Args:
            commits: The changes, of any runs and threads.

        Returns:
            One item for each commit: None, or why nothing of it was kept (`ThreadBusyError` for a lease that is no longer the thread's).
            One commit's trouble is not another's.

        Raises:
            StoreError: Nothing of all this was kept.
        """
        ...

    def latest(self, thread_id: str, /) -> RunRecord | None:
        """Look up a thread's newest run.

        Args:
            thread_id: The thread.

        Returns:
            Its newest run; None when it has none.
        """
        ...

    def find(self, run_id: str, /) -> RunRecord | None:
        """Look up a run, whatever its thread.

        Args:
            run_id: The run.

        Returns:
            Its record; None when there is none.
        """
        ...

    def runs(self, thread_id: str, /, *, limit: int | None = None, before: str | None = None) -> list[RunRecord]:
        """Look up a thread's runs.

        Args:
            thread_id: The thread.
            limit: How many at most; None: all.
            before: Only runs older than the one of this id; None: all.

        Returns:
            The runs, newest first.
        """
        ...

    def steps(self, run_id: str, /) -> list[StepRecord]:
        """Look up a run's steps.

        Args:
            run_id: The run.

        Returns:
            The steps, in the order in which they were first recorded.

        Raises:
            CorruptRecord: A damaged row: nothing of the run is taken for good then.
        """
        ...

    def threads(self, *, limit: int | None = None) -> list[ThreadInfo]:
        """List the threads.

        Args:
            limit: How many at most; None: all.

        Returns:
            The threads, last updated first.
        """
        ...

    def delete_thread(self, thread_id: str, /) -> bool:
        """Forget a thread with all its runs.

        Args:
            thread_id: The thread.

        Returns:
            True when there was one.

        Raises:
            ThreadBusyError: Somebody alive owns it.
        """
        ...

    def copy_thread(self, source: str, target: str, /) -> None:
        """Copy a thread's runs and steps, under new run ids and without their traces, to a thread that does not exist yet.

        Args:
            source: The thread to copy.
            target: The thread to make.

        Raises:
            ThreadBusyError: Somebody alive owns one of them.
            StoreError: There is no such source, or there is a target.
        """
        ...

    def prune(self, *, keep_last: int | None = None, max_age: float | None = None, dry_run: bool = False) -> Pruned:
        """Forget old runs, except unfinished ones (running, interrupted, failed) that are their thread's newest, and threads with an owner.

        The saved value that a kept run, or the thread's next one, sees as ``previous`` stays readable.

        Args:
            keep_last: How many runs of each thread to keep; None does not count.
            max_age: Seconds since a run's last change of status after which it goes; None does not look.
            dry_run: Only say what would go.

        Returns:
            What went, or would go.
        """
        ...

    def close(self) -> None:
        """Release files and connections. The saver may be used again: it reopens lazily."""
        ...


__all__ = [
    "NO_TERMS",
    "UNFINISHED",
    "Cache",
    "CacheKey",
    "Checkpointer",
    "Codec",
    "Commit",
    "Entry",
    "Lease",
    "Pruned",
    "RunRecord",
    "StepId",
    "StepRecord",
    "Terms",
    "ThreadInfo",
]
