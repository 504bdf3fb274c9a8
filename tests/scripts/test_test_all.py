"""What `make test-all` says about each Python, and the exit code it ends with."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "test_all.py"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/test_all.py` as a module, in an empty project, with no Python on PATH but what a test puts there."""
    spec = importlib.util.spec_from_file_location("test_all_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "UV", program(tmp_path / "bin" / "uv"))
    return module


def program(path: Path, does: str = "exit 0") -> Path:
    """A shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


def install(root: Path, version: str, *, exit_code: int = 0) -> str:
    """A stand-in for a Python of ``version`` on PATH, whose suite ends with ``exit_code``; its path."""
    python = program(root / "bin" / f"python{version}", f"echo {root}/bin/python{version} {version}")
    program(root / ".venvs" / version / "bin" / "python", f'echo "suite {version} $*"; exit {exit_code}')
    return str(python)


def test_all_that_are_found_are_run(script: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is missing is named, first and last, and is no failure."""
    paths = {version: install(tmp_path, version) for version in ("3.11", "3.13")}

    assert 0 == script.main(["-x"])
    assert (
        f"Python 3.11: {paths['3.11']}\nPython 3.12: not found\nPython 3.13: {paths['3.13']}\nPython 3.14: not found\n"
        f"\n=== Python 3.11 ({paths['3.11']})\nsuite 3.11 -m pytest -x\n"
        f"\n=== Python 3.13 ({paths['3.13']})\nsuite 3.13 -m pytest -x\n"
        "\nPython 3.11: passed\nPython 3.12: not run: no interpreter on PATH or among pyenv's versions\nPython 3.13: passed\n"
        "Python 3.14: not run: no interpreter on PATH or among pyenv's versions\n"
    ) == capfd.readouterr().out


def test_one_that_fails_does_not_hide_the_others(script: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All are run, and the exit code says that not all is well."""
    install(tmp_path, "3.11", exit_code=2)
    install(tmp_path, "3.12")

    assert 1 == script.main([])
    assert "Python 3.11: FAILED: pytest ended with exit code 2\nPython 3.12: passed\n" in capfd.readouterr().out


def test_one_that_cannot_be_set_up_has_failed(script: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The next one is tried all the same."""
    install(tmp_path, "3.11")
    install(tmp_path, "3.12")
    program(script.UV, 'test "$UV_PYTHON" != "${UV_PYTHON%3.12}"')

    assert 1 == script.main([])
    assert "Python 3.11: FAILED: its dependencies could not be installed\nPython 3.12: passed\n" in capfd.readouterr().out


def test_none_found_is_a_failure(script: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing was tested."""
    assert 1 == script.main([])
    assert 4 == capfd.readouterr().out.count("not run: no interpreter")


def test_without_uv_it_says_what_to_do(script: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The target of the Makefile installs it."""
    install(tmp_path, "3.11")
    script.UV.unlink()

    assert 1 == script.main([])
    assert f"{script.UV} is missing: run `make test-all`, which installs it" in capfd.readouterr().out


def test_a_name_that_is_another_version_is_passed_over(script: ModuleType, tmp_path: Path) -> None:
    """As pyenv's shims may be; the versions that pyenv has are looked at next, the newest patch first."""
    program(tmp_path / "bin" / "python3.12", "echo /elsewhere 3.9")
    for patch in (2, 10):
        program(tmp_path / "pyenv" / "versions" / f"3.12.{patch}" / "bin" / "python", f"echo /patch/{patch} 3.12")

    assert "/patch/10" == script.find("3.12")


def test_this_very_python_is_found(script: ModuleType, tmp_path: Path) -> None:
    """A real interpreter answers the question asked."""
    (tmp_path / "bin" / f"python{HERE}").symlink_to(sys.executable)

    assert script.find(HERE) is not None


def test_it_searches_for_other_examples_in_ci_too() -> None:
    """Hypothesis tries the same ones in each run there, and every profile begins as its own does."""
    conftest = SCRIPT.parents[1] / "tests" / "conftest.py"
    code = f"import hypothesis, runpy; runpy.run_path({str(conftest)!r}); print(hypothesis.settings.get_profile('search').derandomize)"
    said = subprocess.run([sys.executable, "-c", code], env={**os.environ, "CI": "1"}, capture_output=True, text=True, check=True)

    assert "False" == said.stdout.strip()
