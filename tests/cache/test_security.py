"""Whoever can write into the cache's files can make it miss, and nothing more."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys

import pytest

from holdfast.cache import _keeper
from holdfast.typing import CacheKey


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.fixture
def canary(tmp_path):
    """A file that must never come into being."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def planted(canary):
    """A pickle that would make the canary."""
    data = pickle.dumps(Canary(canary))
    assert b"touch" in data
    return data


@pytest.mark.parametrize("mode", [0, 2, 3, 4, None, "x"])
def test_a_planted_pickle_never_runs(disk, sql, codec, key, planted, reasons, mode):
    """Whatever mode the row claims, its value is not unpickled."""
    disk.set(key, 1, codec, ttl=60)
    sql("UPDATE Cache SET mode = ?, value = ?", mode, planted)

    assert disk.get(key, codec) is None
    assert ["poisoned"] == reasons()
    assert [] == sql("SELECT * FROM Cache")


def test_a_planted_pickle_in_our_own_mode_never_runs(disk, sql, codec, key, planted, reasons):
    """It has no seal."""
    disk.set(key, 1, codec, ttl=60)
    sql("UPDATE Cache SET value = ?", planted)

    assert disk.get(key, codec) is None
    assert ["corrupt"] == reasons()
    assert [] == sql("SELECT * FROM Cache")


def test_a_planted_file_name_is_never_opened_or_deleted(disk, sql, tmp_path, codec, key, planted, reasons):
    """Not on a read, not when the row is replaced, not when it is purged or swept."""
    victim = tmp_path / "victim"
    victim.write_bytes(planted)
    for mode in (1, 2, 3, 4):
        disk.set(key, 1, codec, ttl=60)
        sql("UPDATE Cache SET mode = ?, value = NULL, filename = '../victim'", mode)
        assert disk.get(key, codec) is None

        for change in (lambda: disk.set(key, 2, codec, ttl=60), disk.purge, lambda: disk.delete(key)):
            disk.set(key, 1, codec, ttl=60)
            sql("UPDATE Cache SET filename = ?, mode = ?", str(victim), mode)
            change()

    assert planted == victim.read_bytes()
    assert ["poisoned"] == reasons()


@pytest.mark.parametrize(
    "column",
    [
        "filename = 'f'",
        "raw = 0",
        "raw = NULL",
        "mode = 4",
        "value = CAST(x'ff00' AS TEXT)",
        "filename = CAST(x'ff00' AS TEXT)",
        "mode = CAST(x'ff00' AS TEXT)",
    ],
)
def test_a_row_with_a_strange_column_is_discarded(disk, sql, codec, key, reasons, column):
    """Even beside a value that is ours: none of our rows has it."""
    disk.set(key, 1, codec, ttl=60)
    sql(f"UPDATE Cache SET {column}")

    assert disk.get(key, codec) is None
    assert ["poisoned"] == reasons()
    assert 0 == disk.stats().entries


def test_a_sweep_deletes_no_file(open_cache, sql, tmp_path, codec, key, new_key, swept):
    """Eviction removes rows, and nothing that a row names."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    cache = open_cache(size_limit=1 << 17, memory_entries=0)
    cache.set(key, 1, codec, ttl=60)
    sql("UPDATE Cache SET filename = ?", str(victim))
    for n in range(100):
        cache.set(new_key(str(n)), "x" * 5000, codec, ttl=60)
    swept()

    assert "mine" == victim.read_text()
    assert cache.get(key, codec) is None


def test_a_planted_pickle_as_a_key_never_runs(disk, sql, codec, key, planted):
    """Listing, counting and purging do not read keys as anything but bytes."""
    disk.set(key, 1, codec, ttl=60)
    sql("INSERT INTO Cache (key, raw, store_time, mode, value) VALUES (?, 0, 0, 4, ?)", planted, planted)

    assert [key] == [info.key for info in disk.entries()]
    assert 2 == disk.stats().entries
    assert 2 == disk.purge()


def test_a_row_with_our_name_and_a_pickled_key_is_discarded(disk, sql, codec, key, planted, reasons):
    """It cannot stand before the true row for long."""
    disk.set(key, 1, codec, ttl=60)
    sql("INSERT INTO Cache (key, raw, store_time, mode, value) SELECT key, 0, 0, 4, ? FROM Cache", planted)

    seen = [disk.get(key, codec) for _ in range(2)]

    assert 1 == seen[1].value
    assert ["poisoned"] == reasons()


@pytest.mark.parametrize("value", [None, "text", 7, 1.5])
def test_a_value_that_is_no_blob_is_discarded(disk, sql, codec, key, reasons, value):
    """SQLite's columns hold any type."""
    disk.set(key, 1, codec, ttl=60)
    sql("UPDATE Cache SET value = ?", value)

    assert disk.get(key, codec) is None
    assert ["poisoned"] == reasons()


