"""Going back to a checkpoint: what a branch sees, what it does again, and what it takes over."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import (
    Command,
    PolicyError,
    RunExists,
    SqliteSaver,
    UnknownInterruptError,
    entrypoint,
    get_config,
    get_idempotency_key,
    interrupt,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASKED = "__interrupt__"


@pytest.fixture
def invoke(colour: Any) -> Callable[..., Any]:
    """Runs an entrypoint, sync or async."""
    invoke: Callable[..., Any] = colour.invoke
    return invoke


def at(thread_id: str, checkpoint_id: str) -> dict[str, Any]:
    """The config of a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_id": checkpoint_id}}


def statuses(main: Any) -> list[str]:
    """Of the checkpoints of thread ``t``, newest first."""
    return [(state.metadata or {})["status"] for state in main.get_state_history(thread_id="t")]


class Summing:
    """An entrypoint that adds its input to what it saved, in a task that counts."""

    def __init__(self, saver: Any) -> None:
        self.done: list[int] = []

        @task
        def add(n: int, previous: int) -> int:
            self.done.append(n)
            return previous + n

        @entrypoint(saver)
        def main(n: int, *, previous: int = 0) -> int:
            return add(n, previous).result()

        self.main = main


def test_none_does_a_finished_run_again(saver: Any, invoke: Any) -> None:
    """With the input and the ``previous`` that it had, all its tasks anew; the thread goes on from there, and keeps what came before."""
    summing = Summing(saver)
    for n in (1, 2, 3):
        invoke(summing.main, n, thread_id="t", run_id=f"run-{n}")

    assert 3 == invoke(summing.main, None, at("t", "run-2"))
    assert [1, 2, 3, 2] == summing.done
    assert 13 == invoke(summing.main, 10, thread_id="t")
    assert [13, 3, 6, 3, 1] == [state.values for state in summing.main.get_state_history(thread_id="t")]
    assert "run-1" == list(summing.main.get_state_history(thread_id="t"))[1].parent_config["configurable"]["checkpoint_id"]  # type: ignore[index]


def test_an_input_begins_a_run_after_the_checkpoint(saver: Any, invoke: Any) -> None:
    """It sees what was saved there, whatever came later."""
    summing = Summing(saver)
    for n in (1, 2, 3):
        invoke(summing.main, n, thread_id="t", run_id=f"run-{n}")

    assert 11 == invoke(summing.main, 10, at("t", "run-1"))
    assert 12 == invoke(summing.main, 1, thread_id="t")


def test_no_input_begins_a_run_too(saver: Any, invoke: Any) -> None:
    """Of an entrypoint without parameters: as everywhere, only None goes on."""

    @entrypoint(saver)
    def main(*, previous: int = 0) -> int:
        return previous + 1

    for n in (1, 2, 3):
        invoke(main, thread_id="t", run_id=f"run-{n}")

    assert 2 == invoke(main, config=at("t", "run-1"))
    assert 1 == invoke(main, None, at("t", "run-1"))


def test_an_input_after_an_unfinished_run_sees_what_that_one_saw(saver: Any, invoke: Any) -> None:
    """It had nothing of its own to save."""

    @entrypoint(saver)
    def main(n: int, *, previous: int = 0) -> int:
        if n == 2:
            raise ConnectionError("down")
        return previous + n

    invoke(main, 1, thread_id="t", run_id="run-1")
    with pytest.raises(ConnectionError):
        invoke(main, 2, thread_id="t", run_id="run-2")
    invoke(main, 3, thread_id="t", run_id="run-3")

    assert 11 == invoke(main, 10, at("t", "run-2"))


class Paying:
    """An entrypoint that pays, asks, and books."""

    def __init__(self, saver: Any) -> None:
        self.done: list[str] = []
        self.keys: list[str] = []
        self.bodies = 0

        @task
        def pay(n: int) -> str:
            self.done.append(f"paid {n}")
            self.keys.append(get_idempotency_key())
            return f"receipt {n}"

        @task
        def ask(question: str) -> str:
            return str(interrupt(question))

        @entrypoint(saver)
        def main(n: int) -> Any:
            self.bodies += 1
            receipt = pay(n).result()
            answers = [future.result() for future in [ask("book?"), ask("window?")]]
            return [receipt, *answers]

        self.main = main

    def asked(self, invoke: Any, run_id: str) -> dict[str, str]:
        found = invoke(self.main, 1, thread_id="t", run_id=run_id)[ASKED]
        return {question.value: question.id for question in found}


