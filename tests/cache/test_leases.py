"""Leases: one holder for each key among all files open on it, what a waiter sees of it, and what a fork leaves."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cache import _leases
from holdfast.cache._leases import Lease, Leases
from holdfast.typing import CacheKey
from tests.waiting import until


@pytest.fixture
def no_heart(monkeypatch):
    """Nobody stamps but the test: the thread of the process, which other tests' leases keep going, may do so at any moment."""
    monkeypatch.setattr(_leases.Pulse, "add", lambda self, lease: None)


@pytest.fixture
def now(monkeypatch, no_heart):
    """The monotonic time that waiters see; the test moves it."""
    time = [1000.0]
    monkeypatch.setattr(_leases.time, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def open_leases(tmp_path):
    """Opens the lease files as another process would."""
    opened = []

    def open_them():
        opened.append(Leases(tmp_path / "leases"))
        return opened[-1]

    yield open_them
    for each in opened:
        each.close()


def lease(leases, key, *, has_news=False):
    """A lease of a key."""
    return Lease(*leases.place_of(key), lambda: has_news)


def test_one_at_a_time(open_leases, key):
    """The next can take what the first has given back."""
    first, second = lease(open_leases(), key), lease(open_leases(), key)

    assert [True, False] == [first.take(), second.take()]
    first.release()
    assert second.take()


def test_keys_do_not_share_a_lease(open_leases, new_key):
    """Nor does the same call of another function, which has the same digest."""
    here, there = open_leases(), open_leases()
    keys = [new_key("a"), new_key("b"), new_key("a", "app.other@1"), new_key("a", "app.fetch@2")]

    assert all(lease(leases, key).take() for leases, key in zip([here, there] * 2, keys, strict=True))


@given(st.binary(min_size=16, max_size=16), st.text(max_size=20))
def test_places_are_where_a_lock_can_be(digest, namespace):
    """Behind the stamps, below what the kernel counts to, and with room for all ranks."""
    leases = Leases.__new__(Leases)
    leases._files = list(range(_leases.PARTS))
    _, place = leases.place_of(CacheKey(namespace, digest))

    assert _leases._FIRST <= place < 2**62
    assert 0 == (place - _leases._FIRST) % _leases.RANKS


def test_what_is_not_held_is_not_given_back(open_leases, key):
    """Whoever waits does not free the holder's."""
    first, second, third = (lease(open_leases(), key) for _ in range(3))
    first.take()
    second.take()
    second.release()

    assert not third.take()


def test_closing_frees(open_leases, key):
    """And a lease of what is closed has nobody to wait for."""
    here, there = open_leases(), open_leases()
    mine, theirs = lease(here, key), lease(there, key)
    assert mine.take()
    here.close()

    assert theirs.take()
    assert mine.take()
    mine.release()


def test_a_holder_without_sign_of_life_is_passed_by(open_leases, key, now):
    """After `EXPIRY`; who passes by excludes those that do likewise."""
    stopped, second, third = (lease(open_leases(), key) for _ in range(3))
    stopped.take()
    assert [False, False] == [second.take(), third.take()]
    now[0] += _leases.EXPIRY

    assert [False, False] == [second.take(), third.take()]  # each steps to the next byte
    assert [True, False] == [second.take(), third.take()]


def test_a_holder_that_shows_it_is_alive_is_waited_for(open_leases, key, now):
    """However long it takes."""
    holder, waiting = lease(open_leases(), key), lease(open_leases(), key)
    holder.take()
    for _ in range(100):
        now[0] += _leases.EXPIRY / 2
        holder.beat()
        assert not waiting.take()


def test_many_that_are_stopped_are_not_waited_for_one_by_one(open_leases, key, now):
    """After a few of them the caller computes without a lease."""
    waiting = lease(open_leases(), key)
    stopped = []
    while True:
        stopped.append(lease(open_leases(), key))
        stopped[-1]._place = waiting._place
        assert stopped[-1].take()
        if waiting.take():
            break
        now[0] += _leases.EXPIRY
        waiting.take()  # steps to the next byte

    assert _leases.RANKS == len(stopped)
    assert not waiting._is_held


def test_who_sees_others_fail_in_vain_does_not_wait_for_more(open_leases, key, now):
    """Two came and went; the third is not waited for."""
    waiting = lease(open_leases(), key)
    seen = []
    for _ in range(1 + _leases.IN_VAIN):
        holder = lease(open_leases(), key)
        holder.take()
        holder.beat()
        seen.append(waiting.take())
        holder.release()

    assert [False] * _leases.IN_VAIN + [True] == seen


def test_a_stamp_of_another_key_is_none(open_leases, key):
    """Keys share the room for stamps: what is there of another is no sign of life, nor of change."""
    file, place = open_leases().place_of(key)
    file.stamp(place, 7)
    assert 7 == file.stamp_of(place)
    file.stamp(place + _leases._STAMPS, 8)

    assert file.stamp_of(place) is None


def test_leases_that_last_are_stamped(open_leases, key, monkeypatch):
    """By a thread of the process, which goes when there is nothing left to do."""
    monkeypatch.setattr(_leases, "BEAT", 0.001)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())
    beaten = threading.Semaphore(0)
    held = lease(open_leases(), key)
    monkeypatch.setattr(Lease, "beat", lambda self: beaten.release())
    held.take()
    for _ in range(3):
        assert beaten.acquire(timeout=30)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "holdfast-leases" and thread.is_alive()][-1:]
    held.release()
    thread.join(30)

    assert not thread.is_alive()


