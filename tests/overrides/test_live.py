"""Overrides in running programs: entries that are there already, canaries, guards, and real second processes."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from holdfast import CachePolicy, DiskCache, Probe, events, resilient
from holdfast._evidence import POLICIES_CHANGED
from holdfast.overrides import Overrides
from holdfast.runtime import probing
from tests.waiting import until


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that is recorded: guards look at that."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    cache = DiskCache(tmp_path / "cache")
    yield cache
    cache.close()
    POLICIES_CHANGED.clear()


class Source:
    """Counts how often it is asked; its answers change, or fail, as told."""

    def __init__(self, cache, colour, **policy):
        self.asked = []
        self.answer = "rain"

        def fetch(key: int) -> str:
            self.asked.append(key)
            if isinstance(self.answer, Exception):
                raise self.answer
            return f"{self.answer} {key}"

        decorated = resilient(retry_policy=(), cache_policy=CachePolicy(ttl=60, version="1", **policy), cache=cache)(colour.define(fetch))
        self.task = decorated.key(0).namespace.rpartition("@")[0]
        self.fetch = lambda key=0: colour.run(decorated, key)


@pytest.fixture
def source(cache, colour, clock):
    """In both colours."""
    return Source(cache, colour)


def test_it_acts_on_entries_that_are_there_both_ways(cache, source, clock):
    """Shorter, longer, and back again; at the next look of the thread, which here is called by hand."""
    overrides = Overrides(cache.path)
    source.fetch()
    clock.advance(30)
    first = overrides.set(source.task, 20, author="anna")
    source.fetch()
    unseen = len(source.asked)
    cache.witness.look()
    source.fetch()
    shortened = len(source.asked)
    clock.advance(90)
    overrides.set(source.task, 100, author="anna", after=first.id)
    cache.witness.look()
    source.fetch()

    assert (1, 2, 2) == (unseen, shortened, len(source.asked))


def test_what_is_stored_under_it_stays_as_long(cache, source, clock):
    """A long one is not undone by the sweep of the disk, which goes by the ttl an entry was stored with."""
    Overrides(cache.path).set(source.task, 86_400, author="anna")
    cache.stats()
    cache.witness.look()
    source.fetch()
    (info,) = cache.entries()

    assert 86_400 == info.ttl


def test_it_ends_without_a_look(cache, source, clock):
    """Each read asks the time."""
    Overrides(cache.path).set(source.task, 1000, author="anna", expires_in=300)
    cache.stats()
    cache.witness.look()
    source.fetch()
    clock.advance(299)
    source.fetch()
    kept = len(source.asked)
    clock.advance(1)
    source.fetch()

    assert (1, 2) == (kept, len(source.asked))


def test_a_canary_covers_its_share(cache, source, clock):
    """The others keep the policy's own."""
    Overrides(cache.path).set(source.task, 10, share=0.25, author="anna")
    for key in range(200):
        source.fetch(key)
    cache.witness.look()
    clock.advance(30)
    del source.asked[:]
    for key in range(200):
        source.fetch(key)

    assert 30 <= len(source.asked) <= 70


def test_a_second_task_is_not_touched(cache, colour, clock):
    """Overrides are of one task."""
    one, other = Source(cache, colour), Source(cache, colour)
    other.task = other.task + "_other"
    Overrides(cache.path).set(other.task, 5, author="anna")
    one.fetch()
    cache.witness.look()
    clock.advance(10)
    one.fetch()

    assert 1 == len(one.asked)


