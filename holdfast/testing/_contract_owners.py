"""The contract of claims: one owner for each thread, and nobody else's writes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import ThreadBusyError
from holdfast.testing._contract import Base, a_run, a_step, begin, finished, keep
from holdfast.typing import Commit

if TYPE_CHECKING:
    from holdfast.typing import Checkpointer, Lease


class OwnersContract(Base):
    """Claims, leases, and what becomes of writes without one."""

    def test_a_claim_needs_no_thread(self, saver: Checkpointer) -> None:
        """A thread that does not exist yet can be claimed, and is not listed for that."""
        lease = saver.claim("new")

        assert lease.thread_id == "new"
        assert saver.threads() == []
        assert saver.latest("new") is None

    def test_an_owner_is_seen(self, saver: Checkpointer) -> None:
        """From the claim until the release; looking claims nothing, and makes no thread."""
        seen = [saver.is_owned("thread")]
        lease = saver.claim("thread")
        seen += [saver.is_owned("thread"), saver.is_owned("other")]
        saver.release(lease)
        seen.append(saver.is_owned("thread"))

        assert seen == [False, True, False, False]
        assert saver.threads() == []
        saver.release(saver.claim("thread"))

    def test_a_second_claim_is_refused(self, saver: Checkpointer) -> None:
        """In one process too a thread has one owner; the refusal names the thread."""
        saver.claim("thread")

        with pytest.raises(ThreadBusyError, match="'thread'"):
            saver.claim("thread")

    def test_threads_are_claimed_apart(self, saver: Checkpointer) -> None:
        """One owner's thread is no other's business."""
        leases = [saver.claim(name) for name in ("a", "b", "c")]
        for lease in leases:
            begin(saver, lease, a_run(f"run-{lease.thread_id}", lease.thread_id))

        assert {info.thread_id for info in saver.threads()} == {"a", "b", "c"}

    def test_a_released_thread_can_be_claimed(self, saver: Checkpointer) -> None:
        """Each claim has a higher epoch than the one before, runs or no runs in between."""
        epochs: list[int] = []
        for number in range(4):
            lease = saver.claim("thread")
            if number == 1:
                begin(saver, lease, a_run())
            saver.release(lease)
            epochs.append(lease.epoch)

        assert epochs == sorted(set(epochs))

    def test_a_released_lease_writes_no_more(self, saver: Checkpointer) -> None:
        """Whoever has given a thread back must claim it again."""
        lease = saver.claim("thread")
        begin(saver, lease, a_run())
        saver.release(lease)

        (problem,) = saver.commit([Commit(lease, "run-1", steps=(a_step(),))])

        assert isinstance(problem, ThreadBusyError)
        assert saver.steps("run-1") == []

    def test_force_takes_over(self, saver: Checkpointer) -> None:
        """The old owner's writes are refused from then on, the new one's are not."""
        old = saver.claim("thread")
        begin(saver, old, a_run())
        new = saver.claim("thread", force=True)

        late = saver.commit([Commit(old, "run-1", steps=(a_step(1),))])
        keep(saver, Commit(new, "run-1", steps=(a_step(2),)))

        assert isinstance(late[0], ThreadBusyError)
        assert saver.steps("run-1") == [a_step(2)]

    def test_a_stale_release_does_nothing(self, saver: Checkpointer) -> None:
        """The old owner cannot give away what is another one's."""
        old = saver.claim("thread")
        new = saver.claim("thread", force=True)
        saver.release(old)

        with pytest.raises(ThreadBusyError):
            saver.claim("thread")
        saver.release(new)
        saver.release(new)
        assert saver.claim("thread").epoch > new.epoch

    def test_a_stale_commit_does_not_spoil_the_others(self, saver: Checkpointer) -> None:
        """One batch, three runs: only the one whose thread was taken is refused, and nothing of it is kept."""
        first, taken, last = (saver.claim(name) for name in ("a", "b", "c"))
        begin(saver, first, a_run("run-a", "a"))
        begin(saver, taken, a_run("run-b", "b"))
        begin(saver, last, a_run("run-c", "c"))
        saver.claim("b", force=True)

        problems = saver.commit(
            [
                Commit(first, "run-a", steps=(a_step(1),)),
                Commit(taken, "run-b", steps=(a_step(1),), run=a_run("run-b", "b", status="done")),
                Commit(last, "run-c", steps=(a_step(1),)),
                Commit(first, "run-a", steps=(a_step(2),)),
            ]
        )

        assert [type(problem) for problem in problems] == [type(None), ThreadBusyError, type(None), type(None)]
        assert [len(saver.steps(run_id)) for run_id in ("run-a", "run-b", "run-c")] == [2, 0, 1]
        assert saver.find("run-b") == a_run("run-b", "b")

    def test_a_lease_does_not_outlive_its_thread(self, saver: Checkpointer) -> None:
        """Not even when a thread of the same name is claimed after the first one was deleted."""
        old = saver.claim("thread")
        begin(saver, old, a_run())
        saver.release(old)
        saver.delete_thread("thread")
        gone = saver.commit([Commit(old, "run-1", run=a_run())])
        new = saver.claim("thread")
        late = saver.commit([Commit(old, "run-1", run=a_run())])

        assert [type(problem) for problem in (*gone, *late)] == [ThreadBusyError, ThreadBusyError]
        assert new.epoch > old.epoch
        assert saver.find("run-1") is None

    def test_the_list_says_who_is_at_work(self, saver: Checkpointer) -> None:
        """A thread is owned from its claim to its release."""
        lease = saver.claim("thread")
        begin(saver, lease, a_run())
        before = [info.is_owned for info in saver.threads()]
        saver.release(lease)

        assert [before, [info.is_owned for info in saver.threads()]] == [[True], [False]]

    def test_of_many_claims_at_once_one_wins(self, saver: Checkpointer) -> None:
        """Eight threads claim the same thread at the same moment, ten times."""

        def try_to_claim(start: threading.Barrier, thread_id: str) -> Lease | None:
            start.wait()
            try:
                return saver.claim(thread_id)
            except ThreadBusyError:
                return None

        with ThreadPoolExecutor(8) as pool:
            for number in range(10):
                start = threading.Barrier(8)
                leases = [future.result() for future in [pool.submit(try_to_claim, start, f"t{number}") for _ in range(8)]]
                assert len([lease for lease in leases if lease is not None]) == 1

    def test_another_saver_is_refused_too(self, saver: Checkpointer) -> None:
        """A claim holds for the whole store, and ends with the saver that made it."""
        other = self.reopened(saver)
        lease = saver.claim("thread")
        begin(saver, lease, a_run())

        with pytest.raises(ThreadBusyError):
            other.claim("thread")
        assert ([info.is_owned for info in other.threads()], other.is_owned("thread")) == ([True], True)
        saver.close()
        assert not other.is_owned("thread")
        taken = other.claim("thread")
        other.close()
        assert taken.epoch > lease.epoch

    def test_a_closed_saver_has_given_its_threads_back(self, saver: Checkpointer) -> None:
        """It can be used again, but not with the leases from before."""
        finished(saver, "thread", a_run())
        lease = saver.claim("thread")
        saver.close()

        (problem,) = saver.commit([Commit(lease, "run-1", steps=(a_step(),))])

        assert isinstance(problem, ThreadBusyError)
        assert saver.claim("thread").epoch > lease.epoch
