"""DiskCache: its two tiers, and how processes see each other's changes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from holdfast.cache import _store
from holdfast.cache.disk import DiskCache
from holdfast.errors import NotSerializable, PolicyError


def test_nothing_is_opened_before_it_is_used(open_cache, folder, codec, key):
    """Making a cache, and looking in its memory, touches no file."""
    cache = open_cache()

    assert cache.peek(key, codec) is None
    assert not folder.exists()


@pytest.mark.parametrize("path", ["", b"", 3, "a\0b", Path])
def test_what_names_no_folder_is_refused(path):
    """An empty text, from a variable that is not set, say, does not mean the current folder."""
    with pytest.raises(PolicyError, match=r"path=.*DiskCache\('my-cache'\)"):
        DiskCache(path)


@pytest.mark.parametrize("as_given", [str, os.fsencode, Path])
def test_a_folder_may_be_given_as_any_kind_of_path(as_given, tmp_path):
    """As `open` takes them."""
    assert tmp_path == DiskCache(as_given(tmp_path)).path


def test_entries_outlive_the_cache(open_cache, codec, key):
    """Another cache in the same folder, as after a restart, finds them."""
    first = open_cache()
    first.set(key, {"a": 1}, codec, ttl=60, origin=("ab" * 16, "cd" * 8))
    first.close()

    assert ({"a": 1}, "disk", "ab" * 16, "cd" * 8) == tuple(open_cache().get(key, codec)[i] for i in (0, 4, 6, 7))


def test_closing_gives_the_memory_back(open_cache, codec, key):
    """What the memory tier holds is of no use until the cache is opened again, and of little then."""
    cache = open_cache()
    cache.set(key, "x" * 1000, codec, ttl=60)
    cache.close()

    assert (0, 0) == (len(cache._memory), cache._memory.bytes)


def test_a_stored_value_is_in_memory_at_once(open_cache, codec, key):
    """Whoever waited for the computation finds it without touching the disk."""
    cache = open_cache()
    cache.set(key, [1], codec, ttl=60)

    assert ("memory", [1]) == (cache.peek(key, codec).tier, cache.peek(key, codec).value)


def test_a_value_read_from_disk_is_then_in_memory(open_cache, codec, key):
    """The second look is a hit of the upper tier."""
    open_cache().set(key, [1], codec, ttl=60)
    cache = open_cache()

    assert ["disk", "memory"] == [cache.get(key, codec).tier for _ in range(2)]


def test_without_memory_all_is_read_from_disk(disk, codec, key):
    """``memory_entries=0`` keeps nothing."""
    disk.set(key, 1, codec, ttl=60)

    assert ["disk", "disk"] == [disk.get(key, codec).tier for _ in range(2)]


def test_what_is_too_large_for_memory_is_on_disk(open_cache, codec, key):
    """No note: nothing is lost."""
    cache = open_cache(memory_bytes=1000)
    cache.set(key, "x" * 600, codec, ttl=60)

    assert cache.peek(key, codec) is None
    assert "x" * 600 == cache.get(key, codec).value


def test_a_value_over_the_largest_is_not_stored(open_cache, codec, key, reasons):
    """One value must not push out all others."""
    cache = open_cache(size_limit=1 << 20)

    assert cache.set(key, "x" * (1 << 18), codec, ttl=60) is None
    assert cache.get(key, codec) is None
    assert ["too_large"] == reasons()


def test_megabytes_come_back(disk, codec, key):
    """Large values stand in the row, whole."""
    value = bytes(range(256)) * 40_000
    disk.set(key, value, codec, ttl=60)

    assert value == disk.get(key, codec).value


def test_a_value_that_cannot_be_encoded_leaves_no_trace(open_cache, folder, codec, key):
    """It is refused before anything is opened."""
    with pytest.raises(NotSerializable):
        open_cache().set(key, object(), codec, ttl=60)

    assert not folder.exists()


def test_a_size_limit_without_room_is_refused(folder):
    """The database alone takes half of it."""
    with pytest.raises(PolicyError, match=r"size_limit=1000: give a whole number of at least 65536, e\.g\. size_limit=1 << 30"):
        DiskCache(folder, size_limit=1000)


def test_a_size_limit_in_words_is_refused(folder):
    """With the number to write."""
    with pytest.raises(PolicyError, match=r"size_limit='1GB': give a whole number of at least 65536, e\.g\. size_limit=1 << 30"):
        DiskCache(folder, size_limit="1GB")


def test_one_sees_what_another_wrote(open_cache, codec, key):
    """A value in one's memory is not served once another has stored a newer one."""
    here, there = open_cache(), open_cache()
    here.set(key, "old", codec, ttl=60)
    assert "old" == there.get(key, codec).value

    here.set(key, "new", codec, ttl=60)

    assert (None, "new") == (there.peek(key, codec), there.get(key, codec).value)


