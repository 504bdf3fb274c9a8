"""A cache among processes that are killed, fork, disagree, and have its folder deleted: nothing raised, nothing wrong served, nothing broken left behind."""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time

import pytest

from holdfast import CachePolicy, DiskCache, resilient
from holdfast.cache import _keeper, _sweep
from holdfast.runtime import behind
from tests.cache.test_processes import FORKS
from tests.children import in_child
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # forking beside threads is what is tested

BUSY = r"""
import os, random, threading
from holdfast import CachePolicy, resilient
cache = DiskCache(sys.argv[1], size_limit=1 << 19)

def value_of(n): return [n, "x" * (n * 37 % 5000)]

fetch = resilient(name="fetch", cache=cache, cache_policy=CachePolicy(ttl=0.2, stale_while_revalidate=0.2, version="1", tags=("all",)))(value_of)

def work(seed):
    chance = random.Random(seed)
    done = 0
    while True:
        n, what = chance.randrange(150), chance.random()
        if fetch(n) != value_of(n): os.write(1, b"wrong value\n")
        try:
            if what < 0.02: cache.invalidate("all")
            elif what < 0.04: fetch.forget(n)
            elif what < 0.05: cache.purge(tag="all")
            elif what < 0.10: fetch.why_miss(n)
        except Exception as error:
            if "locked" not in str(error): os.write(1, f"raised {error!r}\n".encode())
        done += 1
        if done == 30: os.write(1, b"at work\n")

for each in range(3): threading.Thread(target=work, args=(os.getpid() * 10 + each,), daemon=True).start()
threading.Event().wait()
"""


def test_writers_are_killed_again_and_again(other_process, open_cache, sql, codec):
    """With leases, tags, marks, fates and sweeps under way: the others go on, and what is left is whole."""
    chance, said, writers = random.Random(3), [], [other_process(BUSY) for _ in range(2)]
    for number in range(6):
        victim = writers[number % 2]
        while "at work" not in (line := victim.stdout.readline()):
            assert line, victim.stderr.read()
            said.append(line)
        time.sleep(chance.uniform(0, 0.05))
        victim.kill()
        said += victim.stdout.readlines()
        writers[number % 2] = other_process(BUSY)
    for writer in writers:
        writer.kill()
        said += writer.stdout.readlines()
        writer.wait()  # its end of the pipe closes before its locks are dropped

    assert [] == [line for line in said if "wrong" in line or "raised" in line]
    assert {"None", "locked"} >= set(re.findall(r"note: (\w+)", "".join(said)))
    assert [("ok",)] == sql("PRAGMA integrity_check")
    cache = open_cache(size_limit=1 << 19)
    assert all(cache.lease(info.key).take() for info in list(cache.entries())[:20])  # no dead process holds one
    assert cache.stats().bytes < 1 << 20


def test_the_folder_is_deleted_under_processes_at_work(other_process, folder, open_cache, codec, key):
    """Again and again; they go on, and the cache that is there in the end is one that all of them share."""
    workers = [other_process(BUSY) for _ in range(2)]
    for worker in workers:
        worker.stdout.readline()
    for _ in range(15):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.03)
    said = []
    for worker in workers:
        worker.kill()
        said += worker.stdout.readlines()
        worker.wait()  # its end of the pipe closes before its locks are dropped

    assert [] == [line for line in said if "wrong" in line or ("raised" in line and "StoreError" not in line)]
    assert open_cache().set(key, 1, codec, ttl=60) is not None


FORGETTING = """
print(cache.get(key_of(sys.argv[2]), codec) is not None, cache.delete(key_of(sys.argv[2])))
"""


def test_the_file_that_tells_of_changes_is_deleted(open_cache, folder, in_other_process, codec, new_key):
    """As while a folder is deleted file by file, and its database made anew meanwhile: what one process forgets, no other serves."""
    cache = open_cache()
    key = new_key("a")
    cache.set(key, 1, codec, ttl=60)
    (folder / "generations").unlink()
    assert cache.set(key, 2, codec, ttl=60) is not None

    assert ["True True"] == in_other_process(FORGETTING, "a")
    assert None is cache.get(key, codec)


