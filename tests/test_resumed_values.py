"""What a resumed run gets from its tasks is what they returned or raised, type included; what would change is refused at the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from holdfast import NotSerializable, SqliteSaver, entrypoint, task
from tests.values.test_codec import ARRAYS, KEPT, REFUSED, same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Stop(Exception):
    """Ends the first life of a body."""


class Coded(Exception):
    """Takes more than a text, and cannot be pickled."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(code)
        self.hint = hint

    def __reduce__(self) -> Any:
        raise TypeError


class Holding(OSError):
    """Has an attribute that no store can hold."""

    def __init__(self) -> None:
        super().__init__(2, "no such", "place")
        self.client = object()


FAILURES: dict[str, Callable[[], Exception]] = {
    "plain": lambda: ValueError("x", 3),
    "more than a text": lambda: Coded(402, hint="later"),
    "a lost attribute": Holding,
    "a group": lambda: ExceptionGroup("two", [ValueError(1), ExceptionGroup("in", [KeyError("k")])]),
    "bytes": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "a text of surrogates": lambda: RuntimeError("\udc80"),
}


class Twice:
    """A run that dies when it has everything, and is resumed; the tasks run in the first life only.

    Attributes:
        given: What the tasks gave, in each life.
    """

    def __init__(self, path: Path, things: Mapping[str, Any], look: Callable[[Any], Any]) -> None:
        self.given: list[dict[str, Any]] = []

        @task
        def make(name: str) -> Any:
            if self.given:
                pytest.fail(f"{name} was made again")
            thing = things[name]
            if callable(thing) and isinstance(error := thing(), Exception):
                raise error
            return thing

        @entrypoint(SqliteSaver(path, synchronous="NORMAL"))
        def main(_: Any) -> None:
            self.given.append({name: look(make(name)) for name in things})
            if len(self.given) == 1:
                raise Stop

        with pytest.raises(Stop):
            main.invoke(0, thread_id="t")
        main.invoke(None, thread_id="t")


@pytest.mark.parametrize("values", [KEPT, ARRAYS], ids=["values", "arrays"])
def test_live_and_replayed_results_are_the_same(tmp_path: Path, values: dict[str, Any]) -> None:
    """By value and type, all through: 70 kinds and more."""
    live, replayed = Twice(tmp_path / "runs.db", values, lambda future: future.result()).given

    assert [] == [name for name in values if not same(live[name], replayed[name])]


def test_live_and_replayed_failures_are_the_same(tmp_path: Path) -> None:
    """Class, arguments and text, of those that pickle breaks on, too."""

    def look(future: Any) -> Any:
        error = future.exception()
        return type(error), repr(error), error.args[:1], getattr(error, "hint", None)

    live, replayed = Twice(tmp_path / "runs.db", FAILURES, look).given

    assert live == replayed


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_is_refused_at_the_task(tmp_path: Path, name: str) -> None:
    """Before the next task starts, by an error that names the task: not months later, at the resume."""
    begun = []

    @task
    def make() -> Any:
        return {"items": [REFUSED[name]]}

    @task
    def publish(_: Any) -> None:
        begun.append("publish")

    @entrypoint(SqliteSaver(tmp_path / "runs.db", synchronous="NORMAL"))
    def main() -> None:
        publish(make().result()).result()

    with pytest.raises(NotSerializable, match=r"result of task .*make cannot be checkpointed: result\['items'\]\[0\]"):
        main.invoke(thread_id="t")
    assert [] == begun
