"""What the import contracts of pyproject.toml cannot say: no cycles at run time, and a light ``import holdfast``."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

PACKAGE = Path(holdfast.__file__).parent
HEAVY = (
    "asyncio",
    "concurrent.futures.process",
    "diskcache",
    "opentelemetry",
    "structlog",
    "tenacity",
    "sqlite3",
    "rich",
    "click",
    "httpx",
    "langgraph",
    "langchain_core",
    "holdfast.langgraph",
    "holdfast._entrypoint",
    "holdfast._graph",
    "holdfast.checkpoint",
    "holdfast.runtime.behind",
    "holdfast.runtime.run",
    "holdfast._facts",
    "holdfast.cache.disk",
    "holdfast.cache.keys",
    "holdfast.values.codec",
    "msgspec",
    "pathlib",
    "pickle",
    "holdfast.cache.explanation",
    "holdfast.tuning",
    "numpy",
    "typing_extensions",
    "uuid",
)


def module_name(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """Collects the modules of the package that one module imports, also inside functions, but not for type checkers alone."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        """Skip ``if TYPE_CHECKING:``; its else branch runs."""
        test = node.test
        skipped = isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
        for child in node.orelse if skipped else [*node.body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        """``import holdfast.a``."""
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """``from holdfast.a import b``, where b may be a module or a name in a."""
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            self.found.add(inner if inner in MODULES else str(node.module))


class AllImports(Imports):
    """Collects what is imported for type checkers, too."""

    def visit_If(self, node: ast.If) -> None:
        """Both branches."""
        self.generic_visit(node)


def imports(source: str, visitor: Imports | None = None) -> set[str]:
    """Modules of the package that ``source`` imports when it runs, or those that the visitor finds."""
    visitor = Imports() if visitor is None else visitor
    visitor.visit(ast.parse(source))
    return visitor.found & MODULES.keys()


def test_there_is_no_import_cycle():
    """Every module can be understood after those it imports; imports inside functions count."""
    graph = {name: imports(path.read_text(encoding="utf-8")) - {name} for name, path in MODULES.items()}

    graphlib.TopologicalSorter(graph).prepare()


def test_tracing_has_no_cycle_of_types_either():
    """Where nothing calls for one: a module of tracing can be read after those it names, in types too."""
    sources = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items() if name.startswith("holdfast.tracing.")}
    graph = {name: imports(source, AllImports()) - {name} for name, source in sources.items()}

    graphlib.TopologicalSorter(graph).prepare()


def test_an_import_cycle_would_be_found():
    """The walker sees plain, from and lazy imports, and leaves out those for type checkers unless it is asked for them."""
    source = """
if TYPE_CHECKING:
    import holdfast.clock
else:
    from holdfast import events
def f():
    from holdfast.errors import PolicyError
import holdfast.typing, os
"""
    assert {"holdfast.events", "holdfast.errors", "holdfast.typing"} == imports(source)
    assert {"holdfast.clock"} == imports(source, AllImports()) - imports(source)


@pytest.mark.parametrize("module", HEAVY)
def test_import_is_light(module, loaded):
    """What costs milliseconds to load is loaded on first use."""
    assert module not in loaded


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Modules that ``import holdfast``, and a function decorated with ``@resilient``, bring into a fresh interpreter."""
    code = "import sys; before = set(sys.modules); import holdfast; holdfast.resilient(len); print(*set(sys.modules) - before)"
    return set(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split())
