"""Whose run it is: what an entrypoint may do with a thread that another one has worked on, and which run an id names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Command, InMemorySaver, PolicyError, entrypoint, interrupt, task
from holdfast.errors import CorruptRecord, InDoubt
from holdfast.testing import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = "__interrupt__"
WHOSE = r"run 'run-1' of thread 't' was made by the entrypoint 'order', and this is 'other': go on with it by 'order', or, when that was renamed, "


@pytest.fixture
def invoke(colour: Any) -> Callable[..., Any]:
    """Runs an entrypoint, sync or async."""
    invoke: Callable[..., Any] = colour.invoke
    return invoke


@dataclass
class Receipt:
    """What the annotation of one of the entrypoints names, and that of the other does not."""

    number: int


class Shop:
    """Two entrypoints on one checkpointer; the first counts what it pays, and asks."""

    def __init__(self, saver: Any) -> None:
        self.paid: list[int] = []
        self.given: list[Any] = []

        @task
        def pay(n: int) -> int:
            self.paid.append(n)
            return n

        @entrypoint(saver)
        def order(n: int) -> Receipt:
            number = pay(n).result()
            return Receipt(number) if n < 0 or interrupt("sure?") else Receipt(0)

        @entrypoint(saver)
        def other(n: int, previous: Any = None) -> Any:
            self.given.append(previous)
            return n

        self.order, self.other = order, other


def here(run_id: str) -> dict[str, Any]:
    """The config of a checkpoint of thread ``t``."""
    return {"configurable": {"thread_id": "t", "checkpoint_id": run_id}}


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("config", [{"configurable": {"thread_id": "t"}}, here("run-1")])
def test_a_run_of_another_entrypoint_is_not_gone_on_with(saver: Any, invoke: Any, config: Any, is_done: bool) -> None:
    """Resumed, asked for its result, answered or gone back to: its input and steps are not this body's. Both are named, nothing is run."""
    shop = Shop(saver)
    invoke(shop.order, -1 if is_done else 1, thread_id="t", run_id="run-1")

    with pytest.raises(PolicyError, match=WHOSE):
        invoke(shop.other, None, config)
    if not is_done:
        with pytest.raises(PolicyError, match=WHOSE):
            invoke(shop.other, Command(resume="yes"), config)
    assert ([], False) == (shop.given, saver.is_owned("t"))


def test_a_renamed_entrypoint_goes_on_under_its_old_name(saver: Any, invoke: Any) -> None:
    """As the error says."""
    shop = Shop(saver)
    invoke(shop.order, 1, thread_id="t", run_id="run-1")

    @entrypoint(saver, name="order")
    def renamed(n: int) -> Any:
        return interrupt("sure?")

    assert ["sure?"] == [question.value for question in invoke(renamed, None, thread_id="t")[ASKED]]


def test_a_value_that_another_entrypoint_set_is_not_returned(saver: Any, invoke: Any) -> None:
    """It is what the next run sees, and the other one's result."""
    shop = Shop(saver)
    config = shop.order.update_state({"configurable": {"thread_id": "t"}}, 50)

    with pytest.raises(PolicyError, match="made by the entrypoint 'order', and this is 'other'"):
        invoke(shop.other, None, config)
    assert (7, [50]) == (invoke(shop.other, 7, config), shop.given)


def test_entrypoints_may_share_a_thread_by_its_values(saver: Any, invoke: Any) -> None:
    """A new input begins a run of its own, that sees what the other one saved; looking on shows whose each checkpoint is."""
    shop = Shop(saver)
    shop.other.invoke(1, thread_id="t")
    invoke(shop.order, 2, thread_id="t")

    state = shop.other.get_state(thread_id="t")

    assert ("order", ("order",), 1) == (state.metadata["entry"], state.next, state.values)
    assert (3, [None, 1]) == (invoke(shop.other, 3, thread_id="t"), shop.given)