def test_the_newest_run_goes_on_in_its_place(saver: Any, invoke: Any) -> None:
    """Its config leads back to itself: resumed with it, what is paid is paid, and no branch is made."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    config = paying.main.get_state(thread_id="t").config

    assert ids == {question.value: question.id for question in invoke(paying.main, None, config)[ASKED]}
    assert ["receipt 1", "yes", "no"] == invoke(paying.main, Command(resume={ids["book?"]: "yes", ids["window?"]: "no"}), config)
    assert (["paid 1"], ["done"]) == (paying.done, statuses(paying.main))


def test_an_abandoned_run_goes_on_in_a_branch(saver: Any, invoke: Any) -> None:
    """What it has finished is taken over, its questions are asked again under ids of their own, and the old ones stay as they were."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    invoke(paying.main, 2, thread_id="t", run_id="run-2")
    again = {question.value: question.id for question in invoke(paying.main, None, at("t", "run-1"))[ASKED]}

    assert set(ids) == set(again)
    assert set() == set(ids.values()) & set(again.values())
    assert ["receipt 1", "y", "n"] == invoke(paying.main, Command(resume={again["book?"]: "y", again["window?"]: "n"}), thread_id="t")
    assert ["paid 1", "paid 2"] == paying.done
    assert ["done", "abandoned", "abandoned"] == statuses(paying.main)
    old = paying.main.get_state(at("t", "run-1"))
    assert ids == {question.value: question.id for question in old.interrupts}


def test_an_answer_makes_the_branch_itself(saver: Any, invoke: Any) -> None:
    """Given by the ids of the old run, to some of its questions; the others stay open."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    paying.main.update_state({"configurable": {"thread_id": "t"}}, "decided otherwise")
    (left,) = invoke(paying.main, Command(resume={ids["book?"]: "yes"}), at("t", "run-1"))[ASKED]

    assert "window?" == left.value
    assert ["receipt 1", "yes", "no"] == invoke(paying.main, Command(resume="no"), thread_id="t")
    assert ["paid 1"] == paying.done
    assert ["done", "done", "abandoned"] == statuses(paying.main)


def test_each_branch_may_get_another_answer(saver: Any, invoke: Any) -> None:
    """What would have been, had we said no."""

    @entrypoint(saver)
    def main() -> str:
        return f"{interrupt('sure?')}!"

    invoke(main, thread_id="t", run_id="run-1")
    invoke(main, thread_id="t", run_id="run-2")

    assert ["yes!", "no!"] == [invoke(main, Command(resume=answer), at("t", "run-1")) for answer in ["yes", "no"]]


def test_a_branch_of_a_failed_run_does_only_what_is_left(saver: Any, invoke: Any) -> None:
    """As a resume would have, had nothing come after it."""
    done: list[str] = []
    is_up = False

    @task
    def draft(title: str) -> str:
        done.append(title)
        return title.upper()

    @entrypoint(saver)
    def main(title: str) -> str:
        text = draft(title).result()
        if not is_up:
            raise ConnectionError("down")
        return text

    for n, title in enumerate(["a", "b"]):
        with pytest.raises(ConnectionError):
            invoke(main, title, thread_id="t", run_id=f"run-{n}")
    is_up = True

    assert "A" == invoke(main, None, at("t", "run-0"))
    assert ["a", "b"] == done
    assert ["done", "abandoned", "abandoned"] == statuses(main)


def test_a_branch_has_effects_of_its_own(saver: Any, invoke: Any) -> None:
    """Done again it is another payment, and the service it is sent to has to know."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    invoke(paying.main, Command(resume={ids["book?"]: "yes", ids["window?"]: "no"}), thread_id="t")
    invoke(paying.main, None, at("t", "run-1"))

    assert ["paid 1", "paid 1"] == paying.done
    assert 2 == len(set(paying.keys))


