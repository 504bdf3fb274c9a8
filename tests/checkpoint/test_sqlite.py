"""SqliteSaver: the contract, its arguments, its files, what it forgets by itself, and how little it stores twice."""

from __future__ import annotations

import os
import stat
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast import NotSerializable, PolicyError, SqliteSaver, StoreError
from holdfast.checkpoint import _rows, sqlite
from holdfast.testing import CheckpointerContract, FakeClock, recorded
from holdfast.testing._contract import a_run, a_step, begin, finished, keep
from holdfast.typing import Checkpointer, Commit, Pruned


class TestContract(CheckpointerContract):
    """What every checkpointer does."""

    @pytest.fixture
    def saver(self, tmp_path):
        saver = SqliteSaver(tmp_path / "runs.db", keep_last=None)
        yield saver
        saver.close()

    def reopen(self, saver):
        return SqliteSaver(saver.path, keep_last=None)


@pytest.fixture
def open_saver(tmp_path):
    """Open savers on one file; close them at the end of the test."""
    opened = []

    def open_one(**options):
        opened.append(SqliteSaver(tmp_path / "store" / "runs.db", **options))
        return opened[-1]

    yield open_one
    for saver in opened:
        saver.close()


def ids(saver, thread_id="thread"):
    return [run.run_id for run in saver.runs(thread_id)]


def end(saver, number, thread_id="thread", **options):
    """A run from its beginning to its end; it sees the one before as ``previous``."""
    run = a_run(f"{thread_id}-{number}", thread_id, base=f"{thread_id}-{number - 1}" if number else "", **options)
    finished(saver, thread_id, run, run._replace(status="done"))


def rows(saver, table):
    with saver._reader.snapshot() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_is_a_checkpointer_that_may_wait(tmp_path):
    """Async callers use it from a thread."""
    saver = SqliteSaver(tmp_path / "runs.db")

    assert isinstance(saver, Checkpointer)
    assert saver.is_blocking is True
    assert f"SqliteSaver('{tmp_path}/runs.db')" == repr(saver)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "path='' names no file"),
        (".", "path='.' names no file"),
        ("/", "path='/' names no file"),
        ("a\0b", "path='a\\x00b' names no file"),
        (None, "path=None names no file"),
        (7, "path=7 names no file"),
        (b"runs.db", "path=b'runs.db' names no file"),
        (":memory:", "path=':memory:' is no file to keep runs in"),
        ("file:runs.db?mode=memory", "path='file:runs.db?mode=memory' is no file to keep runs in"),
    ],
)
def test_refuses_what_is_no_file(path, expected):
    """The text says what to give instead."""
    with pytest.raises(PolicyError) as caught:
        SqliteSaver(path)

    assert str(caught.value).startswith(expected)
    assert 'SqliteSaver("runs.db")' in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"synchronous": "OFF"}, "synchronous='OFF' is unknown"),
        ({"synchronous": "full"}, "synchronous='full' is unknown"),
        ({"keep_last": 0}, "keep_last=0 is not a number of runs"),
        ({"keep_last": "5"}, "keep_last='5' is not a number of runs"),
        ({"max_age": 0}, "max_age=0 is no time at all"),
        ({"max_age": "old"}, "max_age='old' is not a duration"),
        ({"busy_timeout": -1}, "busy_timeout=-1 is negative"),
    ],
)
def test_refuses_what_cannot_work(tmp_path, options, expected):
    """When it is built, naming the argument and the value."""
    with pytest.raises(PolicyError) as caught:
        SqliteSaver(tmp_path / "runs.db", **options)

    assert str(caught.value).startswith(expected)


def test_refuses_windows(tmp_path, monkeypatch):
    """There is no flock(2) there; the text says what to use."""
    monkeypatch.setattr(sqlite, "_SYSTEM", "win32")

    with pytest.raises(StoreError, match=r"flock.*use InMemorySaver, or run under WSL"):
        SqliteSaver(tmp_path / "runs.db")


