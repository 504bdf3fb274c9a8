"""InMemorySaver: the contract, and what is its own."""

from __future__ import annotations

import pytest

from holdfast import InMemorySaver
from holdfast.testing import CheckpointerContract
from holdfast.testing._contract import a_run, a_step, begin, finished
from holdfast.typing import Checkpointer, Commit
from tests.children import in_child


class TestContract(CheckpointerContract):
    """What every checkpointer does."""

    @pytest.fixture
    def saver(self):
        return InMemorySaver()


def test_is_a_checkpointer_that_never_waits():
    """Async callers need no thread for it."""
    assert isinstance(InMemorySaver(), Checkpointer)
    assert InMemorySaver().is_blocking is False


def test_says_how_many_threads_it_knows():
    """A claim alone makes no thread."""
    saver = InMemorySaver()
    texts = [repr(saver)]
    saver.claim("other")
    finished(saver, "thread", a_run())
    texts.append(repr(saver))
    finished(saver, "third", a_run("run-3", "third"))

    assert ["InMemorySaver(0 threads)", "InMemorySaver(1 thread)", "InMemorySaver(2 threads)"] == [*texts, repr(saver)]


def test_a_forked_child_has_the_past_and_none_of_the_leases():
    """The child sees what was kept, may claim the threads, and cannot write with a lease of the parent's."""
    saver = InMemorySaver()
    lease = saver.claim("thread")
    begin(saver, lease, a_run())

    def is_apart():
        (problem,) = saver.commit([Commit(lease, "run-1", steps=(a_step(),))])
        return problem is not None and saver.latest("thread") == a_run() and saver.claim("thread").epoch > lease.epoch

    assert 0 == in_child(is_apart)
    assert [None] == saver.commit([Commit(lease, "run-1", steps=(a_step(),))])


def test_a_reader_cannot_change_what_is_kept():
    """Lists that were handed out are the reader's own."""
    saver = InMemorySaver()
    finished(saver, "thread", a_run())
    saver.runs("thread").clear()
    saver.steps("run-1").append(a_step())

    assert ([a_run()], []) == (saver.runs("thread"), saver.steps("run-1"))