def test_a_finished_run_has_nothing_to_answer(saver: Any, invoke: Any) -> None:
    """Its questions were answered; done again it asks them again."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    invoke(paying.main, Command(resume={ids["book?"]: "yes", ids["window?"]: "no"}), thread_id="t")
    invoke(paying.main, 2, thread_id="t", run_id="run-2")

    with pytest.raises(UnknownInterruptError, match="none open: run 'run-1' is done"):
        invoke(paying.main, Command(resume={ids["book?"]: "no"}), at("t", "run-1"))
    assert {"book?", "window?"} == {question.value for question in invoke(paying.main, None, at("t", "run-1"))[ASKED]}


def test_an_id_of_another_run_is_refused(saver: Any, invoke: Any) -> None:
    """An answer is to one question of one run; the run that was waiting still waits."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    other = {question.value: question.id for question in invoke(paying.main, 2, thread_id="t", run_id="run-2")[ASKED]}

    with pytest.raises(UnknownInterruptError, match=f"no open question has the id '{other['book?']}'"):
        invoke(paying.main, Command(resume={other["book?"]: "yes"}), at("t", "run-1"))
    assert ["interrupted", "abandoned"] == statuses(paying.main)
    assert not saver.is_owned("t")
    assert ids != other


def test_a_value_set_by_hand_is_what_it_is(saver: Any, invoke: Any) -> None:
    """There is nothing to do again; an input begins a run that sees it."""
    summing = Summing(saver)
    config = summing.main.update_state({"configurable": {"thread_id": "t"}}, 40)
    invoke(summing.main, 1, thread_id="t")

    assert 40 == invoke(summing.main, None, config)
    assert [1] == summing.done
    assert 42 == invoke(summing.main, 2, config)


def test_a_branch_with_a_run_id_is_made_once(saver: Any, invoke: Any) -> None:
    """As any run: the same id with the same input is the same run, with another one it is refused."""
    summing = Summing(saver)
    for n in (1, 2):
        invoke(summing.main, n, thread_id="t", run_id=f"run-{n}")

    assert [11, 11] == [invoke(summing.main, 10, at("t", "run-1"), run_id="branch") for _ in range(2)]
    assert [1, 1] == [invoke(summing.main, None, at("t", "run-1"), run_id="again") for _ in range(2)]
    assert [1, 2, 10, 1] == summing.done
    with pytest.raises(RunExists, match="run 'branch' was made with another input"):
        invoke(summing.main, 11, at("t", "run-1"), run_id="branch")
    with pytest.raises(RunExists, match="run 'run-2' was made with another input"):
        invoke(summing.main, 11, at("t", "run-1"), run_id="run-2")
    assert 3 == summing.main.get_state(at("t", "run-2")).values


def test_a_run_id_belongs_to_one_checkpoint(saver: Any, invoke: Any) -> None:
    """A branch from another checkpoint would be another run: its id is refused, and not taken for the result."""
    summing = Summing(saver)
    for n in (1, 2):
        invoke(summing.main, n, thread_id="t", run_id=f"run-{n}")
    invoke(summing.main, None, at("t", "run-1"), run_id="again")
    invoke(summing.main, 5, at("t", "run-1"), run_id="branch")
    summing.done.clear()

    for given, run_id in ((None, "again"), (5, "branch"), (None, "run-1")):
        with pytest.raises(RunExists, match=f"run '{run_id}' was not made from checkpoint 'run-2'"):
            invoke(summing.main, given, at("t", "run-2"), run_id=run_id)
    assert 3 == invoke(summing.main, None, at("t", "run-2"), run_id="run-2")
    assert [] == summing.done


def test_a_run_id_belongs_to_one_entrypoint(saver: Any, invoke: Any) -> None:
    """Asked for by another one, its result would be something else than that one returns."""

    @entrypoint(saver)
    def other(_: int) -> str:
        return "of another kind"

    summing = Summing(saver)
    invoke(summing.main, 1, thread_id="t", run_id="run-1")

    with pytest.raises(RunExists, match=r"run 'run-1' was made by the entrypoint 'main', not by 'other': give another run_id"):
        invoke(other, 1, thread_id="t", run_id="run-1")


def test_an_answer_with_a_run_id_is_given_once(saver: Any, invoke: Any) -> None:
    """Sent twice, it is one branch."""
    paying = Paying(saver)
    ids = paying.asked(invoke, "run-1")
    paying.main.update_state({"configurable": {"thread_id": "t"}}, None)
    answers = Command(resume={ids["book?"]: "yes", ids["window?"]: "no"})

    assert [["receipt 1", "yes", "no"]] * 2 == [invoke(paying.main, answers, at("t", "run-1"), run_id="branch") for _ in range(2)]
    assert (3, 2) == (len(statuses(paying.main)), paying.bodies)


