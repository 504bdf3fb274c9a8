"""What the runtime records of a run, a call and an attempt, for those who listen (`holdfast.events`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Origin(NamedTuple):
    """The execution that a resumed one goes on from.

    Attributes:
        run_id: Its run: the same, or the one that this run branches off.
        trace: What was kept with it as `RunFacts.trace`; empty when nobody traced it.
    """

    run_id: str
    trace: str


class Remains(NamedTuple):
    """What is known of an execution whose process died.

    Attributes:
        run_id: Its run.
        thread_id: The run's thread.
        name: Name of the entrypoint.
        trace: What was kept with it as `RunFacts.trace`.
        seen_ns: When it last gave a sign of life, nanoseconds since the epoch.
        spans: What was kept of its open spans through `RunFacts.outbox`, by id.
        steps: How the steps that are on record ended, by the hex digits of their digests: ``ok`` or ``error``, and nanoseconds since the
            epoch. Filled where spans were kept.
    """

    run_id: str
    thread_id: str
    name: str
    trace: str
    seen_ns: int
    spans: Mapping[str, bytes] = {}
    steps: Mapping[str, tuple[str, int]] = {}


class Outbox(Protocol):
    """Where what is known of a run's open spans outlives its process."""

    def change(self, kept: Mapping[str, bytes], gone: Iterable[str]) -> None:
        """Keep spans that are open, and forget some that are about to leave; done when this returns.

        Args:
            kept: What is known of each, by its id.
            gone: Ids.

        Raises:
            HoldfastError: It could not be done, or the run has ended.
        """


class RunFacts(msgspec.Struct, kw_only=True, weakref=True):
    """One invocation of an entrypoint, or of a single task through ``invoke``.

    Attributes:
        run_id: UUIDv7, text.
        thread_id: The thread the run belongs to; its own run id when none was given.
        name: Name of the entrypoint or task.
        function: Module and qualified name of the function.
        started_ns: Nanoseconds since the epoch.
        ended_ns: The same, 0 until the end.
        outcome: ``ok``, ``error``, ``cancelled``, ``interrupted`` or ``""`` while it runs.
        error: What the run raised.
        resumed: True when finished steps were taken from a journal at the start.
        origin: What a resumed run goes on from; None for any other.
        trace: Where this execution is traced; filled by an observer that makes spans and kept with the run.
        outbox: Keeps its open spans; None without a journal.
        capture: ``none``, ``shape`` or ``values``: what may be recorded of input and output.
        names: Names of the parameters that may be shown, parallel to ``arguments``: the body's, or the task's where the run is one call of it.
        arguments: What was given for them, for observers that capture it.
        output: The result, for observers that capture it.
        calls: Calls made so far.
        cache_hits: Calls answered by the cache so far.
        replayed: Calls answered by the journal so far.
        open: The run's calls under way, each with its record as ``facts``; other threads are at work on them, so it is for looking only.
        memo: Room for the observer.
    """

    run_id: str
    thread_id: str
    name: str
    function: str
    started_ns: int
    ended_ns: int = 0
    outcome: str = ""
    error: BaseException | None = None
    resumed: bool = False
    origin: Origin | None = None
    trace: str = ""
    outbox: Outbox | None = None
    capture: str = "none"
    names: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    output: Any = None
    calls: int = 0
    cache_hits: int = 0
    replayed: int = 0
    open: set[Any] = set()
    memo: Any = None


