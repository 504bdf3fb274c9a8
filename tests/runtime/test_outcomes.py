"""The end of a step: whoever writes its outcome goes on with the call, and its thread is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast import SqliteSaver, entrypoint, task
from holdfast.runtime import writer
from holdfast.runtime.dispatch import workers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("most_at_once", [1, 256])
def test_a_thread_is_counted_as_idle_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_at_once: int) -> None:
    """With a store that keeps up and with one that does not: a job sent to a thread that is only counted is never done."""
    monkeypatch.setattr(writer, "MOST_AT_ONCE", most_at_once)

    @task
    def step(x: int) -> int:
        return x

    @entrypoint(checkpointer=SqliteSaver(tmp_path / "runs.db"))
    def main(n: int) -> int:
        return sum(future.result() for future in [step(x) for x in range(n)])

    assert sum(range(300)) == main.invoke(300)
    assert len(workers._idle) <= workers.count
