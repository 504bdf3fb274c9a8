"""A store in trouble is a miss and a note; the call goes on, and the next one finds a store that works where that is possible."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing

import pytest

from holdfast import _wiring, events
from holdfast.cache import _folder as folder_module
from holdfast.cache import _keeper
from holdfast.cache import _rows as rows_module
from holdfast.cache._trouble import Trouble
from holdfast.errors import StoreError
from holdfast.tracing.logs import text
from holdfast.values import secret as secret_module
from tests.waiting import until

PROMPT = 30.0
"""Seconds. A call that met a lock gave up, on however busy a machine: diskcache alone would have waited for 60, and so would a purge here."""


def replace_by_foreign(path):
    """Put somebody else's database in the place of ours."""
    path.unlink()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.executescript("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")


BROKEN = {
    "garbage": lambda path: path.write_bytes(b"no database at all " * 1000),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "header only": lambda path: os.truncate(path, 100),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "foreign": replace_by_foreign,
}


def damage(folder, how):
    """Damage the database of a cache that is closed."""
    BROKEN[how](folder / "cache.db")


@pytest.fixture
def filled(open_cache, folder, codec, new_key):
    """A folder with a closed cache of some entries."""
    cache = open_cache()
    for n in range(200):
        cache.set(new_key(str(n)), "x" * 500, codec, ttl=60)
    cache.close()
    return folder


@pytest.fixture(autouse=True)
def _patient_purge(monkeypatch):
    """For a minute, which no machine takes for what is done at once."""
    monkeypatch.setattr(rows_module, "PURGE_PATIENCE", 1200)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_database_is_set_aside(filled, open_cache, codec, key, reasons, how):
    """It is a miss and one note; a fresh database works at once, and the broken one is kept for a look."""
    damage(filled, how)
    cache = open_cache()

    assert cache.get(key, codec) is None
    cache.set(key, 1, codec, ttl=60)

    assert 1 == open_cache().get(key, codec).value
    assert ["broken"] == reasons()
    assert (filled / "cache.db.broken-1").exists()


@pytest.mark.parametrize("how", ["garbage", "foreign"])
def test_a_database_in_a_folder_that_is_not_ours_is_left_alone(open_cache, folder, codec, key, notes, how):
    """A folder in which no cache of holdfast's ever was may hold a cache.db of diskcache's or anybody's: refused, not moved away."""
    folder.mkdir(mode=0o700)
    (folder / "cache.db").write_bytes(b"")
    damage(folder, how)
    before = (folder / "cache.db").read_bytes()
    cache = open_cache()

    assert [None, None] == [cache.set(key, 1, codec, ttl=60), cache.get(key, codec)]
    assert before == (folder / "cache.db").read_bytes()
    assert [] == list(folder.glob("*broken*"))
    (note,) = notes
    assert "refused" == note.fields["reason"]
    assert f"{folder}/cache.db is not a cache of holdfast's and is left as it is: give the cache a folder of its own" in note.text


def test_the_note_says_what_became_of_the_broken_database(filled, open_cache, codec, key, notes):
    """What happened, where the old file is, that there is a new one, and what to do; the places for machines, too."""
    damage(filled, "garbage")
    open_cache().get(key, codec)
    (note,) = notes
    aside = filled / "cache.db.broken-1"

    assert (
        f"cache {filled}/cache.db: file is not a database: the broken database was set aside as {aside}, and an empty one takes its place. "
        "Nothing needs to be done: results are computed and stored again. Delete the old file when nobody wants to look into it"
    ) == note.text
    assert {"reason": "broken", "path": str(filled), "set_aside": str(aside)} == note.fields
    assert (True, True) == (aside.exists(), (filled / "cache.db").exists())


def test_the_note_says_it_of_a_database_that_breaks_while_open(open_cache, folder, sql, codec, key, notes):
    """And whose entry was looked for."""
    cache = open_cache(memory_entries=0)
    cache.get(key, codec)
    sql("DROP TABLE Cache")
    cache.get(key, codec)
    (note,) = notes
    aside = folder / "cache.db.broken-1"

    assert f"no such table: Cache: the broken database was set aside as {aside}, and an empty one takes its place." in note.text
    assert (str(aside), key.namespace) == (note.fields["set_aside"], note.fields["namespace"])


