"""What the parts of `holdfast.testing.CheckpointerContract` share: a store to test, and records to keep in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.typing import Commit, RunRecord, StepId, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.typing import Checkpointer, Lease

LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB


class Base:
    """The fixture that a subclass overrides, and the method that it may."""

    @pytest.fixture
    def saver(self) -> Iterator[Checkpointer]:
        """A saver with an empty store."""
        raise NotImplementedError("override the fixture `saver`: yield a checkpointer with an empty store, and close it afterwards")

    def reopen(self, saver: Checkpointer) -> Checkpointer | None:
        """Another saver on the store of ``saver``, as another process would make it; None where a store ends with its saver."""
        del saver
        return None

    def reopened(self, saver: Checkpointer) -> Checkpointer:
        """Another saver on the same store; skips the test where there can be none."""
        other = self.reopen(saver)
        if other is None:
            pytest.skip("the store ends with its saver")
        return other


def a_run(run_id: str = "run-1", thread_id: str = "thread", *, status: str = "running", base: str = "", updated: float = 20.5) -> RunRecord:
    """A record of a run."""
    return RunRecord(run_id, thread_id, "plan", "0123456789abcdef", status, b"input", base=base, created=10.25, updated=updated)


def a_step(number: int = 0, payload: bytes = b"value", *, name: str = "fetch", kind: str = "ok") -> StepRecord:
    """A record of a step; equal numbers and names are the same step."""
    return StepRecord(StepId(b"scope", name, number.to_bytes(16, "big"), 0), kind, payload, b"history", "fedcba9876543210", 30.125)


def keep(saver: Checkpointer, commit: Commit) -> None:
    """Commit what must be kept."""
    assert saver.commit([commit]) == [None]


def begin(saver: Checkpointer, lease: Lease, *runs: RunRecord) -> None:
    """Commit records of runs, in order."""
    for run in runs:
        keep(saver, Commit(lease, run.run_id, run=run))


def finished(saver: Checkpointer, thread_id: str, *runs: RunRecord) -> None:
    """Keep runs in a thread, and give it back."""
    lease = saver.claim(thread_id)
    begin(saver, lease, *runs)
    saver.release(lease)
