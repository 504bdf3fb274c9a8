"""Writing to a checkpoint store: every function works inside a transaction that holds the write lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.checkpoint._refusals import foreign, misplaced, stale, unknown
from holdfast.checkpoint._rows import (
    INLINE,
    LARGEST,
    Cell,
    check_size,
    content_digest,
    encoded,
    proof,
    run_checksum,
    step_checksum,
    value_size,
)
from holdfast.errors import HoldfastError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.typing import Commit, Lease, RunRecord, StepId, StepRecord
    from holdfast.values._sqlite import Connection

_WRITER_AND_RUN = """
    SELECT threads.epoch, threads.owner, runs.id, runs.thread_id FROM threads LEFT JOIN runs ON runs.run_id = ? WHERE threads.thread_id = ?
"""
_INSERT_RUN = """
    INSERT INTO runs (status, base, created, updated, checksum, entry, code, trace, input, output, saved, error, run_id, thread_id, steps, size)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)
"""
_UPDATE_RUN = """
    UPDATE runs SET status = ?, base = ?, created = ?, updated = ?, checksum = ?, entry = ?, code = ?, trace = ?,
        input = ?, output = ?, saved = ?, error = ? WHERE id = ?
"""
_STORED = f"""
    SELECT id, {value_size("payload")}, CASE typeof(payload) WHEN 'integer' THEN payload END FROM steps WHERE run = ? AND step = ?
"""  # noqa: S608 - a column of ours
_HELD = """
    SELECT EXISTS (SELECT 1 FROM steps WHERE run = ? AND payload = ?)
        OR EXISTS (SELECT 1 FROM runs WHERE id = ? AND ? IN (input, output, saved, error))
"""
_INSERT_STEP = """
    INSERT INTO steps (run, step, scope, name, fingerprint, occurrence, kind, history, code, at, checksum, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, step) DO NOTHING
"""
_UPDATE_STEP = """
    UPDATE steps SET scope = ?, name = ?, fingerprint = ?, occurrence = ?, kind = ?, history = ?, code = ?, at = ?, checksum = ?,
        payload = ? WHERE run = ? AND step = ?