@pytest.mark.parametrize("guard", ["errors<=10%", "changed<=20%"])
def test_a_guard_takes_it_back(cache, source, clock, guard, monkeypatch):
    """What goes wrong under it is seen in what is recorded, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    overrides.set(source.task, 10, guard=guard, author="anna")
    cache.stats()
    cache.witness.look()
    for number in range(8):
        source.answer = OSError("down") if guard.startswith("errors") and number % 2 else f"rain {number}"
        for key in range(10):
            with contextlib.suppress(OSError):
                source.fetch(key)
        clock.advance(10)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()
    cache.witness.look()

    assert [] == overrides.current()
    assert "guard" == overrides.history()[-1].author
    assert "over " + guard in overrides.history()[-1].reason
    assert ["holdfast.override.rolled_back"] == [note.event for note in told]
    assert source.task not in cache.witness.rules._rules or cache.witness.rules._rules[source.task].override.ttl is None


def test_a_guard_sees_stale_answers_by_probes(cache, clock):
    """Of an entry that was there before, too, which no renewal would tell of for an hour."""
    said = ["rain"]

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl=60, version="1", probe=Probe(share=1, max_per_hour=3600)), cache=cache)
    def fetch() -> str:
        return said[-1]

    fetch()
    cache.witness.look()
    overrides = Overrides(cache.path)
    overrides.set(fetch.key().namespace.rpartition("@")[0], 3600, guard="stale<=10%", author="anna")
    for number in range(30):
        cache.witness.look()
        clock.advance(2)
        said.append(f"rain {number}")
        fetch()
        until(lambda: not probing._under_way)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()

    assert ("guard", True) == (overrides.history()[-1].author, "probed hits were stale, at 9" in overrides.history()[-1].reason)


def test_a_guard_lets_what_is_well_be(cache, source, clock):
    """A source that is steady and answers."""
    overrides = Overrides(cache.path)
    overrides.set(source.task, 10, guard="errors<=10%, changed<=20%", author="anna")
    cache.stats()
    cache.witness.look()
    for _ in range(6):
        for key in range(10):
            source.fetch(key)
        clock.advance(10)
    cache.witness.rules._guards_due = 0.0
    cache.witness.look()

    assert 1 == len(overrides.current())


def test_what_the_policy_does_not_take_is_not_applied(cache, colour, clock, monkeypatch):
    """Whatever the file says: the policy knows its bounds, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    source = Source(cache, colour, ttl_range=("30s", "2m"))
    source.fetch()
    Overrides(cache.path).set(source.task, "3m", author="anna")
    cache.witness.look()
    clock.advance(90)
    source.fetch()
    source.fetch()

    assert 2 == len(source.asked)
    assert ["holdfast.override.refused"] == [note.event for note in told]
    assert "beyond ttl_range, 30s to 2m" in told[0].text


def test_a_row_written_by_hand_ends_nothing(cache, source, clock, monkeypatch):
    """One that cannot be read leaves things as they are, too."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    first = overrides.set(source.task, 1000, author="anna")
    source.fetch()
    cache.witness.look()
    overrides.set(source.task, 5, guard="errors<=5%", author="anna", after=first.id)
    with closing(sqlite3.connect(overrides.path)) as connection, connection:
        connection.execute("UPDATE overrides SET guard = 'whatever' WHERE guard IS NOT NULL")
    cache.witness.look()
    clock.advance(500)
    source.fetch()

    assert 1 == len(source.asked)
    assert ["holdfast.override.unreadable"] == [note.event for note in told]


def test_a_damaged_file_leaves_things_as_they_are(cache, source, clock, monkeypatch):
    """What was in force stays so, and one line tells."""
    told = []
    monkeypatch.setattr(events, "fallback", told.append)
    overrides = Overrides(cache.path)
    overrides.set(source.task, 1000, author="anna")
    overrides.close()
    source.fetch()
    cache.witness.look()
    overrides.path.write_bytes(b"\xff" * 4096)
    clock.advance(500)
    cache.witness.look()
    cache.witness.look()
    source.fetch()

    assert 1 == len(source.asked)
    assert ["holdfast.override.unreadable"] == [note.event for note in told]


PROGRAM = """
import sys, time
from holdfast import CachePolicy, DiskCache, resilient

asked = 0

@resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1h", version="1"), cache=DiskCache(sys.argv[1]))
def fetch() -> int:
    global asked
    asked += 1
    return asked

fetch()
print(fetch.key().namespace.rpartition("@")[0], flush=True)
for line in sys.stdin:
    fetch()
    print(asked, flush=True)
"""


def test_other_processes_see_it_within_a_second(tmp_path):
    """Real ones, that hit in memory and know nothing of the operator; and again when it is taken back."""
    folder = tmp_path / "cache"
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    tasks = {process.stdout.readline().strip() for process in processes}

    def ask():
        for process in processes:
            print(file=process.stdin, flush=True)
        return [int(process.stdout.readline()) for process in processes]

    def wait_until(is_seen):
        """A second, and more where the machine is busy with other tests."""
        time.sleep(1.0)
        deadline = time.monotonic() + 20
        while not is_seen(ask(), ask()):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    before = ask()
    overrides = Overrides(folder)
    (task,) = tasks
    made = overrides.set(task, 0.001, author="anna")
    wait_until(lambda one, other: all(now > then for now, then in zip(other, one, strict=True)))
    overrides.rollback(task, author="anna", after=made.id)
    wait_until(lambda one, other: one == other)
    after = ask()
    for process in processes:
        process.communicate(timeout=20)
    overrides.close()

    assert sum(before) <= 2
    assert all(now > then for now, then in zip(after, before, strict=True))
