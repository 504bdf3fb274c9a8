"""What makes room: behind the callers' backs, counted and told, and harmless whenever it is stopped."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from holdfast import events
from holdfast.cache import _rows, _sweep
from holdfast.cache.memory import InMemoryCache
from tests.waiting import until

SMALL = 1 << 17


def fill(cache, codec, new_key, number=100):
    """Write several times what a small cache holds."""
    for n in range(number):
        cache.set(new_key(str(n)), "x" * 5000, codec, ttl=60)


def test_eviction_is_told_with_its_counts(open_cache, codec, new_key, notes, swept):
    """How many entries and bytes went, and how old they were; the sums are in the statistics, also of a later process."""
    cache = open_cache(size_limit=SMALL)
    fill(cache, codec, new_key)
    swept()
    told = [note for note in notes if note.event == "holdfast.cache.evicted"]
    stats = cache.stats()

    assert {events.INFO} == {note.level for note in told}
    assert (stats.evicted, stats.evicted_bytes) == (
        sum(note.fields["entries"] for note in told),
        sum(note.fields["bytes"] for note in told),
    )
    assert 100 == stats.entries + stats.evicted
    cache.close()
    assert stats.evicted == open_cache().stats().evicted


def test_what_is_evicted_from_memory_is_counted(codec, new_key):
    """With its bytes."""
    cache = InMemoryCache(max_entries=2)
    sizes = [cache.set(new_key(str(n)), "x" * n, codec, ttl=60) for n in range(5)]

    assert (2, 3, sum(sizes[:3])) == (cache.stats().entries, *cache.stats()[3:])


def test_no_caller_makes_room(open_cache, codec, new_key, swept, monkeypatch):
    """A thread does, that ends with it."""
    threads = []
    sweep = _sweep.sweep
    monkeypatch.setattr(_rows, "sweep", lambda *args: (threads.append(threading.current_thread()), sweep(*args))[1])
    fill(open_cache(size_limit=SMALL), codec, new_key)
    swept()

    assert {"holdfast-sweep"} == {thread.name for thread in threads}
    assert not any(thread.is_alive() for thread in threads)


def test_a_program_that_ends_leaves_no_more_than_its_limit(in_other_process, open_cache):
    """Also one that writes in its very last moment, when no thread can be begun any more."""
    in_other_process(f"""
import atexit
cache = DiskCache(sys.argv[1], size_limit={SMALL})
def fill(more=""):
    for n in range(100): cache.set(key_of(str(n) + more), "x" * 5000, codec, ttl=60)
fill()
atexit.register(fill, "more")
""")

    assert open_cache().stats().bytes < SMALL * 1.5


def test_trouble_while_making_room_is_told(open_cache, codec, new_key, reasons, monkeypatch, swept):
    """It fails no call, and a lock is nothing to speak of: the next one tries again."""
    cache = open_cache(size_limit=SMALL)
    cache.get(new_key("a"), codec)
    for reason in ("locked", "full"):

        def fail(*_, reason=reason):
            raise _rows.Trouble(reason, "no")

        monkeypatch.setattr(_rows, "sweep", fail)
        fill(cache, codec, new_key, 10)
        swept()

    assert ["full"] == reasons()


@pytest.fixture
def endless(open_cache, codec, new_key, monkeypatch):
    """A cache on a thread that writes to it, whose sweep finds something to remove for as long as it is asked; the batches it has made."""
    batches, begun = [], threading.Event()

    def sweep(table, _):
        batches.append(table)
        begun.set()
        time.sleep(0.01)  # at work without the interpreter's lock, as SQLite is
        return _sweep.Swept("expired", 1, 1, 0.0, Counter())

    cache = open_cache(size_limit=SMALL)
    monkeypatch.setattr(_rows, "sweep", sweep)
    writing = threading.Thread(target=fill, args=(cache, codec, new_key, 2))
    writing.start()
    assert begun.wait(30)
    yield cache, batches, writing
    cache.close()
    writing.join(30)


def test_closing_ends_a_sweep(endless, swept):
    """After the batch that is under way: nothing opens the files again."""
    cache, _, writing = endless
    writing.join(30)
    cache.close()

    swept()  # else it waits for ever
    assert not [thread for thread in threading.enumerate() if thread.name == "holdfast-sweep"]


def test_a_writer_waits_for_a_batch_and_not_for_a_sweep(endless):
    """A thread that gives a lock back and takes it at once lets nobody else have it."""
    _, batches, writing = endless
    writing.join(30)
    number = len(batches)

    assert not writing.is_alive()
    until(lambda: len(batches) > number)


@pytest.mark.parametrize("after_s", [n / 50 for n in range(12)])
def test_a_process_killed_while_it_makes_room(other_process, open_cache, codec, new_key, reasons, after_s):
    """Whenever that is, what is there is whole, and the next process goes on."""
    writer = other_process(f"""