VERSIONS = """
from holdfast import CachePolicy, resilient
name, policy = sys.argv[2], {
    "new": CachePolicy(ttl="1h", negative_ttl="1h", tags=("new",), stale_if_error="1d", ttl_jitter=0.5, version="1"),
    "old": CachePolicy(ttl=0.000001, version="1"),
    "kept": CachePolicy(ttl="1h", version="1"),
}[sys.argv[2]]

@resilient(name="fetch", cache=cache, cache_policy=policy, retry_policy=[])
def fetch(n):
    if name == "new" and n == 1: raise LookupError("remembered")
    return name

for n in (0, 1):
    try: print(fetch(n))
    except LookupError as error: print(error)
"""


def test_versions_of_a_policy(in_other_process):
    """Each judges by its own what another has stored, as during a deployment: longer or shorter, with or without failures that are remembered."""
    assert ["new", "remembered"] == in_other_process(VERSIONS, "new")
    assert ["new", "kept"] == in_other_process(VERSIONS, "kept")  # which does not remember failures
    assert ["new", "kept"] == in_other_process(VERSIONS, "new")
    assert ["old", "old"] == in_other_process(VERSIONS, "old")  # for which all of that is too old
    assert ["old", "old"] == in_other_process(VERSIONS, "new")


def test_two_caches_of_one_folder_in_one_process(open_cache, folder):
    """A key is computed once for both; and closing one takes nothing from the other."""
    here, there = open_cache(), open_cache()
    begun, may_end, computed = threading.Event(), threading.Event(), []

    def fetch(n):
        computed.append(n)
        begun.set()
        assert may_end.wait(30)
        return len(computed)

    first, second = (resilient(cache=cache, cache_policy=CachePolicy(ttl=60, version="1"))(fetch) for cache in (here, there))
    answers = []
    threads = [threading.Thread(target=lambda each=each: answers.append(each(1))) for each in (first, second)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    open_cache().close()
    DiskCache(folder).close()
    time.sleep(0.05)  # it would have begun to compute by now
    may_end.set()
    for thread in threads:
        thread.join(30)

    assert ([1, 1], [1]) == (answers, computed)


@FORKS
def test_forks_while_a_refresh_a_lease_and_a_sweep_are_under_way(open_cache, monkeypatch):
    """A child uses the same cache at once, and neither shares its parent's leases nor frees them."""
    cache, gate, parent, begun = open_cache(), threading.Event(), os.getpid(), set()
    gate.set()

    @resilient(cache=cache, cache_policy=CachePolicy(ttl=0.05, stale_while_revalidate=60, version="1", tags=("t",)))
    def fetch(n):
        begun.add(n)
        assert os.getpid() != parent or gate.wait(60)
        return n

    for n in range(300):
        fetch(n)
    monkeypatch.setattr(_sweep, "BATCH", 1)
    time.sleep(0.06)
    gate.clear()
    assert [0, 1] == [fetch(0), fetch(1)]  # old; their renewals hang, with a lease each
    until(lambda: len(behind._under_way) == 2)
    waiting = threading.Thread(target=fetch, args=(1000,))  # and so does a computation that somebody waits for
    waiting.start()
    until(lambda: 1000 in begun)
    cache.invalidate("other")
    cache.invalidate("t")  # the sweep goes row by row

    def work():
        started = time.monotonic()
        # For 0, 1 and 1000 it would wait, as their leases are its parent's.
        answers = [fetch(2), fetch.options(cache="bypass")(1000), fetch(3)]
        cache.invalidate("t")
        is_taken = cache.lease(fetch.key(1000)).take()
        return answers == [2, 1000, 3] and not is_taken and time.monotonic() - started < 10

    try:
        for _ in range(4):
            assert 0 == in_child(work)
    finally:
        gate.set()
        waiting.join(60)
    until(lambda: not behind._under_way)
    assert [0, 1, 2] == [fetch(n) for n in range(3)]


@FORKS
def test_a_child_of_a_fork_amid_an_opening_does_without_the_disk(open_cache, codec, new_key, monkeypatch):
    """Another thread's connection, half open, may have come along: what memory and the disk have is not looked at there, and nothing is raised."""
    cache, key = open_cache(), new_key("k")
    cache.set(key, 1, codec, ttl=60)
    monkeypatch.setattr(_keeper, "FORK_PATIENCE", 0.0)

    def use():
        return (None, None) == (cache.get(key, codec), cache.set(key, 2, codec, ttl=60))

    with cache._lock:
        assert 0 == in_child(use)

    assert 1 == cache.get(key, codec).value
