"""Build the wheel, install it in a fresh environment, and run the suite (all but `NOT_AGAIN`) against it where no source tree stands beside.

This finds what an editable install hides: files missing from the wheel, undeclared dependencies, tests that read the source tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).with_name("uv"))
# Everything the suite reads, and no holdfast/.
COPIED = (
    "tests",
    "examples",
    "scripts",
    "benchmarks",
    "docs",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
)
# What takes minutes and tells nothing about a wheel: the tests of durability by rounds and random programs, and of the tools of the repository.
NOT_AGAIN = ("tests/faults", "tests/flows/test_model.py", "tests/scripts", "tests/benchmarks")


def uv(*arguments: str | Path) -> None:
    """Run uv in the repository, quietly; its failure is ours."""
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([UV, "--quiet", *map(str, arguments)], cwd=ROOT, env=variables, check=True)


def build(folder: Path) -> Path:
    """Build the wheel into ``folder``; return its path."""
    uv("build", "--wheel", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def complaints(wheel: Path) -> list[str]:
    """What is wrong with the contents of ``wheel``: every file of the package must be in it, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "holdfast").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    missing = [f"{name} is missing from the wheel" for name in sorted(source - names)]
    return missing + [f"{name} should not be in the wheel" for name in sorted(names - source)]


def install(wheel: Path, folder: Path) -> Path:
    """Install ``wheel`` with all extras and the locked test dependencies; return the interpreter."""
    environment, locked = folder / "venv", folder / "locked.txt"
    python = environment / "bin" / "python"
    groups = ("--no-default-groups", "--group", "test", "--group", "lint")  # lint: the converter's tests run ruff
    uv("export", "--locked", "--all-extras", *groups, "--no-emit-project", "--output-file", locked)
    uv("venv", "--python", sys.executable, environment)
    uv("pip", "install", "--python", python, "--requirements", locked)
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    return python


def run_suite(python: Path, folder: Path) -> int:
    """Run a copy of the suite in ``folder``; return pytest's exit code."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    where = subprocess.run(
        [python, "-c", "import holdfast; print(holdfast.__file__)"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    if "site-packages" not in where:
        raise SystemExit(f"the suite would run against {where.strip()}, not against the wheel")
    left_out = [f"--ignore={name}" for name in NOT_AGAIN]
    return subprocess.run([python, "-m", "pytest", *left_out, *sys.argv[1:]], cwd=folder, check=False).returncode


def main() -> int:
    """Build, install, test; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="holdfast-wheel-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        if wrong := complaints(wheel):
            print(*wrong, sep="\n")
            return 1
        python = install(wheel, folder)
        (folder / "copy").mkdir()
        return run_suite(python, folder / "copy")


if __name__ == "__main__":
    sys.exit(main())
