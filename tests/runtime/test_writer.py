"""Group commit: what gathers during one transaction goes into the next, everybody hears of his own, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from holdfast import InMemorySaver, StoreError
from holdfast.runtime import writer
from holdfast.runtime.dispatch import workers
from holdfast.runtime.loops import running_loop
from holdfast.runtime.writer import Item, Writer, writer_of
from holdfast.typing import Commit, Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def commit_of(n: int) -> Commit:
    """A change that can be told from others."""
    return Commit(Lease("t", "me", 1), str(n))


class Store:
    """A saver as far as a writer sees it: notes the batches, waits at a gate, and refuses what ``refuse`` says.

    Attributes:
        batches: The run ids of each transaction.
        gate: Closed, it holds transactions up.
        refuse: Called with each run id; returns an error, or raises one for the whole transaction.
        threads: On which thread each transaction ran.
    """

    is_blocking = True

    def __init__(self, refuse: Callable[[str], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.threads: list[threading.Thread] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refuse = refuse

    def commit(self, commits: Sequence[Commit]) -> list[Exception | None]:
        assert self.gate.wait(10)
        self.batches.append([each.run_id for each in commits])
        self.threads.append(threading.current_thread())
        return [self.refuse(each.run_id) for each in commits]


def together(store: Any, numbers: Sequence[int]) -> dict[int, BaseException | None]:
    """Commit each number from a thread of its own, all but the first while the first one's transaction is held up; return their errors."""
    line, errors = Writer(store), dict[int, BaseException | None]()

    def commit(n: int) -> None:
        try:
            line.commit(commit_of(n))
            errors[n] = None
        except BaseException as error:
            errors[n] = error

    store.gate.clear()
    threads = [threading.Thread(target=commit, args=(n,)) for n in numbers]
    for thread in threads:
        thread.start()
        while not line._turn.locked():
            time.sleep(0.0005)  # until its transaction has begun
    while len(line._line) < len(numbers) - 1:
        time.sleep(0.0005)
    store.gate.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def test_a_lone_commit_is_written_at_once() -> None:
    """By the thread that made it, in a transaction of its own."""
    store = Store()
    line = Writer(store)  # type: ignore[arg-type]

    line.commit(commit_of(1))
    line.commit(commit_of(2))
    assert [["1"], ["2"]] == store.batches
    assert [threading.current_thread()] * 2 == store.threads


def test_what_a_store_in_memory_refuses_is_raised_at_once() -> None:
    """It is not blocking, so nobody else is asked to write there."""
    store = Store(lambda name: ValueError(name) if name == "2" else None)
    store.is_blocking = False
    line = Writer(store)  # type: ignore[arg-type]

    line.commit(commit_of(1))
    with pytest.raises(ValueError, match="2"):
        line.commit(commit_of(2))
    assert [threading.current_thread()] * 2 == store.threads


def test_what_waits_goes_together() -> None:
    """One transaction for all that came while another one was under way, in their order."""
    store = Store()
    errors = together(store, range(20))

    assert dict.fromkeys(range(20)) == errors
    assert [["0"], sorted(map(str, range(1, 20)))] == [sorted(batch) for batch in store.batches]


def test_a_transaction_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the first ones need not wait for hundreds of others."""
    monkeypatch.setattr(writer, "MOST_AT_ONCE", 4)
    store = Store()
    together(store, range(10))

    assert [1, 4, 4, 1] == [len(batch) for batch in store.batches]


def test_one_s_trouble_is_not_another_s() -> None:
    """In one transaction, only what was refused fails."""
    store = Store(lambda name: ValueError(name) if name == "3" else None)
    errors = together(store, range(6))

    assert [3] == [n for n, error in errors.items() if error is not None]
    assert "3" == str(errors[3])


def test_when_the_store_breaks_each_gets_an_error_of_his_own() -> None:
    """The same object raised on many threads would gather all their tracebacks."""

    def refuse(name: str) -> None:
        if name != "0":
            raise OSError("no room")

    errors = together(Store(refuse), range(6))
    broken = [error for error in errors.values() if error is not None]
    assert 5 == len({id(error) for error in broken})
    assert {"StoreError: the checkpointer failed: OSError: no room"} == {f"{type(error).__name__}: {error}" for error in broken}


def test_ctrl_c_in_a_lone_commit_is_the_caller_s() -> None:
    """It strikes whoever commits, whose change may or may not be written, and the writer goes on."""
    errors: list[type[BaseException]] = [KeyboardInterrupt]

    def refuse(_: str) -> None:
        while errors:
            raise errors.pop()

    line = Writer(Store(refuse))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        line.commit(commit_of(1))
    line.commit(commit_of(2))


def test_a_transaction_for_all_runs_on_no_thread_of_theirs() -> None:
    """Ctrl-C, which strikes the user's threads, cannot break what others wait for."""
    store = Store()
    together(store, range(6))

    assert 2 == len(store.threads)
    assert "holdfast-worker" == store.threads[1].name


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt()])
def test_after_whatever_breaks_a_transaction_nobody_waits_for_ever(error: BaseException) -> None:
    """Each gets an error of his own that says what it was."""

    def refuse(name: str) -> None:
        if name != "0":
            raise error

    errors = together(Store(refuse), range(6))
    assert [None, *["StoreError"] * 5] == [errors[0], *[type(errors[n]).__name__ for n in range(1, 6)]]
    assert all(broken.__cause__ is error for broken in errors.values() if broken is not None)


