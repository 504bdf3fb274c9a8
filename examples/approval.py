"""Draft an announcement from a changelog, ask a person about each part, publish it.

    $ python examples/approval.py CHANGELOG.md announcement.md

Kill it whenever you like, with Ctrl-C or `kill -9`, and start it again with the same words: nothing that was drafted is drafted again, no answer
is asked for twice, and it goes on where it was. What it remembers is in `approval.db`.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any

from holdfast import Command, Interrupt, SqliteSaver, entrypoint, interrupt, task

THINKING = 0.2
"""Seconds that drafting one line takes; a language model would take longer."""


@task
def entries_of(changelog: str) -> list[str]:
    """The entries of the changelog's newest section."""
    newest = re.split(r"^## .*\n", Path(changelog).read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    entries = [" ".join(entry.split()) for entry in re.split(r"^- ", newest, flags=re.MULTILINE)[1:]]
    say(f"{len(entries)} entries in {changelog}")
    return entries


@task
def draft(number: int, entry: str) -> str:
    """One line of the announcement."""
    time.sleep(THINKING)
    say(f"drafted line {number}")
    return f"{number}. {re.split(r'[:;.] ', entry)[0].rstrip('.')}."


@task
def approved(part: str, text: str) -> str | None:
    """The text as a person wants it; None when there should be none."""
    answer = interrupt({"part": part, "text": text}, response_schema=str).strip()
    if answer.lower() in {"", "y", "yes"}:
        return text
    return None if answer.lower() in {"n", "no"} else answer


@task
def publish(path: str, text: str) -> str:
    """Write the file, whole or not at all."""
    target = Path(path)
    part = target.with_name(target.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
    return path


def announcing(saver: SqliteSaver) -> Any:
    """The run, kept in ``saver``."""

    @entrypoint(saver, max_concurrency=4)
    def announce(paths: dict[str, str]) -> str:
        entries = entries_of(paths["changelog"]).result()
        lines = [future.result() for future in [draft(number, entry) for number, entry in enumerate(entries, 1)]]
        parts = {"headline": f"What is new: {len(entries)} things", "text": "\n".join(lines)}
        asked = {part: approved(part, text) for part, text in parts.items()}  # both questions are open at once
        kept = [text for text in (future.result() for future in asked.values()) if text is not None]
        return publish(paths["out"], "\n\n".join(kept) + "\n").result() if kept else "nothing"

    return announce


def ask(question: Interrupt) -> str:
    """Put a question to whoever sits at the terminal."""
    text = "\n".join(f"    {line}" for line in question.value["text"].splitlines())
    print(f"\n{question.value['part']}:\n{text}\n  Enter to keep it, no to leave it out, or a better one:", flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise SystemExit("no answer; start me again when you have one")
    return answer


def say(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run until the announcement is published."""
    parser = argparse.ArgumentParser(description="Draft an announcement from a changelog, with your approval.")
    parser.add_argument("changelog")
    parser.add_argument("out")
    paths = vars(parser.parse_args())

    announce = announcing(SqliteSaver("approval.db"))
    thread = f"announce {paths['out']}"
    result = announce.invoke(paths, thread_id=thread, run_id=f"{paths['changelog']} to {paths['out']}")  # the same run each time
    while not isinstance(result, str):
        questions: list[Interrupt] = result["__interrupt__"]
        result = announce.invoke(Command(resume={questions[0].id: ask(questions[0])}), thread_id=thread)
    print(f"\npublished: {result}")


if __name__ == "__main__":
    main()
