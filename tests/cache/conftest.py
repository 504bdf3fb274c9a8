"""Fixtures for cache tests: notes as they are emitted, keys and codecs at hand, other processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import events
from holdfast.cache.disk import DiskCache
from holdfast.cache.memory import InMemoryCache
from holdfast.typing import CacheKey
from holdfast.values.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.typing import Cache, Codec


class NoteTaker:
    """An observer that keeps notes and nothing else."""

    def __init__(self) -> None:
        self.notes: list[events.Note] = []

    def noted(self, note: events.Note) -> None:
        self.notes.append(note)

    def __getattr__(self, name: str) -> Callable[[Any], None]:
        return lambda facts: None


@pytest.fixture
def reasons() -> Iterator[Callable[[], list[str]]]:
    """Why the cache complained so far, in order."""
    taker = NoteTaker()
    before = events.observe(taker)
    yield lambda: [note.fields["reason"] for note in taker.notes if note.event == "holdfast.cache.error"]
    events.observe(before)


@pytest.fixture
def notes() -> Iterator[list[events.Note]]:
    """All notes of the test."""
    taker = NoteTaker()
    before = events.observe(taker)
    yield taker.notes
    events.observe(before)


@pytest.fixture
def codec() -> Codec:
    """The codec for values without an annotation."""
    return codec_for()


@pytest.fixture
def key() -> CacheKey:
    """A key."""
    return key_of("k")


def key_of(name: str, namespace: str = "app.fetch@1") -> CacheKey:
    """A key whose digest is spelled out."""
    return CacheKey(namespace, name.encode().rjust(16, b"."))


@pytest.fixture
def new_key() -> Callable[..., CacheKey]:
    """See `key_of`."""
    return key_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the disk cache of the test is; not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def open_cache(folder: Path) -> Iterator[Callable[..., DiskCache]]:
    """Opens disk caches in the test's folder, as other processes would, and closes them in the end."""
    with contextlib.ExitStack() as stack:

        def open_one(path: Path = folder, **options: Any) -> DiskCache:
            cache = DiskCache(path, **options)
            stack.callback(cache.close)
            return cache

        yield open_one
    sweeping_ended()  # what a test leaves to be removed is told in the next one else


@pytest.fixture
def disk(open_cache: Callable[..., DiskCache]) -> DiskCache:
    """A disk cache without a memory tier: what it finds, it finds on disk."""
    return open_cache(memory_entries=0)


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, open_cache: Callable[..., DiskCache]) -> Cache:
    """Each kind of cache."""
    return InMemoryCache() if request.param == "memory" else open_cache()


@pytest.fixture
def sql(folder: Path) -> Callable[..., list[Any]]:
    """Runs a statement on the cache's database, as somebody else with a hand on the file would."""

    def run(statement: str, *parameters: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(folder / "cache.db", isolation_level=None, timeout=5)) as connection:
            return connection.execute(statement, parameters).fetchall()

    return run


def sweeping_ended() -> None:
    """Wait until no thread removes rows any more."""
    for thread in threading.enumerate():
        if thread.name == "holdfast-sweep":
            thread.join(60)


@pytest.fixture
def swept() -> Callable[[], None]:
    """See `sweeping_ended`."""
    return sweeping_ended


PRELUDE = """
import sys
from holdfast import events
from holdfast.cache.disk import DiskCache
from holdfast.typing import CacheKey
from holdfast.values.codec import codec_for
def complain(note): print(f"note: {note.fields.get('reason')}\\n", end="", flush=True)  # a line at once: other threads write as well
events.fallback = complain
codec = codec_for()
def key_of(name, namespace="app.fetch@1"): return CacheKey(namespace, name.encode().rjust(16, b"."))
cache = DiskCache(sys.argv[1])
"""


@pytest.fixture
def other_process(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python with a cache in the test's folder; it is killed in the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str, path: Path = folder, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PRELUDE + code, str(path), *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def in_other_process(other_process: Callable[..., subprocess.Popen[str]]) -> Callable[..., list[str]]:
    """Runs Python code with a cache in the test's folder in a process of its own; returns the lines it printed."""

    def run(code: str, *arguments: str, **options: Any) -> list[str]:
        process = other_process(code, *arguments, **options)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        return out.splitlines()

    return run
