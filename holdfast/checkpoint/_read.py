"""Reading a checkpoint store: every function works inside a transaction and checks what it reads.

Text is read as bytes and decoded after its checksum has been compared, so that damage is called damage wherever it strikes.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from holdfast.checkpoint._rows import Cell, content_digest, decoded, run_checksum, step_checksum
from holdfast.errors import CorruptRecord
from holdfast.typing import RunRecord, StepId, StepRecord

if TYPE_CHECKING:
    from holdfast.values._sqlite import Connection

_RUN = """
    SELECT id, steps, checksum, CAST(run_id AS BLOB), CAST(thread_id AS BLOB), CAST(entry AS BLOB), CAST(code AS BLOB),
        CAST(status AS BLOB), CAST(base AS BLOB), CAST(trace AS BLOB), created, updated, input, output, saved, error
    FROM runs
"""
_STEPS = """
    SELECT CAST(name AS BLOB), CAST(kind AS BLOB), CAST(code AS BLOB), scope, fingerprint, occurrence, history, at, checksum, payload
    FROM steps WHERE id IN (SELECT id FROM steps WHERE run = ?) ORDER BY id  -- one walk through the table, not one through the index
"""


class Reader:
    """One look at a store.

    Args:
        connection: In a transaction.
        path: The file, for errors.
    """

    def __init__(self, connection: Connection, path: os.PathLike[str]) -> None:
        self.connection = connection
        self._path = os.fspath(path)
        self._blobs: dict[int, tuple[bytes, bytes]] = {}  # read once, however many steps hold them

    def latest(self, thread_id: str) -> RunRecord | None:
        """The thread's newest run."""
        found = self.connection.execute("SELECT newest, runs FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
        if found is None:
            self.check_unknown(thread_id)
            return None
        newest, runs = found
        if not runs:
            return None
        row = self.connection.execute(f"{_RUN} WHERE id = ?", (newest,)).fetchone()
        if row is None or row[4] != thread_id.encode():
            raise self._damage(f"the newest run of thread {thread_id!r} is missing")
        return self._record(row)

    def check_unknown(self, thread_id: str) -> None:
        """Make sure that a thread which is not in ``threads`` is not just lost there."""
        if self.connection.execute("SELECT EXISTS (SELECT 1 FROM runs WHERE thread_id = ?)", (thread_id,)).fetchone()[0]:
            raise self._damage(f"thread {thread_id!r} is missing, but its runs are not")

    def find(self, run_id: str) -> RunRecord | None:
        """The run of that id."""
        row = self.connection.execute(f"{_RUN} WHERE run_id = ?", (run_id,)).fetchone()
        return None if row is None else self._record(row)

    def runs(self, thread_id: str, limit: int | None, before: str | None) -> list[RunRecord]:
        """The thread's runs, newest first."""
        newest = 1 << 62
        if before is not None:
            found = self.connection.execute("SELECT id FROM runs WHERE run_id = ? AND thread_id = ?", (before, thread_id)).fetchone()
            if found is None:
                return []
            newest = found[0]
        query = f"{_RUN} WHERE thread_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
        rows = self.connection.execute(query, (thread_id, newest, -1 if limit is None else limit)).fetchall()
        if limit is None and before is None:
            self._check_count(thread_id, len(rows))
        return [self._record(row) for row in rows]

    def steps(self, run_id: str) -> list[StepRecord]:
        """The run's steps, in the order of their first arrival."""
        found = self.connection.execute("SELECT id, steps FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if found is None:
            self._check_never_begun(run_id)
            return []
        run, count = found
        rows = self.connection.execute(_STEPS, (run,)).fetchall()
        if len(rows) != count:
            raise self._damage(f"run {run_id!r} has {count} steps, of which {len(rows)} are found")
        named = run_id.encode()
        return [self._step(run_id, named, row) for row in rows]

    def _check_never_begun(self, run_id: str) -> None:
        """Who asks for the steps of a run has seen it: so look through all of them, in case that it is the index which is damaged."""
        if self.connection.execute("SELECT EXISTS (SELECT 1 FROM runs NOT INDEXED WHERE run_id = ?)", (run_id,)).fetchone()[0]:
            raise self._damage(f"run {run_id!r} is missing in an index")

    def _check_count(self, thread_id: str, count: int) -> None:
        found = self.connection.execute("SELECT runs FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
        expected = 0 if found is None else found[0]
        if expected != count:
            raise self._damage(f"thread {thread_id!r} has {expected} runs, of which {count} are found")

    def _record(self, row: tuple[Any, ...]) -> RunRecord:
        _, _, checksum, run_id, thread_id, entry, code, status, base, trace, created, updated, *cells = row
        what = f"run {_shown(run_id)!r} of thread {_shown(thread_id)!r}"
        try:
            names = [text.decode() for text in (run_id, thread_id, entry, code, status)]
            (input_, output, saved, error), proofs = zip(*(self._value(cell, what) for cell in cells), strict=True)
            record = RunRecord._make((*names, input_ or b"", base.decode(), output, saved, error, created, updated, trace.decode()))
            is_good = run_checksum(record, proofs) == checksum
        except (UnicodeDecodeError, TypeError, AttributeError, struct.error) as wrong:  # damage can turn any cell into any type
            raise self._damage(f"{what} is damaged") from wrong
        if not is_good:
            raise self._damage(f"{what} is damaged: its checksum is wrong")
        return record

    def _step(self, run_id: str, named: bytes, row: tuple[Any, ...]) -> StepRecord:
        name, kind, code, scope, fingerprint, occurrence, history, at, checksum, cell = row
        try:
            payload, proved = (cell, b"=" + cell) if type(cell) is bytes else self._value(cell, f"a step of run {run_id!r}")
            if step_checksum(named, scope, name, fingerprint, occurrence, kind, history, code, at, proved) == checksum:
                step = StepId(scope, decoded(name), fingerprint, occurrence)
                return StepRecord(step, decoded(kind), payload or b"", history, decoded(code), at)
            problem = None
        except (UnicodeDecodeError, TypeError, AttributeError, struct.error) as error:  # damage can turn any cell into any type
            problem = error
        raise self._damage(f"step {_shown(name)!r} ({occurrence}) of run {run_id!r} is damaged: its checksum is wrong") from problem

    def _value(self, cell: Cell, what: str) -> tuple[bytes | None, bytes]:
        """The content of a cell, and what the row's checksum covers of it."""
        if cell is None:
            return None, b"-"
        if isinstance(cell, bytes):
            return cell, b"=" + cell
        if cell not in self._blobs:
            row = self.connection.execute("SELECT content FROM blobs WHERE id = ?", (cell,)).fetchone()
            if row is None or not isinstance(row[0], bytes):
                raise self._damage(f"a value of {what} is missing")
            self._blobs[cell] = (row[0], b"@" + content_digest(row[0]))
        return self._blobs[cell]

    def _damage(self, what: str) -> CorruptRecord:
        return CorruptRecord(f"{self._path}: {what}: put the file back from a copy, or delete the thread and start it again")


def _shown(text: object) -> str:
    """Text that may be damaged, for an error."""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
