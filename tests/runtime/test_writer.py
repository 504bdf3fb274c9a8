"""Group commit: what gathers during one transaction goes into the next, everybody hears of his own, and nobody waits for ever."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import InMemorySaver, StoreError
from holdfast.runtime import writer
from holdfast.runtime.writer import Writer, writer_of
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
    """

    def __init__(self, refuse: Callable[[str], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refuse = refuse

    def commit(self, commits: Sequence[Commit]) -> list[Exception | None]:
        assert self.gate.wait(10)
        self.batches.append([each.run_id for each in commits])
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
        while thread is threads[0] and line._line:
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


def test_after_ctrl_c_in_a_transaction_nobody_waits_for_ever() -> None:
    """Whoever has the turn gets the KeyboardInterrupt, the others an error."""

    def refuse(name: str) -> None:
        if name != "0":
            raise KeyboardInterrupt

    errors = together(Store(refuse), range(6))
    kinds = sorted(type(error).__name__ for error in errors.values())
    assert ["KeyboardInterrupt", "NoneType", "StoreError", "StoreError", "StoreError", "StoreError"] == kinds


@pytest.mark.parametrize("error", [None, StoreError("no room")])
def test_a_posted_commit_says_when_it_is_written(error: Exception | None) -> None:
    """With what became of it, on a thread of the writer's own."""
    told: list[Any] = []
    is_told = threading.Event()

    def on_done(item: Any) -> None:
        told.extend([item.error, threading.current_thread() is threading.main_thread()])
        is_told.set()

    Writer(Store(lambda _: error)).post(commit_of(1), on_done)  # type: ignore[arg-type]
    assert is_told.wait(10)
    assert [error, False] == told


def test_many_posted_commits_are_all_written() -> None:
    """In the order in which they came, by few transactions."""
    store, left = Store(), threading.Semaphore(0)
    line = Writer(store)  # type: ignore[arg-type]
    store.gate.clear()
    for n in range(200):
        line.post(commit_of(n), lambda _: left.release())
    store.gate.set()

    assert all(left.acquire(timeout=10) for _ in range(200))
    assert [str(n) for n in range(200)] == [name for batch in store.batches for name in batch]
    assert len(store.batches) <= 3


def test_a_saver_has_one_writer_while_anybody_uses_it() -> None:
    """All runs on one saver share it, runs on another do not; it does not keep the saver alive."""
    one, other = InMemorySaver(), InMemorySaver()

    assert writer_of(one) is not writer_of(other)
    kept = writer_of(one)
    assert writer_of(one) is kept
    del kept
    gc.collect()
    assert id(one) not in writer._writers
