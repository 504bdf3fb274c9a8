"""The questions of a run: their ids, which steps they park, and what becomes of them among several resumes."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Command, InMemorySaver, Interrupt, UnknownInterruptError, entrypoint, interrupt, task
from holdfast.runtime.questions import Questions
from holdfast.typing import StepId

ASKED = "__interrupt__"


def test_an_id_comes_from_the_run_and_the_place_alone() -> None:
    """So that it is the same in every execution, in every process."""
    step = StepId(b"", "interrupt", b"", 0)
    one, again, other = Questions("run-1", ()), Questions("run-1", ()), Questions("run-2", ())

    assert one.id_of(step) == again.id_of(step)
    assert one.id_of(step) != other.id_of(step)
    assert one.id_of(step) != one.id_of(step._replace(occurrence=1))
    assert re.fullmatch("[0-9a-f]{32}", one.id_of(step))


def test_ids_of_runs_with_long_names_differ() -> None:
    """Also where the names differ only late."""
    step = StepId(b"", "interrupt", b"", 0)

    assert Questions("r" * 254 + "1", ()).id_of(step) != Questions("r" * 254 + "2", ()).id_of(step)


def test_a_question_shows_an_error_only_when_there_is_one() -> None:
    """In its repr."""
    assert "Interrupt(value='sure?', id='7')" == repr(Interrupt("sure?", "7"))
    assert "Interrupt(value='sure?', id='7', error='no number')" == repr(Interrupt("sure?", "7", "no number"))


def test_a_run_with_nothing_open() -> None:
    """Says so, whatever is answered."""
    questions = Questions("run-1", ())

    with pytest.raises(UnknownInterruptError, match="none open"):
        questions.answer("yes")
    with pytest.raises(UnknownInterruptError, match="open are: none"):
        questions.answer({"0" * 32: "yes"})


def test_answers_and_questions_are_in_the_checkpointer() -> None:
    """As steps: one question asked, then answered; another still open."""
    saver = InMemorySaver()

    @task
    def ask(n: int) -> Any:
        return interrupt(n)

    @entrypoint(saver)
    def main() -> Any:
        return [future.result() for future in [ask(1), ask(2)]]

    first = main.invoke(thread_id="t")[ASKED]
    main.invoke(Command(resume={first[0].id: "yes"}), thread_id="t")

    run = saver.latest("t")
    assert run is not None
    assert "interrupted" == run.status
    assert {"answered": 1, "asked": 1, "ok": 1} == Counter(record.kind for record in saver.steps(run.run_id))


@settings(max_examples=60)
@given(
    widths=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_answered_when_the_result_is_the_same(widths: list[int], seed: int) -> None:
    """Tasks that ask none, one or several questions, one after the other; answered some at a time in any order.

    The oracle: each question is shown until it is answered, each answer is used once, and no finished task runs again.
    """
    dice, used, finished = random.Random(seed), Counter[tuple[int, int]](), Counter[int]()

    @task
    def ask(name: int, width: int) -> list[int]:
        answers = [interrupt((name, k)) for k in range(width)]
        used.update((name, k) for k in range(width))
        finished[name] += 1
        return answers

    @entrypoint(InMemorySaver())
    def main(widths: list[int]) -> list[list[int]]:
        return [future.result() for future in [ask(name, width) for name, width in enumerate(widths)]]

    answered: dict[int, int] = dict.fromkeys(range(len(widths)), 0)
    result: Any = main.invoke(widths, thread_id="t")
    while any(answered[name] < width for name, width in enumerate(widths)):
        shown = {tuple(question.value): question.id for question in result[ASKED]}
        assert {(name, answered[name]) for name, width in enumerate(widths) if answered[name] < width} == set(shown)
        some = dice.sample(sorted(shown), dice.randint(1, len(shown)))
        for name, _ in some:
            answered[name] += 1
        result = main.invoke(Command(resume={shown[key]: 10 * key[0] + key[1] for key in some}), thread_id="t")

    assert [[10 * name + k for k in range(width)] for name, width in enumerate(widths)] == result
    assert {1} == set(finished.values())
    assert set(used.values()) <= {1}