def test_a_value_moved_to_another_key_is_discarded(disk, sql, codec, new_key, reasons):
    """The seal covers the key."""
    disk.set(new_key("cheap"), "1 EUR", codec, ttl=60)
    disk.set(new_key("dear"), "9 EUR", codec, ttl=60)
    sql("UPDATE Cache SET value = (SELECT max(value) FROM Cache)")

    seen = [disk.get(new_key(name), codec) for name in ("cheap", "dear")]

    assert 1 == sum(entry is None for entry in seen)
    assert ["corrupt"] == reasons()


def test_a_value_moved_to_another_namespace_is_discarded(disk, sql, codec, key, reasons):
    """Nor does it fit another version of the task."""
    disk.set(key, 1, codec, ttl=60)
    other = CacheKey("app.fetch@2", key.digest)
    sql("UPDATE Cache SET key = ?", other.namespace.encode() + b"\0" + other.digest)

    assert disk.get(other, codec) is None
    assert ["corrupt"] == reasons()


def test_every_flipped_bit_shows(disk, sql, codec, key, reasons):
    """Header, seal or payload: no changed byte is ever served."""
    disk.set(key, "x" * 20, codec, ttl=60)
    ((good,),) = sql("SELECT value FROM Cache")

    served = []
    for at in range(len(good)):
        disk.set(key, "x" * 20, codec, ttl=60)
        bad = bytearray(sql("SELECT value FROM Cache")[0][0])
        bad[at] ^= 1
        sql("UPDATE Cache SET value = ?", bytes(bad))
        served.append(disk.get(key, codec))

    assert [None] * len(good) == served
    assert ["corrupt"] == reasons()


def test_values_of_another_secret_are_discarded(open_cache, codec, key, reasons, monkeypatch):
    """Who does not know the secret cannot make an entry."""
    monkeypatch.setenv("HOLDFAST_SECRET", "a" * 32)
    open_cache().set(key, 1, codec, ttl=60)
    monkeypatch.setenv("HOLDFAST_SECRET", "b" * 32)

    assert open_cache().get(key, codec) is None
    assert ["corrupt"] == reasons()


def test_a_row_replaced_meanwhile_is_not_discarded(disk, open_cache, codec, key):
    """Only the very bytes that could not be used are removed."""
    store = disk._open()
    disk.set(key, 1, codec, ttl=60)

    store.discard(key, b"what was there before")
    store.discard(key, None)

    assert 1 == disk.get(key, codec).value


