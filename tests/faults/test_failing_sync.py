"""One file of ours, one sync that fails, whichever it is, and a power cut at each moment after."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.faults.disk import Disk, events, tracing

ROOT = Path(__file__).parents[2]
FILE = "store/notes.db"
PROGRAM = """
import os, sys
from holdfast.errors import StoreError
from holdfast.values import _sqlite
from holdfast.values._sqlite import Database, Schema

_sqlite._LOG_PAGES, _sqlite._MOST_UNSYNCED = 12, 5
database = Database(sys.argv[1], Schema("note store", 0x0DDBA11, ("CREATE TABLE notes (n INTEGER PRIMARY KEY, text TEXT);",)))

def keep(n, *, is_lasting=True):
    while True:
        try:
            with database.transaction(is_lasting=is_lasting) as connection:
                connection.execute("INSERT INTO notes VALUES (?, ?)", (n, "x" * 6000))
        except StoreError:
            os.write(1, b"again\\n")
        else:
            break
    if is_lasting:
        os.write(1, b"kept %d\\n" % n)

for start in (10, 20, 30):
    keep(start)
    for n in range(8):
        keep(start + 1 + n, is_lasting=n == 4)  # the last ones wait for a sync that the close makes
    database.close()
keep(40)
"""
SYNCS = 37


def lived(folder, *options):
    """Let the program live in a folder under watch: what it did there, in order, and how it ended."""
    log = folder.with_suffix(".log")
    command = tracing(log, *options)
    if command is None:
        pytest.skip("strace is not to be had, or this user may not trace")
    folder.mkdir()
    command += [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder / FILE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return list(events(log, folder)), done


def notes(file):
    """What is in the file; it is whole."""
    if not file.exists() or not file.stat().st_size:
        return set()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        has_notes = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
        return {n for (n,) in connection.execute("SELECT n FROM notes")} if has_notes else set()


def test_how_many_syncs_there_are(tmp_path):
    """Those below are all of them, and each close is among them."""
    done, end = lived(tmp_path / "disk")
    syncs = [event.path for event in done if event.call == "sync"]
    fsyncs = [path for path in syncs if path == str(tmp_path / "disk")]  # that of the new folder's name

    assert ("", 0) == (end.stderr, end.returncode)
    assert SYNCS == len(syncs) - len(fsyncs)
    assert 4 == sum(event.call == "remove" and event.path.endswith("-wal") for event in done)


@pytest.mark.parametrize("when", range(1, SYNCS + 1))
def test_whichever_sync_fails_the_file_is_whole_and_keeps_what_lasts(tmp_path, when):
    """Of a commit's the program is told, and does it again; of a checkpoint's, while it works and when it closes the file, nobody is."""
    folder = tmp_path / "disk"
    done, end = lived(folder, "-e", f"inject=fdatasync:error=EIO:when={when}")
    assert ("", 0) == (end.stderr, end.returncode)
    (failed,) = [place for place, event in enumerate(done) if event.call == "sync fails"]
    if ".db" not in Path(done[failed].path).name:
        pytest.skip("a folder's, which SQLite passes over")
    chance, disk, kept, lost = random.Random(when), Disk(folder), set(), []
    for moment, event in enumerate(done):
        disk.do(event)
        if event.call == "say" and event.path.startswith("kept"):
            kept.add(int(event.path.split()[1]))
        if moment >= failed and event.call != "sync begins":
            target = tmp_path / f"cut-{moment}"
            disk.lose_power(target, chance, chance.choice((0.0, 0.5, 0.9, 1.0)))
            lost += [(moment, n) for n in kept - notes(target / FILE)]

    assert [] == lost
