"""What is changed in the code to see whether a test notices, and that it is noticed."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from holdfast.policies import retry

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    """`scripts/mutants.py` as a module."""
    spec = importlib.util.spec_from_file_location("mutants", SCRIPTS / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["(a <= b)"]),
        ("a <= b == c", ["(a < b == c)", "(a <= b != c)"]),
        ("a is None", ["(a is not None)"]),
        ("a not in b", ["(a in b)"]),
        ("a and b or c", ["((a and b) and c)", "(a or b) or c"]),
        ("a + b * c", ["(a - b * c)", "a + (b / c)"]),
        ("a += b", ["a -= b"]),
        ("not a", ["(a)"]),
        ("f(-a)", ["f((a))", "pass"]),
        ("x = True", ["x = (False)"]),
        ("x = 1", ["x = (2)"]),
        ("x = 'word'", ["x = ('wordX')"]),
        ("x = b'data'", ["x = (b'dataX')"]),
        ("x = y if z else 0", ["x = y if (not z) else 0", "x = y if z else (1)"]),
        ("a.b = c", ["pass"]),
        ("a[b] = c", ["pass"]),
        ("del a", ["pass"]),
        ("raise a", ["pass"]),
        ("if a: b", ["if (not a): b"]),
        ("while a: break", ["while (not a): break", "while a: pass"]),
        ("for a in b: continue", ["for a in b: pass"]),
        ("def f(): return a", ["def f(): return None"]),
        ("async def f(): await a", ["async def f(): pass"]),
        ("def f(a=1): a", ["def f(a=(2)): a"]),
        ("x: int = 1", ["x: int = (2)"]),
        ("å = 'é' + b", ["å = ('é' - b)", "å = ('éX') + b"]),
    ],
)
def test_each_construct_is_changed_in_its_place(mutants, source, expected):
    """The rest of the text stays as it is."""
    assert sorted(expected) == sorted(edit.apply(source.encode()).decode() for edit in mutants.edits(source.encode()))


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring."""',
        "x = 'some prose'",
        "x = f'{a + 1}'",
        "x: 'A' = a",
        "x: TypeAlias = 'A'",
        "def f(a: 'A') -> 'A': a",
        "@d(1)\ndef f(): a",
        "@d(1)\nclass A(b(1)): a",
        "import a",
        "if TYPE_CHECKING:\n    a = 1",
        "__all__ = ['a']",
        "def f(): return None",
        "def f(): return",
        "x = None",
    ],
)
def test_what_no_test_could_notice_is_left_alone(mutants, source):
    """What is written for readers and type checkers, what only speaks, and what decorators are given."""
    assert [] == mutants.edits(source.encode())


def test_every_mutant_of_a_real_module_is_python_and_differs(mutants):
    """None fails for a reason that says nothing about the tests."""
    source = Path(retry.__file__).read_bytes()
    made = [edit.apply(source) for edit in mutants.edits(source)]

    assert len(made) == len(set(made)) > 100
    assert ast.dump(ast.parse(source)) not in {ast.dump(ast.parse(mutant)) for mutant in made[::20]}


def test_mutants_are_tried_against_the_tests_that_run_them(tmp_path):
    """The whole way, for a small module in a tree of its own: one mutant is not noticed; a second run knows all of them."""
    for name in ("mutate.py", "mutants.py", "touched.py", "unasync.py"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        text = (SCRIPTS / name).read_text(encoding="utf-8").replace("MODULES = {", 'MODULES = {\n    "x.py": "test_x.py",')
        text = text.replace("PATIENCE = 10.0", "PATIENCE = 200.0")  # none of the mutants hangs, and the machine may be slow
        # too heavy for one small module
        text = re.sub(r"anthropic|langgraph\.\w+|numpy|openai|opentelemetry\.sdk\.trace|pydantic|sqlalchemy", "", text)
        (tmp_path / "scripts" / name).write_text(text, encoding="utf-8")
    ran = tmp_path / "ran"
    for path, text in {
        "holdfast/__init__.py": "",
        "early.py": "import holdfast.x",
        "holdfast/x.py": "def double(a):\n    return a * 2\n\ndef half(a):\n    return a / 2\n\nTOLD = True\n",
        "tests/test_x.py": f"""import pytest
from holdfast import x

def test_what_nobody_can_watch():
    with pytest.raises(RecursionError):
        (deep := lambda: deep())()

def test_double():
    open({str(ran)!r}, "a").write("D")
    assert 4 == x.double(2)

def test_half():
    open({str(ran)!r}, "a").write("H")
    assert 1 == x.half(2)
""",
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-q -p no:cacheprovider -p no:holdfast -p early"\n',
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")

    def run():
        command = [sys.executable, str(tmp_path / "scripts" / "mutate.py"), "x.py"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    first, second = run(), run()

    assert ["x.py", "7", "7", "6", "0", "1", "85.7", "%"] == first.stdout.splitlines()[1].split(), first.stderr
    assert "-TOLD = True\n+TOLD = (False)\n" in first.stdout
    assert ("x.py: its tests take" in first.stderr, second.stderr, 1) == (True, "", first.returncode)
    assert first.stdout == second.stdout
    told = ran.read_text(encoding="utf-8")
    assert (6, 6) == (told.count("D"), told.count("H"))  # watched, without a mutant, with three of its own, and with one of nobody's
