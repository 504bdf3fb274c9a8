"""Names that mean the same in every process."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import OrderedDict

import pytest

from holdfast.values.names import kind_name, place, qualified_name, spoken_name

NAMES = """
from holdfast.values.names import kind_name, place, spoken_name
class A:
    def __call__(self): ...
def f():
    def g(): ...
    return g
print(spoken_name(A), spoken_name(A()), kind_name(A()), spoken_name(f()), place(f()), place(A()), sep="|")
"""
SCRIPT = "from holdfast.values.names import qualified_name\nclass A: pass\nprint(qualified_name(A))\n"


def run(*arguments, cwd):
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def test_module_and_qualified_name():
    """Classes and functions are named by where they are defined."""
    assert "collections.OrderedDict" == qualified_name(OrderedDict)
    assert "builtins.len" == qualified_name(len)


def test_a_script_s_classes_are_named_by_its_path(tmp_path):
    """Two scripts with a class of one name do not share it, whatever the working folder."""
    (tmp_path / "job.py").write_text(SCRIPT)

    assert f"{tmp_path}/job.py.A" == run("job.py", cwd=tmp_path)
    assert f"{tmp_path}/job.py.A" == run(str(tmp_path / "job.py"), cwd="/")


def test_a_module_run_as_script_keeps_its_name(tmp_path):
    """``python -m job`` and ``import job`` agree."""
    (tmp_path / "job.py").write_text(SCRIPT)

    assert "job.A" == run("-m", "job", cwd=tmp_path)


def test_a_prompt_has_no_path(tmp_path):
    """Without a script, ``__main__`` stays."""
    assert "__main__.A" == run("-c", SCRIPT, cwd=tmp_path)


@pytest.mark.parametrize(("value", "expected"), [([], "a list"), (1, "an int"), (OrderedDict(), "a collections.OrderedDict")])
def test_kind_name(value, expected):
    """Error texts say what a value is in words."""
    assert expected == kind_name(value)


def test_a_script_is_not_spoken_of(tmp_path):
    """Its path would stand before each name in an error text; a function's place holds it once."""
    (tmp_path / "job.py").write_text(NAMES)

    expected = f"A|A|an A|f.<locals>.g|g ({tmp_path}/job.py:6)|A ({tmp_path}/job.py:4)"
    assert expected == run(str(tmp_path / "job.py"), cwd=tmp_path)


def test_elsewhere_names_are_spoken_in_full():
    """The module tells where to look."""
    assert "collections.OrderedDict" == spoken_name(OrderedDict)


def outer():
    """Holds a function."""

    @functools.wraps(outer)
    def inner(): ...

    return inner


@pytest.mark.parametrize("fn", [outer, functools.partial(functools.partial(outer)), outer()], ids=["function", "partial", "decorated"])
def test_the_place_of_a_function_is_that_of_its_source(fn):
    """Where its author wrote it, whatever was put around it."""
    assert f"{__name__}.outer ({__file__}:{outer.__code__.co_firstlineno})" == place(fn)


def test_what_has_no_source_has_a_name_only():
    """Builtins."""
    assert "builtins.len" == place(len)