def test_a_store_that_answers_for_too_few_breaks_the_transaction() -> None:
    """An item without an answer would wait for ever."""

    class Short(Store):
        def commit(self, commits: Sequence[Commit]) -> list[Exception | None]:
            return super().commit(commits)[1:]

    with pytest.raises(StoreError, match="the checkpointer failed: ValueError"):
        Writer(Short()).commit(commit_of(1))  # type: ignore[arg-type]


class Told(Item):
    """A change that notes on which thread and loop it is told, and then does ``then``."""

    def __init__(self, n: int, loop: asyncio.AbstractEventLoop | None = None, then: Callable[[], object] = int) -> None:
        super().__init__(commit_of(n), loop)
        self.then = then
        self.is_told = threading.Event()
        self.where: tuple[threading.Thread, asyncio.AbstractEventLoop | None] | None = None

    def tell(self) -> None:
        self.where = threading.current_thread(), running_loop()
        self.is_told.set()
        self.then()


@pytest.mark.parametrize("error", [None, StoreError("no room")])
def test_what_is_put_in_line_is_told(error: Exception | None) -> None:
    """With what became of it, on a thread that is not the caller's."""
    item = Told(1)
    Writer(Store(lambda _: error)).put(item)  # type: ignore[arg-type]

    assert item.is_told.wait(10)
    assert error is item.error
    assert item.where is not None
    assert item.where[0] is not threading.current_thread()


def test_all_that_is_put_in_line_is_written() -> None:
    """In the order in which it came, by few transactions."""
    store = Store()
    line = Writer(store)  # type: ignore[arg-type]
    items = [Told(n) for n in range(200)]
    store.gate.clear()
    for item in items:
        line.put(item)
    store.gate.set()

    assert all(item.is_told.wait(10) for item in items)
    assert [str(n) for n in range(200)] == [name for batch in store.batches for name in batch]
    assert len(store.batches) <= 3


class Late(Told):
    """One that nobody waits for."""

    is_awaited = False


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> Writer:
    """A writer that has just written, and now gathers for as long as a test may take."""
    monkeypatch.setattr(writer, "GATHERING", 1e9)
    line = Writer(Store())  # type: ignore[arg-type]
    first = Late(0)
    line.put(first)
    assert first.is_told.wait(10), "what comes first is written at once"
    return line


def test_what_nobody_waits_for_gathers_until_somebody_waits(gathering: Writer) -> None:
    """Then all of it is written at once, in one transaction and in its order."""
    store: Any = gathering._saver
    first = Late(1)
    gathering.put(first)
    assert not first.is_told.wait(0.1)
    for n in range(2, 5):
        gathering.put(Late(n))
    assert [["0"]] == store.batches

    gathering.commit(commit_of(5))
    assert [["0"], ["1", "2", "3", "4", "5"]] == store.batches


def test_what_nobody_waits_for_gathers_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written soon, though nothing else comes."""
    monkeypatch.setattr(writer, "GATHERING", 0.01)
    line = Writer(Store())  # type: ignore[arg-type]
    items = [Late(0), Late(1)]
    for item in items:
        line.put(item)
        assert item.is_told.wait(10)


def test_what_is_enough_for_a_transaction_does_not_gather(gathering: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that only grows would take memory, and lose much when the process dies."""
    monkeypatch.setattr(writer, "MOST_AT_ONCE", 4)
    items = [Late(n) for n in range(1, 5)]
    for item in items:
        gathering.put(item)

    assert all(item.is_told.wait(10) for item in items)


