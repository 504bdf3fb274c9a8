"""Rules of the house that no linter knows: small files, small functions, a sentence for each test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import holdfast

PACKAGE = Path(holdfast.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> list[Function]:
    """Every function in a file, nested ones too."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, Function)]


def code_lines(function: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return int(body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def modules(folder: Path) -> list[Path]:
    """Python files below a folder; generated ones are as long as their sources."""
    return sorted(path for path in folder.rglob("*.py") if "_sync" not in path.parts)


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_are_small(path):
    """A file is read in one sitting, a function in one look."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_FILE
    assert [] == [function.name for function in functions(path) if code_lines(function) > MOST_LINES_OF_A_FUNCTION]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_each_test_says_what_it_checks(path):
    """The docstring is the first thing read when a test fails."""
    silent = [function.name for function in functions(path) if function.name.startswith("test_") and not ast.get_docstring(function)]

    assert [] == silent


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=["holdfast", "tests"])
def test_no_comment_hangs_on_a_closing_bracket(folder):
    """The formatter leaves it there when a line has become too long: a comment stands above what it explains."""
    hanging = re.compile(r"^\s*[])}]+  # (?!fmt: skip|noqa|type: ignore|pyright:)", re.MULTILINE)

    assert [] == [path.relative_to(folder).as_posix() for path in modules(folder) if hanging.search(path.read_text(encoding="utf-8"))]


def test_code_lines_leaves_the_docstring_out():
    """A long explanation is no long function."""
    (function,) = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n\n    return x\n').body

    assert isinstance(function, ast.FunctionDef)
    assert 3 == code_lines(function)


def test_no_statement_numbers_its_placeholders():
    """`?1` beside a tuple of values is a DeprecationWarning on Python 3.12.1, for no reason that it keeps; 3.11 and 3.13 say nothing."""
    numbered = re.compile(r"[(, ]\?\d")

    assert [] == [path.name for path in modules(PACKAGE) if numbered.search(path.read_text(encoding="utf-8"))]
