"""The converter of async sources into their sync twins."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "unasync.py"


@pytest.fixture(scope="module")
def unasync() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("unasync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["unasync"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    """A small repository with one source."""
    source = tmp_path / "holdfast" / "runtime" / "_async" / "call.py"
    source.parent.mkdir(parents=True)
    source.write_text('"""Call."""\n\n\nasync def call(port):\n    return await port.sleep_async(1)\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.ruff.lint.isort]\nknown-first-party = ["holdfast"]\n')
    return tmp_path


TWIN = '''\
# Generated from holdfast/runtime/_async/call.py by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""Call."""


def call(port):
    return port.sleep_sync(1)
'''


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f(): pass\n", "def f(): pass\n"),
        ("async   def f(): pass\n", "def f(): pass\n"),
        ("async def f():\n    return (await\n      g())\n", "def f():\n    return (\n      g())\n"),
        ("async def f():\n    return (await g(await h())).x\n", "def f():\n    return (g(h())).x\n"),
        ("async def f():\n    async with a as b, c: pass\n", "def f():\n    with a as b, c: pass\n"),
        ("async def f():\n    return [x async for x in y]\n", "def f():\n    return [x for x in y]\n"),
        ("from holdfast.runtime._async import call\n", "from holdfast.runtime._sync import call\n"),
        ("ports.sleep_async(1, call_async)\n", "ports.sleep_sync(1, call_sync)\n"),
        ("asynchronous = awaited = async_first\n", "asynchronous = awaited = async_first\n"),
    ],
)
def test_converts_syntax_and_names(unasync, source, expected):
    """Keywords go with the blank behind them; names ending in _async end in _sync."""
    assert expected == unasync.convert(source, {})


@pytest.mark.parametrize(
    "source",
    [
        '"""async def f: await x_async"""\n',
        "x = 1  # await call_async\n",
        "x = 'await ' + r\"async def\"\n",
        "x = f'await {y} sleep_async'\n",
    ],
)
def test_leaves_strings_and_comments(unasync, source):
    """What only looks like code stays."""
    assert source == unasync.convert(source, {})


def test_leaves_names_inside_format_strings(unasync):
    """Python 3.12 tokenizes the inside of an f-string and 3.11 does not: the twin must be the same on both."""
    assert "x = f'{y_async}'\nz_sync\n" == unasync.convert("x = f'{y_async}'\nz_async\n", {})


def test_keeps_the_layout(unasync):
    """Blank lines, continuation lines, tabs, non-ASCII text and a missing last newline survive."""
    source = 'async def f(a,\n      b=2):\n\n\tx = "é→"; return await g(a,  # why\n\n        b)'
    expected = 'def f(a,\n      b=2):\n\n\tx = "é→"; return g(a,  # why\n\n        b)'
    assert expected == unasync.convert(source, {})


def test_renames_whole_names_only(unasync):
    """The table's names are matched as a whole."""
    renames = {"AsyncIterator": "Iterator", "__aenter__": "__enter__"}
    expected = "Iterator; MyAsyncIterator; x.__enter__\n"
    assert expected == unasync.convert("AsyncIterator; MyAsyncIterator; x.__aenter__\n", renames)


def test_refuses_a_keyword_before_a_line_continuation(unasync):
    """Dropping it would leave a dangling line; the error names the line."""
    with pytest.raises(SyntaxError, match="line 2: 'await' before a line continuation"):
        unasync.convert("async def f():\n    return await \\\n      g()\n", {})


def test_writes_the_twin(unasync, tree, capsys):
    """The twin carries the banner and its sync text, and a second run has nothing to do."""
    assert 0 == unasync.main(["--root", str(tree)])
    assert TWIN == (tree / "holdfast" / "runtime" / "_sync" / "call.py").read_text()
    assert "wrote holdfast/runtime/_sync/call.py\n" == capsys.readouterr().out

    assert 0 == unasync.main(["--root", str(tree)])
    assert "" == capsys.readouterr().out


def test_wraps_as_the_shorter_line_allows(unasync, tree):
    """Formatting is redone after the conversion, imports are sorted anew."""
    source = tree / "holdfast" / "runtime" / "_async" / "call.py"
    source.write_text(
        "from holdfast.runtime._async import a\nfrom holdfast.runtime._ports import b\n\n\nasync def f():\n    return (\n        await a(b)\n    )\n"
    )

    unasync.main(["--root", str(tree)])

    twin = (tree / "holdfast" / "runtime" / "_sync" / "call.py").read_text()
    expected = "from holdfast.runtime._ports import b\nfrom holdfast.runtime._sync import a\n\n\ndef f():\n    return a(b)\n"
    assert expected == twin.split("\n\n", 1)[1]


def test_refuses_a_twin_that_does_not_compile(unasync, tree):
    """An await hidden in an f-string would survive; the error names the source."""
    source = tree / "holdfast" / "runtime" / "_async" / "call.py"
    source.write_text('async def f(x):\n    return f"{await x}"\n')

    with pytest.raises(SystemExit, match=r"_async/call\.py"):
        unasync.main(["--root", str(tree)])


@pytest.mark.usefixtures("empty_table")
def test_check_passes_when_fresh(unasync, tree, capsys):
    """Nothing is said about fresh twins."""
    unasync.main(["--root", str(tree)])
    capsys.readouterr()

    assert 0 == unasync.main(["--check", "--root", str(tree)])
    assert "" == capsys.readouterr().out


@pytest.mark.usefixtures("empty_table")
def test_check_shows_what_is_stale(unasync, tree, capsys):
    """A changed source fails the check with a diff and the command, and writes nothing."""
    unasync.main(["--root", str(tree)])
    source = tree / "holdfast" / "runtime" / "_async" / "call.py"
    source.write_text(source.read_text().replace("(1)", "(2)"))
    capsys.readouterr()

    assert 1 == unasync.main(["--check", "--root", str(tree)])
    out = capsys.readouterr().out
    assert "-    return port.sleep_sync(1)\n+    return port.sleep_sync(2)\n" in out
    assert "run `make sync`" in out
    assert TWIN == (tree / "holdfast" / "runtime" / "_sync" / "call.py").read_text()


def test_check_refuses_an_unused_rename(unasync, tree, capsys, monkeypatch):
    """A rename that no source needs is named."""
    monkeypatch.setattr(unasync, "RENAMES", {"__aiter__": "__iter__"})
    unasync.main(["--root", str(tree)])

    assert 1 == unasync.main(["--check", "--root", str(tree)])
    assert "RENAMES has '__aiter__'" in capsys.readouterr().out


@pytest.mark.usefixtures("empty_table")
def test_drops_twins_without_a_source(unasync, tree, capsys):
    """A twin whose source is gone is stale, and is removed on writing; a file written by hand stays."""
    folder = tree / "holdfast" / "runtime" / "_sync"
    unasync.main(["--root", str(tree)])
    (folder / "old.py").write_text(TWIN)
    (folder / "mine.py").write_text("x = 1\n")

    assert 1 == unasync.main(["--check", "--root", str(tree)])
    assert "holdfast/runtime/_sync/old.py has no source any more" in capsys.readouterr().out

    unasync.main(["--root", str(tree)])
    assert ["call.py", "mine.py"] == sorted(path.name for path in folder.iterdir())


@pytest.fixture
def empty_table(unasync, monkeypatch):
    """The converter without this repository's own table."""
    monkeypatch.setattr(unasync, "RENAMES", {})
