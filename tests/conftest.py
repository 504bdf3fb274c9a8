"""Fixtures of holdfast's own suite: time, failures and both colours. Stores are isolated by the plugin, `holdfast.testing.plugin`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from holdfast import InMemorySaver, SqliteSaver
from holdfast.recording import attendant
from holdfast.testing import FakeClock, flaky_async, scripted, scripted_async
from holdfast.testing import flaky as flaky_function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# How long one example of a property takes says more about the machine than about the property.
# The same examples in each run, so that who changed something is told of that; `make test-all` searches for others, in CI too, where
# Hypothesis has a profile of its own that does not.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, derandomize=False)
hypothesis.settings.load_profile("same")

# A shell that begins the suite in the background lets it ignore Ctrl-C, and then every program that a test begins would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is asked of a cache is written down, and overrides are read, when a test says so: a thread that does so besides comes at any moment.
START_THREAD = attendant._watch.start
attendant._watch.start = lambda: None  # type: ignore[method-assign]


@pytest.fixture
def recorders_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests of that thread: it begins with the first cache that is opened, as in a program."""
    monkeypatch.setattr(attendant._watch, "start", START_THREAD)
    yield
    attendant._watch.stop()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """Virtual time, installed; jitter draws are 1.0, so each wait is as long as its interval."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def flaky() -> Callable[..., Any]:
    """A function that always fails, with `holdfast.testing.Flake`."""
    return flaky_function(None)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of memory in ``folder``, with these options of mount(8)."""
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, to be filled."""
    with mounted(tmp_path / "small", "size=2m,mode=700") as folder:
        yield folder


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for sixteen files and folders, its root among them."""
    with mounted(tmp_path / "few", "size=8m,nr_inodes=16,mode=700") as folder:
        yield folder


class Colour:
    """One of the two colours of functions; a test that uses it runs once as ``def`` and once as ``async def``.

    Attributes:
        name: ``"sync"`` or ``"async"``.
        is_async: Which of them, as a bool.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_async = name == "async"

    def define(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Give ``body``, a plain function that does not wait, this colour: same name, same parameters."""
        if not self.is_async:
            return body

        @functools.wraps(body)
        async def coloured(*args: Any, **kwargs: Any) -> Any:
            return body(*args, **kwargs)

        return coloured

    def scripted(self, outcomes: Iterable[object], **options: Any) -> Any:
        """`scripted` or `scripted_async`."""
        return (scripted_async if self.is_async else scripted)(outcomes, **options)

    def flaky(self, *args: Any, **options: Any) -> Any:
        """`flaky` or `flaky_async`."""
        return (flaky_async if self.is_async else flaky_function)(*args, **options)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` and return its result; in async, on an event loop of its own, with its awaitable awaited."""
        if not self.is_async:
            return function(*args, **kwargs)

        async def main() -> Any:
            value = function(*args, **kwargs)
            return await value if inspect.isawaitable(value) else value

        return asyncio.run(main())

    def invoke(self, runnable: Any, *args: Any, **kwargs: Any) -> Any:
        """``runnable.invoke(...)`` or ``await runnable.ainvoke(...)``: a task or an entrypoint."""
        return self.run(runnable.ainvoke if self.is_async else runnable.invoke, *args, **kwargs)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Sync, then async: see `Colour`."""
    return Colour(request.param)


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A checkpointer of each kind."""
    made: Any = InMemorySaver() if request.param == "memory" else SqliteSaver(tmp_path / "runs.db", synchronous="NORMAL")
    yield made
    made.close()