@pytest.mark.parametrize("name", ["cache.db", "generations", "lock"])
def test_a_planted_symbolic_link_is_not_followed(open_cache, folder, tmp_path, codec, key, reasons, name):
    """A file outside the folder is neither read nor changed."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder.mkdir(mode=0o700)
    (folder / name).symlink_to(victim)

    assert open_cache().set(key, 1, codec, ttl=60) is None
    assert "mine" == victim.read_text()
    assert ["refused"] == reasons()


def test_a_planted_link_to_a_folder_is_not_followed(open_cache, folder, tmp_path, codec, key, reasons):
    """The folder itself may not be a symbolic link."""
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")

    assert open_cache().set(key, 1, codec, ttl=60) is None
    assert [] == list((tmp_path / "elsewhere").iterdir())
    assert ["refused"] == reasons()


def test_a_folder_that_everybody_can_write_to_is_refused(open_cache, folder, codec, key, reasons):
    """Others could swap the files."""
    folder.mkdir()
    folder.chmod(0o777)

    assert open_cache().set(key, 1, codec, ttl=60) is None
    assert [] == list(folder.iterdir())
    assert ["refused"] == reasons()


def test_a_folder_that_everybody_can_write_to_from_now_on_is_left(open_cache, folder, codec, key, new_key, reasons, clock):
    """As soon as it is noticed, nothing more is served or written there, though files are open; once that is mended it is used again."""
    cache = open_cache()
    cache.set(key, 1, codec, ttl=60)
    folder.chmod(0o777)

    assert cache.get(new_key("what needs a connection of its own"), codec) is None
    assert (None, None) == (cache.get(key, codec), cache.set(key, 2, codec, ttl=60))
    assert ["refused"] == reasons()
    folder.chmod(0o700)
    clock.advance(_keeper.REST)
    assert 1 == cache.get(key, codec).value


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(open_cache, folder, codec, key, reasons):
    """Its owner could swap the files."""
    folder.mkdir(mode=0o700)
    os.chown(folder, 12_345, -1)

    assert open_cache().set(key, 1, codec, ttl=60) is None
    assert ["refused"] == reasons()


def test_all_files_are_private_whatever_the_umask(in_other_process, folder):
    """Folders 0700, files 0600, the companions of the database included, under the usual umask and under none."""
    for umask in (0o022, 0o000):
        path = folder / str(umask)
        in_other_process(
            f"import os; os.umask({umask})\ncache.set(key_of('k'), 1, codec, ttl=60); cache.get(key_of('k'), codec)\nos._exit(0)", path=path
        )

        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}
        assert 0o700 == modes.pop("leases")
        assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in (path / "leases").iterdir()}
        assert {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600, "generations": 0o600, "lock": 0o600} == modes
        assert [0o700, 0o700] == [stat.S_IMODE(each.stat().st_mode) for each in (path, folder)]


def test_files_that_were_open_to_others_are_closed(open_cache, folder, codec, key):
    """As left behind by a copy or a restore."""
    open_cache().set(key, 1, codec, ttl=60)
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)

    assert 1 == open_cache().get(key, codec).value
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files if file.name != "lock"}


def test_arguments_and_secrets_are_not_in_the_files(open_cache, folder, codec, key):
    """A key is a digest; only the value itself is stored."""
    cache = open_cache()
    cache.set(key, "the value", codec, ttl=60)
    secret = cache._store.secret
    cache.close()
    stored = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())

    assert b"the value" in stored
    assert secret not in stored


def test_nothing_in_the_package_imports_pickle_for_the_disk():
    """Reading and writing through the disk tier never calls pickle: it is replaced by something that raises."""
    code = """
import pickle, sys, tempfile
def never(*args, **kwargs): raise SystemExit("pickle was called")
from holdfast.cache.disk import DiskCache
from holdfast.typing import CacheKey
from holdfast.values.codec import codec_for
cache, key, codec = DiskCache(tempfile.mkdtemp() + "/c", memory_entries=0), CacheKey("n", b"k" * 16), codec_for()
cache.get(key, codec)
pickle.dumps = pickle.dump = pickle.loads = pickle.load = pickle.Pickler = pickle.Unpickler = never
cache.set(key, {"a": [1]}, codec, ttl=60, tags=("t",))
print(cache.get(key, codec).value, len(list(cache.entries())), cache.purge(tag="t"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ("{'a': [1]} 1 1\n", 0) == (done.stdout, done.returncode), done.stderr