def test_a_loop_is_told_on_its_own_thread() -> None:
    """All of its items in their order, and each loop its own, though one transaction took them all."""

    async def put(line: Writer, first: int) -> list[Told]:
        loop = asyncio.get_running_loop()
        items = [Told(first + n, loop) for n in range(5)]
        for item in items:
            line.put(item)
        while not all(item.where for item in items):
            await asyncio.sleep(0.001)
        assert [(threading.current_thread(), loop)] * 5 == [item.where for item in items]
        return items

    line = Writer(Store())  # type: ignore[arg-type]
    threads = [threading.Thread(target=lambda n: asyncio.run(put(line, n)), args=(n,)) for n in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_an_exit_while_one_is_told_leaves_nobody_untold() -> None:
    """Those behind it are told all the same, and the exit goes on."""

    def leave() -> None:
        raise SystemExit

    items = [Told(1), Told(2, then=leave), Told(3), Told(4)]
    with pytest.raises(SystemExit):
        writer.tell(deque(items))

    assert [True] * 4 == [item.is_told.is_set() for item in items]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_makes_writers_of_its_own() -> None:
    """Though another thread was making one: its lock, and what writers have in line, are the parent's."""
    program = """
import os, threading
from holdfast import InMemorySaver
from holdfast.runtime import writer
saver = InMemorySaver()
ours = writer.writer_of(saver)
with writer._making:
    child = os.fork()
    if child == 0:
        found = []
        thread = threading.Thread(target=lambda: found.append(writer.writer_of(saver)), daemon=True)
        thread.start()
        thread.join(10)
        os._exit(0 if found and found[0] is not ours else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert b"0\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True).stdout


def test_who_is_told_may_commit() -> None:
    """A callback of the user's may wait for another step: no transaction waits for whoever is told."""
    line = Writer(Store())  # type: ignore[arg-type]
    is_done = threading.Event()

    def commit_more() -> None:
        for n in range(10, 13):
            line.commit(commit_of(n))
        is_done.set()

    line.put(Told(1, then=commit_more))
    assert is_done.wait(10)


def test_without_threads_the_caller_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system allows no more threads, what is put in line is written all the same."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    store = Store()
    monkeypatch.setattr(workers, "run", refuse)
    item = Told(1)
    Writer(store).put(item)  # type: ignore[arg-type]
    assert (threading.current_thread(), None) == item.where
    assert [["1"]] == store.batches


def test_a_store_without_a_disk_has_no_line() -> None:
    """What waits for nothing gains nothing by company: it is written at once, whoever has the turn."""
    store = Store()
    store.is_blocking = False
    line = Writer(store)  # type: ignore[arg-type]
    with line._turn:
        line.commit(commit_of(1))

    assert [["1"]] == store.batches


def test_a_writer_is_idle_when_nothing_is_being_written_or_in_line() -> None:
    """Only then is there no company to wait for."""
    line = Writer(Store())  # type: ignore[arg-type]
    assert line.is_idle
    with line._turn:
        assert not line.is_idle
    line._line.append(Told(1))

    assert not line.is_idle


def test_a_saver_has_one_writer_while_anybody_uses_it() -> None:
    """All runs on one saver share it, runs on another do not; it does not keep the saver alive."""
    one, other = InMemorySaver(), InMemorySaver()

    assert writer_of(one) is not writer_of(other)
    kept = writer_of(one)
    assert writer_of(one) is kept
    del kept
    gc.collect()
    assert id(one) not in writer._writers


def test_a_transaction_is_full_by_the_size_of_its_items() -> None:
    """An item that counts for a whole transaction is written in one with nothing behind it."""

    class Large(Item):
        @property
        def size(self) -> int:
            return writer.MOST_AT_ONCE

    store = Store()
    line = Writer(cast("Any", store))
    store.gate.clear()
    for item in (Item(commit_of(0)), Large(commit_of(1)), Item(commit_of(2))):
        line._line.append(item)
    store.gate.set()
    line._serve()
    while line._line or line._turn.locked():
        time.sleep(0.0005)

    assert [["0", "1"], ["2"]] == store.batches
