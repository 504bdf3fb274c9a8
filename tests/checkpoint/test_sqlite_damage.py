"""A damaged checkpoint store: whatever can be read is right, and what cannot is an error that says where."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest

from holdfast import CorruptRecord, SqliteSaver, StoreError
from holdfast.checkpoint import _owners, _schema, sqlite
from holdfast.testing._contract import a_run, a_step, keep
from holdfast.typing import Commit
from tests.faults.disk import tracing

THREADS = ("one", "two", "three")
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    """A store of three threads with two runs each, closed."""
    path = tmp_path / "runs.db"
    saver = SqliteSaver(path)
    for name in THREADS:
        lease = saver.claim(name)
        for number in range(2):
            run = a_run(f"{name}-{number}", name, status="done", base=f"{name}-0" if number else "")
            steps = tuple(a_step(place, bytes([65 + place]) * (5 + place)) for place in range(12))
            keep(saver, Commit(lease, run.run_id, run=run._replace(output=b"output" * 300 * number), steps=steps))
        keep(saver, Commit(lease, f"{name}-0", steps=(a_step(99, b"L" * 3000),)))
        saver.release(lease)
    saver.close()
    return path


def everything(path):
    """All that a reader may ask for."""
    saver = SqliteSaver.read_only(path)
    try:
        listed = [tuple(info[:5]) for info in saver.threads()]
        return listed, [
            (saver.latest(name), saver.runs(name), [saver.steps(f"{name}-{number}") for number in range(2)]) for name in THREADS
        ]
    finally:
        saver.close()


def change(path, sql, *values):
    """Change the file behind the saver's back."""
    with sqlite3.connect(path) as connection:
        connection.execute(sql, values)
    connection.close()


def refusal(path, kind=StoreError):
    """What both a reader and a writer are told."""
    texts = []
    for ask in (lambda saver: saver.latest("one"), lambda saver: saver.claim("one")):
        saver = SqliteSaver(path)
        with pytest.raises(kind) as caught:
            ask(saver)
        texts.append(str(caught.value))
        saver.close()
    assert texts[0] == texts[1]
    return texts[0]


def test_a_flipped_bit_is_never_served(path, tmp_path):
    """One bit at 250 random places that hold something: the answer is the right one, or an error."""
    good, content = everything(path), path.read_bytes()
    chance = random.Random(20261121)
    places = [place for place in range(len(content)) if content[place] or content[max(0, place - 8) : place + 8].strip(b"\0")]
    outcomes = []
    for number, place in enumerate(chance.sample(places, 250)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        copy = tmp_path / f"copy-{number}.db"
        copy.write_bytes(damaged)
        try:
            outcomes.append("right" if everything(copy) == good else f"wrong: {place}")
        except (CorruptRecord, StoreError):
            outcomes.append("refused")

    assert {"right", "refused"} == set(outcomes)
    assert outcomes.count("refused") > 100


def test_a_damaged_step_is_named(path):
    """The error says which file, run and step, and what to do."""
    change(path, "UPDATE steps SET payload = x'00' WHERE name = 'fetch' AND payload = CAST('AAAAA' AS BLOB)")
    saver = SqliteSaver(path)

    with pytest.raises(CorruptRecord) as caught:
        saver.steps("one-0")
    saver.close()

    assert (
        f"{path}: step 'fetch' (0) of run 'one-0' is damaged: its checksum is wrong: "
        "put the file back from a copy, or delete the thread and start it again" == str(caught.value)
    )


@pytest.mark.parametrize(
    "change_to",
    [
        *(
            "kind = 'error'",
            "name = 'pay'",
            "scope = x''",
            "fingerprint = x'00'",
            "occurrence = 1",
            "history = x''",
            "code = ''",
            "at = 30.25",
        ),
        *("payload = x''", "payload = NULL", "payload = 77", "payload = 'text'", "name = x'ff'", "history = 'text'", "at = 'text'"),
        "run = (SELECT id FROM runs WHERE run_id = 'two-0')",
    ],
)
def test_each_part_of_a_step_counts(path, change_to):
    """Another value in any column, or under another run, is damage."""
    change(path, f"UPDATE steps SET {change_to}, step = randomblob(16) WHERE id = (SELECT min(id) FROM steps)")
    saver = SqliteSaver(path)

    for run_id in ("one-0", "two-0") if "two-0" in change_to else ("one-0",):
        with pytest.raises(CorruptRecord, match=run_id):
            saver.steps(run_id)
    saver.close()


@pytest.mark.parametrize(
    "change_to",
    [
        *("status = 'running'", "base = ''", "created = 0", "updated = 0", "entry = 'x'", "code = ''", "input = x''", "output = NULL"),
        *("saved = x''", "error = x''", "run_id = 'other'", "thread_id = 'two'", "status = x'ff'", "updated = 'x'"),
    ],
)
def test_each_part_of_a_run_counts(path, change_to):
    """Another value in any column, or in another thread, is damage."""
    change(path, f"UPDATE runs SET {change_to} WHERE run_id = 'one-1'")
    saver = SqliteSaver(path)

    with pytest.raises(CorruptRecord, match=r"runs\.db: .*one"):
        saver.latest("one")
    with pytest.raises(CorruptRecord, match=r"runs\.db: .*one"):
        saver.runs("one")
    saver.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM steps WHERE id = (SELECT min(id) FROM steps)", "run 'one-0' has 13 steps, of which 12 are found"),
        ("DELETE FROM blobs", "a value of a step of run 'one-0' is missing"),
        ("UPDATE blobs SET content = CAST(content AS TEXT)", "a value of a step of run 'one-0' is missing"),
        ("UPDATE blobs SET content = zeroblob(3000)", "step 'fetch' (0) of run 'one-0' is damaged"),
    ],
)
def test_lost_steps_and_values_are_missed(path, sql, expected):
    """What is gone is not skipped, and a changed value is not taken for the one that was stored."""
    change(path, sql)
    saver = SqliteSaver(path)

    with pytest.raises(CorruptRecord) as caught:
        saver.steps("one-0")
    saver.close()

    assert expected in str(caught.value)