def test_a_class_that_only_the_other_one_knows_is_not_called_damage_alone(saver: Any, invoke: Any) -> None:
    """The bytes are whole; a note says whose they are, and how to read them."""
    shop = Shop(saver)
    invoke(shop.order, -1, thread_id="t", run_id="run-1")

    for look in (lambda: invoke(shop.other, 1, thread_id="t"), lambda: shop.other.get_state(thread_id="t")):
        with pytest.raises(CorruptRecord) as caught:
            look()
        (note,) = caught.value.__notes__
        assert "holdfast: it is of run 'run-1', made by the entrypoint 'order'; 'other' knows only classes that its own" in note


def test_a_doubt_of_another_entrypoint_is_not_settled() -> None:
    """A result of one's task is none of the other's."""
    saver = InMemorySaver()

    @task(delivery="at-most-once")
    def pay() -> None:
        raise KeyboardInterrupt

    @entrypoint(saver)
    def order(_: int) -> None:
        pay().result()

    @entrypoint(saver)
    def other(_: int) -> None:
        pay().result()

    with pytest.raises(KeyboardInterrupt):
        order.invoke(1, thread_id="t", run_id="run-1")
    with pytest.raises(PolicyError, match=WHOSE):
        other.resolve(thread_id="t", rerun=True)
    with pytest.raises(InDoubt):
        order.invoke(None, thread_id="t")


@pytest.mark.parametrize("config", [{"configurable": {"thread_id": "t"}}, here("run-1")])
def test_a_key_beside_what_goes_on_is_refused(saver: Any, invoke: Any, config: Any) -> None:
    """The run has its id already: the key would be passed over, and its giver think that it counts."""
    shop = Shop(saver)
    invoke(shop.order, 1, thread_id="t", run_id="run-1")

    for given in (None, Command(resume="yes")):
        with pytest.raises(
            PolicyError, match="run_id='mine' is the key of a new run, and this goes on with run 'run-1' of thread 't': leave "
        ):
            invoke(shop.order, given, config, run_id="mine")
    assert ["sure?"] == [question.value for question in invoke(shop.order, None, config, run_id="run-1")[ASKED]]


def test_a_key_beside_a_finished_run_is_refused(saver: Any, invoke: Any) -> None:
    """Its result is not that key's."""
    shop = Shop(saver)
    invoke(shop.order, -1, thread_id="t", run_id="run-1")

    with pytest.raises(PolicyError, match="run_id='mine' is the key of a new run, and this goes on with run 'run-1' of thread 't'"):
        invoke(shop.order, None, thread_id="t", run_id="mine")
    assert Receipt(-1) == invoke(shop.order, None, thread_id="t", run_id="run-1")


def test_two_keys_are_refused(saver: Any, invoke: Any) -> None:
    """One by name and another one in the config; the same one twice is one."""
    shop = Shop(saver)

    with pytest.raises(PolicyError, match=r"run_id='a' and config={'run_id': 'b'} name two runs: give one of them"):
        invoke(shop.order, -1, {"run_id": "b"}, run_id="a")
    assert Receipt(-1) == invoke(shop.order, -1, {"run_id": "a"}, run_id="a")
    assert "a" == saver.threads()[0].thread_id


def test_doing_a_finished_run_again_is_told(saver: Any, invoke: Any) -> None:
    """The config of a waiting run goes on with it, and once that is done does all of it anew: a call repeated by mistake pays twice, not unseen."""
    shop = Shop(saver)
    invoke(shop.order, 1, thread_id="t", run_id="run-1")
    with recorded() as seen:
        invoke(shop.order, Command(resume=True), here("run-1"))
        invoke(shop.order, None, thread_id="t")
    told = [note["event"] for note in seen.notes]
    with recorded() as again:
        invoke(shop.order, None, here("run-1"))

    assert ([], ["holdfast.run.done_again"]) == (told, [note["event"] for note in again.notes])
    assert "run 'run-1' of thread 't' is finished, and invoke(None) from its checkpoint does it again, every task anew; " in str(
        again.notes
    )
    assert [1, 1] == shop.paid
