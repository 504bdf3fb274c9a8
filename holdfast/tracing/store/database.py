"""The local trace store: ended spans in one SQLite file, behind ``holdfast runs`` and ``holdfast show``.

Several processes may write and read it at once. Writing never raises: a trace store must not harm the program that it watches. A damaged
file of ours is moved out of the way and a new one begun; a file that is not ours is never touched; whatever else stands in the way costs the rows and is noted once.
"""

from __future__ import annotations

import contextlib
import os
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.errors import StoreError
from holdfast.policies.duration import seconds
from holdfast.tracing.spans.records import SpanRow, decode, encode
from holdfast.tracing.store import _listing
from holdfast.tracing.store._entries import entries
from holdfast.tracing.store._executions import later, of_silent_runs, with_left_open
from holdfast.tracing.store._listing import RunSummary
from holdfast.tracing.store._pruning import prune
from holdfast.tracing.store.choice import EVERYTHING, Choice
from holdfast.values._aside import set_aside
from holdfast.values._sqlite import Connection, Database, EmptyStoreError, Schema, is_corrupt, version_warning

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from datetime import timedelta

    from holdfast.tracing.store import tree

__all__ = ["RunSummary", "TraceStore", "default_path"]

SCHEMA = Schema(
    name="trace store",
    application_id=0x48465452,  # "HFTR"
    migrations=(
        """
        CREATE TABLE spans (
            trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
            data BLOB NOT NULL,                        -- a SpanRow in MessagePack
            PRIMARY KEY (trace_id, span_id)
        );
        CREATE TABLE runs (                            -- one row per run, and one per trace for its spans outside runs
            trace_id TEXT NOT NULL, run_id TEXT NOT NULL,
            name TEXT NOT NULL, thread_id TEXT NOT NULL,
            outcome TEXT NOT NULL, failed INTEGER NOT NULL,
            start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
            rank INTEGER NOT NULL,                     -- how much the span knew that gave name and outcome: see _entries
            is_ours INTEGER NOT NULL,                  -- has a span of holdfast's own
            PRIMARY KEY (trace_id, run_id)
        );
        CREATE INDEX runs_by_start ON runs (start_ns);
        CREATE INDEX runs_by_end ON runs (end_ns);
        CREATE INDEX runs_by_id ON runs (run_id);
        """,
        """
        ALTER TABLE runs ADD COLUMN is_behind INTEGER NOT NULL DEFAULT 0;  -- renewed what is cached, or looked whether it is stale, behind a call
        UPDATE runs SET is_behind = 1 WHERE run_id = '' AND EXISTS (
            SELECT 1 FROM spans WHERE spans.trace_id = runs.trace_id AND instr(data, X'A6626568696E64')  -- the text 'behind' in MessagePack
        );
        """,
        """
        ALTER TABLE runs ADD COLUMN is_hit INTEGER NOT NULL DEFAULT 0;  -- calls outside runs, and all that they took was in the cache
        """,
    ),
    views=MappingProxyType({1: "CREATE TEMP VIEW runs AS SELECT *, 0 AS is_behind, 0 AS is_hit FROM main.runs;", 2: ""}),
)
_VARIABLE = "HOLDFAST_TRACES"
_REMEDY = f"if that stays so, name a file that you can write: {_VARIABLE}=PATH, or holdfast.tracing.configure(path=PATH)"
ROWS_BETWEEN_PRUNES = 5_000
_SLACK = (
    10  # there may be a tenth more runs than are to be kept: with each new run, tidying up would cost 1 ms of the writing thread's time
)
_BUSY_TIMEOUT = 5.0  # seconds; the thread that writes has a bounded queue behind it

_WRITE_SPANS = "INSERT OR REPLACE INTO spans (trace_id, span_id, data) VALUES {}"
_WRITE_RUNS = """
    INSERT INTO runs (trace_id, run_id, name, thread_id, outcome, failed, start_ns, end_ns, rank, is_ours, is_behind, is_hit)
    VALUES {}
    ON CONFLICT (trace_id, run_id) DO UPDATE SET
        name = iif(excluded.rank >= rank, excluded.name, name),
        thread_id = iif(excluded.rank >= rank, excluded.thread_id, thread_id),
        outcome = iif(excluded.rank >= rank, excluded.outcome, outcome),
        failed = iif(excluded.rank >= rank, excluded.failed, failed),
        rank = max(rank, excluded.rank), is_ours = max(is_ours, excluded.is_ours), is_behind = max(is_behind, excluded.is_behind),
        is_hit = min(is_hit, excluded.is_hit),
        start_ns = min(start_ns, excluded.start_ns), end_ns = max(end_ns, excluded.end_ns)
"""
_MOST_PARAMETERS = 999  # of one statement, in older versions of SQLite
_SPANS_OF_RUNS = "SELECT data FROM spans WHERE trace_id IN (SELECT trace_id FROM ({})) ORDER BY trace_id"


