"""InMemorySaver: checkpoints for as long as the process lives."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast.checkpoint._refusals import busy, check_id, foreign, misplaced, stale, unknown
from holdfast.checkpoint._retention import Candidate, check_keep_last, doomed
from holdfast.errors import HoldfastError, StoreError
from holdfast.policies.duration import seconds
from holdfast.typing import Lease, Pruned, RunRecord, ThreadInfo
from holdfast.values import forks
from holdfast.values.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from holdfast.typing import Commit, StepId, StepRecord

_FORK_PATIENCE = 1.0  # seconds
_HERE = "another run in this process"


@dataclass(eq=False)
class _Run:
    record: RunRecord
    steps: dict[StepId, StepRecord] = field(default_factory=dict["StepId", "StepRecord"])

    def size(self) -> int:
        """Bytes of the encoded values."""
        values = (self.record.input, self.record.output, self.record.saved, self.record.error)
        return sum(len(value) for value in values if value is not None) + sum(len(step.payload) for step in self.steps.values())


@dataclass(eq=False)
class _Thread:
    epoch: int
    owner: str | None = None
    runs: list[_Run] = field(default_factory=list[_Run])  # oldest first

    def candidates(self) -> list[Candidate]:
        records = [run.record for run in reversed(self.runs)]
        return [Candidate(record.run_id, record.status, record.base, record.updated) for record in records]


class InMemorySaver:
    """Keeps checkpoints in this process's memory: for tests, notebooks and body retries; nothing survives a restart.

    Values are kept encoded, exactly as a file would hold them, so what works here works with a durable saver. Nothing is forgotten unless
    `prune` or `delete_thread` is called.

    >>> InMemorySaver()
    InMemorySaver(0 threads)
    """

    def __init__(self) -> None:
        """Start empty."""
        self._threads: dict[str, _Thread] = {}
        self._runs: dict[str, _Run] = {}
        self._floor = 0  # the highest epoch of any thread that is gone: no lease of its namesake is ever valid again
        self._token = os.urandom(8).hex()
        self._lock = threading.Lock()
        self._is_held_for_fork = False
        forks.protect(self)

    def __repr__(self) -> str:
        """How many threads it knows."""
        count = sum(1 for thread in list(self._threads.values()) if thread.runs)
        return f"InMemorySaver({count} thread{'' if count == 1 else 's'})"

    @property
    def is_blocking(self) -> bool:
        """False: nothing here waits for a disk."""
        return False

    def claim(self, thread_id: str, /, *, force: bool = False) -> Lease:
        """Become the one owner of a thread; see `holdfast.typing.Checkpointer.claim`."""
        check_id(thread_id, "thread_id")
        with self._lock:
            thread = self._threads.get(thread_id)
            if thread is None:
                thread = self._threads[thread_id] = _Thread(self._floor)
            if thread.owner is not None and not force:
                raise busy(thread_id, _HERE)
            thread.epoch += 1
            thread.owner = self._token
            return Lease(thread_id, self._token, thread.epoch)

    def release(self, lease: Lease, /) -> None:
        """Give a thread back; see `holdfast.typing.Checkpointer.release`."""
        with self._lock:
            thread = self._threads.get(lease.thread_id)
            if thread is None or (thread.owner, thread.epoch) != (lease.owner, lease.epoch):
                return
            thread.owner = None
            if not thread.runs:
                self._forget(lease.thread_id, thread)

    def is_owned(self, thread_id: str, /) -> bool:
        """Whether somebody works on the thread."""
        check_id(thread_id, "thread_id")
        with self._lock:
            thread = self._threads.get(thread_id)
            return thread is not None and thread.owner is not None

    def commit(self, commits: Sequence[Commit], /) -> list[Exception | None]:
        """Make changes together; see `holdfast.typing.Checkpointer.commit`."""
        with self._lock:
            return [self._apply(commit) for commit in commits]

    def latest(self, thread_id: str, /) -> RunRecord | None:
        """The thread's newest run."""
        check_id(thread_id, "thread_id")
        with self._lock:
            thread = self._threads.get(thread_id)
            return thread.runs[-1].record if thread is not None and thread.runs else None

    def find(self, run_id: str, /) -> RunRecord | None:
        """The run of that id, whatever its thread."""
        check_id(run_id, "run_id")
        with self._lock:
            run = self._runs.get(run_id)
            return None if run is None else run.record

    def runs(self, thread_id: str, /, *, limit: int | None = None, before: str | None = None) -> list[RunRecord]:
        """The thread's runs, newest first; see `holdfast.typing.Checkpointer.runs`."""
        check_id(thread_id, "thread_id")
        with self._lock:
            thread = self._threads.get(thread_id)
            records = [] if thread is None else [run.record for run in reversed(thread.runs)]
        if before is not None:
            ids = [record.run_id for record in records]
            records = records[ids.index(before) + 1 :] if before in ids else []
        return records[:limit]

    def steps(self, run_id: str, /) -> list[StepRecord]:
        """The run's steps, in the order in which they were first recorded."""
        check_id(run_id, "run_id")
        with self._lock:
            run = self._runs.get(run_id)
            return [] if run is None else list(run.steps.values())

    def threads(self, *, limit: int | None = None) -> list[ThreadInfo]:
        """The threads, last updated first."""
        with self._lock:
            found = [_info(thread_id, thread) for thread_id, thread in self._threads.items() if thread.runs]
        return sorted(found, key=lambda info: info.updated, reverse=True)[:limit]

    def delete_thread(self, thread_id: str, /) -> bool:
        """Forget a thread with all its runs; see `holdfast.typing.Checkpointer.delete_thread`."""
        check_id(thread_id, "thread_id")
        with self._lock:
            thread = self._threads.get(thread_id)
            if thread is None:
                return False
            if thread.owner is not None:
                raise busy(thread_id, _HERE)
            self._forget(thread_id, thread)
            return bool(thread.runs)

    def copy_thread(self, source: str, target: str, /) -> None:
        """Copy a thread under new run ids; see `holdfast.typing.Checkpointer.copy_thread`."""
        check_id(source, "source")
        check_id(target, "target")
        with self._lock:
            for thread_id in (source, target):
                if thread_id in self._threads and self._threads[thread_id].owner is not None:
                    raise busy(thread_id, _HERE)
            origin = self._threads.get(source)
            if origin is None or not origin.runs:
                raise StoreError(f"there is no thread {source!r} to copy")
            if target in self._threads:
                raise StoreError(f"there is a thread {target!r} already: choose another name, or delete it first")
            ids = {run.record.run_id: uuid7(clock.current.time_ns()) for run in origin.runs}
            copies = [
                _Run(
                    run.record._replace(
                        run_id=ids[run.record.run_id], thread_id=target, base=ids.get(run.record.base, run.record.base), trace=""
                    ),
                    dict(run.steps),
                )
                for run in origin.runs
            ]
            self._threads[target] = _Thread(self._floor, runs=copies)
            self._runs.update((copy.record.run_id, copy) for copy in copies)

    def prune(self, *, keep_last: int | None = None, max_age: float | str | timedelta | None = None, dry_run: bool = False) -> Pruned:
        """Forget old runs; see `holdfast.typing.Checkpointer.prune`.

        Raises:
            PolicyError: A number that cannot work.
        """
        check_keep_last(keep_last)
        oldest = None if max_age is None else clock.current.time() - seconds(max_age, what="max_age")
        with self._lock:
            going = [
                (thread_id, self._runs[run_id])
                for thread_id, thread in self._threads.items()
                if thread.owner is None
                for run_id in doomed(thread.candidates(), keep_last=keep_last, oldest=oldest)
            ]
            pruned = self._tally(going)
            if not dry_run:
                self._drop(going)
        return pruned

    def close(self) -> None:
        """Give all threads back; what is kept stays."""
        with self._lock:
            for thread in self._threads.values():
                thread.owner = None

    def _apply(self, commit: Commit) -> HoldfastError | None:
        lease = commit.lease
        thread = self._threads.get(lease.thread_id)
        if thread is None:
            return stale(lease, None, None)
        if (thread.owner, thread.epoch) != (lease.owner, lease.epoch):
            return stale(lease, thread.epoch, None if thread.owner is None else _HERE)
        run = self._runs.get(commit.run_id)
        problem = misplaced(commit) if run is None or commit.run is not None else None
        if problem is not None:
            return problem
        if run is None and commit.run is None:
            return unknown(commit.run_id)
        if run is not None and run.record.thread_id != lease.thread_id:
            return foreign(commit.run_id, run.record.thread_id, lease.thread_id)
        self._write(thread, run, commit)
        return None

    def _write(self, thread: _Thread, run: _Run | None, commit: Commit) -> None:
        if run is None:
            assert commit.run is not None  # noqa: S101 - _apply has refused the other case
            run = self._runs[commit.run_id] = _Run(commit.run)
            thread.runs.append(run)
        elif commit.run is not None:
            run.record = commit.run
        for step in commit.dropped:
            run.steps.pop(step, None)
        for record in commit.steps:
            run.steps[record.step] = record

    def _tally(self, going: Sequence[tuple[str, _Run]]) -> Pruned:
        counts: dict[str, int] = {}
        for thread_id, _ in going:
            counts[thread_id] = counts.get(thread_id, 0) + 1
        return Pruned(
            runs=tuple(run.record.run_id for _, run in going),
            threads=tuple(thread_id for thread_id, count in counts.items() if count == len(self._threads[thread_id].runs)),
            steps=sum(len(run.steps) for _, run in going),
            size=sum(run.size() for _, run in going),
        )

    def _drop(self, going: Iterable[tuple[str, _Run]]) -> None:
        for thread_id, run in going:
            thread = self._threads[thread_id]
            thread.runs.remove(run)
            del self._runs[run.record.run_id]
            if not thread.runs:
                self._forget(thread_id, thread)

    def _forget(self, thread_id: str, thread: _Thread) -> None:
        self._floor = max(self._floor, thread.epoch)
        del self._threads[thread_id]
        for run in thread.runs:
            del self._runs[run.record.run_id]

    def before_fork(self) -> None:
        """Let no change be half made in the child."""
        self._is_held_for_fork = self._lock.acquire(timeout=_FORK_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._is_held_for_fork:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Runs under way stay with the parent: here nobody owns their threads, and nobody can write to them with an inherited lease."""
        self._lock = threading.Lock()
        self._token = os.urandom(8).hex()
        self._threads = {thread_id: replace(thread, owner=None) for thread_id, thread in self._threads.items()}


def _info(thread_id: str, thread: _Thread) -> ThreadInfo:
    record = thread.runs[-1].record
    return ThreadInfo(
        thread_id,
        record.entry,
        record.status,
        len(thread.runs),
        sum(len(run.steps) for run in thread.runs),
        sum(run.size() for run in thread.runs),
        record.updated,
        thread.owner is not None,
    )
