"""The pytest plugin: fixtures, and stores of its own for each test. Loaded by pytest itself; ``-p no:holdfast`` switches it off.

Without any fixture being asked for, each test has an empty default cache and an empty trace store in a temporary folder, and the secret
that seals cache entries is not the user's. Subprocesses inherit this through the environment. No folder is made until something is stored,
and nothing heavy is imported until a fixture is used: test sessions that never call holdfast pay for the import of this module only.
What holdfast writes behind the scenes (warnings on stderr, log lines, traces) is written before its test ends, so that pytest shows it there.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from holdfast.testing.capture import Captured
    from holdfast.testing.clock import FakeClock, NoWaits
    from holdfast.typing import Cache


@pytest.fixture
def holdfast_clock() -> Iterator[FakeClock]:
    """Virtual time for the whole process: a `holdfast.testing.FakeClock`, installed; no wait of holdfast's takes real time."""
    from holdfast.testing.clock import FakeClock

    with FakeClock() as clock:
        yield clock


@pytest.fixture
def holdfast_no_waits() -> Iterator[NoWaits]:
    """Retries keep their number and wait for nothing; ``.slept`` holds the waits they would have made."""
    from holdfast.testing.clock import no_waits

    with no_waits() as waits:
        yield waits


@pytest.fixture
def holdfast_captured() -> Iterator[Captured]:
    """Spans, lines, facts and notes of the test as plain literals: see `holdfast.testing.captured`."""
    from holdfast.testing.capture import captured

    with captured() as seen:
        yield seen


@pytest.fixture
def holdfast_cache(_holdfast_stores: None) -> Cache:
    """The default cache of this test: a real `holdfast.DiskCache`, empty, in a temporary folder."""
    from holdfast.cache.default import default_cache

    return default_cache()


@pytest.fixture(scope="session", autouse=True)
def _holdfast_folder() -> Iterator[Path]:
    """A folder for the stores of this session; what runs outside any test (module and session fixtures) uses it itself."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
    try:
        with _stores_in(folder, HOLDFAST_CONFIG_DIR=str(folder / "config")):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _holdfast_stores(_holdfast_folder: Path) -> Iterator[None]:
    """An empty default cache and trace store for each test."""
    with _stores_in(_holdfast_folder / str(next(_numbers))):
        yield


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_call() -> Generator[None]:
    """Let what the test made holdfast write leave while pytest still captures for this test."""
    yield
    if "holdfast.tracing.safety.firewall" in sys.modules:
        from holdfast.tracing.safety import firewall  # waits for a thread that is just importing it

        firewall.flush(_FLUSH_SECONDS)


_numbers = itertools.count(1)
_FLUSH_SECONDS = 0.2
"""Real seconds that a sink may take at the end of a test; it is waited for only when something is on its way."""


@contextmanager
def _stores_in(folder: Path, **more: str) -> Generator[None]:
    """Let the default stores be in ``folder`` inside the block, for this process and those it starts."""
    settings = {"HOLDFAST_CACHE_DIR": str(folder / "cache"), "HOLDFAST_TRACES": str(folder / "traces.db"), "HOLDFAST_RECORD": "off"} | more
    before = {name: os.environ.get(name) for name in settings}
    cache_before = _swap_default_cache(None)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        cache = _swap_default_cache(cache_before)
        if cache is not None:
            cache.close()


def _swap_default_cache(cache: Cache | None) -> Cache | None:
    """Set the default cache and return the previous one, but load nothing: a module that is not loaded has no default yet."""
    module = sys.modules.get("holdfast.cache.default")
    previous: Cache | None = None if module is None else module.set_default_cache(cache)
    return previous
