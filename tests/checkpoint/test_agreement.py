"""The two savers agree: whatever is done to both, they answer alike."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import InMemorySaver, SqliteSaver
from holdfast.testing._contract import a_run, a_step
from holdfast.typing import Commit, RunRecord

THREADS = ("a", "b")
RUNS = ("r0", "r1", "r2", "r3")
threads, runs = st.sampled_from(THREADS), st.sampled_from(RUNS)
payloads = st.sampled_from([b"", b"small", b"x" * 1024, b"y" * 1025, b"z" * 9000])
steps = st.builds(a_step, st.integers(0, 4), payloads, kind=st.sampled_from(["ok", "error", "started"]))
records = st.builds(
    lambda status, base, updated, output: (status, base, updated, output),
    st.sampled_from(["running", "interrupted", "failed", "cancelled", "done", "abandoned"]),
    st.sampled_from(["", *RUNS]),
    st.integers(0, 100).map(float),
    st.none() | payloads,
)
commits = st.tuples(
    threads, runs, st.none() | records, st.lists(steps, max_size=4), st.lists(steps.map(lambda step: step.step), max_size=2), st.booleans()
)
operations = st.one_of(
    st.tuples(st.just("claim"), threads, st.booleans()),
    st.tuples(st.just("release"), threads),
    st.tuples(st.just("commit"), st.lists(commits, min_size=1, max_size=5)),
    st.tuples(st.just("delete"), threads),
    st.tuples(st.just("prune"), st.none() | st.integers(1, 3), st.booleans()),
)


class Played:
    """One saver, the leases it has given out, and what it answered."""

    def __init__(self, saver):
        self.saver = saver
        self.leases = {name: [] for name in THREADS}

    def lease(self, thread_id, *, is_newest):
        found = self.leases[thread_id]
        return None if not found else found[-1 if is_newest else 0]

    def play(self, operation):
        try:
            return getattr(self, operation[0])(*operation[1:])
        except Exception as error:
            return type(error).__name__

    def claim(self, thread_id, force):
        lease = self.saver.claim(thread_id, force=force)
        self.leases[thread_id].append(lease)
        return lease.epoch

    def release(self, thread_id):
        lease = self.lease(thread_id, is_newest=True)
        return lease and self.saver.release(lease)

    def commit(self, wanted):
        batch = []
        for thread_id, run_id, record, added, dropped, is_newest in wanted:
            lease = self.lease(thread_id, is_newest=is_newest)
            if lease is not None:
                run = record and as_run(run_id, thread_id, *record)
                batch.append(Commit(lease, run_id, tuple(added), tuple(dropped), run))
        return [type(problem).__name__ for problem in self.saver.commit(batch)]

    def delete(self, thread_id):
        return self.saver.delete_thread(thread_id)

    def prune(self, keep_last, dry_run):
        pruned = self.saver.prune(keep_last=keep_last, dry_run=dry_run)
        return sorted(pruned.runs), sorted(pruned.threads), pruned.steps

    def state(self):
        listed = sorted((info._replace(size=0) for info in self.saver.threads()), key=lambda info: info.thread_id)
        by_thread = [(self.saver.latest(name), self.saver.runs(name), self.saver.is_owned(name)) for name in THREADS]
        return listed, by_thread, [(self.saver.find(run_id), self.saver.steps(run_id)) for run_id in RUNS]


def as_run(run_id: str, thread_id: str, status: str, base: str, updated: float, output: bytes | None) -> RunRecord:
    return a_run(run_id, thread_id, status=status, base=base, updated=updated)._replace(output=output)


@settings(max_examples=60)
@given(st.lists(operations, max_size=25))
def test_both_answer_alike(program):
    """Any sequence of claims, batches, deletions and prunings leaves both with the same answers and the same contents."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Played(InMemorySaver())
        disk = Played(SqliteSaver(Path(folder) / "runs.db", synchronous="NORMAL", keep_last=None))
        try:
            for operation in program:
                assert memory.play(operation) == disk.play(operation), operation
            assert memory.state() == disk.state()
        finally:
            disk.saver.close()


def test_the_players_do_something():
    """The comparison is of real answers, not of the same mistake on both sides."""
    played = Played(InMemorySaver())
    program = [("claim", "a", False), ("commit", [("a", "r0", ("done", "", 1.0, b"o"), [a_step(1)], [], True)]), ("claim", "a", False)]

    assert [1, ["NoneType"], "ThreadBusyError"] == [played.play(operation) for operation in program]
    assert 1 == len(played.state()[0])