class CallFacts(msgspec.Struct, kw_only=True):
    """One call of a task: lookup, all attempts, outcome.

    Attributes:
        run: The run it belongs to; None for a function decorated with ``@resilient``.
        name: Name of the task.
        function: Module and qualified name of the function.
        index: Ordinal of the call within its run, from 1; 0 outside runs.
        kind: ``"internal"`` or ``"client"`` (a call to another service), or what the user gave.
        capture: ``none``, ``shape`` or ``values``.
        names: Parameter names, parallel to ``arguments``; empty when not bound.
        arguments: The bound arguments.
        started_ns: When the call was made, nanoseconds since the epoch.
        begun_ns: When work on it began; the difference is the time spent in the queue.
        ended_ns: 0 until the end.
        outcome: ``ok``, ``error``, ``timeout``, ``cancelled``, ``interrupted``, ``replayed`` or ``""``.
        error: What the call raised.
        result: What the call returned.
        attempts: Attempts made.
        max_attempts: The most that any of its policies allows; None is unbounded.
        waited_s: Seconds spent waiting between attempts.
        stop_reason: Why no further attempt was made after a failure; see `holdfast.policies.StopReason`.
        is_body: True for an entrypoint's own body: its attempts are children of the run itself.
        is_behind: True for one that renews an entry, or looks whether it is stale, behind the back of the call that is named by ``origin_trace_id`` and ``origin_span_id``.
        cache: ``hit``, ``miss``, ``coalesced``, ``negative``, ``stale`` (an old value, while a new one is computed), ``stale_if_error`` (an
            old value, because computing failed), ``refresh`` (computed although there was a value), ``probe`` (computed behind a hit only to see whether it was
            stale), ``bypass`` (not looked into), ``error``, or ``""`` when the task has no cache policy.
        cache_namespace: See `CacheKey`.
        cache_key: The digest.
        cache_ordinal: Which of all calls of the task that asked the cache it is: a token of the process, and a number from 1 on. By these it is seen
            whether spans are missing.
        cache_cause: Why nothing was found in a disk cache: ``cold``, ``expired``, ``evicted``, ``invalidated``, ``version`` or ``error``; ``""`` when
            something was, or it is not known.
        cache_tier: ``memory`` or ``disk`` on a hit.
        cache_age_s: Age of the entry on a hit.
        cache_ttl_s: Time to live in force; None never expires.
        cache_size: Bytes stored or read.
        cache_stored: True when the result was stored.
        origin_trace_id: Trace that produced the cached value, or that of the call this one waited for.
        origin_span_id: Span that produced the cached value; the same.
        trace_id: Trace of this call, 32 hex digits; filled by an observer that makes spans, stored with a cached result.
        span_id: Span of this call, 16 hex digits; the same.
        memo: Room for the observer.
    """

    run: RunFacts | None
    name: str
    function: str
    started_ns: int
    index: int = 0
    kind: str = "internal"
    capture: str = "none"
    names: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    begun_ns: int = 0
    ended_ns: int = 0
    outcome: str = ""
    error: BaseException | None = None
    result: Any = None
    attempts: int = 0
    max_attempts: int | None = 1
    waited_s: float = 0.0
    stop_reason: str = ""
    is_body: bool = False
    is_behind: bool = False
    cache: str = ""
    cache_namespace: str = ""
    cache_key: bytes = b""
    cache_ordinal: str = ""
    cache_cause: str = ""
    cache_tier: str = ""
    cache_age_s: float = 0.0
    cache_ttl_s: float | None = None
    cache_size: int = 0
    cache_stored: bool = False
    origin_trace_id: str = ""
    origin_span_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    memo: Any = None


class InBrief(msgspec.Struct):
    """What is known of a call in a run that is told in brief; see `holdfast.events.StepTracer`.

    Attributes:
        run: The run it belongs to.
        index: As in `CallFacts`.
        made_ns: When the call was made, nanoseconds since the epoch.
        is_body: As in `CallFacts`.
        begun_ns: When its attempt began; 0 before.
        memos: Room for the observer: of the call, and of the attempt. None before that began.
    """

    run: RunFacts
    index: int
    made_ns: int
    is_body: bool
    begun_ns: int = 0
    memos: tuple[Any, Any] | None = None


class AttemptFacts(msgspec.Struct, kw_only=True):
    """One execution of the function body.

    Attributes:
        call: The call it belongs to.
        number: From 1.
        started_ns: Nanoseconds since the epoch.
        ended_ns: 0 until the end.
        outcome: ``ok``, ``error``, ``timeout``, ``cancelled`` or ``interrupted``.
        error: What the body raised.
        timeout_s: Limit of this attempt in seconds, None without one.
        deadline_s: Seconds left of the call's deadline when the attempt started, None without one.
        will_retry: True when another attempt follows.
        wait_s: Seconds until the next attempt.
        reason: Why it is retried (for example ``transient`` or ``retry_after``), or the stop reason.
        policy: Which policy of a sequence decided, for example ``RetryPolicy 2 of 3``; ``""`` when there is one.
        abandoned: True when a sync body was still running on its thread when its time was up.
        memo: Room for the observer.
    """

    call: CallFacts
    number: int
    started_ns: int
    ended_ns: int = 0
    outcome: str = ""
    error: BaseException | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    will_retry: bool = False
    wait_s: float = 0.0
    reason: str = ""
    policy: str = ""
    abandoned: bool = False
    memo: Any = None
