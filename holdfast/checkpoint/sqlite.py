"""SqliteSaver: checkpoints in one SQLite file, shared by the threads and processes of one machine.

The file is opened on first use. Writes go through one connection, which alone checkpoints the log; reads go through another, so that
neither waits for the other. What is in the tables stands in `holdfast.checkpoint._schema`, who owns a thread in
`holdfast.checkpoint._owners`, how files are opened, locked, migrated and carried over a fork in `holdfast.values._sqlite`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from holdfast import clock, events
from holdfast.checkpoint import _claims, _forget
from holdfast.checkpoint._forget import merged, prune_thread
from holdfast.checkpoint._owners import Owners, refuse_emptied
from holdfast.checkpoint._read import Reader
from holdfast.checkpoint._refusals import check_id
from holdfast.checkpoint._retention import check_keep_last
from holdfast.checkpoint._schema import SCHEMA, VIEWS
from holdfast.checkpoint._threads import copy, infos
from holdfast.checkpoint._write import Writer
from holdfast.errors import CorruptRecord, PolicyError, StoreError
from holdfast.policies.duration import positive_seconds, seconds
from holdfast.values import forks
from holdfast.values._sqlite import Connection, Database, EmptyStoreError, OldStoreError, is_corrupt, version_warning

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import timedelta

    from holdfast.typing import Commit, Lease, Pruned, RunRecord, StepRecord, ThreadInfo

_FOREVER = 'give a duration such as "30d", or None to keep runs however old they are'
_WAY_OUT = "put the file back from a copy, or delete it to start anew"
_THREADS_AT_ONCE = 100
_SYSTEM = sys.platform


class SqliteSaver:
    """Keeps runs and their steps in one SQLite file; for ``def`` and ``async def`` alike, many threads, many processes.

    Nothing is opened before the first use. The file is made 0600, folders that are missing 0700. Beside it stands a folder
    ``<path>-owners`` with a small locked file for each living process that works on a thread.

    Args:
        path: The file, on a local disk.
        synchronous: ``"FULL"`` keeps what was committed through power loss, ``"NORMAL"`` only through the death of the process.
        keep_last: How many runs to keep of each thread, applied when one of its runs ends; None keeps all.
        max_age: How long to keep a run after its last change (seconds, timedelta, ``"30d"``), applied when a run of its thread ends;
            None looks at no age. What a thread's next run sees as ``previous`` is kept whatever its age.
        busy_timeout: How long to wait for another process that is writing: seconds, timedelta or text.

    Raises:
        PolicyError: A value that cannot work.
        StoreError: On Windows, where the locks that it relies on are not to be had.

    >>> SqliteSaver("runs.db", max_age="30d")  # doctest: +ELLIPSIS
    SqliteSaver('...runs.db')
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        keep_last: int | None = 100,
        max_age: float | str | timedelta | None = None,
        busy_timeout: float | str | timedelta = 30.0,
    ) -> None:
        _refuse_windows()
        _check_path(path)
        if synchronous not in ("FULL", "NORMAL"):
            raise PolicyError(f'synchronous={synchronous!r} is unknown: give "FULL" to survive power loss, or "NORMAL" to survive kill -9')
        check_keep_last(keep_last)
        self._keep_last = keep_last
        self._max_age = None if max_age is None else positive_seconds(max_age, what="max_age", instead=_FOREVER)
        patience = seconds(busy_timeout, what="busy_timeout")
        self._writer: Database | None = Database(path, SCHEMA, synchronous=synchronous, busy_timeout=patience)
        self.path: Path = self._writer.path
        """The file."""
        self._reader = Database(path, SCHEMA, is_reader=True, busy_timeout=patience)
        self._owners = Owners(self.path.with_name(f"{self.path.name}-owners"))
        self._is_prepared = False
        weakref.finalize(self, self._reader.close_if_idle)  # also at exit: before the writer, who tidies up if it is the last
        forks.protect(self)

    @classmethod
    def read_only(cls, path: str | Path) -> SqliteSaver:
        """A saver that looks at an existing file and changes nothing, for tools.

        Args:
            path: The file. A missing one is a `StoreError` at first use, and so is every attempt to write.

        Returns:
            A saver that refuses to write.
        """
        saver = cls(path)
        saver._writer = None
        saver._reader.schema = saver._reader.schema._replace(views=VIEWS)
        return saver

    def __repr__(self) -> str:
        return f"SqliteSaver({str(self.path)!r})"

    @property
    def is_blocking(self) -> bool:
        """True: its methods wait for the disk."""
        return True

    def claim(self, thread_id: str, /, *, force: bool = False) -> Lease:
        """Become the one owner of a thread; see `holdfast.typing.Checkpointer.claim`."""
        check_id(thread_id, "thread_id")
        with self._write(is_lasting=False) as connection:
            return _claims.claim(connection, Reader(connection, self.path), self._owners, thread_id, force=force)

    def release(self, lease: Lease, /) -> None:
        """Give a thread back; see `holdfast.typing.Checkpointer.release`."""
        with self._write(is_lasting=False) as connection:
            _claims.release(connection, lease)

    def is_owned(self, thread_id: str, /) -> bool:
        """Whether a living process works on the thread, this one or another; see `holdfast.typing.Checkpointer.is_owned`."""
        check_id(thread_id, "thread_id")
        with self._read() as reader:
            return reader is not None and _claims.is_owned(reader.connection, self._owners, thread_id)

    def commit(self, commits: Sequence[Commit], /) -> list[Exception | None]:
        """Make changes in one transaction; see `holdfast.typing.Checkpointer.commit`.

        Returns:
            One item for each commit: None, or why nothing of it was kept: `ThreadBusyError` for a lease that is no longer the thread's,
            `NotSerializable` for a value of more than 999 MB.
        """
        with self._write() as connection:
            writer = Writer(connection, self._owners.token, self._owners.describe)
            problems: list[Exception | None] = [writer.apply(commit) for commit in commits]
            writer.finish()
            for thread_id in writer.ended:
                self._retire(connection, thread_id)
        return problems

    def latest(self, thread_id: str, /) -> RunRecord | None:
        """The thread's newest run; None when there is none.

        Raises:
            CorruptRecord: It is damaged.
        """
        check_id(thread_id, "thread_id")
        with self._read() as reader:
            return reader.latest(thread_id) if reader else None

    def find(self, run_id: str, /) -> RunRecord | None:
        """The run of that id, whatever its thread; None when there is none.

        Raises:
            CorruptRecord: It is damaged.
        """
        check_id(run_id, "run_id")
        with self._read() as reader:
            return reader.find(run_id) if reader else None

    def runs(self, thread_id: str, /, *, limit: int | None = None, before: str | None = None) -> list[RunRecord]:
        """The thread's runs, newest first; see `holdfast.typing.Checkpointer.runs`.

        Raises:
            CorruptRecord: One of them is damaged or lost.
        """
        check_id(thread_id, "thread_id")
        with self._read() as reader:
            return reader.runs(thread_id, limit, before) if reader else []

    def steps(self, run_id: str, /) -> list[StepRecord]:
        """The run's steps, in the order in which they were first recorded.

        Raises:
            CorruptRecord: One of them is damaged or lost.
        """
        check_id(run_id, "run_id")
        with self._read() as reader:
            return reader.steps(run_id) if reader else []

    def threads(self, *, limit: int | None = None) -> list[ThreadInfo]:
        """The threads, last updated first.

        Raises:
            CorruptRecord: The newest run of one of them is damaged.
        """
        with self._read() as reader:
            return infos(reader, self._owners, limit, sweep=self._writer is not None) if reader else []

    def delete_thread(self, thread_id: str, /) -> bool:
        """Forget a thread with all its runs; see `holdfast.typing.Checkpointer.delete_thread`."""
        check_id(thread_id, "thread_id")
        with self._write() as connection:
            _claims.check_free(connection, self._owners, thread_id)
            return _forget.delete_thread(connection, thread_id)

    def copy_thread(self, source: str, target: str, /) -> None:
        """Copy a thread under new run ids; see `holdfast.typing.Checkpointer.copy_thread`.

        Raises:
            CorruptRecord: Something of the source is damaged.
        """
        check_id(source, "source")
        check_id(target, "target")
        with self._write() as connection:
            for thread_id in (source, target):
                _claims.check_free(connection, self._owners, thread_id)
            copy(connection, Reader(connection, self.path), source, target)

    def prune(self, *, keep_last: int | None = None, max_age: float | str | timedelta | None = None, dry_run: bool = False) -> Pruned:
        """Forget old runs; see `holdfast.typing.Checkpointer.prune`. The file does not shrink: what is freed is used again.

        Args:
            keep_last: How many runs of each thread to keep; None does not count.
            max_age: Seconds, timedelta or text such as ``"30d"``; None looks at no age.
            dry_run: Only say what would go.

        Raises:
            PolicyError: A value that cannot work.
        """
        check_keep_last(keep_last)
        oldest = None if max_age is None else clock.current.time() - seconds(max_age, what="max_age")
        if dry_run:
            with self._read() as reader:
                return self._prune(reader.connection, _thread_ids(reader), keep_last, oldest, dry_run=True) if reader else merged(())
        with self._read() as reader:
            ids = _thread_ids(reader) if reader else []
        parts: list[Pruned] = []
        for start in range(0, len(ids), _THREADS_AT_ONCE):  # others may write in between
            with self._write() as connection:
                parts.append(self._prune(connection, ids[start : start + _THREADS_AT_ONCE], keep_last, oldest, dry_run=False))
        return merged(parts)

    def close(self) -> None:
        """Give all threads back and close all files. The saver may be used again: it reopens lazily."""
        self._owners.leave()
        self._is_prepared = False
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def _prune(
        self, connection: Connection, thread_ids: Sequence[str], keep_last: int | None, oldest: float | None, *, dry_run: bool
    ) -> Pruned:
        free = [thread_id for thread_id in thread_ids if not _claims.is_owned(connection, self._owners, thread_id)]
        return merged([prune_thread(connection, thread_id, keep_last=keep_last, oldest=oldest, dry_run=dry_run) for thread_id in free])

    def _retire(self, connection: Connection, thread_id: str) -> None:
        if self._keep_last is not None or self._max_age is not None:
            oldest = None if self._max_age is None else clock.current.time() - self._max_age
            _forget.retire(connection, thread_id, keep_last=self._keep_last, oldest=oldest)

    @contextlib.contextmanager
    def _write(self, *, is_lasting: bool = True) -> Generator[Connection]:
        """A transaction. Who owns a thread need not last: power loss ends all owners, and a commit keeps the claim it was made under."""
        if self._writer is None:
            raise StoreError(f"{self.path} was opened to be read only: use SqliteSaver({str(self.path)!r}) to change it")
        self._prepare()
        try:
            with self._writer.transaction(is_lasting=is_lasting) as connection:
                yield connection
        except StoreError:
            raise
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.path}: its schema is damaged: {_WAY_OUT}") from error
        except OSError as error:  # of the owners' files
            raise StoreError(f"cannot say in {self._owners.folder} who works on a thread: {error}") from error

    def _prepare(self) -> None:
        """Before the first write: is this the file we think it is?"""
        if self._is_prepared:
            return
        refuse_emptied(self.path, self._owners.folder)
        if warning := version_warning():
            events.note("holdfast.checkpoint.sqlite", events.DEBUG, warning, path=str(self.path))
        self._is_prepared = True

    @contextlib.contextmanager
    def _read(self) -> Generator[Reader | None]:
        """One state of the file; None when nothing has been kept in it yet."""
        reader = None
        try:
            with contextlib.ExitStack() as stack:
                reader = self._open_reader(stack)
                yield reader
        except StoreError as error:
            if reader is not None and is_corrupt(error):
                raise CorruptRecord(f"{error}: {_WAY_OUT}") from error
            raise
        except UnicodeDecodeError as error:  # in what SQLite itself wants to say about a damaged schema
            raise CorruptRecord(f"{self.path}: its schema is damaged: {_WAY_OUT}") from error

    def _open_reader(self, stack: contextlib.ExitStack) -> Reader | None:
        try:
            connection = stack.enter_context(self._reader.snapshot())
        except EmptyStoreError:
            if self._writer is None:
                raise
            refuse_emptied(self.path, self._owners.folder)
            return None
        except OldStoreError:
            if self._writer is None:
                raise
            with self._writer.transaction():  # opening it upgrades it
                pass
            connection = stack.enter_context(self._reader.snapshot())
        return Reader(connection, self.path)

    def before_fork(self) -> None:
        """Nothing: connections are closed by whoever opened them (`holdfast.values._sqlite`)."""

    def after_fork_in_parent(self) -> None:
        """Nothing: the parent goes on as it is."""

    def after_fork_in_child(self) -> None:
        """Runs under way, and the name under which their threads are owned, stay with the parent."""
        self._owners.abandon()


def _thread_ids(reader: Reader) -> list[str]:
    return [thread_id for (thread_id,) in reader.connection.execute("SELECT thread_id FROM threads WHERE runs > 0")]


def _refuse_windows() -> None:
    if _SYSTEM == "win32":
        raise StoreError("SqliteSaver needs flock(2), which Windows does not have: use InMemorySaver, or run under WSL")


def _check_path(path: object) -> None:
    """Refuse what is no path of a file.

    Raises:
        PolicyError: It says what to give.
    """
    name = path if isinstance(path, str) else os.fspath(path) if isinstance(path, Path) else ""
    if name.startswith((":memory:", "file:")):
        raise PolicyError(f'path={name!r} is no file to keep runs in: give one, e.g. SqliteSaver("runs.db"), or use InMemorySaver()')
    if not Path(name).name or "\0" in name:
        raise PolicyError(f'path={path!r} names no file: give one to keep runs in, as text or pathlib.Path, e.g. SqliteSaver("runs.db")')