def test_opens_nothing_before_it_is_used(open_saver):
    """Not even by looking into a store that is not there."""
    saver = open_saver()
    answers = (saver.latest("thread"), saver.runs("thread"), saver.steps("run-1"), saver.threads(), saver.prune(keep_last=1, dry_run=True))

    assert (None, [], [], [], Pruned((), (), 0, 0)) == answers
    assert not saver.path.parent.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_files_are_private_whatever_the_umask(open_saver, umask):
    """Folders 0700, files 0600."""
    before = os.umask(umask)
    try:
        saver = open_saver()
        saver.claim("thread")
    finally:
        os.umask(before)
    folder = saver.path.parent
    modes = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    (token,) = (name for name in modes if "/" in name)

    assert {
        ".": 0o700,
        "runs.db": 0o600,
        "runs.db-wal": 0o600,
        "runs.db-shm": 0o600,
        "runs.db-owners": 0o700,
        token: 0o600,
    } == modes


def test_reads_without_being_able_to_write(open_saver):
    """A saver for looking changes no file, and says how to get one that may write."""
    saver = open_saver()
    finished(saver, "thread", a_run())
    lease = saver.claim("other")
    begin(saver, lease, a_run("run-2", "other"))
    dead = saver._owners.folder / "dead"
    dead.touch()
    looking = SqliteSaver.read_only(saver.path)
    seen = (
        looking.latest("thread"),
        {info.thread_id: info.is_owned for info in looking.threads()},
        looking.prune(keep_last=1, dry_run=True),
    )
    refusals = []
    for work in (
        lambda: looking.claim("thread"),
        lambda: looking.release(lease),
        lambda: looking.commit([]),
        lambda: looking.delete_thread("thread"),
        lambda: looking.copy_thread("thread", "copy"),
    ):
        with pytest.raises(StoreError) as caught:
            work()
        refusals.append(str(caught.value))
    looking.close()

    assert (a_run(), {"thread": False, "other": True}, Pruned((), (), 0, 0)) == seen
    assert [f"{saver.path} was opened to be read only: use SqliteSaver({str(saver.path)!r}) to change it"] * 5 == refusals
    assert dead.exists()


def test_reading_leaves_the_file_as_it_is(open_saver):
    """Not a byte differs after a look at a store that nobody else has open."""
    saver = open_saver()
    finished(saver, "thread", a_run())
    saver.close()
    before = saver.path.read_bytes(), saver.path.stat().st_mtime_ns
    looking = SqliteSaver.read_only(saver.path)
    looking.threads()
    looking.close()

    assert before == (saver.path.read_bytes(), saver.path.stat().st_mtime_ns)


def test_looking_at_a_missing_file_says_so(tmp_path):
    """A tool that is given the wrong path must not show an empty list."""
    with pytest.raises(StoreError, match=r"there is no checkpoint store .*runs\.db yet"):
        SqliteSaver.read_only(tmp_path / "runs.db").threads()
    assert [] == list(tmp_path.iterdir())


def test_keeps_a_hundred_runs_of_a_thread(open_saver):
    """Unless told otherwise; with the one that the oldest of them sees as ``previous``."""
    saver = open_saver(synchronous="NORMAL")
    for number in range(104):
        end(saver, number)
    end(saver, 0, "other")

    assert [f"thread-{number}" for number in range(103, 2, -1)] == ids(saver)
    assert ["other-0"] == ids(saver, "other")


def test_keep_last_acts_when_a_run_ends(open_saver):
    """Not when one begins: the run before may have to be taken up again."""
    saver = open_saver(keep_last=2)
    for number in range(2):
        finished(saver, "thread", a_run(f"run-{number}", status="done"))
    lease = saver.claim("thread")
    begin(saver, lease, a_run("run-2"))
    before = ids(saver)
    begin(saver, lease, a_run("run-2", status="done"))

    assert (["run-2", "run-1", "run-0"], ["run-2", "run-1"]) == (before, ids(saver))
    assert saver.find("run-0") is None


@pytest.mark.parametrize("max_age", [3600, timedelta(hours=1), "1h"])
def test_max_age_acts_when_a_run_ends(open_saver, max_age):
    """On the runs of its thread, but never on what the next run sees as ``previous``."""
    with FakeClock(start=1_000_000.0) as clock:
        saver = open_saver(keep_last=None, max_age=max_age)
        for number in range(4):
            end(saver, number, updated=clock.time())
            end(saver, number, "other", updated=clock.time())
            clock.advance(1000)
        clock.advance(1000)
        end(saver, 4, updated=clock.time())

    assert (["thread-4", "thread-3", "thread-2", "thread-1"], 4) == (ids(saver), len(ids(saver, "other")))