def default_path() -> Path:
    """``HOLDFAST_TRACES``, or ``traces.db`` in the user's folder for state."""
    named = os.environ.get(_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs  # not needed where the path is given

    return platformdirs.user_state_path("holdfast") / "traces.db"


class TraceStore:
    """Ended spans in one SQLite file.

    Args:
        path: The file; None takes `default_path`.
        keep_runs: How many of the latest runs to keep, as many that failed, as many of what was done behind callers' backs, and as many
            calls outside runs that were hits; a tenth more may be there until the next tidying up.
        max_age: How long to keep a run: seconds, timedelta or text like ``"14d"``.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, keep_runs: int = 1000, max_age: float | str | timedelta = 14 * 86400
    ) -> None:
        self._writer = Database(default_path() if path is None else path, SCHEMA, synchronous="NORMAL", busy_timeout=_BUSY_TIMEOUT)
        self._reader = Database(self._writer.path, SCHEMA, is_reader=True, busy_timeout=_BUSY_TIMEOUT)
        self._keep_runs = keep_runs
        self._max_age_ns = int(seconds(max_age, what="max_age") * 1e9)
        self._until_prune = 0
        self._rows_per_run = ROWS_BETWEEN_PRUNES // max(1, keep_runs // _SLACK)
        self._has_complained = False
        self._identity: tuple[int, int] | None = None  # of the file that is being written; None where none is open
        self._is_in_our_place = path is None and not os.environ.get(_VARIABLE)

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    def refuse_foreign(self) -> None:
        """Make sure that the file, if there is one, is a trace store, whole or damaged.

        Raises:
            StoreError: It is something else; it is left as it is.
        """
        if not self._is_in_our_place and self._reader.is_foreign():
            raise StoreError(f"{self.path} is not a holdfast trace store and is left as it is: choose another path")

    def write(self, rows: Sequence[SpanRow]) -> bool:
        """Store spans in one transaction.

        Returns:
            False when they could not be stored; a warning says why, the first time.
        """
        if not rows:
            return True
        try:
            self._write_or_repair(rows)
        except Exception as error:  # noqa: BLE001 - nothing may reach the program being watched
            self._complain(error, len(rows))
            return False
        self._has_complained = False
        return True

    def runs(self, limit: int = 20, choice: Choice = EVERYTHING) -> list[RunSummary]:
        """The latest runs, newest first: every execution, unless ``choice`` folds them.

        Args:
            limit: At most so many.
            choice: Which of them; by default all.

        Raises:
            StoreError: The file cannot be read. A missing one has no runs.
        """
        with self._read() as connection:
            return _listing.chosen(connection, limit, choice) if connection else []

    def find(self, prefix: str, limit: int = 20) -> list[RunSummary]:
        """Executions whose run id or trace id begins with ``prefix``, newest first; ``"last"`` is that of the latest run.

        Raises:
            StoreError: The file cannot be read.
        """
        if prefix == "last":
            return self.runs(1, Choice(folded=True))
        with self._read() as connection:
            return _listing.beginning_with(connection, prefix, limit) if connection else []

    def ids(self) -> list[str]:
        """What each run in the store is called: its run id, or its trace id outside runs.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._read() as connection:
            return _listing.ids(connection) if connection else []

    def spans(self, trace_id: str) -> list[SpanRow]:
        """All spans of a trace, in order of time.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._read() as connection:
            return _listing.spans(connection, trace_id) if connection else []

    def all_spans(self, choice: Choice = EVERYTHING) -> Generator[SpanRow]:
        """All spans of the traces of all runs that are chosen, those of one trace after one another.

        Args:
            choice: Which runs; by default all. Its ``task`` does not matter here.

        Raises:
            StoreError: The file cannot be read.
        """
        condition, values = choice.condition(clock.current.time_ns())
        with self._read() as connection:
            if connection is not None:
                for (data,) in connection.execute(_SPANS_OF_RUNS.format(_listing.LISTED + condition), values):
                    yield decode(data)

    def resumed_as(self, trace_id: str) -> list[str]:
        """Traces of the executions that went on from a run of this trace, the oldest first.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._read() as connection:
            return later(connection, trace_id) if connection else []

    def durations(self, keys: Iterable[tree.SpanKey]) -> dict[tree.SpanKey, float]:
        """Seconds taken by each of these spans, as far as they are in the store.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._read() as connection:
            return _listing.durations(connection, keys) if connection else {}

    def heal(self, before_ns: int, *, dry_run: bool = False) -> list[SpanRow]:
        """End the spans of runs that were last seen under way before ``before_ns`` (nanoseconds since the epoch), as crashed.

        Should one of them end after all, it takes its place again.

        Args:
            before_ns: Who gave a sign of life since is taken to be alive.
            dry_run: Only say which.

        Returns:
            The spans of the runs themselves, oldest first.

        Raises:
            StoreError: The file cannot be read or written.
        """
        with self._read() as connection:
            found = of_silent_runs(connection, before_ns) if connection else []
        if found and not dry_run:
            self._write(found)
        return found

    def close(self) -> None:
        """Close the file; the store may be used again."""
        self._writer.close()
        self._reader.close()
        self._identity = None

    def _write_or_repair(self, rows: Sequence[SpanRow]) -> None:
        try:
            self._write(rows)
        except StoreError as error:
            if not is_corrupt(error):
                raise
            self._replace_file(rows)

    def _replace_file(self, rows: Sequence[SpanRow]) -> None:
        """Another process may have replaced the damaged file since we opened it, so look again before moving anything away."""
        self.close()
        seen = _identity(self.path)
        try:
            self._write(rows)
        except StoreError as error:
            if not is_corrupt(error):
                raise
            self.close()
            if _identity(self.path) == seen:
                self.refuse_foreign()
                aside = set_aside(self.path)
                events.note(
                    "holdfast.traces.damaged",
                    events.WARNING,
                    f"the trace store was damaged ({error}): moved to {aside}, and a new one begun",
                )
            self._write(rows)

    def _write(self, rows: Sequence[SpanRow]) -> None:
        if self._until_prune <= 0 and (warning := version_warning()):  # before the first write only: pruning sets it again
            events.note("holdfast.traces.sqlite", events.DEBUG, warning)
        found = _identity(self.path)
        if self._identity not in {None, found}:  # somebody deleted or replaced the file under us, which SQLite would not notice
            self.close()
        with self._writer.transaction() as connection:
            rows = with_left_open(connection, rows)
            runs = entries(rows)
            _insert(connection, _WRITE_SPANS, [(row.trace_id, row.span_id, encode(row)) for row in rows])
            _insert(connection, _WRITE_RUNS, runs)
            self._until_prune -= len(rows) + len(runs) * self._rows_per_run
            if self._until_prune <= 0:
                self._until_prune = ROWS_BETWEEN_PRUNES
                prune(connection, keep_runs=self._keep_runs, max_age_ns=self._max_age_ns, now_ns=clock.current.time_ns())
        self._identity = self._identity or found or _identity(self.path)

    def _complain(self, error: Exception, lost: int) -> None:
        level = events.DEBUG if self._has_complained else events.WARNING
        self._has_complained = True
        said = f"{lost} span{' was' if lost == 1 else 's were'} not stored: {error}"
        if error.__cause__ is not None:  # the system or SQLite refused; what we refuse ourselves says what to do
            said += f"; {_REMEDY}"
        events.note("holdfast.traces.lost", level, said, path=str(self.path), spans=lost)

    @contextlib.contextmanager
    def _read(self) -> Generator[Connection | None]:
        """One state of the file, or None when there is nothing in it yet."""
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self._reader.snapshot())
            except EmptyStoreError:
                connection = None
            yield connection


def _insert(connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert many rows with each statement: ``executemany`` gives up the interpreter's lock for each row.

    Measured, per span: 6.6 us instead of 8.2, and beside a thread that computes 40 instead of 50.
    """
    at_once = _MOST_PARAMETERS // len(rows[0])
    one = f"({','.join('?' * len(rows[0]))})"
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        connection.execute(statement.format(",".join([one] * len(some))), list(chain.from_iterable(some)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
