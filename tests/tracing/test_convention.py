"""The table of names is what is documented; that it is what is emitted: see test_emitted.py."""

from __future__ import annotations

from pathlib import Path

from holdfast.tracing import convention, happenings

NAMES = [attribute.name for attribute in convention.ATTRIBUTES]
PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"


def test_no_name_is_the_beginning_of_another():
    """Some backends unfold the dots, where ``a.b`` and ``a.b.c`` cannot both have a value."""
    assert [] == [(one, other) for one in NAMES for other in NAMES if other.startswith(f"{one}.")]


def test_every_name_stands_once():
    """One meaning each."""
    assert sorted(set(NAMES)) == sorted(NAMES)


def test_the_documentation_has_the_same_table():
    """Replace the table in docs/tracing.md by what `convention.markdown` returns when this fails."""
    assert convention.markdown() in PAGE.read_text(encoding="utf-8")


def test_every_event_and_line_is_in_the_table_of_happenings():
    """Each name that the code uses, once."""
    used = [value for name, value in vars(convention).items() if name.startswith(("EVENT_", "LINE_"))]
    known = [each.name for each in happenings.HAPPENINGS]

    assert [] == [name for name in used if known.count(name) != 1]
    assert len(set(known)) == len(known)
