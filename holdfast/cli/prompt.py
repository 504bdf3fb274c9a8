"""Asks whoever sits at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.cli import output, questions
from holdfast.cli.marks import count, shown_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.questions import Interrupt


def ask(asked: Sequence[Interrupt], thread: str) -> dict[str, Any]:
    """Put questions one after the other.

    Args:
        asked: The questions.
        thread: Whose they are.

    Returns:
        Answers by the ids of their questions, without those that were left for later; none at all after Ctrl-C or Ctrl-D.
    """
    output.print_text(
        f"thread {shown_id(thread)} waits for {count(len(asked), 'answer')}; Enter leaves one for later, Ctrl-C all of them\n"
    )
    answers: dict[str, Any] = {}
    try:
        for name, question in zip(questions.short_ids(asked), asked, strict=True):
            output.print_text("\n".join(questions.lines_of(name, question)))
            if text := input("> "):
                answers[question.id] = questions.value_of(text)
    except (EOFError, KeyboardInterrupt):
        output.print_text("")
        return {}
    return answers