def test_a_full_disk_stops_no_heart(open_leases, new_key, monkeypatch):
    """A stamp that cannot be written is not; the thread goes on with the others."""
    monkeypatch.setattr(_leases, "BEAT", 0.001)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())
    beaten = threading.Semaphore(0)

    def fail(_):
        beaten.release()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Lease, "beat", fail)
    held = lease(open_leases(), new_key("a"))
    held.take()
    for _ in range(3):
        assert beaten.acquire(timeout=30)
    held.release()


def test_locks_of_the_process_where_there_are_no_others(open_leases, key, monkeypatch, in_other_process, folder):
    """As on macOS: other processes are excluded, too."""
    monkeypatch.setattr(_leases, "_HAS_OFD", False)
    assert lease(Leases(_made(folder) / "leases"), key).take()

    code = """
from holdfast.cache import _leases
_leases._HAS_OFD = False
print(cache.get(key_of("k"), codec), cache.lease(key_of("k")).take())
"""
    assert ["None False"] == in_other_process(code)


def _made(folder):
    folder.mkdir(mode=0o700)
    return folder


def test_a_lease_knows_whether_somebody_has_stored(open_cache, codec, key):
    """Since it was last looked for: then it must be looked for again, and else need not."""
    here, there = open_cache(), open_cache()
    here.get(key, codec)
    assert not here.lease(key).has_news()
    assert here.lease(key).has_news()  # nobody has looked before this one

    here.get(key, codec)
    mine = here.lease(key)
    there.set(key, 1, codec, ttl=60)
    assert mine.has_news()


def test_a_lease_of_what_is_held_in_memory_knows_it_too(open_cache, codec, key):
    """An expired entry, for one."""
    here, there = open_cache(), open_cache()
    here.set(key, 1, codec, ttl=60)
    mine = here.lease(key)
    assert not mine.has_news()
    there.set(key, 2, codec, ttl=60)

    assert mine.has_news()


def test_no_lease_without_a_store(tmp_path, open_cache, codec, key):
    """Trouble never keeps a call from computing."""
    (tmp_path / "file").write_text("mine")
    cache = open_cache(tmp_path / "file")
    cache.get(key, codec)

    assert cache.lease(key) is None


def test_few_misses_are_remembered(open_cache, codec, new_key, monkeypatch):
    """Those that nobody computes do not fill the memory."""
    monkeypatch.setattr("holdfast.cache.disk.MOST_MISSED", 3)
    cache = open_cache()
    for n in range(10):
        cache.get(new_key(str(n)), codec)

    assert len(cache._missed) <= 3


def test_who_takes_a_lease_does_not_wait_for_a_stamp(open_leases, new_key, monkeypatch):
    """Which may take as long as the disk does; it may be an event loop that takes."""
    monkeypatch.setattr(_leases, "BEAT", 0.001)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())
    writing, may_go_on = threading.Event(), threading.Event()

    def pwrite(*_):
        writing.set()
        return may_go_on.wait(30)

    monkeypatch.setattr(_leases.os, "pwrite", pwrite)
    leases = open_leases()
    held = lease(leases, new_key("a"))
    assert held.take()
    assert writing.wait(30)
    others = [lease(leases, new_key(str(n))) for n in range(2 * _leases.PARTS)]

    assert all(each.take() for each in others)
    for each in (held, *others):
        each.release()
    may_go_on.set()


@pytest.mark.usefixtures("no_heart")
def test_what_was_given_back_is_not_stamped(open_leases, key):
    """The next holder's sign of life would be taken for the end of its computation."""
    leases = open_leases()
    file, place = leases.place_of(key)
    held = lease(leases, key)
    held.take()
    held.release()
    held.beat()

    assert file.stamp_of(place) is None


def test_no_other_descriptor_frees_it(open_leases, key, tmp_path):
    """Of two caches in one process one is closed, or somebody looks into the file: with the locks of a process, all would be gone."""
    mine = lease(open_leases(), key)
    assert mine.take()
    for path in (tmp_path / "leases").iterdir():
        path.read_bytes()
    open_leases().close()

    assert not lease(open_leases(), key).take()


def test_the_thread_that_stamps_comes_back(open_leases, new_key, monkeypatch):
    """With the next lease, after it has gone for want of any."""
    monkeypatch.setattr(_leases, "BEAT", 0.001)
    monkeypatch.setattr(_leases, "_pulse", _leases.Pulse())
    beaten = threading.Semaphore(0)
    monkeypatch.setattr(Lease, "beat", lambda self: beaten.release())
    for name in "ab":
        held = lease(open_leases(), new_key(name))
        held.take()
        assert beaten.acquire(timeout=30)
        held.release()
        until(lambda: not _leases._pulse._has_thread)
        while beaten.acquire(blocking=False):
            pass


def test_a_forked_child_lets_go_of_all_files(open_leases, new_key):
    """What was inherited would hold the parent's bytes when the parent is dead."""
    inherited, keys = open_leases(), [new_key(str(n)) for n in range(4 * _leases.PARTS)]
    assert all(lease(inherited, each).take() for each in keys)
    inherited.after_fork_in_child()
    other = open_leases()

    assert all(lease(other, each).take() for each in keys)
    file, place = inherited.place_of(keys[0])
    assert file.stamp_of(place) is None
