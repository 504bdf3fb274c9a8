"""Run the suite on every supported Python that is installed, each in an environment of its own under ``.venvs/``.

Interpreters are looked for on PATH (``python3.12``) and among pyenv's versions. A missing one is named at the end; it is no failure, but
finding none is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
UV = str(Path(sys.executable).with_name("uv"))


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


def run_suite(version: str, python: str) -> bool:
    """Install the locked dependencies for ``version`` and run the suite; True when it passed."""
    environment = ROOT / ".venvs" / version
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    variables |= {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON": python, "UV_PYTHON_DOWNLOADS": "never"}
    groups = ("--no-default-groups", "--group", "test", "--group", "lint")  # lint: the converter's tests run ruff
    sync = [UV, "--quiet", "sync", "--locked", "--all-extras", *groups]
    subprocess.run(sync, cwd=ROOT, env=variables, check=True)
    return subprocess.run([environment / "bin" / "python", "-m", "pytest", *sys.argv[1:]], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run all; return the exit code."""
    outcome: dict[str, str] = {}
    for version in VERSIONS:
        python = find(version)
        if python is None:
            outcome[version] = "no interpreter found on PATH or among pyenv's versions"
            continue
        print(f"=== Python {version} ({python})", flush=True)
        outcome[version] = "passed" if run_suite(version, python) else "FAILED"
    for version, text in outcome.items():
        print(f"Python {version}: {text}")
    return 0 if "passed" in outcome.values() and "FAILED" not in outcome.values() else 1


if __name__ == "__main__":
    sys.exit(main())
