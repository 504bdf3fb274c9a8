"""docs/errors.md against the code: every error class and every stop reason, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast import errors
from holdfast.policies.retry import StopReason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES = {name: thing for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}


def rows(heading):
    """The cells of the first table whose head begins with ``heading``."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_error_is_explained_once():
    """The first column names the classes of holdfast.errors."""
    assert sorted(CLASSES) == sorted(row[0].strip("`") for row in rows("error"))


@pytest.mark.parametrize("row", rows("error"), ids=lambda row: row[0].strip("`"))
def test_the_second_column_is_what_one_can_catch(row):
    """The built-in class that an error is, too."""
    error = CLASSES[row[0].strip("`")]
    built_in = [base.__name__ for base in error.__bases__ if not issubclass(base, errors.HoldfastError)]

    assert built_in == re.findall(r"\w+", row[1])


@pytest.mark.parametrize("row", rows("error"), ids=lambda row: row[0].strip("`"))
def test_each_row_says_what_to_do(row):
    """No cell is empty but the second."""
    assert [] == [cell for cell in (row[2], row[3]) if not cell]


def test_every_stop_reason_is_explained():
    """All but ``ok``, which is no stop after a failure, in the words of the code."""
    assert {str(reason) for reason in StopReason} - {"ok"} == {row[0].strip("`") for row in rows("reason")}