def test_lost_runs_and_threads_are_missed(path):
    """A thread whose newest run, another run, or whose very row is gone is no new thread."""
    change(path, "DELETE FROM runs WHERE run_id = 'one-1'")
    change(path, "DELETE FROM runs WHERE run_id = 'two-0'")
    change(path, "DELETE FROM threads WHERE thread_id = 'three'")
    saver = SqliteSaver(path)
    texts = []
    for ask in (lambda: saver.latest("one"), lambda: saver.runs("two"), lambda: saver.latest("three"), lambda: saver.claim("three")):
        with pytest.raises(CorruptRecord) as caught:
            ask()
        texts.append(str(caught.value).split(": ")[1])
    saver.close()

    lost = "thread 'three' is missing, but its runs are not"
    assert ["the newest run of thread 'one' is missing", "thread 'two' has 2 runs, of which 1 are found", lost, lost] == texts


def test_a_run_that_its_index_has_lost_still_has_steps(path):
    """Asking for the steps of a run looks through all runs before it says that there are none."""
    content = bytearray(path.read_bytes())
    with sqlite3.connect(path) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_runs_1'").fetchone()[0]
    connection.close()
    start = content.index(b"one-0", (page - 1) * PAGE)
    content[start : start + 5] = b"one-x"
    path.write_bytes(content)
    saver = SqliteSaver(path)

    with pytest.raises(CorruptRecord, match="run 'one-0' is missing in an index"):
        saver.steps("one-0")
    saver.close()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(path, part):
    """Half a file is not read as half the runs."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])

    with pytest.raises((CorruptRecord, StoreError)):
        everything(path)


def test_garbage_is_refused(path):
    """A file that is no database is left as it is."""
    path.write_bytes(b"not a database" * 1000)

    assert f"cannot open the checkpoint store {path}: file is not a database" == refusal(path)
    assert b"not a database" * 1000 == path.read_bytes()


def test_a_foreign_database_is_refused(tmp_path):
    """Somebody else's database is left as it is."""
    path = tmp_path / "theirs.db"
    change(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()

    assert f"{path} is a SQLite file, but not a holdfast checkpoint store: choose another path" == refusal(path)
    assert before == path.read_bytes()


def test_a_newer_schema_is_refused(path):
    """Both versions are named; nothing is changed."""
    change(path, "PRAGMA user_version = 7")
    before = path.read_bytes()

    assert (
        f"the checkpoint store {path} was written by a newer holdfast (schema 7, this one knows 2): upgrade holdfast, or choose another path"
        == refusal(path)
    )
    assert before == path.read_bytes()


def test_an_older_schema_is_upgraded_by_reading_too(path, monkeypatch):
    """A saver that may write upgrades the file at its first look; one that may only read says what is to be done."""
    newer = _schema.SCHEMA._replace(migrations=(*_schema.SCHEMA.migrations, "ALTER TABLE runs ADD COLUMN colour TEXT;"))
    monkeypatch.setattr(sqlite, "SCHEMA", newer)
    with pytest.raises(StoreError, match="has schema 2 of an older holdfast: it is upgraded when next written to"):
        everything(path)
    saver = SqliteSaver(path)
    before = saver.latest("one")
    saver.close()

    assert "one-1" == before.run_id
    assert before == everything(path)[1][0][0]


def without_traces(path):
    """Make it a file of schema 1, whose rows have checksums that know of no trace."""
    change(path, "ALTER TABLE runs DROP COLUMN trace")
    change(path, "PRAGMA user_version = 1")


def test_a_file_without_traces_is_upgraded_and_stays_good(path):
    """Its runs are untraced, and can be resumed."""
    before = everything(path)
    without_traces(path)
    saver = SqliteSaver(path)
    saver.latest("one")
    saver.close()

    assert before == everything(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert (2,) == connection.execute("PRAGMA user_version").fetchone()


UPGRADE = "import sys; from holdfast import SqliteSaver; SqliteSaver(sys.argv[1]).latest('one')"


def test_an_upgrade_that_is_killed_loses_nothing(path, tmp_path):
    """Whichever of its writes is the last one: what is there is whole, of the old schema or of the new one, and the next to come upgrades it."""
    before = everything(path)
    without_traces(path)
    deaths = 0
    for last in range(1, 40):
        copy = tmp_path / f"killed-{last}" / "runs.db"
        copy.parent.mkdir(mode=0o700)
        shutil.copy(path, copy)
        command = tracing(tmp_path / "log", "-e", f"inject=pwrite64:signal=KILL:when={last}")
        if command is None:
            pytest.skip("strace is not to be had, or this user may not trace")
        done = subprocess.run([*command, sys.executable, "-c", UPGRADE, str(copy)], capture_output=True, check=False, timeout=60)
        if done.returncode == 0:
            break
        deaths += 1
        assert before == everything(copy)
        SqliteSaver(copy).latest("one")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert (2, "ok") == (
                connection.execute("PRAGMA user_version").fetchone()[0],
                connection.execute("PRAGMA integrity_check").fetchone()[0],
            )
        assert before == everything(copy)

    assert done.returncode == 0
    assert deaths >= 3


def test_a_file_without_traces_can_be_looked_at(path):
    """Tools that may not upgrade it read it as it is, so that `holdfast threads` shows what waits; not a byte changes."""
    before = everything(path)
    without_traces(path)
    content = path.read_bytes()

    assert before == everything(path)
    assert content == path.read_bytes()


def test_a_changed_trace_is_damage(path):
    """It is under the checksum, as everything else: a healed trace is not healed again."""
    change(path, "UPDATE runs SET trace = 'other' WHERE run_id = 'one-1'")

    with pytest.raises(CorruptRecord, match="run 'one-1' of thread 'one' is damaged: its checksum is wrong"):
        SqliteSaver(path).latest("one")


def test_an_emptied_file_is_not_a_new_store(path, monkeypatch):
    """Starting anew without a word would do all runs again; who wants that deletes the file."""
    monkeypatch.setattr(_owners, "_BIRTH", 0.02)
    path.write_bytes(b"")
    text = refusal(path)
    path.unlink()
    saver = SqliteSaver(path)

    assert (
        f"{path} is empty, but runs have been kept in it (there is runs.db-owners): put it back from a copy, or delete it to start anew"
        == text
    )
    assert saver.latest("one") is None
    assert 1 == saver.claim("one").epoch
    saver.close()


@pytest.mark.parametrize("which", ["runs.db", "runs.db-owners"])
def test_a_planted_link_is_refused(tmp_path, which):
    """Neither the file nor the owners' folder may be somewhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / which).symlink_to(elsewhere if which.endswith("owners") else elsewhere / "file")
    saver = SqliteSaver(tmp_path / "runs.db")

    with pytest.raises(StoreError, match=rf"{which} is a symbolic link"):
        saver.claim("one")
    saver.close()
    assert [] == list(elsewhere.iterdir())
