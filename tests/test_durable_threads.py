"""Threads that live long: what 200 turns take up, and files of other versions."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InMemorySaver, SqliteSaver, entrypoint, task
from holdfast.errors import StoreError
from tests.waiting import until, until_async

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.typing import Lease, RunRecord

TURNS = 200
WORDS = 50
"""Bytes of what each turn adds to the conversation."""


def talk(saver: SqliteSaver, *, add: int = WORDS) -> None:
    """A conversation on one thread; each turn's task gets, and the run saves, all that was said."""

    @task
    def answer(said: list[str], number: int) -> str:
        return f"{number} after {len(said)}: ".ljust(add, ".")[:add]

    @entrypoint(saver)
    def turn(number: int, previous: Any = None) -> Any:
        said = list(previous or ["x" * 2000])
        line = answer(said, number).result()
        if add:
            said.append(line)
        return entrypoint.final(value=line, save=said)

    for number in range(TURNS):
        turn.invoke(number, thread_id="talk")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "runs.db"


def used(path: Path) -> int:
    """Bytes of the file that hold something."""
    with closing(sqlite3.connect(path)) as connection:
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def test_a_growing_state_is_bounded_by_retention(path: Path) -> None:
    """200 turns that save all that was said: as many states are kept as keep_last says, and what is forgotten makes room."""
    saver = SqliteSaver(path, synchronous="NORMAL", keep_last=10)
    talk(saver)

    state = 2000 + TURNS * (WORDS + 3)
    assert 10 <= len(saver.runs("talk")) <= 11
    (thread,) = saver.threads()
    assert thread.size <= 12 * state
    saver.close()
    assert used(path) <= 3 * 12 * state
    assert path.stat().st_size <= 2 * used(path)


def test_a_state_that_does_not_change_is_stored_once(path: Path) -> None:
    """However many turns save it: what they take up is what each adds."""
    saver = SqliteSaver(path, synchronous="NORMAL", keep_last=None)
    talk(saver, add=0)

    assert TURNS == len(saver.runs("talk"))
    (thread,) = saver.threads()
    assert thread.size <= 2100 + TURNS * 20


def test_a_file_of_a_newer_version_is_refused_before_anything_runs(path: Path) -> None:
    """Naming both versions: a run that is resumed by an old program must not be spoilt by it."""
    begun = []

    @entrypoint(SqliteSaver(path))
    def main() -> None:
        begun.append(1)

    main.invoke(thread_id="t")
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {version + 1}")

    @entrypoint(SqliteSaver(path))
    def later(_: Any) -> None:
        begun.append(2)

    with pytest.raises(StoreError, match=rf"{version + 1}.*{version}"):
        later.invoke(0, thread_id="u")
    assert [1] == begun


def test_a_thread_that_could_not_be_read_can_be_used_again() -> None:
    """It is given back, whatever came between owning it and knowing where it stands."""

    class Unreadable(InMemorySaver):
        is_broken = True

        def latest(self, thread_id: str, /) -> RunRecord | None:
            if self.is_broken:
                raise StoreError("cannot be read")
            return super().latest(thread_id)

    saver = Unreadable()

    @entrypoint(saver)
    def main(n: int) -> int:
        return n

    with pytest.raises(StoreError, match="cannot be read"):
        main.invoke(1, thread_id="t")
    saver.is_broken = False

    assert 2 == main.invoke(2, thread_id="t")


def test_a_loop_that_is_shut_down_keeps_no_thread() -> None:
    """It cancels all tasks at once, also while one is about to own a thread: what it gets by then is given back, and the body does not run."""
    asks = threading.Event()
    ran: list[int] = []
    tasks: list[asyncio.Task[int]] = []

    class Slow(InMemorySaver):
        is_blocking = True  # type: ignore[assignment]

        def claim(self, thread_id: str, /, *, force: bool = False) -> Lease:
            asks.set()
            until(tasks[0].cancelling)
            return super().claim(thread_id, force=force)

    saver = Slow()

    @entrypoint(saver)
    def main(n: int) -> int:
        ran.append(n)
        return n

    async def leave() -> None:
        tasks.append(asyncio.create_task(main.ainvoke(1, thread_id="t")))
        await until_async(asks.is_set)

    asyncio.run(leave())

    assert tasks[0].cancelled()
    assert 2 == main.invoke(2, thread_id="t", wait=60)
    assert [2] == ran