def test_the_run_that_ends_is_never_forgotten(open_saver):
    """Whatever its own record says of its age."""
    saver = open_saver(keep_last=1, max_age=1)
    end(saver, 0, updated=0.0)
    end(saver, 1, updated=0.0)

    assert ["thread-1", "thread-0"] == ids(saver)


def test_nothing_is_left_of_what_is_forgotten(open_saver):
    """Neither steps nor large values, nor the thread itself."""
    saver = open_saver(keep_last=None)
    lease = saver.claim("thread")
    for number in range(3):
        run = a_run(f"run-{number}", status="done")._replace(output=b"o" * 5000)
        keep(saver, Commit(lease, run.run_id, run=run, steps=(a_step(1, bytes([number]) * 5000), a_step(2))))
    saver.release(lease)
    before = [rows(saver, table) for table in ("threads", "runs", "steps", "blobs", "uses")]
    saver.prune(keep_last=1)
    between = [rows(saver, table) for table in ("threads", "runs", "steps", "blobs", "uses")]
    saver.prune(max_age=1)

    assert ([1, 3, 6, 4, 6], [1, 1, 2, 2, 2]) == (before, between)
    assert [0] * 5 == [rows(saver, table) for table in ("threads", "runs", "steps", "blobs", "uses")]


def test_a_large_value_goes_with_the_step_that_held_it(open_saver):
    """Replaced or dropped; unless another step or run holds the same one."""
    saver = open_saver(keep_last=None)
    lease = saver.claim("thread")
    large = [bytes([number]) * 5000 for number in range(4)]
    keep(saver, Commit(lease, "run-0", run=a_run("run-0"), steps=(a_step(1, large[0]), a_step(2, large[1]), a_step(3, large[1]))))
    keep(saver, Commit(lease, "run-1", run=a_run("run-1")._replace(output=large[2]), steps=(a_step(1, large[0]), a_step(2, large[2]))))

    def kept(commit):
        keep(saver, commit)
        return rows(saver, "blobs"), rows(saver, "uses")

    assert (3, 4) == (rows(saver, "blobs"), rows(saver, "uses"))
    assert (4, 5) == kept(Commit(lease, "run-0", steps=(a_step(2, large[3]),))), "another step has it"
    assert (3, 4) == kept(Commit(lease, "run-0", dropped=(a_step(3).step,)))
    assert (3, 3) == kept(Commit(lease, "run-0", steps=(a_step(1, b"small"),))), "another run has it"
    assert (3, 3) == kept(Commit(lease, "run-1", dropped=(a_step(2).step,))), "its run has it"
    assert (3, 3) == kept(Commit(lease, "run-0", steps=(a_step(2, b"small"), a_step(4, large[3])))), "it goes to another step"
    assert [b"small", b"small", large[3]] == [step.payload for step in saver.steps("run-0")]


def test_pruning_lets_others_write_in_between(open_saver, monkeypatch):
    """Many threads are pruned in several transactions, with one answer."""
    monkeypatch.setattr(sqlite, "_THREADS_AT_ONCE", 2)
    saver = open_saver(synchronous="NORMAL")
    for number in range(5):
        end(saver, 0, f"thread {number}")

    assert {f"thread {number}-0" for number in range(5)} == set(saver.prune(max_age=1).runs)
    assert [] == saver.threads()


def test_an_unchanged_state_is_stored_once(open_saver):
    """200 runs of a thread that all save the same 100 kB take little more than 100 kB."""
    saver = open_saver(synchronous="NORMAL", keep_last=None)
    state = os.urandom(100_000)
    lease = saver.claim("thread")
    for number in range(200):
        run = a_run(f"run-{number}", status="done")._replace(input=state, output=state)
        keep(saver, Commit(lease, run.run_id, run=run, steps=(a_step(1, state),)))
    saver.release(lease)
    (listed,) = saver.threads()
    steps = saver.steps("run-150")
    saver.close()

    assert ([a_step(1, state)], 100_000) == (steps, listed.size)
    assert saver.path.stat().st_size < 300_000