cache = DiskCache(sys.argv[1], size_limit={SMALL})
cache.invalidate("never")
print("begins", flush=True)
for n in range(10**9): cache.set(key_of(str(n % 300)), [n % 300] * 800, codec, ttl=60, tags=("t",))
""")
    assert "begins\n" == writer.stdout.readline()
    time.sleep(after_s)  # the kill shall come at another point of the work each time
    writer.kill()
    writer.wait()
    cache = open_cache(size_limit=SMALL)

    for n in range(300):
        entry = cache.get(new_key(str(n)), codec)
        assert entry is None or [n] * 800 == entry.value
    assert cache.set(new_key("after"), 1, codec, ttl=60) is not None
    assert [] == reasons()
    assert cache.stats().bytes < 2 * SMALL


def test_invalidating_takes_no_time_for_many(cache, codec, new_key, swept):
    """What has the tag is gone at once; what has not, and what is stored afterwards, is there."""
    for n in range(50):
        cache.set(new_key(f"t{n}"), n, codec, ttl=60, tags=("odd" if n % 2 else "even", "all\nof%them"))
    cache.set(new_key("plain"), 1, codec, ttl=60)
    cache.invalidate("odd", "other")
    cache.set(new_key("t7"), 70, codec, ttl=60, tags=("odd",))

    found = {n: cache.get(new_key(f"t{n}"), codec) for n in range(50)}
    assert {7, *range(0, 50, 2)} == {n for n, entry in found.items() if entry is not None}
    assert 70 == found[7].value
    assert cache.get(new_key("plain"), codec) is not None
    cache.invalidate("all\nof%them")
    assert [7] == [n for n in range(50) if cache.get(new_key(f"t{n}"), codec) is not None]


def test_a_row_that_is_swept_while_it_is_read_is_not_served(open_cache, codec, key, monkeypatch, swept):
    """Its mark goes with it; whoever looked for the row before and for the mark afterwards would take it for valid."""
    cache = open_cache(memory_entries=0)
    cache.set(key, 1, codec, ttl=60, tags=("t",))
    rows = cache._store._rows
    monkeypatch.setattr(rows, "_request_sweep", lambda: None)
    cache.invalidate("t")
    unless_invalid = rows._unless_invalid

    def interrupted(name):
        rows._sweep()
        return unless_invalid(name)

    monkeypatch.setattr(rows, "_unless_invalid", interrupted)

    assert cache.get(key, codec) is None


def test_room_of_what_was_invalidated_is_given_back(open_cache, sql, codec, new_key, swept):
    """And then the mark goes, but its number is never used again."""
    cache = open_cache(memory_entries=0)
    for n in range(20):
        cache.set(new_key(str(n)), n, codec, ttl=60, tags=("t",))
    cache.invalidate("t")
    swept()

    assert [(0,)] == sql("SELECT count(*) FROM Cache")
    assert [] == sql("SELECT * FROM HoldfastMark")
    cache.set(new_key("a"), 1, codec, ttl=60, tags=("t",))
    cache.invalidate("t")
    assert cache.get(new_key("a"), codec) is None


def test_other_processes_see_it_at_once(open_cache, codec, key):
    """In memory, too."""
    here, there = open_cache(), open_cache()
    here.set(key, 1, codec, ttl=60, tags=("t",))
    assert ("disk", "memory") == (there.get(key, codec).tier, there.get(key, codec).tier)
    here.invalidate("t")

    assert there.peek(key, codec) is None
    assert there.get(key, codec) is None


def test_no_clock_is_asked(open_cache, codec, key, monkeypatch):
    """What is stored after an invalidation is valid, though the clock was set back by a day in between."""
    cache = open_cache()
    cache.invalidate("t")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    cache.set(key, 1, codec, ttl=None, tags=("t",))

    assert 1 == open_cache().get(key, codec).value


@pytest.mark.parametrize("tags", [(), ("",), (1,)])
def test_what_is_no_tag(cache, tags):
    """It is refused."""
    with pytest.raises(ValueError, match="give tags, which are texts"):
        cache.invalidate(*tags)


def test_rows_of_an_older_holdfast_are_served_and_invalidated(open_cache, sql, codec, key):
    """Their tags have no number before them."""
    before = open_cache()
    before.set(key, 1, codec, ttl=60, tags=("t",))
    before.close()
    sql("UPDATE Cache SET tag = ltrim(tag, '0')")
    for table in ("HoldfastMark", "HoldfastFate", "HoldfastCount"):
        sql(f"DROP TABLE {table}")
    cache = open_cache(memory_entries=0)

    assert 1 == cache.get(key, codec).value
    assert [("t",)] == [info.tags for info in cache.entries()]
    cache.invalidate("t")
    assert cache.get(key, codec) is None