def test_a_broken_database_that_cannot_be_set_aside_is_not_said_to_be(open_cache, folder, sql, codec, key, notes, monkeypatch):
    """The folder is locked by somebody else: both troubles are told, and no place that is not there."""
    cache = open_cache(memory_entries=0)
    cache.get(key, codec)
    sql("DROP TABLE Cache")
    monkeypatch.setattr(folder_module, "PATIENCE", 0.0)
    with folder_module.alone(folder):
        cache.get(key, codec)

    assert [("locked", False), ("broken", False)] == [(note.fields["reason"], "set_aside" in note.fields) for note in notes]
    assert "no such table: Cache" in notes[1].text


def test_an_emptied_database_is_simply_empty(filled, open_cache, codec, key, reasons):
    """SQLite takes an empty file for a new database, and so do we."""
    os.truncate(filled / "cache.db", 0)
    cache = open_cache()

    assert cache.get(key, codec) is None
    cache.set(key, 1, codec, ttl=60)
    assert 1 == open_cache().get(key, codec).value
    assert [] == reasons()


def test_a_database_that_breaks_while_open_is_set_aside(open_cache, folder, sql, codec, key, new_key, reasons):
    """The call in which it shows is a miss; the next one has a fresh database."""
    cache = open_cache(memory_entries=0)
    cache.set(key, 1, codec, ttl=60)
    sql("DROP TABLE Cache")

    assert cache.get(key, codec) is None
    assert cache.set(key, 2, codec, ttl=60) is not None
    assert 2 == cache.get(key, codec).value
    assert ["broken"] == reasons()


def test_a_write_into_a_broken_database_is_skipped(open_cache, sql, codec, key, new_key, reasons):
    """The value computed is not lost to the process: memory has it."""
    cache = open_cache()
    cache.get(key, codec)
    sql("DROP TABLE Cache")

    assert cache.set(key, 2, codec, ttl=60) is None
    assert ["broken"] == reasons()
    assert cache.set(key, 3, codec, ttl=60) is not None


def test_a_write_that_meets_a_close_sets_nothing_aside(open_cache, folder, codec, key, new_key, reasons, monkeypatch):
    """Another thread closes the cache just then: to the one that writes it looks broken, but it is whole, and what is in it stays."""
    cache = open_cache(memory_entries=0)
    cache.set(key, 1, codec, ttl=60)
    store = cache._store
    write = store.write

    def write_late(*args, **options):
        cache.close()
        return write(*args, **options)

    monkeypatch.setattr(store, "write", write_late)
    cache.set(new_key("other"), 2, codec, ttl=60)

    assert 1 == cache.get(key, codec).value
    assert ([], []) == (reasons(), list(folder.glob("*broken*")))


def test_only_one_process_sets_aside(open_cache, folder, sql, codec, key):
    """The second, still holding the broken file, finds the fresh one and leaves it alone."""
    here, there = open_cache(memory_entries=0), open_cache(memory_entries=0)
    here.set(key, 1, codec, ttl=60)
    there.get(key, codec)
    sql("DROP TABLE Cache")

    here.get(key, codec)
    here.set(key, 2, codec, ttl=60)
    there.get(key, codec)

    assert 2 == there.get(key, codec).value
    assert ["cache.db.broken-1"] == sorted(path.name for path in folder.glob("*broken-?"))


def test_a_database_that_was_replaced_is_not_set_aside(open_cache, codec, key):
    """What two processes found broken at once is repaired by the first; the second must not touch the repaired one."""
    here, there = open_cache(), open_cache()
    stores = [here._open(), there._open()]
    here.close()
    there.close()

    assert [True, False] == [store.set_aside() is not None for store in stores for _ in (open_cache().get(key, codec),)]


def test_few_broken_databases_are_kept(filled, open_cache, codec, key):
    """They do not fill the disk: the last three stay."""
    for _ in range(5):
        damage(filled, "garbage")
        cache = open_cache()
        cache.get(key, codec)
        cache.close()

    assert {"cache.db.broken-3", "cache.db.broken-4", "cache.db.broken-5"} == {path.name for path in filled.glob("*broken-?")}


