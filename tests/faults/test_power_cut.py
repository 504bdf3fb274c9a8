"""SqliteSaver and the power cut: real runs, and every state in which a disk may be found afterwards."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from holdfast import SqliteSaver
from tests.faults import outage
from tests.faults.disk import Disk, events, tracing

ROOT = Path(__file__).parents[2]
STORE = "new/folders/runs.db"
SHARES = (0.0, 0.5, 0.9, 1.0)
EXPECTED = {first: [outage.text(kind.__name__, n) for n, kind in enumerate(outage.CALLS, start=first)] for first in outage.RUNS}


def lived(folder, synchronous="FULL", *options, tries=1):
    """Let the program live in a folder under watch; what it did there, and how it ended. It goes on ``tries`` times after trouble."""
    log = folder.with_suffix(".log")
    command = tracing(log, *options)
    if command is None:
        pytest.skip("strace is not to be had, or this user may not trace")
    folder.mkdir()
    program = "import sys; from tests.faults.outage import told; told(*sys.argv[1:])"  # its names are as they are here
    command += [sys.executable, "-c", program]
    command += [str(folder / STORE), synchronous, str(tries)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return list(events(log, folder)), done


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """By how it syncs: where the program lived, and what it did there."""
    made = {}
    for synchronous in ("FULL", "NORMAL"):
        folder = tmp_path_factory.mktemp("outage") / "disk"
        done, end = lived(folder, synchronous)
        assert (0, "") == (end.returncode, end.stderr)
        made[synchronous] = (folder, done)
    return made


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    """What goes on in this process says nothing."""
    monkeypatch.setattr(outage, "say", lambda _text: None)


def done_again(store, seen):
    """Go on with what is found; what of ``seen`` had to be done again for that."""
    if store.exists() and store.stat().st_size:
        with contextlib.closing(sqlite3.connect(store)) as connection:
            assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    outage.ran.clear()
    saver = SqliteSaver(store, synchronous="NORMAL")
    results = {first: outage.live(saver, first) for first in outage.RUNS}
    saver.close()
    assert results == EXPECTED
    return sorted(set(outage.ran) & seen)


def cut(trace, tmp_path, seed, count):
    """Lose power at so many moments; for each, its number and what the program had seen and had to be done again."""
    folder, done = trace
    chance = random.Random(seed)
    disk, seen, place, found = Disk(folder), set(), 0, []
    for number, moment in enumerate(sorted(chance.sample(range(1, len(done) + 1), count))):
        for event in done[place:moment]:
            disk.do(event)
            seen.update([event.path] if event.call == "say" else [])
        place = moment
        target = tmp_path / f"cut-{moment}"
        disk.lose_power(target, chance, SHARES[number % len(SHARES)])
        found.append((moment, done_again(target / STORE, seen)))
    return found


def test_no_outcome_that_was_seen_is_lost_to_a_power_cut(traces, tmp_path):
    """The store is whole, the result is the undisturbed one, and nothing that the program was handed, or began at most once, is done again."""
    assert [] == [(moment, lost) for moment, lost in cut(traces["FULL"], tmp_path, seed=1, count=60) if lost]


def test_normal_loses_the_last_outcomes_and_nothing_else(traces, tmp_path):
    """The store is whole here, too, and the result the undisturbed one; and the judge can tell."""
    assert len([moment for moment, lost in cut(traces["NORMAL"], tmp_path, seed=2, count=24) if lost]) > 3


def test_the_program_wears_its_disk(traces):
    """What makes it worth cutting: its log is begun again in the middle of a run, and files are made and removed."""
    calls = Counter((event.call, Path(event.path).name) for event in traces["FULL"][1])

    assert 2 * len(outage.CALLS) + 4 == sum(count for (call, _), count in calls.items() if call == "say")
    assert calls["sync", "runs.db"] > 4  # checkpoints
    assert 2 == calls["remove", "runs.db-wal"]
    assert len({event.number for event in traces["FULL"][1] if event.path.endswith("-wal")}) < calls["write", "runs.db-wal"] / 2


@pytest.mark.parametrize(
    ("file", "first", "ends"),
    [("-wal", 150, "StoreError"), ("-shm", 10, "StoreError"), ("", 10, "well")],
)
def test_no_room_in_one_file_alone(tmp_path, file, first, ends):
    """Its log or the memory it shares: the run stops with the store's error; the file itself: what it cannot take over stays in the log."""
    folder = tmp_path / "disk"
    _, end = lived(folder, "FULL", "-P", f"{folder / STORE}{file}", "-e", f"inject=pwrite64:error=ENOSPC:when={first}+")

    assert ends == how_it_ended(end)
    assert [] == done_again(folder / STORE, set(end.stdout.split("\n")))


def test_a_disk_that_cannot_sync_any_more(tmp_path):
    """The run stops before it is handed what is not synced; with the power gone as well, all that it was handed is there."""
    folder = tmp_path / "disk"
    done, end = lived(folder, "FULL", "-e", "inject=fdatasync:error=EIO:when=20+")
    disk, seen = Disk(folder), set(end.stdout.split("\n"))
    for event in done:
        disk.do(event)
    for share in SHARES:
        disk.lose_power(tmp_path / f"cut-{share}", random.Random(3), share)

    assert "StoreError" == how_it_ended(end)
    assert len(seen) > 5
    assert [[]] * 5 == [done_again(path / STORE, seen) for path in [*(tmp_path / f"cut-{share}" for share in SHARES), folder]]


@pytest.mark.parametrize("when", [4, 7, 17, 30])
def test_one_sync_fails_and_the_program_goes_on(tmp_path, when):
    """What that sync should have kept no later one keeps; resumed in the same process, nothing that it is handed then hangs on it.

    The syncs are those of files. That of a folder SQLite passes over when it fails, and a store whose name is lost so is refused as emptied.
    The 17th is that of a store that is being closed, which is no commit's, and of which SQLite tells nobody.
    """
    folder = tmp_path / "disk"
    done, end = lived(folder, "FULL", "-e", f"inject=fdatasync:error=EIO:when={when}", tries=5)
    failed = {Path(event.path).name for event in done if event.call == "sync fails"}

    assert "well" == how_it_ended(end), end.stderr
    assert failed
    assert failed <= {"runs.db", "runs.db-wal"}
    assert [] == [(moment, lost) for moment, lost in cut((folder, done), tmp_path, seed=when, count=24) if lost]


def how_it_ended(end):
    """``"well"``, or with which error."""
    raised = re.findall(r"^ended with (\w+)$", end.stderr, re.MULTILINE)
    return "well" if end.returncode == 0 else raised[-1] if raised else f"code {end.returncode}: {end.stderr}"
