"""What the stream of a resumed run tells, beside what one of a new run does (``tests/test_entrypoint.py``)."""

from __future__ import annotations

import pytest

from holdfast import InMemorySaver, entrypoint, task
from holdfast.testing import recorded


@pytest.mark.parametrize("is_observed", [False, True])
def test_a_replayed_task_has_a_start_and_an_end_and_is_no_update(is_observed):
    """It was an update when it was done; whether anybody observes the run makes no difference."""
    lives = iter(["first", "second"])

    @task
    def double(n: int) -> int:
        return 2 * n

    @entrypoint(InMemorySaver())
    def main(n: int) -> int:
        value = double(n).result()
        if next(lives) == "first":
            raise ConnectionError
        return double(value).result()

    with pytest.raises(ConnectionError):
        main.invoke(3, thread_id="t")
    modes = ["updates", "tasks"]
    if is_observed:
        with recorded():
            chunks = list(main.stream(None, thread_id="t", stream_mode=modes))
    else:
        chunks = list(main.stream(None, thread_id="t", stream_mode=modes))

    told = [chunk.get("result", "begun") for mode, chunk in chunks if mode == "tasks"]
    assert ["begun", 6, "begun", 12] == told
    assert [{"double": 12}, {"main": 12}] == [chunk for mode, chunk in chunks if mode == "updates"]
