"""Build the wheel, compare it with the source tree, install it in a fresh environment, and run there what shows that it works from outside.

Why not the whole suite again: each file in the wheel is compared byte for byte with the one that the suite has just been run against, and
the same bytes with the same locked dependencies do the same. What can still be wrong is what an editable install hides, and that is looked
for in three ways:

1. The files: one that is missing from the wheel, one that does not belong there, one that differs.
2. The dependencies: with the wheel and what it declares, and nothing of the tests, every module can be imported.
3. What finds the package from outside: its metadata, its command, its pytest plugin, its types, other processes in other folders, and
   programs that a user writes. The tests of those (`FROM_OUTSIDE`) run where no source tree stands beside.
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
# Everything these tests read, and no holdfast/.
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
# The public surface, the command, the pages and examples (one exports through an extra), the pytest plugin, and what tracing finds installed.
FROM_OUTSIDE = (
    "tests/test_bodies.py",
    "tests/test_docs.py",
    "tests/test_docstrings.py",
    "tests/test_entrypoint.py",
    "tests/test_errors.py",
    "tests/test_exported_members.py",
    "tests/test_layers.py",
    "tests/test_methods.py",
    "tests/test_options.py",
    "tests/test_references.py",
    "tests/test_resilient.py",
    "tests/test_states.py",
    "tests/test_task.py",
    "tests/test_tracebacks.py",
    "tests/test_typed.py",
    "tests/cli",
    "tests/docs",
    "tests/examples",
    "tests/testing/test_kit.py",
    "tests/testing/test_plugin.py",
    "tests/tracing/setup/test_configure.py",
)
# holdfast.testing needs pytest, which whoever tests has; to import a __main__ is to run it.
IMPORTS = """
import importlib, pkgutil, holdfast
names = [info.name for info in pkgutil.walk_packages(holdfast.__path__, "holdfast.")]
names = [name for name in names if not name.startswith("holdfast.testing") and not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), "modules of", holdfast.__file__)
"""


def uv(*arguments: str | Path) -> None:
    """Run uv in the repository, quietly; its failure is ours."""
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([UV, "--quiet", *map(str, arguments)], cwd=ROOT, env=variables, check=True)


def build(folder: Path) -> Path:
    """Build the wheel into ``folder``; return its path."""
    uv("build", "--wheel", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def complaints(wheel: Path, root: Path = ROOT) -> list[str]:
    """What is wrong with the contents of ``wheel``: every file of the package in ``root`` must be in it as it is, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in (root / "holdfast").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    source = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    missing = [f"{name} is missing from the wheel" for name in sorted(source.keys() - packed.keys())]
    foreign = [f"{name} should not be in the wheel" for name in sorted(packed.keys() - source.keys())]
    return missing + foreign + [f"{name} differs in the wheel" for name in sorted(source) if packed.get(name, source[name]) != source[name]]


def install(wheel: Path, folder: Path, *groups: str) -> Path:
    """Install ``wheel`` with all extras, and the locked dependencies of these groups; return the interpreter."""
    environment, locked = folder / "venv", folder / "locked.txt"
    python = environment / "bin" / "python"
    chosen = [part for group in groups for part in ("--group", group)]
    uv("export", "--locked", "--all-extras", "--no-default-groups", *chosen, "--no-emit-project", "--output-file", locked)
    if not environment.exists():
        uv("venv", "--python", sys.executable, environment)
        uv("pip", "install", "--python", python, "--no-deps", wheel)
    uv("pip", "install", "--python", python, "--requirements", locked)
    return python


def import_all(python: Path, folder: Path) -> None:
    """Import every module of the installed package; its failure is ours."""
    said = subprocess.run([python, "-c", IMPORTS], cwd=folder, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise SystemExit(f"with what the wheel declares, not every module can be imported:\n{said.stderr}")
    if "site-packages" not in said.stdout:
        raise SystemExit(f"these are {said.stdout.strip()}, not of the wheel")


def run_tests(python: Path, folder: Path) -> int:
    """Run a copy of the tests in ``folder``; return pytest's exit code."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return subprocess.run([python, "-m", "pytest", *FROM_OUTSIDE, *sys.argv[1:]], cwd=folder, check=False).returncode


def main() -> int:
    """Build, compare, install, import, test; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="holdfast-wheel-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        if wrong := complaints(wheel):
            print(*wrong, sep="\n")
            return 1
        (folder / "copy").mkdir()
        import_all(install(wheel, folder), folder / "copy")
        return run_tests(install(wheel, folder, "test", "lint"), folder / "copy")


if __name__ == "__main__":
    sys.exit(main())
