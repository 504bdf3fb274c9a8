"""docs/coming-from-langgraph.md: each difference in its table is shown by a program, and each program there belongs to a difference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming-from-langgraph.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| LangGraph 1.2.22 | holdfast | |\n")[2].partition("\n\n")[0].splitlines()[1:]
SECTIONS = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]


def anchor(section: str) -> str:
    """How a link names a section."""
    title = section.partition("\n")[0].lower()
    return re.sub(r"[^\w -]", "", title).replace(" ", "-")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[2:42])
def test_each_difference_is_shown(row):
    """Both sides are told, and the link leads to its section."""
    theirs, ours, link = (cell.strip() for cell in row.strip("|").split(" | "))

    assert theirs
    assert ours
    here = re.fullmatch(r"\[(\d+)\]\(#(\1-.*)\)", link)
    if here is None:  # shown on another page; tests/test_docs.py follows the link
        assert re.fullmatch(r"\[[\w ]+\]\([\w-]+\.md#.*\)", link)
    else:
        assert here[2] in [anchor(section) for section in SECTIONS]


@pytest.mark.parametrize("section", SECTIONS, ids=anchor)
def test_each_section_runs_and_belongs_to_a_row(section):
    """tests/test_docs.py runs it and compares what it prints."""
    assert f"(#{anchor(section)})" in "\n".join(TABLE)
    assert re.search(r"```python\n.*```\n\n<!-- prints -->", section, re.DOTALL)
