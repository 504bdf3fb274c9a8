"""Run the suite on every supported Python that is installed, each in an environment of its own under ``.venvs/``.

Interpreters are looked for on PATH (``python3.12``) and among pyenv's versions. What was found is said first, and at the end what became
of each. A missing interpreter is no failure; finding none is, and so is a suite that failed, or could not be set up, on one that is there.
Arguments go to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
UV = Path(sys.executable).with_name("uv")
PASSED = "passed"
NOT_FOUND = "not run: no interpreter on PATH or among pyenv's versions"


def candidates(version: str) -> list[str]:
    """Where an interpreter of ``version`` may stand: PATH first, then pyenv, newest patch first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python"), key=lambda path: [int(n) for n in path.parts[-3].split(".") if n.isdigit()])
    return [f"python{version}", *map(str, reversed(installed))]


def find(version: str) -> str | None:
    """Path of an interpreter that really is ``version`` (a pyenv shim may be there and refuse), or None."""
    code = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
    for candidate in candidates(version):
        try:
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        except OSError:  # not there
            continue
        path, _, found = done.stdout.strip().rpartition(" ")
        if done.returncode == 0 and found == version:
            return path
    return None


def run_suite(version: str, python: str, arguments: list[str]) -> str:
    """Install the locked dependencies for ``version`` and run the suite; return `PASSED`, or what failed."""
    environment = ROOT / ".venvs" / version
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    variables |= {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON": python, "UV_PYTHON_DOWNLOADS": "never"}
    groups = ("--no-default-groups", "--group", "test", "--group", "lint")  # lint: the converter's tests run ruff
    sync = [str(UV), "--quiet", "sync", "--locked", "--all-extras", *groups]
    if subprocess.run(sync, cwd=ROOT, env=variables, check=False).returncode != 0:
        return "FAILED: its dependencies could not be installed"
    suite = [str(environment / "bin" / "python"), "-m", "pytest", *arguments]
    done = subprocess.run(suite, cwd=ROOT, check=False)
    return PASSED if done.returncode == 0 else f"FAILED: pytest ended with exit code {done.returncode}"


def main(arguments: list[str]) -> int:
    """Run all; return the exit code."""
    found = {version: find(version) for version in VERSIONS}
    for version, python in found.items():
        print(f"Python {version}: {python or 'not found'}", flush=True)
    if not UV.exists():
        print(f"{UV} is missing: run `make test-all`, which installs it")
        return 1
    outcomes: dict[str, str] = {}
    for version, python in found.items():
        if python is not None:
            print(f"\n=== Python {version} ({python})", flush=True)
            outcomes[version] = run_suite(version, python, arguments)
    print()
    for version in VERSIONS:
        print(f"Python {version}: {outcomes.get(version, NOT_FOUND)}")
    return 0 if outcomes and set(outcomes.values()) == {PASSED} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