def test_a_branch_can_be_resumed_and_branched(saver: Any, invoke: Any) -> None:
    """It is a run like any other, with all that it took over recorded as its own."""
    paying = Paying(saver)
    paying.asked(invoke, "run-1")
    for _ in range(3):  # each time the newest is put aside and gone back to
        paying.main.update_state({"configurable": {"thread_id": "t"}}, None)
        waiting = next(state for state in paying.main.get_state_history(thread_id="t") if state.next)
        invoke(paying.main, None, waiting.config)
    answers = {question.id: "ok" for question in paying.main.get_state(thread_id="t").interrupts}

    assert ["receipt 1", "ok", "ok"] == invoke(paying.main, Command(resume=answers), thread_id="t")
    assert ["paid 1"] == paying.done


def test_a_checkpoint_needs_its_thread_and_a_checkpointer(saver: Any, invoke: Any) -> None:
    """It is never ignored, also not where an entrypoint runs inside another run."""
    summing, keepless = Summing(saver), Summing(None)
    summing.main.invoke(1, thread_id="t", run_id="run-1")
    config = {"configurable": {"checkpoint_id": "run-1"}}

    @entrypoint(saver)
    def outer() -> Any:
        return summing.main.invoke(1, config)

    for bad in (lambda: invoke(summing.main, 1, config), lambda: invoke(outer)):
        with pytest.raises(PolicyError, match="checkpoint_id='run-1' is one of a thread: give its thread_id too"):
            bad()
    with pytest.raises(PolicyError, match=r"checkpoint_id='run-1' goes back in what was recorded, and .* records nothing"):
        invoke(keepless.main, 1, at("t", "run-1"))
    with pytest.raises(PolicyError, match="checkpoint_id='run-9': thread 't' has no such run; its latest are: 'run-1'"):
        invoke(summing.main, None, at("t", "run-9"))
    assert ([1], False) == (summing.done, saver.is_owned("t"))


def test_a_run_whose_previous_is_forgotten_is_not_done_again(tmp_path: Path, invoke: Any) -> None:
    """It would see something else than it did; what it saved can still be gone on from."""
    saver = SqliteSaver(tmp_path / "runs.db", synchronous="NORMAL", keep_last=1)
    summing = Summing(saver)
    for n in (1, 2, 3):
        invoke(summing.main, n, thread_id="t", run_id=f"run-{n}")

    assert [6, 3] == [state.values for state in summing.main.get_state_history(thread_id="t")]
    assert at("t", "run-1") == summing.main.get_state(at("t", "run-2")).parent_config
    with pytest.raises(PolicyError, match="run 'run-1', whose saved value was seen as previous, is forgotten"):
        invoke(summing.main, None, at("t", "run-2"))
    assert (13, False) == (invoke(summing.main, 10, at("t", "run-2")), saver.is_owned("t"))
    saver.close()


def test_a_body_knows_where_it_was_begun(saver: Any, invoke: Any) -> None:
    """The config it was given, with the id of its own run."""

    @entrypoint(saver)
    def main(n: int) -> Any:
        configurable = get_config()["configurable"]
        return [configurable["checkpoint_id"] if n else "", configurable["run_id"]]

    invoke(main, 0, thread_id="t", run_id="run-1")

    assert ["run-1", "run-2"] == invoke(main, 1, at("t", "run-1"), run_id="run-2")


PROGRAM = """
import os, sys
from holdfast import Command, SqliteSaver, entrypoint, interrupt, task

@task
def pay(n: int) -> int:
    with open(sys.argv[1] + ".paid", "a") as out:
        out.write(f"{n} ")
    return n

@entrypoint(SqliteSaver(sys.argv[1]))
def main(n: int) -> list:
    return [pay(n).result(), interrupt("sure?")]

print(eval(sys.argv[2]))
"""


def test_going_back_works_across_processes(tmp_path: Path) -> None:
    """Asked in one, put aside in a second, answered in a branch of a third, looked at in a fourth."""
    path = tmp_path / "runs.db"

    def said(call: str) -> Any:
        made = subprocess.run([sys.executable, "-c", PROGRAM, str(path), call], capture_output=True, text=True, check=True)
        return eval(made.stdout)

    said("main.invoke(1, thread_id='t', run_id='run-1')['__interrupt__'][0].value.split()")
    said("main.update_state({'configurable': {'thread_id': 't'}}, 'other')")
    config = said("list(main.get_state_history(thread_id='t'))[1].config")

    assert [1, "yes"] == said(f"main.invoke(Command(resume='yes'), {config})")
    assert [[1, "yes"], "other", None] == said("[state.values for state in main.get_state_history(thread_id='t')]")
    assert "1 " == (tmp_path / "runs.db.paid").read_text()
