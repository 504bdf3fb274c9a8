"""Which tests run which lines of a module: for `scripts/mutate.py`, as only those can notice a change there.

What runs at import (tables, class bodies, defaults, decorators in a test's file) counts for all tests; and a test that starts processes
counts for all lines, since nobody watches there. Watched with `sys.settrace`, threads included: Python 3.11 has nothing quicker. It ends where
whoever watches raises, as in a recursion that is too deep: such a test counts for all lines, too, and the next one is watched again.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

_STARTS = {"os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"}
"""Events of `sys.addaudithook` that tell of a new process."""


class Touched(NamedTuple):
    """What one test does to the module; ``is_unwatched``: and perhaps more, that nobody saw."""

    seconds: float
    lines: frozenset[int]
    is_unwatched: bool

    def may_notice(self, changed: range) -> bool:
        """Whether a change of these lines can make a difference to the test."""
        return self.is_unwatched or not self.lines.isdisjoint(changed)


class Watch:
    """A plugin of pytest that finds out what each test touches.

    Args:
        first_lines: The files to watch, and the number of lines by which each is longer, at its top, than the module.
        kept: Where to write what was found.
    """

    def __init__(self, first_lines: Mapping[str, int], kept: Path) -> None:
        self._first_lines = first_lines
        self._kept = kept
        self._of_all: set[int] = set()
        self._of_test = self._of_all
        self._is_unwatched = False
        self._found: dict[str, tuple[float, list[int], bool]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_parse(self) -> None:
        """Begin, before a plugin or a file of tests imports the module."""
        sys.setswitchinterval = lambda _: None  # threads that are watched at each line, and change at each, get nowhere
        sys.addaudithook(self._hear)
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Keep what one test touches, with what is set up and torn down for it."""
        self._of_test, self._is_unwatched = set[int](), False
        sys.settrace(self._enter)
        began = time.perf_counter()
        try:
            yield
        finally:
            is_unwatched = self._is_unwatched or sys.gettrace() != self._enter
            self._found[item.nodeid] = time.perf_counter() - began, sorted(self._of_test), is_unwatched
            self._of_test = self._of_all

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        """Write what was found."""
        sys.settrace(None)
        found = {test: (seconds, [*lines, *self._of_all], unwatched) for test, (seconds, lines, unwatched) in self._found.items()}
        self._kept.write_text(json.dumps(found), encoding="utf-8")

    def _hear(self, event: str, _: object) -> None:
        if event in _STARTS:
            self._is_unwatched = True

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        offset = self._first_lines.get(frame.f_code.co_filename)
        if offset is None:
            return None
        is_of_test = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # a module or the body of a class is not: late as it may be imported

        def reach(frame: FrameType, _event: str, _arg: object) -> Any:
            (self._of_test if is_of_test else self._of_all).add(frame.f_lineno - offset)
            return reach

        return reach


class Chosen:
    """A plugin of pytest that runs only these tests, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the others out."""
        items[:] = sorted((item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid])


def read(kept: Path) -> dict[str, Touched]:
    """What a `Watch` has written, the quickest test first."""
    found = json.loads(kept.read_text(encoding="utf-8"))
    touched = {test: Touched(seconds, frozenset(lines), unwatched) for test, (seconds, lines, unwatched) in found.items()}
    return dict(sorted(touched.items(), key=lambda each: each[1].seconds))


def lines_of(source: bytes, changed: int) -> range:
    r"""The lines of the innermost statement that has the byte ``changed`` in it; of a compound one, those of its head.

    >>> lines_of(b"if a:\n    b(\n        1)\n", 20)
    range(2, 4)
    >>> lines_of(b"if a:\n    b(\n        1)\n", 3)
    range(1, 2)
    """
    line = source.count(b"\n", 0, changed) + 1
    ranges = [_head(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case)]
    return min((each for each in ranges if line in each), key=len, default=range(line, line + 1))


def _head(node: ast.stmt | ast.ExceptHandler | ast.match_case) -> range:
    first = node.pattern if isinstance(node, ast.match_case) else node
    body: list[ast.stmt] = getattr(node, "body", [])
    return range(first.lineno, max(body[0].lineno, first.lineno + 1) if body else (first.end_lineno or first.lineno) + 1)
