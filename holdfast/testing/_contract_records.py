"""The contract of records: what was committed is what is read, in the order in which it came."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import StoreError
from holdfast.testing._contract import LARGE, Base, a_run, a_step, begin, finished, keep
from holdfast.typing import Commit, StepId

if TYPE_CHECKING:
    from holdfast.typing import Checkpointer, StepRecord


class RecordsContract(Base):
    """Runs and steps, one by one and in batches."""

    def test_an_empty_store_has_nothing(self, saver: Checkpointer) -> None:
        """Asking for what is not there is no error, and makes nothing."""
        assert saver.latest("thread") is None
        assert saver.find("run-1") is None
        assert saver.steps("run-1") == []
        assert saver.runs("thread") == []
        assert saver.threads() == []

    def test_nothing_to_commit(self, saver: Checkpointer) -> None:
        """An empty batch is done at once."""
        assert saver.commit([]) == []

    @pytest.mark.parametrize("value", [None, b"", b"x", b"\0" * 1024, b"y" * 1025, LARGE], ids=lambda value: f"{len(value or b'')} bytes")
    def test_a_run_comes_back_as_it_was(self, saver: Checkpointer, value: bytes | None) -> None:
        """Every field, and of values also the difference between none and an empty one."""
        run = a_run(base="run-0", status="failed")._replace(
            input=value or b"", output=value, saved=value, error=value, trace="0198c0de \u2713"
        )
        finished(saver, "thread", run)

        assert saver.latest("thread") == run
        assert saver.find("run-1") == run
        assert saver.runs("thread") == [run]

    def test_a_run_can_be_replaced(self, saver: Checkpointer) -> None:
        """Its record is the last one committed; its place among the runs is that of the first."""
        lease = saver.claim("thread")
        begin(saver, lease, a_run("run-1"), a_run("run-2"))
        ended = a_run("run-1", status="abandoned", updated=99.0)._replace(output=LARGE)
        keep(saver, Commit(lease, "run-1", run=ended))

        assert saver.runs("thread") == [a_run("run-2"), ended]

    @pytest.mark.parametrize("payload", [b"", b"x", b"\0" * 1024, b"y" * 1025, LARGE], ids=lambda value: f"{len(value)} bytes")
    def test_a_step_comes_back_as_it_was(self, saver: Checkpointer, payload: bytes) -> None:
        """Every field."""
        step = a_step(7, payload, kind="error")
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(step,)))

        assert saver.steps("run-1") == [step]

    @pytest.mark.parametrize("name", ["f", "café", "Klasse.<locals>.f", "a'b\"c;--", "\N{FIRE}", "line\nbreak", "n" * 2000])
    def test_steps_have_any_name(self, saver: Checkpointer, name: str) -> None:
        """Task names are text; scope, history and code may be empty."""
        step = a_step(name=name)._replace(step=StepId(b"", name, b"f" * 16, 3), history=b"", code="")
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(step,)))

        assert saver.steps("run-1") == [step]

    def test_what_names_a_step_tells_it_apart(self, saver: Checkpointer) -> None:
        """Scope, name, fingerprint and occurrence."""
        ids = (
            StepId(b"s", "f", b"1", 0),
            StepId(b"", "f", b"1", 0),
            StepId(b"s", "g", b"1", 0),
            StepId(b"s", "f", b"2", 0),
            StepId(b"s", "f", b"1", 1),
        )
        steps = [a_step(payload=bytes([number]))._replace(step=step) for number, step in enumerate(ids)]
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=tuple(steps)))

        assert saver.steps("run-1") == steps

    def test_steps_keep_their_order(self, saver: Checkpointer) -> None:
        """That of their arrival, over many batches of many commits."""
        lease = saver.claim("thread")
        begin(saver, lease, a_run())
        steps = [a_step(number * 7919 % 600) for number in range(600)]
        for start in range(0, 600, 50):
            batch = [Commit(lease, "run-1", steps=tuple(steps[place : place + 5])) for place in range(start, start + 50, 5)]
            assert saver.commit(batch) == [None] * 10

        assert saver.steps("run-1") == steps

    def test_a_step_is_replaced_in_its_place(self, saver: Checkpointer) -> None:
        """By a later record of the same step, be it in another batch, another commit or the same one."""
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(a_step(1), a_step(2), a_step(3))))
        keep(saver, Commit(lease, "run-1", steps=(a_step(4, b"first"), a_step(2, LARGE), a_step(4, b"second"))))
        saver.commit([Commit(lease, "run-1", steps=(a_step(5, kind="started"),)), Commit(lease, "run-1", steps=(a_step(5, kind="ok"),))])

        assert saver.steps("run-1") == [a_step(1), a_step(2, LARGE), a_step(3), a_step(4, b"second"), a_step(5)]

    def test_a_dropped_step_is_gone(self, saver: Checkpointer) -> None:
        """Recorded again, it comes last; dropping what is not there does nothing."""
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(a_step(1), a_step(2), a_step(3))))
        keep(saver, Commit(lease, "run-1", dropped=(a_step(1).step, a_step(9).step)))
        after = saver.steps("run-1")
        keep(saver, Commit(lease, "run-1", steps=(a_step(1, b"again"),)))

        assert after == [a_step(2), a_step(3)]
        assert saver.steps("run-1") == [a_step(2), a_step(3), a_step(1, b"again")]

    def test_a_commit_drops_before_it_adds(self, saver: Checkpointer) -> None:
        """A step in both lists is a new one; so it is when the commits of one batch do it."""
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(a_step(1), a_step(2))))
        keep(saver, Commit(lease, "run-1", dropped=(a_step(1).step,), steps=(a_step(1, b"new"),)))
        saver.commit(
            [
                Commit(lease, "run-1", steps=(a_step(3),)),
                Commit(lease, "run-1", dropped=(a_step(3).step, a_step(2).step)),
                Commit(lease, "run-1", steps=(a_step(2, b"new"),)),
            ]
        )

        assert saver.steps("run-1") == [a_step(1, b"new"), a_step(2, b"new")]

    def test_runs_have_their_own_steps(self, saver: Checkpointer) -> None:
        """The same step in two runs of a thread, and in a run of another one."""
        lease, other = saver.claim("thread"), saver.claim("other")
        begin(saver, lease, a_run("run-1"), a_run("run-2"))
        begin(saver, other, a_run("run-3", "other"))
        batch = [Commit(lease, "run-1", steps=(a_step(1, b"1"),)), Commit(lease, "run-2", steps=(a_step(1, b"2"),))]
        assert saver.commit([*batch, Commit(other, "run-3", steps=(a_step(1, b"3"),))]) == [None] * 3

        assert [saver.steps(f"run-{number}")[0].payload for number in (1, 2, 3)] == [b"1", b"2", b"3"]

    def test_steps_need_a_run(self, saver: Checkpointer) -> None:
        """Steps of a run that nobody has begun are refused, and what else is in the batch is kept."""
        lease = saver.claim("thread")
        problems = saver.commit([Commit(lease, "run-9", steps=(a_step(),)), Commit(lease, "run-1", run=a_run())])

        assert [type(problem) for problem in problems] == [StoreError, type(None)]
        assert saver.steps("run-9") == []

    def test_a_run_stays_in_its_thread(self, saver: Checkpointer) -> None:
        """A run id that another thread has used is refused, and so is a commit that contradicts itself."""
        lease, other = saver.claim("thread"), saver.claim("other")
        begin(saver, lease, a_run())
        contradictions = (Commit(other, "run-2", run=a_run("run-2")), Commit(lease, "run-2", run=a_run("run-3")))
        problems = saver.commit(
            [Commit(other, "run-1", run=a_run("run-1", "other")), Commit(other, "run-1", steps=(a_step(),)), *contradictions]
        )

        assert [type(problem) for problem in problems] == [StoreError] * 4
        assert saver.find("run-1") == a_run()
        assert saver.steps("run-1") == []
        assert saver.runs("other") == []

    def test_records_outlive_the_saver(self, saver: Checkpointer) -> None:
        """Another saver on the same store reads what this one was told is kept, at once and after it was closed."""
        other = self.reopened(saver)
        lease = saver.claim("thread")
        keep(saver, Commit(lease, "run-1", run=a_run(), steps=(a_step(1), a_step(2, LARGE))))
        at_once = other.steps("run-1")
        saver.close()

        assert at_once == other.steps("run-1") == [a_step(1), a_step(2, LARGE)]
        assert other.latest("thread") == a_run()
        other.close()

    def test_threads_write_and_read_at_once(self, saver: Checkpointer) -> None:
        """Six threads keep steps in their own runs and read what they have kept so far."""

        def work(name: str) -> list[StepRecord]:
            lease = saver.claim(name)
            begin(saver, lease, a_run(f"run-{name}", name))
            for number in range(20):
                keep(saver, Commit(lease, f"run-{name}", steps=(a_step(number, name.encode()),)))
                assert len(saver.steps(f"run-{name}")) == number + 1
            saver.release(lease)
            return saver.steps(f"run-{name}")

        names = [f"t{number}" for number in range(6)]
        with ThreadPoolExecutor(len(names)) as pool:
            kept = list(pool.map(work, names))

        assert kept == [[a_step(number, name.encode()) for number in range(20)] for name in names]