def test_strange_settings_in_the_file_are_refused(filled, sql, open_cache, codec, key, reasons):
    """diskcache would turn them into pragmas and attributes."""
    sql("INSERT INTO Settings VALUES ('sqlite_user_version = 7; --', 1)")
    cache = open_cache()

    assert cache.get(key, codec) is None
    assert ["broken"] == reasons()
    assert [(1,)] == sql("PRAGMA user_version")


def test_a_deleted_folder_is_made_again(open_cache, folder, codec, key, new_key, reasons):
    """``rm -r`` under a running process empties its cache; it does not break it."""
    cache = open_cache()
    cache.set(key, 1, codec, ttl=60)
    shutil.rmtree(folder)

    assert cache.get(new_key("a miss looks"), codec) is None
    assert cache.get(key, codec) is None
    assert cache.set(key, 2, codec, ttl=60) is not None
    assert 2 == open_cache().get(key, codec).value
    assert [] == reasons()


def test_a_deleted_folder_is_made_again_for_a_write(open_cache, folder, codec, key):
    """A value is never written into files that nobody can find."""
    cache = open_cache()
    cache.set(key, 1, codec, ttl=60)
    shutil.rmtree(folder)
    cache.set(key, 2, codec, ttl=60)

    assert 2 == open_cache().get(key, codec).value


def test_a_file_in_place_of_the_folder(tmp_path, open_cache, codec, key, reasons):
    """Nothing can be opened: every call misses, none raises."""
    (tmp_path / "file").write_text("mine")
    cache = open_cache(tmp_path / "file")

    assert (None, None) == (cache.set(key, 1, codec, ttl=60), cache.get(key, codec))
    assert [] == list(cache.entries())
    assert 0 == cache.stats().entries
    assert 1 == len(reasons())
    assert "mine" == (tmp_path / "file").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(folder, open_cache, codec, key, reasons):
    """Every call misses, with one note."""
    folder.mkdir(mode=0o500)
    cache = open_cache()

    assert (None, None) == (cache.set(key, 1, codec, ttl=60), cache.get(key, codec))
    assert ["read_only"] == reasons()


def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path, clock, open_cache, codec, key):
    """Not at every call, but after a second."""
    clock.advance(100)  # monotonic clocks seldom stand at 0
    path = tmp_path / "x"
    path.write_text("")
    cache = open_cache(path)
    cache.get(key, codec)
    path.unlink()

    for _ in range(2):
        assert cache.set(key, 1, codec, ttl=60) is None
        clock.advance(0.5)
    assert cache.set(key, 1, codec, ttl=60) is not None


def test_a_python_without_sqlite_has_no_disk_cache(open_cache, codec, key, notes, clock, monkeypatch):
    """Nothing is raised: the module that is missing is told, and the folder is not made."""
    cache = open_cache()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "holdfast.cache._store", None)
        assert cache.set(key, 1, codec, ttl=60) is None
    said = [(note.fields["reason"], note.text) for note in notes]
    clock.advance(_keeper.REST)

    assert ["refused"] == [reason for reason, _ in said]
    assert "the disk cache needs the module holdfast.cache._store, which this Python does not have" in said[0][1]
    assert cache.set(key, 1, codec, ttl=60) is not None


class NoMoreFiles:
    """Finds modules for a process that has as many files open as it may."""

    def __init__(self, module):
        self.module = module

    def find_spec(self, name, path=None, target=None):
        if name == self.module:
            raise OSError(errno.EMFILE, "Too many open files")


def test_a_process_with_too_many_open_files_does_without_the_disk(open_cache, codec, key, reasons, clock, monkeypatch):
    """Also where it first asks the cache then, and has yet to read what opens it."""
    cache = open_cache()
    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "holdfast.cache._store", raising=False)
        patched.setattr(sys, "meta_path", [NoMoreFiles("holdfast.cache._store"), *sys.meta_path])
        assert (None, None) == (cache.get(key, codec), cache.set(key, 1, codec, ttl=60))
    clock.advance(_keeper.REST)

    assert ["io"] == reasons()
    assert cache.set(key, 1, codec, ttl=60) is not None


