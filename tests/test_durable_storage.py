"""Runs on file systems that fail them: no inode is left, or nothing may be written. And runs of a thousand levels."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import SqliteSaver, StoreError, entrypoint, task

if TYPE_CHECKING:
    from pathlib import Path


class Program:
    """An entrypoint of two tasks, the second of which fails while a server is down.

    Attributes:
        saver: Where its runs are kept.
        main: The entrypoint.
        done: What was done, in order.
        is_up: Whether the server is.
    """

    def __init__(self, path: Path) -> None:
        self.saver = SqliteSaver(path)
        self.done: list[str] = []
        self.is_up = True

        @task
        def draft(n: int) -> str:
            self.done.append(f"draft {n}")
            return f"text {n}"

        @task
        def publish(text: str) -> str:
            self.done.append(f"publish {text}")
            if not self.is_up:
                raise ConnectionError("down")
            return f"published {text}"

        @entrypoint(self.saver)
        def main(n: int) -> str:
            return publish(draft(n).result()).result()

        self.main = main

    def fail(self) -> None:
        """Run once, while the server is down."""
        self.is_up = False
        with pytest.raises(ConnectionError):
            self.main.invoke(1, thread_id="t")
        self.is_up = True
        self.saver.close()


def use_up(folder: Path) -> list[Path]:
    """Make files until there can be no more; which ones."""
    made: list[Path] = []
    while True:
        try:
            (folder / f"file {len(made)}").touch(exist_ok=False)
        except OSError:
            return made
        made.append(folder / f"file {len(made)}")


def free(made: list[Path]) -> None:
    """Remove them."""
    for path in made:
        path.unlink()


@pytest.mark.parametrize("left", range(5))
def test_without_an_inode_no_run_begins_and_with_one_it_does(few_files: Path, left: int) -> None:
    """Whichever of the store's files cannot be made: a StoreError before anything is done; the same saver goes on when there is room."""
    program = Program(few_files / "runs.db")
    made = use_up(few_files)
    free(made[:left])

    with pytest.raises(StoreError, match=r"runs\.db"):
        program.main.invoke(1, thread_id="t")
    assert [] == program.done
    free(made[left:])
    assert "published text 1" == program.main.invoke(1, thread_id="t")
    program.saver.close()


def test_a_run_whose_files_are_there_needs_no_more_inodes(few_files: Path) -> None:
    """They run out in mid-run, and it ends well; the next process finds none for its own file, says so, and loses nothing."""
    program = Program(few_files / "runs.db")
    made: list[Path] = []

    @task
    def fill() -> int:
        made.extend(use_up(few_files))
        return len(made)

    @entrypoint(program.saver)
    def main(n: int) -> int:
        return fill().result() + n

    result = main.invoke(1, thread_id="other")

    assert (len(made) + 1, True) == (result, len(made) > 5)
    program.saver.close()
    program.saver._owners.leave()
    free(made)
    program.fail()
    program.saver._owners.leave()
    made = use_up(few_files)
    with pytest.raises(StoreError, match="runs"):
        program.main.invoke(None, thread_id="t")
    free(made)

    assert "published text 1" == program.main.invoke(None, thread_id="t")
    assert ["draft 1", "publish text 1", "publish text 1"] == program.done
    program.saver.close()


@pytest.mark.parametrize("is_new", [True, False])
def test_on_a_file_system_that_is_read_only_nothing_is_done(small_disk: Path, is_new: bool) -> None:
    """From the start, or since the last run: a StoreError before the body, what is kept can be looked at, and writable again it goes on."""
    program = Program(small_disk / "runs.db")
    if not is_new:
        program.fail()
    before = list(program.done)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with pytest.raises(StoreError, match=r"runs\.db"):
            program.main.invoke(1 if is_new else None, thread_id="t")
        with pytest.raises(StoreError, match=r"runs\.db"):
            asyncio.run(program.main.ainvoke(1 if is_new else None, thread_id="t"))
        assert before == program.done
        if not is_new:
            assert ["failed"] == [info.status for info in SqliteSaver.read_only(small_disk / "runs.db").threads()]
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    assert "published text 1" == program.main.invoke(1 if is_new else None, thread_id="t")
    assert [*before, *(["draft 1"] if is_new else []), "publish text 1"] == program.done
    program.saver.close()


def test_a_thousand_levels_of_tasks_are_resumed(tmp_path: Path) -> None:
    """Each a step in the scope of the one around it; the innermost failed, and only what stood around it is done again."""
    saver = SqliteSaver(tmp_path / "runs.db", synchronous="NORMAL")
    ran: list[int] = []
    is_up = False

    @task
    def leaf(n: int) -> int:
        ran.append(n)
        return n

    @task
    async def level(n: int) -> int:
        if n == 0:
            if not is_up:
                raise ConnectionError("down")
            return 0
        here: Any = await leaf(n)
        return await level(n - 1) + here - n + 1

    @entrypoint(saver)
    async def main(n: int) -> int:
        return await level(n)

    with pytest.raises(ConnectionError):
        main.invoke(1000, thread_id="t")
    is_up = True

    assert 1000 == main.invoke(None, thread_id="t")
    assert sorted(ran) == list(range(1, 1001))
    saver.close()
