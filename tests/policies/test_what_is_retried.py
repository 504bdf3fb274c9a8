"""The tables in docs/what-is-retried.md are those of the code. Run this file to write them anew."""

from __future__ import annotations

from pathlib import Path

from holdfast.policies.error_table import LAST_RULES, RULES, TABLE, WRAPPERS

PAGE = Path(__file__).parents[2] / "docs" / "what-is-retried.md"
START = "<!-- tables: written by tests/policies/test_what_is_retried.py -->\n"
END = "<!-- end of tables -->\n"


def tables():
    """One table for each family of errors; classes with the same rule share a row."""
    text = ""
    for family, rules in TABLE.items():
        rows = {}
        for name, rule in rules.items():
            rows.setdefault((rule.retried, rule.why), []).append(f"`{name}`")
        lines = [f"| {', '.join(names)} | {retried} | {why} |" for (retried, why), names in rows.items()]
        text += "\n".join([f"### {family}\n", "| error | retried | why, or on what it depends |", "|---|---|---|", *lines, "", ""])
    return text


def page_with(text):
    """The page with ``text`` in place of its tables."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    return f"{before}{START}\n{text}{END}{rest.split(END)[1]}"


def test_the_page_shows_the_table_of_the_code():
    """Whoever changes the table runs this file."""
    assert page_with(tables()) == PAGE.read_text(encoding="utf-8")


def test_the_page_names_every_programming_error():
    """The list in the text is that of the code."""
    sentence = PAGE.read_text(encoding="utf-8").partition("**Programming errors** are not retried: ")[2].partition(", and what derives")[0]

    assert sorted(set(LAST_RULES) - WRAPPERS) == sorted(sentence.replace(",", " ").split())


def test_no_class_stands_in_two_families():
    """The second would silently win."""
    assert sum(map(len, TABLE.values())) == len(RULES)


if __name__ == "__main__":
    PAGE.write_text(page_with(tables()), encoding="utf-8")
