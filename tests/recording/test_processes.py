"""Recording in real processes: many at once, forked, killed, on a full disk and in a folder that is read-only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from holdfast.recording import attendant
from holdfast.recording.store import Reader
from tests.children import in_child
from tests.waiting import until

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
PROGRAM = """
import sys, time
from holdfast import CachePolicy, DiskCache, resilient
from holdfast.cache import _folder, _table
from holdfast.recording import store

# On a busy machine a disk, or whoever makes the cache, may take longer than is waited for them, and this is not about that.
_folder.PATIENCE = _table.BUSY_TIMEOUT = store.BUSY_TIMEOUT = 10.0

@resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=DiskCache(sys.argv[1]))
def fetch(number: int) -> int:
    return number
"""


def start(folder, code):
    """A process that runs the program and then ``code``."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM + code, folder], stdout=subprocess.PIPE, text=True)


def gets(folder):
    """How many were counted, by task."""
    reader = Reader(folder / "recording.db")
    found = {task: sum(counts.gets for _, counts in reader.counts(task, 0)) for task in reader.tasks()}
    reader.close()
    return found


def test_many_processes_lose_nothing(tmp_path):
    """Four processes that record a few calls and end: what waited is written at exit."""
    folder = tmp_path / "cache"
    processes = [start(folder, "for number in range(300): fetch(number % 50)\n") for _ in range(4)]

    for process in processes:
        process.communicate(timeout=60)

    assert [0] * 4 == [process.returncode for process in processes]
    assert [1200] == list(gets(folder).values())


SHORT = """
import sys
from holdfast import CachePolicy, DiskCache, resilient

def main():
    cache = DiskCache(sys.argv[1])
    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def fetch(number):
        return number
    fetch(1), fetch(1), fetch(2)
    %s

main()
"""


@pytest.mark.parametrize("end", ["pass", "cache.close()", "del cache, fetch; __import__('gc').collect()"])
def test_a_cache_that_is_gone_before_its_process_ends(tmp_path, end):
    """A program of a tenth of a second, whose cache belongs to a function, is recorded like any other."""
    folder = tmp_path / "cache"

    done = subprocess.run([sys.executable, "-c", SHORT % end, folder], capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert [3] == list(gets(folder).values())


def test_a_killed_process_loses_a_second_at_most(tmp_path):
    """What is older than the last look of the thread is on disk, and the cache is whole."""
    folder = tmp_path / "cache"
    process = start(folder, "fetch(1); fetch(2); print(flush=True); time.sleep(60)\n")
    process.stdout.readline()
    until(lambda: (folder / "recording.db").exists() and [2] == list(gets(folder).values()))  # its thread may look between the two calls
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    (number,) = gets(folder).values()

    assert 2 == number


@FORKS
def test_a_child_writes_its_own_calls_once(fetch, cache, evidence):
    """What the parent has not written yet at a fork is the parent's, and the child's thread is its own."""
    fetch("Oslo")

    def call():
        fetch("Lima")
        fetch("Oslo")
        cache.witness.look()
        return True

    assert 0 == in_child(call)
    assert 3 == evidence().counts().gets
    assert 3 == len(evidence().times())


@FORKS
@pytest.mark.usefixtures("recorders_thread")
def test_forks_beside_calls_do_no_harm(fetch, cache, evidence):
    """The thread stands still around a fork, so no child inherits half of what it does."""

    def again():
        fetch(str(number))
        cache.witness.look()
        return True

    for number in range(10):
        fetch(str(number))
        assert 0 == in_child(again)

    assert 20 == evidence().counts().gets


@FORKS
def test_what_a_dropped_cache_left_is_the_parents_to_write(tmp_path):
    """Whoever forks just after the last call on a cache finds each call once."""
    folder = tmp_path / "cache"
    end = "del cache, fetch; __import__('gc').collect(); import os; pid = os.fork(); pid and os.waitpid(pid, 0)"

    done = subprocess.run([sys.executable, "-c", SHORT % end, folder], capture_output=True, text=True, timeout=60, check=False)

    assert 0 == done.returncode, done.stderr
    assert [3] == list(gets(folder).values())


@FORKS
@pytest.mark.usefixtures("recorders_thread")
def test_the_parent_goes_on_writing_after_a_fork(fetch, cache):
    """Its thread was stopped for it, and begins again without being asked."""
    fetch("Oslo")
    assert 0 == in_child(lambda: True)
    fetch("Lima")

    until(lambda: (cache.path / "recording.db").exists() and [2] == list(gets(cache.path).values()))


def test_a_fork_waits_for_what_the_thread_is_writing(monkeypatch):
    """Else its child would inherit half of that."""
    monkeypatch.setattr(attendant, "PERIOD", 0.001)
    monkeypatch.setattr(attendant, "_PATIENCE", 60.0)
    watch, written = attendant._Watch(), []

    def write():
        is_asked.set()
        until(watch._stopping.is_set)
        written.append("whole")

    is_asked = threading.Event()
    monkeypatch.setattr(attendant, "look_at_all", write)
    watch.start()
    assert is_asked.wait(60)
    watch.stop()

    assert ["whole"] == written
    assert watch._thread is None


def test_a_full_disk_is_no_error(small_disk, fetch, monkeypatch, notes):
    """Calls go on; with room again, recording does."""
    from holdfast import CachePolicy, DiskCache, resilient

    cache = DiskCache(small_disk / "cache")

    @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
    def echo(number: int) -> int:
        return number

    echo(0)
    with (small_disk / "ballast").open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    answers = [echo(number) for number in range(5)]
    cache.witness.look()
    (small_disk / "ballast").unlink()
    cache.witness.recorder._rest_until = 0.0
    cache.witness.look()

    assert [0, 1, 2, 3, 4] == answers
    assert "holdfast.recording.failed" in {note.event for note in notes}
    assert [6] == list(gets(cache.path).values())
    cache.close()


@pytest.mark.usefixtures("recorders_thread")
def test_the_thread_writes_without_being_asked(fetch, cache):
    """Within two seconds everything is on disk, while the process lives."""
    fetch("Oslo")
    until(lambda: (cache.path / "recording.db").exists() and gets(cache.path))

    assert [1] == list(gets(cache.path).values())
