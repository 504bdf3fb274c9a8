"""What a `holdfast.typing.Checkpointer` keeps and is given: plain data, public as names of `holdfast.typing`."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

UNFINISHED = frozenset(("running", "interrupted", "failed", "cancelled"))
"""Statuses of runs that can be resumed while they are the newest of their thread."""
HOST = "holdfast.langgraph"
"""Stands in the place of an entrypoint's name where LangGraph conducts: whoever has something to say about such a run says it there."""
_length = Struct(">I").pack


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
        scope, name, fingerprint, occurrence = self
        parts = (_length(len(scope)), scope, _counted(name), _length(len(fingerprint)), fingerprint, _counted(str(occurrence)))
        return blake2b(b"".join(parts), digest_size=16).digest()


@lru_cache(maxsize=1024)
def _counted(text: str) -> bytes:
    """``text`` encoded, preceded by its length: the same few names come again and again."""
    data = text.encode("utf-8", "surrogatepass")
    return _length(len(data)) + data


class StepRecord(NamedTuple):
    """What a checkpointer keeps of one step.

    Attributes:
        step: Its name; a later record of the same step replaces it.
        kind: ``ok`` (a result), ``error`` (a failure its caller has seen), ``started`` (the announcement of an
            at-most-once step, a row of its own in the scope of that step), ``cleared`` (the same, after a person had it run
            again), ``asked`` (an open question), ``answered``, ``open`` (a span under way, which is no step of the body), or ``noted``
            (what a state graph has to remember beside its nodes' results).
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
        code: Fingerprint of its body's code, 16 hex digits; empty for a value that `Entrypoint.update_state` set, which no body made.
        status: ``running``, ``interrupted`` (waits for answers), ``failed``, ``cancelled``, ``done`` or ``abandoned`` (unfinished, and
            superseded by a newer run of the thread).
        input: The encoded input.
        base: The run whose saved value this run sees as ``previous``; empty for none.
        output: The encoded value that the run returned; None until it is done.
        saved: The encoded value that the thread's next run sees as ``previous``; None when it is the output.
        error: The encoded failure that ended it; None without one.
        created: When it began, seconds since the epoch.
        updated: When it last changed status, seconds since the epoch.
        trace: Where its last execution was traced, as the observer that traced it put it; empty where nobody did.
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
    trace: str = ""

    @property
    def is_update(self) -> bool:
        """True for what `Entrypoint.update_state` made: a value that was set, and nothing that could run."""
        return self.status == "done" and not self.code

    @property
    def passes_on(self) -> str:
        """Whose saved value a run that comes after this one sees: its own when it is done, unless LangGraph conducted it."""
        return self.run_id if self.status == "done" and self.entry != HOST else self.base


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


class Terms(NamedTuple):
    """What a computation said of its own result; see `holdfast.CacheEntry`.

    Attributes:
        ttl: Seconds it is fresh, whatever the policy says; None leaves it to that.
        etag: The source's name for this version of it, or ``""``.
        modified: When the source last changed it, seconds since the epoch; None when unknown.
    """

    ttl: float | None = None
    etag: str = ""
    modified: float | None = None


NO_TERMS = Terms()
