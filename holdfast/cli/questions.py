"""Questions that runs ask people: found in a checkpointer, shown, and matched with the answers given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from holdfast.cli.marks import plain, printable
from holdfast.cli.output import json_of
from holdfast.cli.table import shortened
from holdfast.errors import HoldfastError
from holdfast.runtime.questions import Interrupt, Questions
from holdfast.runtime.stream import asked_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.typing import Checkpointer, RunRecord, StepRecord

_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 4
_UNREADABLE = "(made of a class that only your program knows)"


def waiting(saver: Checkpointer, run: RunRecord) -> list[Interrupt]:
    """The questions of a run that wait for an answer, in the order in which they were recorded.

    Raises:
        CorruptRecord: Something of the run is damaged.
    """
    return [_question(run.run_id, record) for record in saver.steps(run.run_id) if record.kind == "asked"]


def _question(run_id: str, record: StepRecord) -> Interrupt:
    questions = Questions(run_id, [record])
    try:
        ((_, question),) = questions.pending().values()
    except HoldfastError:  # the record is whole, `steps` saw to that, but its value cannot be rebuilt here
        question = Interrupt(_UNREADABLE, questions.id_of(record.step))
    return question


def short_ids(questions: Sequence[Interrupt]) -> list[str]:
    """What to call each question: see `holdfast.cli.table.shortened`."""
    return shortened([question.id for question in questions])


def in_json(questions: Iterable[Interrupt]) -> list[dict[str, Any]]:
    """Questions for programs."""
    return [asked_as(question) for question in questions]


def in_one_line(question: Interrupt) -> str:
    """The first line of a question's text, or its value as JSON."""
    value = question.value
    return plain(value if isinstance(value, str) else msgspec.json.format(json_of(value), indent=0))


def in_lines(question: Interrupt) -> list[str]:
    """A question's text, or its value as JSON, over as many lines as it has."""
    value = question.value
    text = value if isinstance(value, str) else json_of(value)
    return [printable(line).rstrip() for line in text.strip().splitlines()] or [""]


def value_of(text: str) -> Any:
    """An answer as it was typed: JSON where it is JSON, else text.

    >>> value_of("yes"), value_of("3"), value_of('"3"'), value_of('{"ok": true}')
    ('yes', 3, '3', {'ok': True})
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text


def answers_of(given: Sequence[str], questions: Sequence[Interrupt]) -> dict[str, Any]:
    """What ``--answer`` says to which question.

    Args:
        given: ``VALUE`` for the only question, else ``ID=VALUE``, where the beginning of an id is enough.
        questions: Those that are open.

    Returns:
        Answers by the full ids of their questions.

    Raises:
        UsageError: An answer names no open question, or several, or none where there are several; or a question is answered twice.
    """
    answers: dict[str, Any] = {}
    for text in given:
        name, value = _split(text, questions)
        if name in answers:
            raise click.UsageError(f"question {name} is answered twice")
        answers[name] = value_of(value)
    return answers


def _split(text: str, questions: Sequence[Interrupt]) -> tuple[str, str]:
    begin, sign, value = text.partition("=")
    if sign and len(begin) >= _SHORTEST_ID and set(begin) <= _HEX:
        found = [question.id for question in questions if question.id.startswith(begin)]
        if len(found) == 1:
            return found[0], value
        how_many = "several open questions begin" if found else "no open question begins"
        raise click.UsageError(f"{how_many} with {begin}; open are: {_listed(questions)}")
    if len(questions) == 1:
        return questions[0].id, text
    raise click.UsageError(f"{len(questions)} questions are open, say which one {text!r} answers, --answer ID=VALUE: {_listed(questions)}")


def _listed(questions: Sequence[Interrupt]) -> str:
    names = short_ids(questions)
    return "; ".join(f"{name} ({in_one_line(question)[:60]})" for name, question in zip(names, questions, strict=True))


def lines_of(name: str, question: Interrupt) -> list[str]:
    """A question under its name, with what was wrong with the last answer."""
    indent = " " * (len(name) + 2)
    first, *others = in_lines(question)
    lines = [f"{name}  {first}", *(f"{indent}{line}" for line in others)]
    return [*lines, f"{indent}not accepted: {printable(question.error)}"] if question.error else lines
