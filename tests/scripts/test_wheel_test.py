"""What `make wheel-test` finds wrong with a wheel."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "wheel_test.py"


@pytest.fixture
def script() -> ModuleType:
    """`scripts/wheel_test.py` as a module."""
    spec = importlib.util.spec_from_file_location("wheel_test_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A source tree with a package of two files, and what an interpreter leaves there."""
    for name, text in {"__init__.py": "", "py.typed": "", "__pycache__/x.pyc": "compiled"}.items():
        path = tmp_path / "holdfast" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        ({"__init__.py": "", "py.typed": ""}, []),
        ({"__init__.py": ""}, ["holdfast/py.typed is missing from the wheel"]),
        ({"__init__.py": "", "py.typed": "", "more.py": ""}, ["holdfast/more.py should not be in the wheel"]),
        ({"__init__.py": "x = 1", "py.typed": ""}, ["holdfast/__init__.py differs in the wheel"]),
    ],
    ids=["same", "missing", "foreign", "differs"],
)
def test_a_wheel_is_compared_byte_for_byte(script: ModuleType, project: Path, packed: dict[str, str], expected: list[str]) -> None:
    """With the files of the package; what a wheel says of itself is its own."""
    wheel = project / "holdfast.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("holdfast-1.dist-info/METADATA", "")
        for name, text in packed.items():
            archive.writestr(f"holdfast/{name}", text)

    assert expected == script.complaints(wheel, project)


def test_the_tests_it_runs_exist(script: ModuleType) -> None:
    """One that was renamed would be missed by nobody until CI."""
    assert [] == [name for name in script.FROM_OUTSIDE if not (ROOT / name).exists()]