"""


class _Run(NamedTuple):
    id: int
    run_id: str
    thread_id: str


class Writer:
    """One transaction's changes to a store.

    Args:
        connection: In a transaction that holds the write lock.
        token: Under whose name leases are good: not a parent process's, even if it still owns the thread; None for nobody's.
        name_of: Who an owner is, for errors: ``process 4711 on box``.
    """

    def __init__(self, connection: Connection, token: str | None, name_of: Callable[[str], str]) -> None:
        self._connection = connection
        self._token = token
        self._name_of = name_of
        self._leases: dict[Lease, HoldfastError | None] = {}
        self._runs: dict[str, _Run] = {}
        # who may write to which run is found out once: nearly all commits add steps to one that is under way
        self._admitted: dict[tuple[Lease, str], _Run] = {}
        self._steps: dict[_Run, list[tuple[Any, ...]]] = {}  # rows to add, of each run
        self.ended: dict[str, None] = {}  # threads of which a run has come to an end

    def apply(self, commit: Commit) -> HoldfastError | None:
        """Make one commit's changes, or say why none of them is made. `finish` completes them."""
        run = self._admitted.get((commit.lease, commit.run_id))
        if run is None or commit.run is not None:
            problem = misplaced(commit) or self._check(commit.lease, commit.run_id)
            if problem is not None:
                return problem
            run = self._runs.get(commit.run_id)
            if run is None and commit.run is None:
                return unknown(commit.run_id)
            if run is not None and run.thread_id != commit.lease.thread_id:
                return foreign(commit.run_id, run.thread_id, commit.lease.thread_id)
        try:
            _check_sizes(commit)
        except HoldfastError as error:
            return error
        self._write(run, commit)
        return None

    def finish(self) -> None:
        """Write what `apply` has gathered."""
        for run in list(self._steps):
            self._flush(run)

    def _check(self, lease: Lease, run_id: str) -> HoldfastError | None:
        """Why a lease is no good; finds the run as well: with two queries the smallest transaction took a tenth more."""
        if lease not in self._leases or run_id not in self._runs:
            row = self._connection.execute(_WRITER_AND_RUN, (run_id, lease.thread_id)).fetchone()
            epoch, owner, at, thread_id = (None, None, None, "") if row is None else row
            is_good = (epoch, owner, owner) == (lease.epoch, lease.owner, self._token)
            self._leases[lease] = None if is_good else stale(lease, epoch, None if owner is None else self._name_of(owner))
            if at is not None:
                self._runs[run_id] = _Run(at, run_id, thread_id)
        return self._leases[lease]

    def _write(self, run: _Run | None, commit: Commit) -> None:
        if commit.run is not None:
            run = self.put_run(commit.run, run)
            if commit.run.status != "running":
                self.ended[commit.run.thread_id] = None
        assert run is not None  # noqa: S101 - apply() has refused steps without a run
        self._admitted[commit.lease, commit.run_id] = run
        if commit.dropped:
            self._drop(run, commit.dropped)
        if commit.steps:
            self.put_steps(run, commit.steps)

    def put_run(self, record: RunRecord, run: _Run | None = None) -> _Run:
        """Add a run, which becomes its thread's newest, or replace it."""
        values = (record.input, record.output, record.saved, record.error)
        checksum = run_checksum(record, map(proof, values))
        fixed = (record.status, record.base, record.created, record.updated, checksum, record.entry, record.code, record.trace)
        if run is None:
            row = (*fixed, b"", None, None, None, record.run_id, record.thread_id)
            inserted = self._connection.execute(_INSERT_RUN, row).lastrowid or 0
            run = self._runs[record.run_id] = _Run(inserted, record.run_id, record.thread_id)
            self._connection.execute("UPDATE threads SET newest = ?, runs = runs + 1 WHERE thread_id = ?", (inserted, record.thread_id))
        self._connection.execute(_UPDATE_RUN, (*fixed, *(self._cell(value, run) for value in values), run.id))
        return run

    def put_steps(self, run: _Run, steps: Sequence[StepRecord]) -> None:
        """Add steps to a run, or replace them in their places; `finish` completes it."""
        rows = self._steps.setdefault(run, [])
        named = run.run_id.encode()
        for step in steps:
            key, kind, payload, history, code, at = step
            scope, name, fingerprint, occurrence = key
            checksum = step_checksum(
                named, scope, encoded(name), fingerprint, occurrence, encoded(kind), history, encoded(code), at, proof(payload)
            )
            cell = payload if len(payload) <= INLINE else self._cell(payload, run)
            rows.append((run.id, key.digest(), scope, name, fingerprint, occurrence, kind, history, code, at, checksum, cell))

    def _cell(self, content: bytes | None, run: _Run) -> Cell:
        """What stands in the column of a value; a large one is put into ``blobs``, unless its thread has it there."""
        if content is None or len(content) <= INLINE:
            return content
        digest = content_digest(content)
        found = self._connection.execute("SELECT id FROM blobs WHERE thread_id = ? AND digest = ?", (run.thread_id, digest)).fetchone()
        if found is None:
            insert = "INSERT INTO blobs (thread_id, digest, size, content) VALUES (?, ?, ?, ?)"
            blob = self._connection.execute(insert, (run.thread_id, digest, len(content), content)).lastrowid or 0
        else:
            blob = int(found[0])
        self._connection.execute("INSERT OR IGNORE INTO uses (run, blob) VALUES (?, ?)", (run.id, blob))
        return blob

    def _flush(self, run: _Run) -> None:
        """Write the gathered steps: all are new, nearly always."""
        rows = self._steps.pop(run)
        added = self._connection.executemany(_INSERT_STEP, rows).rowcount
        size = 0
        if added < len(rows):
            rows = list({row[1]: row for row in rows}.values())  # of a step that was written twice, the last
            size = -self._replace(run, rows, added)
        size += sum(len(row[-1]) for row in rows if isinstance(row[-1], bytes))
        self._connection.execute("UPDATE runs SET steps = steps + ?, size = size + ? WHERE id = ?", (added, size, run.id))

    def _replace(self, run: _Run, rows: Sequence[tuple[Any, ...]], added: int) -> int:
        """Write rows over those of the same steps; return the bytes that the replaced ones held. The last ``added`` rows are new ones."""
        oldest_new = self._connection.execute("SELECT max(id) FROM steps").fetchone()[0] - added + 1
        replaced = 0
        blobs: set[int] = set()
        for row in rows:
            at, size, blob = self._stored(run, row[1])
            replaced += size if at < oldest_new else 0
            self._connection.execute(_UPDATE_STEP, (*row[2:], *row[:2]))
            if blob is not None:
                blobs.add(blob)
        self._let_go(run, blobs)  # when all that may hold them is written
        return replaced

    def _drop(self, run: _Run, steps: Sequence[StepId]) -> None:
        if run in self._steps:
            self._flush(run)
        count = freed = 0
        for step in steps:
            at, size, blob = self._stored(run, step.digest())
            count += self._connection.execute("DELETE FROM steps WHERE id = ?", (at,)).rowcount
            freed += size
            if blob is not None:
                self._let_go(run, {blob})
        self._connection.execute("UPDATE runs SET steps = steps - ?, size = size - ? WHERE id = ?", (count, freed, run.id))

    def _stored(self, run: _Run, digest: bytes) -> tuple[int, int, int | None]:
        """Where a step stands, how many bytes its value takes there, and where that is in ``blobs``; (0, 0, None) for no step."""
        found = self._connection.execute(_STORED, (run.id, digest)).fetchone()
        return (0, 0, None) if found is None else (int(found[0]), int(found[1]), found[2])

    def _let_go(self, run: _Run, blobs: set[int]) -> None:
        """Forget values that steps held, unless something else does."""
        for blob in blobs:
            if not self._connection.execute(_HELD, (run.id, blob, run.id, blob)).fetchone()[0]:
                self._connection.execute("DELETE FROM uses WHERE run = ? AND blob = ?", (run.id, blob))
                self._connection.execute(
                    "DELETE FROM blobs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM uses WHERE blob = blobs.id)", (blob,)
                )


def _check_sizes(commit: Commit) -> None:
    """Refuse what the tables cannot hold, before anything of the commit is written.

    Raises:
        HoldfastError: It says what.
    """
    try:
        for step in commit.steps:
            encoded(step.step.name)
            if len(step.payload) > LARGEST:
                check_size(step.payload, f"the result of step {step.step.name!r}")
        if commit.run is not None:
            commit.run.entry.encode()
            for name in ("input", "output", "saved", "error"):
                check_size(getattr(commit.run, name), f"the {name} of run {commit.run_id!r}")
    except UnicodeEncodeError as error:
        raise StoreError(f"{error.object!r} holds half a surrogate pair and cannot be stored: give the task a name= without it") from error
