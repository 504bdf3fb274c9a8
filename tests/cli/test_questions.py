"""Questions as text, and answers as they are typed."""

from __future__ import annotations

import click
import pytest

from holdfast import InMemorySaver, entrypoint, interrupt, register, task
from holdfast.cli import questions
from holdfast.runtime.questions import Interrupt
from holdfast.values import registry

OSLO = Interrupt("to Oslo?", "3f2a" + "0" * 28)
LIMA = Interrupt({"to": "Lima", "fare": 12.5}, "3f77" + "1" * 28)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("yes", "yes"),
        ("", ""),
        ("true", True),
        ("3", 3),
        ('"3"', "3"),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("NaN", "NaN"),
        ("{x", "{x"),
    ],
)
def test_an_answer_is_json_or_else_text(typed, value):
    """With its type: 3 is a number, "3" in quotes a text."""
    assert (type(value), value) == (type(questions.value_of(typed)), questions.value_of(typed))


def test_the_only_question_needs_no_id():
    """What is typed is the answer, whatever is in it."""
    assert {OSLO.id: "a=b"} == questions.answers_of(["a=b"], [OSLO])


def test_the_beginning_of_an_id_names_a_question():
    """Everything after the first = is the answer."""
    assert {OSLO.id: "x=y", LIMA.id: 2} == questions.answers_of(["3f2a=x=y", f"{LIMA.id}=2"], [OSLO, LIMA])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["yes"], "2 questions are open, say which one 'yes' answers, --answer ID=VALUE: 3f2a0000 (to Oslo?); 3f771111 ({\"to\""),
        (["beef=yes"], "no open question begins with beef; open are: 3f2a0000 (to Oslo?)"),
        (["3f=yes"], "2 questions are open"),
        (["3f2a=yes", "3f2a0=no"], f"question {OSLO.id} is answered twice"),
    ],
)
def test_what_answers_no_question_is_refused(given, text):
    """Naming those that are open."""
    with pytest.raises(click.UsageError) as caught:
        questions.answers_of(given, [OSLO, LIMA])

    assert text in caught.value.message


def test_an_id_that_two_questions_begin_with_is_refused():
    """More of it is needed."""
    twin = Interrupt("again?", "3f2a" + "2" * 28)

    with pytest.raises(click.UsageError, match="several open questions begin with 3f2a"):
        questions.answers_of(["3f2a=yes"], [OSLO, twin])


def test_a_question_is_shown_over_its_lines():
    """Indented under its id; control characters steer no terminal; the last refusal stands below."""
    question = Interrupt("Keep it?\n  all of \x1b[31mit", OSLO.id, error="Expected `int`, got `str`")

    assert [
        "3f2a  Keep it?",
        "        all of  [31mit",
        "      not accepted: Expected `int`, got `str`",
    ] == questions.lines_of("3f2a", question)


def test_a_question_that_is_no_text_is_json():
    """In one line for a list, over several to be read."""
    assert '{"to": "Lima", "fare": 12.5}' == questions.in_one_line(LIMA)
    assert ["{", '  "to": "Lima",', '  "fare": 12.5', "}"] == questions.in_lines(LIMA)


class Fare:
    """What only the asking program knows."""


def asked(value):
    """A saver in which a run waits with this question, and the run."""
    saver = InMemorySaver()

    @task
    def ask():
        return interrupt(value)

    @entrypoint(saver)
    def plan():
        return ask().result()

    shown = plan.invoke(thread_id="t")["__interrupt__"]
    return saver, saver.latest("t"), shown


def test_questions_are_found_in_the_checkpointer():
    """With the ids that answer them."""
    saver, run, shown = asked({"to": "Oslo"})

    assert shown == questions.waiting(saver, run)


def test_a_question_made_of_a_class_unknown_here_is_named_so(monkeypatch):
    """Its id still answers it."""
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    register(Fare, dump=lambda _: 1, load=lambda _: Fare())
    saver, run, shown = asked(Fare())
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    (found,) = questions.waiting(saver, run)

    assert (shown[0].id, "(made of a class that only your program knows)") == (found.id, found.value)
