"""What the terminal output is made of: ids in one line, and words for a shell."""

from __future__ import annotations

import subprocess

import pytest

from holdfast.cli.marks import ASCII, LONGEST_ID, cells, shell_word, shown_id, time_left


@pytest.mark.parametrize("name", ["trip-1", "a b", "it's", "a\nb", "a\tb\\n'c", "\x1b[31m", "\x85", "", "$HOME", "é\u200b"])
def test_a_shell_reads_what_was_meant(name):
    """Asked of a real one."""
    said = subprocess.run(["bash", "-c", f"printf %s {shell_word(name)}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})

    assert name == said.stdout.decode()
    assert shell_word(name).isprintable()


@pytest.mark.parametrize("letter", ["x", "\N{CJK UNIFIED IDEOGRAPH-4E00}"])
@pytest.mark.parametrize("marks", [None, ASCII])
def test_a_long_id_takes_no_more_room_than_its_column(letter, marks):
    """Letters that take two columns count as two."""
    text = shown_id("a" + letter * 200 + "z") if marks is None else shown_id("a" + letter * 200 + "z", marks)

    assert ("a", "z") == (text[0], text[-1])
    assert LONGEST_ID - 4 <= cells(text) <= LONGEST_ID


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(604_799.9, "7 d"), (604_000, "7 d"), (129_000, "1 d"), (86_300, "1 d"), (80_000, "22 h"), (59.9, "1 min"), (59, "59 s"), (-1, "0 s")],
)
def test_the_time_that_is_left_is_told_to_the_nearest(seconds, expected):
    """Who has said seven days is not told of six a second later."""
    assert expected == time_left(seconds)