def test_a_warning_for_which_too_many_files_are_open_is_told_with_the_next_one(monkeypatch):
    """What writes the first one has yet to be read then: no call fails for that."""
    told: list[str] = []
    monkeypatch.setattr(events, "observer", None)
    monkeypatch.setattr(events, "fallback", _wiring._warn)
    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "holdfast.tracing.logs.text", raising=False)
        patched.setattr(sys, "meta_path", [NoMoreFiles("holdfast.tracing.logs.text"), *sys.meta_path])
        events.note("holdfast.cache.error", events.WARNING, "first")
    monkeypatch.setattr(text, "warn", lambda note: told.append(note.text))
    events.note("holdfast.cache.error", events.WARNING, "second")
    events.note("holdfast.cache.error", events.WARNING, "third")

    assert ["first", "second", "third"] == told


class Watched:
    """A lock that tells who has come to it."""

    def __init__(self, lock):
        self._lock = lock
        self.came = []

    def __enter__(self):
        self.came.append(threading.get_ident())
        return self._lock.__enter__()

    def __exit__(self, *error):
        self._lock.__exit__(*error)


def test_who_waits_while_another_thread_opens_the_cache_has_it_too(filled, open_cache, codec, new_key, monkeypatch):
    """A first call from many threads at once is not a miss for all but one."""
    cache = open_cache()
    cache._lock = lock = Watched(cache._lock)
    opening, found = cache._try_to_open, []
    monkeypatch.setattr(cache, "_try_to_open", lambda: (until(lambda: len(lock.came) == 4), opening())[1])
    threads = [threading.Thread(target=lambda: found.append(cache.get(new_key("7"), codec))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert ["x" * 500] * 4 == [None if each is None else each.value for each in found]


def test_the_same_note_comes_once_a_minute(tmp_path, clock, open_cache, codec, key, notes):
    """The next one tells how many were held back."""
    (tmp_path / "x").write_text("")
    cache = open_cache(tmp_path / "x")
    for _ in range(30):
        cache.get(key, codec)
        clock.advance(2)
    assert 1 == len(notes)

    cache.get(key, codec)

    assert [None, 29] == [note.fields.get("held_back") for note in notes]


def test_a_secret_that_cannot_be_had(open_cache, codec, key, reasons, monkeypatch):
    """Without a secret nothing is stored, and nothing read."""
    monkeypatch.setenv(secret_module._VARIABLE, "short")
    cache = open_cache()

    assert cache.set(key, 1, codec, ttl=60) is None
    assert ["refused"] == reasons()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_full_disk(in_other_process, open_cache, folder, codec, key, new_key):
    """What was computed is served from memory, what is on disk stays readable, and one note tells."""
    open_cache().set(key, "on disk", codec, ttl=60)
    lines = in_other_process("""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
full = None
for n in range(400):
    if cache.set(key_of(str(n)), "x" * 10_000, codec, ttl=60) is None:
        full = n
print(full is not None, cache.get(key_of(str(full)), codec).tier, cache.get(key_of("k"), codec).value)
""")

    assert "True memory on disk" == lines[-1]
    assert 2 == len(lines), lines
    assert lines[0] in {"note: full", "note: io"}
    assert "on disk" == open_cache().get(key, codec).value


HOLD_THE_LOCK = """
import sqlite3
cache.set(key_of("k"), "before", codec, ttl=60)
lock = sqlite3.connect(sys.argv[1] + "/cache.db", isolation_level=None)
lock.execute("BEGIN EXCLUSIVE" if "exclusive" in sys.argv else "BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
lock.execute("COMMIT")
print("unlocked", flush=True)
sys.stdin.readline()
"""


def test_a_locked_database_does_not_delay_a_call(other_process, open_cache, codec, key, new_key, reasons):
    """Reads go on, a write is skipped promptly and kept in memory; afterwards all is well."""
    cache = open_cache(memory_entries=10)
    cache.get(key, codec)
    holder = other_process(HOLD_THE_LOCK)
    assert "locked\n" == holder.stdout.readline()

    started = time.perf_counter()
    hit = cache.get(key, codec)
    stored = cache.set(new_key("new"), "meanwhile", codec, ttl=60)
    took = time.perf_counter() - started

    assert ("before", None, "meanwhile") == (hit.value, stored, cache.get(new_key("new"), codec).value)
    assert took < PROMPT
    assert ["locked"] == reasons()
    print("go", file=holder.stdin, flush=True)
    assert "unlocked\n" == holder.stdout.readline()
    assert cache.set(new_key("new"), "after", codec, ttl=60) is not None


@pytest.mark.parametrize("kind", ["immediate", "exclusive"])
def test_opening_a_locked_database_does_not_delay_a_call(other_process, open_cache, codec, key, reasons, kind):
    """The first call of a process may be the one that meets the lock: diskcache alone would wait a minute."""
    holder = other_process(HOLD_THE_LOCK, kind)
    assert "locked\n" == holder.stdout.readline()
    cache = open_cache()

    started = time.perf_counter()
    assert "before" == cache.get(key, codec).value
    assert cache.set(key, 1, codec, ttl=60) is None

    assert time.perf_counter() - started < PROMPT
    assert ["locked"] == reasons()


@pytest.mark.parametrize("kind", ["immediate", "exclusive"])
def test_a_cache_that_is_opened_while_locked_is_read(other_process, open_cache, codec, key, new_key, reasons, kind):
    """Reads need no write lock, whoever holds it and since when; writes work as soon as it is free."""
    before = open_cache()
    before.set(new_key("old"), "here", codec, ttl=60)
    before.close()
    holder = other_process(HOLD_THE_LOCK, kind)
    assert "locked\n" == holder.stdout.readline()
    cache = open_cache(memory_entries=0)

    assert ["before", "here"] == [cache.get(each, codec).value for each in (key, new_key("old"))]
    assert (2, 2) == (cache.stats().entries, len(list(cache.entries())))
    assert [] == reasons()
    started = time.perf_counter()
    assert cache.set(new_key("new"), 1, codec, ttl=60) is None
    assert time.perf_counter() - started < PROMPT
    assert ["locked"] == reasons()
    print("go", file=holder.stdin, flush=True)
    assert "unlocked\n" == holder.stdout.readline()
    assert cache.set(new_key("new"), 2, codec, ttl=60) is not None
    assert 2 == open_cache().get(new_key("new"), codec).value


def test_a_purge_waits_longer_for_the_lock_than_a_call(other_process, open_cache, codec, key, reasons, monkeypatch):
    """Nobody's task stands behind it, and a purge that did nothing would be believed to have worked."""
    cache = open_cache()
    cache.get(key, codec)
    holder, tries, writing = other_process(HOLD_THE_LOCK), [], rows_module.Rows._writing
    assert "locked\n" == holder.stdout.readline()

    def counted(rows):
        tries.append(rows)
        if len(tries) == 3:  # a call has one
            print("go", file=holder.stdin, flush=True)
        return writing(rows)

    monkeypatch.setattr(rows_module.Rows, "_writing", counted)

    assert 1 == cache.purge()
    assert len(tries) >= 3
    assert [] == reasons()


def test_a_call_waits_for_a_lock_for_a_twentieth_of_a_second(open_cache, codec, key):
    """Whoever writes, and whoever reads."""
    cache = open_cache(memory_entries=0)
    cache.set(key, 1, codec, ttl=60)
    cache.get(key, codec)
    rows = cache._store._rows
    connections = [rows._tables[0].connection, *(reader.connection for reader in rows._readers)]

    assert [(50,)] * 2 == [each.execute("PRAGMA busy_timeout").fetchone() for each in connections]


@pytest.mark.parametrize("forget", ["delete", "purge"])
def test_what_could_not_be_forgotten_is_said(other_process, open_cache, codec, key, forget, monkeypatch):
    """Under another process's lock: the error names the file and what to do, and the entry is still there, to be forgotten afterwards."""
    monkeypatch.setattr(rows_module, "PURGE_PATIENCE", 2)
    cache = open_cache()
    cache.get(key, codec)
    act = {"delete": lambda: cache.delete(key), "purge": cache.purge}[forget]
    holder = other_process(HOLD_THE_LOCK)
    assert "locked\n" == holder.stdout.readline()

    with pytest.raises(
        StoreError, match=r"cache\.db: database is locked.*may be served again: another process .* try again when that is done"
    ):
        act()

    print("go", file=holder.stdin, flush=True)
    assert "unlocked\n" == holder.stdout.readline()
    assert "before" == cache.get(key, codec).value
    assert 1 == act()
    assert cache.get(key, codec) is None


def test_nothing_is_forgotten_in_a_folder_that_cannot_be_opened(tmp_path, open_cache, key):
    """That is an error too, each time, also within the rest after a failure to open; and once it can be opened it is, without a rest."""
    path = tmp_path / "file"
    path.write_text("mine")
    cache = open_cache(path)

    for _ in range(2):
        with pytest.raises(StoreError, match=r"file.*mend that and try again"):
            cache.purge()
    with pytest.raises(StoreError, match="file"):
        cache.delete(key)
    path.unlink()
    assert 0 == cache.purge()


def test_a_purge_finds_a_database_broken(filled, open_cache, codec, key, reasons):
    """It is set aside with all that was in it, and so forgotten."""
    cache = open_cache()
    cache.get(key, codec)
    for name in ("cache.db-wal", "cache.db-shm"):
        (filled / name).unlink(missing_ok=True)
    with (filled / "cache.db").open("r+b") as file:
        file.write(b"no database at all " * 5000)

    assert 0 == cache.purge()
    assert 0 == cache.stats().entries
    assert ["broken"] == reasons()


def test_a_purge_is_of_the_files_that_are_there(open_cache, folder, codec, key):
    """Not of those that were deleted while they were open, where nobody else would see it."""
    cache = open_cache()
    cache.set(key, 1, codec, ttl=60)
    shutil.rmtree(folder)
    open_cache().set(key, 2, codec, ttl=60)

    assert 1 == cache.purge()
    assert open_cache().get(key, codec) is None


def test_a_lock_file_that_is_held_does_not_delay_a_call(folder, open_cache, codec, key, reasons):
    """Another process that hangs while it opens the cache is passed by."""
    folder.mkdir(mode=0o700)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.perf_counter()
        assert open_cache().get(key, codec) is None

    assert time.perf_counter() - started < PROMPT
    assert ["locked"] == reasons()


def test_a_process_that_hangs_while_it_opens_what_is_whole_is_in_nobodys_way(filled, open_cache, codec, new_key, reasons):
    """Many open it at once; only who makes or mends it has to be alone."""
    with folder_module.opening(filled) as is_alone:
        assert not is_alone
        assert open_cache().get(new_key("7"), codec) is not None

    assert [] == reasons()


def test_who_makes_a_cache_is_alone(folder, monkeypatch):
    """Others wait for it."""
    folder.mkdir(mode=0o700)
    (folder / "lock").touch()
    monkeypatch.setattr(folder_module, "PATIENCE", 0.0)
    with folder_module.opening(folder) as is_alone:
        assert is_alone
        with pytest.raises(Trouble, match="another process is making the cache"), folder_module.opening(folder):
            pytest.fail("two of them")


def test_who_waits_for_a_cache_to_be_made_opens_it_with_all_others(folder, monkeypatch):
    """Not one after the other, each alone, until the last have no more patience: here another one never ends."""
    folder.mkdir(mode=0o700)

    def made(_):
        (folder / "cache.db").touch()
        (folder / "generations").write_bytes(bytes(1 << 15))

    monkeypatch.setattr(folder_module.time, "sleep", made)
    with (folder / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with folder_module.opening(folder) as is_alone:
            assert not is_alone


def test_a_short_generations_file_is_filled_up(filled, open_cache, codec, new_key):
    """Looking at a word beyond the end of the file would kill the process."""
    os.truncate(filled / "generations", 100)
    cache = open_cache()

    assert "x" * 500 == cache.get(new_key("7"), codec).value
    assert 4096 * 8 == (filled / "generations").stat().st_size