@pytest.mark.parametrize("purge", [{}, {"namespace": "app.fetch@1"}, {"namespace": "app.*"}, {"tag": "t"}])
def test_one_sees_what_another_purged(open_cache, codec, key, purge):
    """At the next look, without a restart."""
    here, there = open_cache(), open_cache()
    here.set(key, 1, codec, ttl=60, tags=("t",))
    assert 1 == there.get(key, codec).value

    assert 1 == here.purge(**purge)

    assert (None, None) == (there.get(key, codec), here.get(key, codec))


def test_one_sees_what_another_deleted(open_cache, codec, key):
    """A single entry, too."""
    here, there = open_cache(), open_cache()
    here.set(key, 1, codec, ttl=60)
    there.get(key, codec)

    assert here.delete(key)
    assert there.get(key, codec) is None


def test_a_write_does_not_disturb_other_keys_in_memory(open_cache, codec, new_key):
    """Only entries of the same bucket are looked up again."""
    here, there = open_cache(), open_cache()
    here.set(new_key("aa", "n"), 1, codec, ttl=60)
    other = new_key("a" * 16, "n")
    here.set(other, 2, codec, ttl=60)

    there.set(new_key("b", "n"), 3, codec, ttl=60)

    assert 2 == here.peek(other, codec).value


def test_a_value_that_another_replaced_meanwhile_is_not_kept(open_cache, codec, key, monkeypatch):
    """Between one's commit and one's note of it another may have stored or purged: then memory keeps nothing of ours."""
    here, there = open_cache(), open_cache()
    there.set(key, "warm", codec, ttl=60)
    bump = _store.Store._bump

    def interrupted(store, bucket):
        if store is here._store:
            there.set(key, "theirs", codec, ttl=60)
        return bump(store, bucket)

    here.get(key, codec)
    monkeypatch.setattr(_store.Store, "_bump", interrupted)
    here.set(key, "ours", codec, ttl=60)

    assert here.peek(key, codec) is None
    assert "theirs" == here.get(key, codec).value


def test_a_value_that_changes_while_it_is_read_is_read_again(open_cache, codec, key, monkeypatch):
    """What was read before somebody's write is served once, and not kept."""
    here, there = open_cache(), open_cache()
    there.set(key, "old", codec, ttl=60)
    read = _store.Rows.read

    def interrupted(rows, name):
        value = read(rows, name)
        monkeypatch.setattr(_store.Rows, "read", read)
        there.set(key, "new", codec, ttl=60)
        return value

    monkeypatch.setattr(_store.Rows, "read", interrupted)

    assert ["old", "new", "new"] == [here.get(key, codec).value for _ in range(3)]


def test_entries_of_another_version_are_skipped(disk, sql, codec, key):
    """A row whose name is not ours is nobody's entry."""
    disk.set(key, 1, codec, ttl=60)
    for name in (b"short", b"\xff" * 40, "text", 7, b"no nul before the digest"):
        sql("INSERT INTO Cache (key, raw, store_time, mode, value) VALUES (?, 1, 0, 1, x'00')", name)

    assert [key] == [info.key for info in disk.entries()]


def test_stats_count_entries_and_bytes(disk, folder, codec, new_key):
    """Where it is, how many there are, how large the database is."""
    for n in range(50):
        disk.set(new_key(str(n)), "x" * 1000, codec, ttl=60)
    stats = disk.stats()

    assert (folder, 50) == stats[:2]
    assert 50_000 < stats.bytes < 200_000


