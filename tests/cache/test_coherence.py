"""What one process does to an entry, another one that has it in memory knows at its next look. For overrides of a ttl see tests/overrides/test_live.py."""

from __future__ import annotations

import pytest

PROGRAM = r"""
from holdfast import CachePolicy, resilient
from holdfast.cache import _table

_table.BUSY_TIMEOUT = 10.0  # the other one may be removing rows on a busy machine for longer than a call waits, and this is not about that
asked = 0

@resilient(name="fetch", cache=cache, cache_policy=CachePolicy(ttl="1h", version="1", tags=("weather",)))
def fetch(n):
    global asked
    asked += 1
    return f"{sys.argv[2]}{asked}"

DEEDS = {
    "fetch": lambda: fetch(1),
    "tier": lambda: cache.get(fetch.key(1), codec).tier,
    "renew": lambda: fetch.options(cache="refresh")(1),
    "forget": lambda: fetch.forget(1),
    "purge the function": lambda: fetch.purge(),
    "purge the cache": lambda: cache.purge(),
    "purge the tag": lambda: cache.purge(tag="weather"),
    "purge the namespace": lambda: cache.purge(namespace=fetch.key(1).namespace),
    "invalidate the tag": lambda: cache.invalidate("weather"),
}
for line in sys.stdin:
    print(DEEDS[line.strip()](), flush=True)
"""


class Program:
    """A process with the function."""

    def __init__(self, process):
        self._process = process

    def does(self, what):
        print(what, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip() or self._process.stderr.read()


@pytest.fixture
def here(other_process):
    """The process that has the value in memory."""
    return Program(other_process(PROGRAM, "here "))


@pytest.fixture
def there(other_process):
    """Another one."""
    return Program(other_process(PROGRAM, "there "))


FORGETTING = ["forget", "purge the function", "purge the cache", "purge the tag", "purge the namespace", "invalidate the tag"]


@pytest.mark.parametrize("deed", FORGETTING)
def test_what_was_forgotten_there_is_not_served_here(here, there, deed):
    """Not once: each time it is computed anew, in memory or not."""
    for number in (1, 2):
        assert [f"here {number}"] * 2 == [here.does("fetch"), here.does("fetch")]
        assert "memory" == here.does("tier")
        there.does(deed)
    assert "here 3" == here.does("fetch")


def test_what_was_stored_there_is_served_here(here, there):
    """And the other way round, again and again."""
    assert ["here 1", "here 1"] == [here.does("fetch"), there.does("fetch")]
    assert ["memory", "memory"] == [here.does("tier"), there.does("tier")]
    assert ["there 1", "there 1"] == [there.does("renew"), here.does("fetch")]
    assert ["memory", "memory"] == [here.does("tier"), there.does("tier")]
    assert ["here 2", "here 2"] == [here.does("renew"), there.does("fetch")]
