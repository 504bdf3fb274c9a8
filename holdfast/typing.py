"""Protocols through which the layers meet: what the runtime asks of a cache, a codec and a checkpointer.

Plain data and protocols, so every layer may import it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence


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


class StepRecord(NamedTuple):
    """What a checkpointer keeps of one step.

    Attributes:
        step: Its name; a later record of the same step replaces it.
        kind: ``ok`` (a result), ``error`` (a failure its caller has seen), ``started`` (an at-most-once step under way), ``asked`` (an open
            question) or ``answered``.
        payload: Encoded result, failure, or question and answer.
        history: Digest of all that the scope had asked for and been given before this step, while it did one thing after the other;
            empty when timing had a say.
        code: Fingerprint of the task's code, 16 hex digits; empty for questions.
        at: When it was recorded, seconds since the epoch.
    """

    step: StepId
    kind: str
    payload: bytes
    history: bytes = b""
    code: str = ""
    at: float = 0.0


class RunRecord(NamedTuple):
    """What a checkpointer keeps of one run.

    Attributes:
        run_id: UUIDv7, or what the caller gave as idempotency key.
        thread_id: The thread it belongs to.
        entry: Name of the entrypoint.
        code: Fingerprint of its body's code, 16 hex digits.
        status: ``running``, ``interrupted`` (waits for answers), ``failed``, ``cancelled``, ``done`` or ``abandoned`` (unfinished, and
            superseded by a newer run of the thread).
        input: The encoded input.
        base: The run whose saved value this run sees as ``previous``; empty for none.
        output: The encoded value that the run returned; None until it is done.
        saved: The encoded value that the thread's next run sees as ``previous``; None when it is the output.
        error: The encoded failure that ended it; None without one.
        created: When it began, seconds since the epoch.
        updated: When it last changed status, seconds since the epoch.
    """

    run_id: str
    thread_id: str
    entry: str
    code: str
    status: str
    input: bytes
    base: str = ""
    output: bytes | None = None
    saved: bytes | None = None
    error: bytes | None = None
    created: float = 0.0
    updated: float = 0.0


class Lease(NamedTuple):
    """The right to write to a thread, until another one is given out.

    Attributes:
        thread_id: The thread.
        owner: Who holds it.
        epoch: How many times the thread has been claimed; a write with an older one is refused.
    """

    thread_id: str
    owner: str
    epoch: int


class Commit(NamedTuple):
    """Changes to one run, to be made together or not at all.

    Attributes:
        lease: The writer's.
        run_id: The run.
        steps: Steps to add or replace.
        dropped: Steps to forget.
        run: The run's own record, to add or replace.
    """

    lease: Lease
    run_id: str
    steps: tuple[StepRecord, ...] = ()
    dropped: tuple[StepId, ...] = ()
    run: RunRecord | None = None


class ThreadInfo(NamedTuple):
    """A thread in a list.

    Attributes:
        thread_id: Its name.
        entry: The entrypoint of its latest run.
        status: The status of its latest run.
        runs: How many runs are kept.
        steps: How many steps of theirs are kept.
        size: Bytes of the encoded values kept.
        updated: When its latest run last changed status, seconds since the epoch.
        is_owned: True while a living process works on it.
    """

    thread_id: str
    entry: str
    status: str
    runs: int
    steps: int
    size: int
    updated: float
    is_owned: bool


class Pruned(NamedTuple):
    """What a `Checkpointer.prune` forgot, or would forget.

    Attributes:
        runs: Run ids, oldest first.
        threads: Threads of which nothing is left.
        steps: How many steps.
        size: Bytes of the encoded values.
    """

    runs: tuple[str, ...]
    threads: tuple[str, ...]
    steps: int
    size: int


@runtime_checkable
class Checkpointer(Protocol):
    """Keeps runs and their steps, so that a finished step is never done again. It sees bytes only.

    `holdfast.testing.CheckpointerContract` is the test every implementation has to pass. Trouble in the store is a `StoreError`.
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

        Raises:
            ThreadBusyError: Somebody alive owns it, in this process or another one.
        """
        ...

    def release(self, lease: Lease, /) -> None:
        """Give a thread back; nothing happens when it has been taken already."""
        ...

    def commit(self, commits: Sequence[Commit], /) -> list[Exception | None]:
        """Make changes in one transaction; they are durable, as far as the saver is, when this returns.

        Returns:
            One item for each commit: None, or why nothing of it was kept (`ThreadBusyError` for a lease that is no longer the thread's).
            One commit's trouble is not another's.

        Raises:
            StoreError: Nothing of all this was kept.
        """
        ...

    def latest(self, thread_id: str, /) -> RunRecord | None:
        """The thread's newest run."""
        ...

    def find(self, run_id: str, /) -> RunRecord | None:
        """The run of that id, whatever its thread."""
        ...

    def runs(self, thread_id: str, /, *, limit: int | None = None, before: str | None = None) -> list[RunRecord]:
        """The thread's runs, newest first: at most ``limit``, and only those older than the run ``before``."""
        ...

    def steps(self, run_id: str, /) -> list[StepRecord]:
        """The run's steps, in the order in which they were first recorded.

        Raises:
            CorruptRecord: A damaged row: nothing of the run is taken for good then.
        """
        ...

    def threads(self, *, limit: int | None = None) -> list[ThreadInfo]:
        """The threads, last updated first."""
        ...

    def delete_thread(self, thread_id: str, /) -> bool:
        """Forget a thread with all its runs; True when there was one.

        Raises:
            ThreadBusyError: Somebody alive owns it.
        """
        ...

    def copy_thread(self, source: str, target: str, /) -> None:
        """Copy a thread's runs and steps, under new run ids, to a thread that does not exist yet.

        Raises:
            ThreadBusyError: Somebody alive owns one of them.
            StoreError: There is no such source, or there is a target.
        """
        ...

    def prune(self, *, keep_last: int | None = None, max_age: float | None = None, dry_run: bool = False) -> Pruned:
        """Forget old runs, except unfinished ones (running, interrupted, failed) that are their thread's newest, and threads with an owner.

        Args:
            keep_last: How many runs of each thread to keep; None does not count.
            max_age: Seconds since a run's last change of status after which it goes; None does not look.
            dry_run: Only say what would go.

        The saved value that a kept run, or the thread's next one, sees as ``previous`` stays readable.
        """
        ...

    def close(self) -> None:
        """Release files and connections. The saver may be used again: it reopens lazily."""
        ...
