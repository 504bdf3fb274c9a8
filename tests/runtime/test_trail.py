"""Where a body stands on its trail, and when the trail is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.future import TaskFuture
from holdfast.runtime.trail import LOST, Trail
from holdfast.typing import StepId, StepRecord

HERE = (1, 0)
ELSEWHERE = (2, 0)


def step_of(name: str) -> StepId:
    """A step that can be told from others."""
    return StepId(b"", name, b"", 0)


class Walk:
    """A body that walks along a trail.

    Attributes:
        points: Where each of its steps was made.
    """

    def __init__(self, attempt: int = 1) -> None:
        self.trail = Trail(attempt, HERE)
        self.points: list[bytes] = []
        self._records: dict[StepId, StepRecord] = {}

    def step(self, name: str, outcome: bytes = b"", *, at: Any = HERE, kind: str = "ok", is_seen: bool = True) -> None:
        """Make a step that ends at once; look at its outcome, or do not."""
        self.points.append(self.trail.here(at, self._records.get))
        step = step_of(name)
        future: TaskFuture[Any] = TaskFuture()
        future.set_result(outcome)
        self._records[step] = StepRecord(step, kind, outcome)
        self.trail.passed(step, future)
        if is_seen:
            future.result()


steps = st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=2), st.sampled_from(["ok", "error"])), max_size=5)


@given(one=steps, other=steps)
def test_two_walks_stand_at_the_same_point_exactly_when_they_were_given_the_same(one: Any, other: Any) -> None:
    """The oracle: the lists of what came before."""
    by_point: dict[bytes, Any] = {}
    by_past: dict[str, bytes] = {}
    for walked in (one, other):
        walk = Walk()
        for n, (name, outcome, kind) in enumerate(walked):
            walk.step(f"{name}{n}", outcome, kind=kind)
            past = walked[:n]
            assert past == by_point.setdefault(walk.points[-1], past)
            assert walk.points[-1] == by_past.setdefault(repr(past), walk.points[-1])


def test_attempts_have_trails_of_their_own() -> None:
    """What made the first one fail was no step."""
    first, second = Walk(1), Walk(2)
    first.step("a")
    second.step("a")

    assert first.points != second.points


def test_a_step_before_the_last_one_was_looked_at_loses_the_trail() -> None:
    """For good, although that one was done: whether it is done already is timing."""
    walk = Walk()
    walk.step("a")
    walk.step("b", is_seen=False)
    walk.step("c")
    walk.step("d")

    assert [False, False, True, True] == [point == LOST for point in walk.points]


def test_a_step_made_elsewhere_loses_the_trail() -> None:
    """By another thread or asyncio task than the body's own, be it the first step or a later one."""
    walk, first = Walk(), Walk()
    walk.step("a")
    walk.step("b", at=ELSEWHERE)
    walk.step("c")
    first.step("a", at=ELSEWHERE)

    assert [False, True, True] == [point == LOST for point in walk.points]
    assert [LOST] == first.points


def test_a_step_without_a_record_loses_the_trail() -> None:
    """One that was cancelled, say: what the body was given is not known."""
    walk = Walk()
    future: TaskFuture[Any] = TaskFuture()
    future.set_result(1)
    walk.trail.passed(step_of("a"), future)
    future.result()

    assert LOST == walk.trail.here(HERE, {}.get)


@pytest.mark.parametrize("look", ["result", "exception"])
def test_looking_at_a_failure_is_looking(look: str) -> None:
    """By raising it, or by asking for it."""
    walk = Walk()
    future: TaskFuture[Any] = TaskFuture()
    future.set_exception(ValueError("no"))
    walk.trail.passed(step_of("a"), future)
    if look == "exception":
        future.exception()
    else:
        with pytest.raises(ValueError, match="no"):
            future.result()

    assert LOST != walk.trail.here(HERE, {step_of("a"): StepRecord(step_of("a"), "error", b"")}.get)


def test_points_stay_what_they_are() -> None:
    """They are kept in journals: others would be taken for other histories."""
    walk = Walk(attempt=2)
    walk.step("a", b"1")
    walk.step("b", b"2", kind="error")
    walk.step("c")

    assert ["615d27b19a80014b29f28897", "f1c283e4e24d696d52fa5017", "d0d681cac0bee128f043eef3"] == [point.hex() for point in walk.points]