def test_the_size_limit_holds(open_cache, codec, new_key, swept):
    """What was stored longest ago goes first; large values after many small ones do not break the limit."""
    limit = 1 << 20
    cache = open_cache(size_limit=limit, memory_entries=0)
    for n in range(2000):
        cache.set(new_key(f"s{n}"), "x" * 100, codec, ttl=60)
    for n in range(100):
        cache.set(new_key(f"l{n}"), "x" * 50_000, codec, ttl=60)
    swept()

    assert cache.stats().bytes < limit * 1.2
    assert cache.get(new_key("s0"), codec) is None
    assert cache.get(new_key("l0"), codec) is None
    assert cache.get(new_key("l99"), codec) is not None


def test_entries_long_expired_are_swept(open_cache, sql, codec, new_key, swept):
    """They go before anything that may still be of use, and although there is room."""
    cache = open_cache(memory_entries=0)
    cache.set(new_key("old"), 1, codec, ttl=60)
    cache.set(new_key("kept"), 1, codec, ttl=None)
    sql("UPDATE Cache SET expire_time = 1 WHERE expire_time IS NOT NULL")

    cache.set(new_key("large"), b"x" * (1 << 20), codec, ttl=60)
    swept()

    assert [new_key("kept"), new_key("large")] == [info.key for info in cache.entries()]


def test_a_small_write_sweeps_nothing(disk, sql, codec, new_key, swept):
    """Removing is not the business of each single call."""
    disk.set(new_key("old"), 1, codec, ttl=60)
    sql("UPDATE Cache SET expire_time = 1")
    disk.set(new_key("new"), 1, codec, ttl=60)
    swept()

    assert 2 == disk.stats().entries


def test_room_is_given_back(disk, codec, new_key):
    """The file shrinks when entries go; otherwise a full cache would stay full, and evict all that is stored."""
    for n in range(50):
        disk.set(new_key(str(n)), "x" * 20_000, codec, ttl=60)
    full = disk.stats().bytes
    disk.purge()

    assert disk.stats().bytes < full / 5


def test_entries_stay_long_after_their_ttl(disk, sql, codec, key):
    """A ttl may be raised while entries are there: twice the ttl and a day."""
    disk.set(key, 1, codec, ttl=1000)

    ((kept_for,),) = sql("SELECT expire_time - store_time FROM Cache")
    assert 2 * 1000 + 86_400 == pytest.approx(kept_for)


def test_threads_share_one_cache(open_cache, codec, new_key):
    """Many threads at once: each finds what it stored, and nothing complains."""
    cache = open_cache(memory_entries=5)
    wrong = []

    def work(name):
        for n in range(40):
            cache.set(new_key(f"{name}{n}"), [name, n], codec, ttl=60)
            entry = cache.get(new_key(f"{name}{n}"), codec)
            if entry is None or entry.value != [name, n]:
                wrong.append((name, n))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    assert 320 == cache.stats().entries


def test_purging_many_takes_batches(disk, codec, new_key, monkeypatch):
    """More than one batch goes, and all of it is counted."""
    monkeypatch.setattr("holdfast.cache._rows.PURGE_ROWS", 10)
    for n in range(35):
        disk.set(new_key(str(n)), n, codec, ttl=60)

    assert 35 == disk.purge()
    assert 0 == disk.stats().entries


def test_the_folder_name_is_taken_as_it_is(tmp_path, monkeypatch, open_cache, codec, key):
    """Characters that shells, SQLite's URIs or diskcache would expand mean nothing."""
    monkeypatch.setenv("PLANTED", str(tmp_path / "elsewhere"))
    odd = tmp_path / "a $PLANTED ?mode=memory #%20 ü ~"
    open_cache(odd).set(key, 1, codec, ttl=60)

    assert 1 == open_cache(odd).get(key, codec).value
    assert [odd] == list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_the_log_is_bounded_with_the_database(open_cache, folder, codec, new_key, size):
    """Of a small cache the write-ahead log would be the larger part: all files together stay near the limit."""
    limit = 2_000_000
    cache = open_cache(size_limit=limit, memory_entries=0)
    most = 0
    for n in range(12_000_000 // size):
        cache.set(new_key(str(n)), b"x" * size, codec, ttl=60)
        most = max(most, sum(file.stat().st_size for file in folder.iterdir()))

    assert limit / 2 < most < 1.5 * limit