def test_sizes_stay_exact(open_saver):
    """In a batch that adds, replaces, and writes the same step twice, small and large values alike."""
    saver = open_saver()
    lease = saver.claim("thread")
    keep(saver, Commit(lease, "run-1", run=a_run()._replace(input=b""), steps=(a_step(1, b"1" * 10), a_step(2, b"2" * 2000))))
    mixed = (a_step(1, b"1" * 30), a_step(3, b"3" * 5), a_step(3, b"3" * 7), a_step(4, b"4" * 100), a_step(2, b"2" * 50))
    keep(saver, Commit(lease, "run-1", steps=mixed))
    (listed,) = saver.threads()
    with saver._reader.snapshot() as connection:
        inline = connection.execute("SELECT steps, size FROM runs").fetchone()

    assert (4, 30 + 7 + 100 + 50) == inline
    assert listed.size == inline[1]


def test_a_value_of_64_megabytes(open_saver):
    """It comes back as it was."""
    saver = open_saver()
    value = os.urandom(1 << 16) * (1 << 10)
    lease = saver.claim("thread")
    keep(saver, Commit(lease, "run-1", run=a_run(), steps=(a_step(1, value),)))
    (step,) = saver.steps("run-1")

    assert value == step.payload


def test_a_value_that_no_row_can_hold(open_saver):
    """More than 999 MB is refused with its size before it is looked at, and what else is in the batch is kept."""
    saver = open_saver()
    lease = saver.claim("thread")
    huge = bytes(_rows.LARGEST + 1)  # zeros that nobody touches take no memory
    problems = saver.commit(
        [
            Commit(lease, "run-1", run=a_run()),
            Commit(lease, "run-1", steps=(a_step(1), a_step(2, huge))),
            Commit(lease, "run-1", run=a_run(status="done")._replace(output=huge)),
            Commit(lease, "run-1", steps=(a_step(3),)),
        ]
    )

    limits = "takes 999,000,001 bytes, and a checkpoint store holds at most 999,000,000: keep it elsewhere and return where it is"
    assert [
        "None",
        f"the result of step 'fetch' {limits}",
        f"the output of run 'run-1' {limits}",
        "None",
    ] == [str(problem) for problem in problems]
    assert [NotSerializable, NotSerializable] == [type(problem) for problem in problems[1:3]]
    assert ([a_step(3)], a_run()) == (saver.steps("run-1"), saver.find("run-1"))


def test_names_that_are_no_text(open_saver):
    """Half a surrogate pair in a task's name is that commit's trouble alone."""
    saver = open_saver()
    lease = saver.claim("thread")
    begin(saver, lease, a_run())
    problems = saver.commit([Commit(lease, "run-1", steps=(a_step(1, name="\ud800"),)), Commit(lease, "run-1", steps=(a_step(2),))])

    assert [StoreError, type(None)] == [type(problem) for problem in problems]
    assert "give the task a name= without it" in str(problems[0])
    assert [a_step(2)] == saver.steps("run-1")


def test_ten_thousand_steps(open_saver):
    """All come back, in order, and each of them costs little on disk."""
    saver = open_saver(synchronous="NORMAL")
    lease = saver.claim("thread")
    begin(saver, lease, a_run())
    steps = [a_step(number) for number in range(10_000)]
    for start in range(0, 10_000, 500):
        assert [None] * 500 == saver.commit([Commit(lease, "run-1", steps=(step,)) for step in steps[start : start + 500]])
    kept = saver.steps("run-1")
    saver.release(lease)
    saver.close()

    assert steps == kept
    assert saver.path.stat().st_size < 250 * 10_000


@pytest.mark.parametrize("is_old", [True, False])
def test_says_once_that_sqlite_is_old(open_saver, monkeypatch, is_old):
    """A note for those who look into it; the fault is rare, and the system's SQLite is not theirs to choose."""
    monkeypatch.setattr(sqlite, "version_warning", lambda: "SQLite is old" if is_old else "")
    saver = open_saver()
    with recorded() as seen:
        for name in ("one", "two"):
            saver.claim(name)

    notes = [(note["event"], note["level"], note["text"]) for note in seen.notes]
    assert ([("holdfast.checkpoint.sqlite", "debug", "SQLite is old")] if is_old else []) == notes


def test_the_module_loads_without_sqlite3():
    """Importing holdfast does not load it; only SqliteSaver does."""
    import subprocess

    code = "import sys, holdfast; a = 'sqlite3' in sys.modules; holdfast.SqliteSaver; print(a, 'sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())

    assert "False True" == done.stdout.strip()
