"""A cache that is recorded, and what its file of evidence holds."""

from __future__ import annotations

import pytest

from holdfast import CachePolicy, DiskCache, events, resilient
from holdfast.recording.packing import unpack_answers, unpack_times
from holdfast.recording.store import ANSWERS, TIMES, Reader


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    """Tests do not record unless they are told to, as here."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")


@pytest.fixture
def cache(tmp_path):
    """A cache in a folder of its own."""
    cache = DiskCache(tmp_path / "cache")
    yield cache
    cache.close()


@pytest.fixture
def fetch(cache):
    """A cached function, of a minute."""

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def fetch(city: str) -> str:
        return city.upper()

    return fetch


class Evidence:
    """What is in the file of a cache."""

    def __init__(self, folder):
        self.reader = Reader(folder / "recording.db")

    @property
    def task(self):
        (task,) = self.reader.tasks()
        return task

    def segments(self, what):
        return list(self.reader.segments(self.task, what, 0))

    def times(self):
        """Hashes and microseconds."""
        return [each for segment in self.segments(TIMES) for each in unpack_times(segment.data, segment.number)]

    def answers(self):
        return [each for segment in self.segments(ANSWERS) for each in unpack_answers(segment.data, segment.number)]

    def counts(self):
        """Of all hours together."""
        found = [counts for _, counts in self.reader.counts(self.task, 0)]
        total = found[0]
        for each in found[1:]:
            total = total.plus(each)
        return total


@pytest.fixture
def evidence(cache):
    """Written down until now, and read."""

    def read():
        if cache.witness is not None:
            cache.witness.look()
        return Evidence(cache.path)

    return read


@pytest.fixture
def notes(monkeypatch):
    """What would be written to stderr."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    return told
