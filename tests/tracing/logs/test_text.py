"""Readable lines that nothing can forge."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.events import ERROR, INFO, WARNING, Note
from holdfast.tracing.logs import text
from holdfast.tracing.safety import firewall


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("two\nlines", '"two\\nlines"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("a\u2028b\x7f", '"a\\u2028b\\u007f"'),
        ("Zürich", "Zürich"),
        (0.123456789, "0.123457"),
        (3, "3"),
        (None, "None"),
        (True, "True"),
    ],
)
def test_values_are_quoted_when_they_are_not_one_plain_word(item, expected):
    """And escaped when they are not printable."""
    assert expected == text.value(item)


@given(st.text(), st.text(), st.text(min_size=1), st.text())
def test_a_line_is_one_printable_line(when_tail, event, name, item):
    """Whatever stands in event, name or value."""
    line = text.line("12:00:00.000", "warning", event, [(name, item), ("x", when_tail)])

    assert line.isprintable()


@given(st.text())
def test_a_value_cannot_add_a_field(item):
    """A quoted value ends at its own quote."""
    line = text.line("t", "info", "e", [("a", item), ("b", 1)])

    assert re.fullmatch(r't INFO    e a=(?:[^ "=]+|"(?:[^"\\]|\\.)*") b=1', line)


def test_a_warning_is_told_on_stderr_while_nobody_observes(capsys):
    """One plain line without the log's machinery; below WARNING nothing."""
    text.warn(Note(event="holdfast.x", level=INFO, text="not told"))
    text.warn(Note(event="holdfast.cache.error", level=WARNING, text="the cache\nis gone, token=abc"))
    text.warn(Note(event="holdfast.y", level=ERROR, text="worse"))
    firewall.flush(30.0)

    assert (
        "holdfast WARNING: the cache\\nis gone, token=[redacted] [holdfast.cache.error]\nholdfast ERROR: worse [holdfast.y]\n"
        == capsys.readouterr().err
    )
