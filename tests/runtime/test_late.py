"""What is written behind: steps join the change before them while that is in line, and their order stays."""

from __future__ import annotations

from typing import Any, cast

from holdfast import StoreError
from holdfast.runtime.late import Late
from holdfast.runtime.writer import MOST_AT_ONCE, Item, Writer
from holdfast.typing import Commit, Lease, StepId, StepRecord


def step(n: int) -> StepRecord:
    """A step that can be told from others."""
    return StepRecord(StepId(b"", "work", b"", n), "ok", b"")


def change(*records: StepRecord) -> Commit:
    """What writes steps."""
    return Commit(Lease("t", "me", 1), "run", records)


class Line(list[Item]):
    """What is in line for a writer, in order."""

    put = list[Item].append


def late_in(line: Line) -> Late:
    """Changes that are put in ``line``."""
    return Late(cast("Writer", line), change)


def numbers(item: Item) -> list[int]:
    """Which steps are written by a change that is taken now."""
    return [each.step.occurrence for each in item.taken().steps]


def test_steps_join_what_is_in_line() -> None:
    """Three steps that end while nothing is taken are one change, in their order."""
    line = Line()
    late = late_in(line)
    for n in range(3):
        late.put_step(step(n))

    (item,) = line
    assert [0, 1, 2] == numbers(item)


def test_no_step_joins_what_is_taken() -> None:
    """A step that ends while the change before it is written makes another one."""
    line = Line()
    late = late_in(line)
    late.put_step(step(0))
    assert [0] == numbers(line[0])
    late.put_step(step(1))

    assert [1] == numbers(line[1])


def test_a_full_change_takes_no_more() -> None:
    """A slow store is given transactions of the usual size."""
    line = Line()
    late = late_in(line)
    for n in range(MOST_AT_ONCE + 2):
        late.put_step(step(n))

    assert [MOST_AT_ONCE, 2] == [item.size for item in line]


def test_what_is_forgotten_comes_between() -> None:
    """A step recorded again after it was dropped is not written before that."""
    line = Line()
    late = late_in(line)
    late.put_step(step(0))
    late.put(change()._replace(dropped=(step(0).step,)))
    late.put_step(step(0))
    late.put_step(step(1))

    before, after = [item.taken() for item in line]
    assert ((), (step(0).step,)) == (before.dropped, after.dropped)
    assert [(0,), (0, 1)] == [tuple(each.step.occurrence for each in one.steps) for one in (before, after)]


def test_a_stale_change_ends_no_newer_one() -> None:
    """That an earlier change is taken does not keep steps from joining the newest."""
    line = Line()
    late = late_in(line)
    late.put_step(step(0))
    late.put(change())
    line[0].taken()
    late.put_step(step(1))

    assert [1] == numbers(line[1])


def test_nobody_waits_for_what_is_written_behind() -> None:
    """So a writer lets it gather for a moment, see `Writer.put`."""
    line = Line()
    late = late_in(line)
    late.put(change())
    late.put_step(step(0))

    assert not any(item.is_awaited for item in line)


def test_what_went_wrong_is_kept() -> None:
    """Trouble with a change is the run's to raise; success leaves it."""
    line = Line()
    late = late_in(line)
    late.put_step(step(0))
    broken: Any = StoreError("full")
    line[0].settle(broken)
    line[0].settle(None)

    assert broken is late.error
