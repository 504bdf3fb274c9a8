"""SQLite files are opened privately, migrated once, shared safely between threads, processes and forks, and refused when unsafe."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.values import _private
from holdfast.values._private import file_system
from holdfast.values._sqlite import Database, EmptyStoreError, Schema, is_corrupt, version_warning
from tests.waiting import until

NOTES = Schema("note store", 0x0DDBA11, ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",))
MOUNTS = """\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
60 28 0:48 / /home/ann\\040b rw,relatime shared:29 - nfs4 server:/home rw,vers=4.2
61 28 0:49 / /bare rw - tmpfs tmpfs rw
"""


@pytest.fixture
def path(tmp_path):
    """Where the file goes: in a folder that is not there yet."""
    return tmp_path / "private" / "notes.db"


@pytest.fixture
def open_notes(path):
    """Open databases on one file and close them at the end of the test."""
    opened = []

    def open_one(schema=NOTES, **options):
        opened.append(Database(path, schema, **options))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


def add(database, text):
    """Insert one note."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def is_open_here(path):
    """Whether this process has the file open."""
    return str(path) in {os.path.realpath(each) for each in Path("/dev/fd").iterdir()}


def texts(database):
    """All notes in order."""
    with database.snapshot() as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def pragma(database, name):
    """The value of a setting."""
    with database.snapshot() as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def mode_of(path):
    """Permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def refusal(database):
    """Try to write and return what the refusal says."""
    with pytest.raises(StoreError) as caught, database.transaction():
        pass
    return str(caught.value)


def run_python(code, *arguments, **options):
    """Start a Python process."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_keeps_what_was_committed(open_notes):
    """Another opening of the file reads what the first one committed."""
    first = open_notes()
    add(first, "hello")
    first.close()

    assert ["hello"] == texts(open_notes())


def test_rolls_back_when_the_block_raises(open_notes):
    """An exception inside the block undoes the block and passes through."""
    database = open_notes()
    add(database, "kept")

    def fail(connection):
        connection.execute("INSERT INTO notes (text) VALUES ('lost')")
        raise KeyError

    with pytest.raises(KeyError), database.transaction() as connection:
        fail(connection)

    assert ["kept"] == texts(database)


def test_sql_errors_are_store_errors(open_notes, path):
    """What SQLite refuses is a StoreError that names store and file; the database stays usable."""
    database = open_notes()
    with pytest.raises(StoreError) as caught, database.transaction() as connection:
        connection.execute("INSERT INTO nowhere VALUES (1)")
    add(database, "after")

    assert f"note store {path}: no such table: nowhere" == str(caught.value)
    assert ["after"] == texts(database)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_files_are_private_whatever_the_umask(open_notes, path, umask):
    """Folder 0700; database, write-ahead log and shared memory 0600."""
    before = os.umask(umask)
    try:
        add(open_notes(), "secret")
    finally:
        os.umask(before)

    assert [0o700, 0o600, 0o600, 0o600] == [
        mode_of(each) for each in (path.parent, path, path.with_name("notes.db-wal"), path.with_name("notes.db-shm"))
    ]


def test_every_folder_it_makes_is_private(tmp_path):
    """Missing parents are made 0700 too; folders that were there stay as they are."""
    tmp_path.chmod(0o755)
    database = Database(tmp_path / "a" / "b" / "notes.db", NOTES)
    add(database, "x")
    database.close()

    assert [0o755, 0o700, 0o700] == [mode_of(each) for each in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]


def test_takes_an_open_file_of_ours_away_from_others(open_notes, path):
    """A store that others may read, for example after a copy, is made private when it is opened."""
    first = open_notes()
    add(first, "x")
    first.close()
    path.chmod(0o644)

    assert ["x"] == texts(open_notes())
    assert 0o600 == mode_of(path)


def test_refuses_a_folder_that_everyone_may_write(open_notes, path):
    """In a world-writable folder anyone could swap the file; the text says what to do."""
    path.parent.mkdir()
    path.parent.chmod(0o777)

    assert (
        f"{path.parent} is writable by everyone, who could replace the note store: choose another folder, or chmod o-w {path.parent}"
        == refusal(open_notes())
    )


def test_refuses_a_folder_of_another_user(open_notes, path, monkeypatch):
    """The owner of the folder could swap the file."""
    path.parent.mkdir(mode=0o700)
    monkeypatch.setattr(_private.os, "geteuid", lambda: 4321)
    if os.getuid() == 0:
        os.chown(path.parent, 1234, -1)

    assert f"{path.parent} belongs to user {path.parent.stat().st_uid}, not to you (4321)" in refusal(open_notes())


def test_refuses_a_file_of_another_user(path, monkeypatch):
    """A file that someone else put there is not opened."""
    path.parent.mkdir(mode=0o700)
    path.touch()
    monkeypatch.setattr(_private.os, "geteuid", lambda: 4321)

    with pytest.raises(StoreError, match=r"notes\.db belongs to user \d+, not to you \(4321\): choose a note store of your own"):
        _private.check_file(path, "note store")


def test_refuses_a_symbolic_link(open_notes, path, tmp_path):
    """A link could point the store, and its chmod, at any file; also when its target is missing."""
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere.db")

    assert f"{path} is a symbolic link: give the path of the note store itself" == refusal(open_notes())
    assert not (tmp_path / "elsewhere.db").exists()


def test_refuses_a_folder_as_file(open_notes, path):
    """A folder at the path is named as the mistake it is."""
    path.mkdir(parents=True, mode=0o700)

    assert f"{path} is not a file: give the path of a note store" == refusal(open_notes())


def test_refuses_a_network_file_system(open_notes, path, monkeypatch, tmp_path):
    """WAL needs shared memory, which a network file system does not have."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"60 28 {os.major(device)}:{os.minor(device)} / /home rw shared:29 - nfs4 server:/home rw\n", encoding="utf-8")
    monkeypatch.setattr(_private, "_MOUNTS", mounts)

    assert f"{path.parent} is on a network file system (nfs4), where SQLite loses data: keep the note store on a local disk" == refusal(
        open_notes()
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [(os.makedev(254, 1), "ext4"), (os.makedev(0, 48), "nfs4"), (os.makedev(0, 49), "tmpfs"), (os.makedev(9, 9), "")],
)
def test_reads_the_list_of_mounts(device, expected):
    """The type is found by device number, with and without the optional fields of a line."""
    assert expected == file_system(device, MOUNTS)


def test_refuses_a_database_of_another_kind_and_leaves_it_alone(open_notes, path):
    """Somebody's own SQLite file is neither changed nor switched to WAL."""
    path.parent.mkdir(mode=0o700)
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    path.chmod(0o644)
    before = path.read_bytes()

    assert f"{path} is a SQLite file, but not a holdfast note store: choose another path" == refusal(open_notes())
    assert (before, 0o644) == (path.read_bytes(), mode_of(path))


def test_refuses_another_holdfast_store(open_notes, path):
    """A store of another identity is refused as well."""
    first = open_notes()
    add(first, "x")
    first.close()

    assert "is a SQLite file, but not a holdfast other store" in refusal(open_notes(Schema("other store", 77, NOTES.migrations)))


def test_refuses_a_newer_schema(open_notes, path):
    """A file written by a newer version says so, with both versions and the way out."""
    newer = open_notes(NOTES._replace(migrations=(*NOTES.migrations, "ALTER TABLE notes ADD COLUMN colour TEXT;")))
    add(newer, "x")
    newer.close()

    assert (
        f"the note store {path} was written by a newer holdfast (schema 2, this one knows 1): upgrade holdfast, or choose another path"
        == refusal(open_notes())
    )


def test_migrates_an_older_file_once(open_notes):
    """Scripts that the file has not seen are run in order, what was stored stays."""
    first = open_notes()
    add(first, "old")
    first.close()
    scripts = (
        *NOTES.migrations,
        "ALTER TABLE notes ADD COLUMN colour TEXT DEFAULT 'red';\n",
        "UPDATE notes SET text = text || ';';\nDROP TABLE IF EXISTS x;",
    )
    for _ in range(2):
        second = open_notes(NOTES._replace(migrations=scripts))
        assert ["old;"] == texts(second)
        assert 3 == pragma(second, "user_version")
        second.close()


def test_a_failing_migration_changes_nothing(open_notes):
    """All scripts and the version are one transaction."""
    first = open_notes()
    add(first, "old")
    first.close()
    broken = NOTES._replace(migrations=(*NOTES.migrations, "DELETE FROM notes;\nSELECT no_such_function();"))

    assert "no such function" in refusal(open_notes(broken))
    assert ["old"] == texts(open_notes())


@pytest.mark.parametrize(
    ("name", "expected"), [("journal_mode", "wal"), ("synchronous", 1), ("busy_timeout", 1500), ("mmap_size", 0), ("trusted_schema", 0)]
)
def test_settings(open_notes, name, expected):
    """The settings that keep files safe are in force on the connection."""
    assert expected == pragma(open_notes(synchronous="NORMAL", busy_timeout=1.5), name)


def test_a_patience_longer_than_sqlite_can_count_is_the_longest_that_it_can(open_notes):
    """More milliseconds than an int holds would be taken for none at all."""
    assert 2_147_483_000 == pragma(open_notes(busy_timeout=1e10), "busy_timeout")


def test_survives_power_loss_by_default(open_notes):
    """Every commit is synced unless asked otherwise."""
    assert 2 == pragma(open_notes(), "synchronous")


def test_a_reader_sees_commits_and_cannot_write(open_notes):
    """A reader reads beside the writer and is refused as a writer."""
    writer, reader = open_notes(), open_notes(is_reader=True)
    add(writer, "one")
    assert ["one"] == texts(reader)
    add(writer, "two")

    assert ["one", "two"] == texts(reader)
    assert "readonly database" in refusal(reader)


def test_a_reader_makes_nothing(open_notes, path):
    """A reader of a missing file fails without leaving folder or file behind."""
    with pytest.raises(EmptyStoreError, match=r"there is no note store .*notes\.db yet"), open_notes(is_reader=True).snapshot():
        pass
    assert not path.parent.exists()


def test_a_reader_leaves_nothing_beside_a_file_at_rest(open_notes, path):
    """What SQLite makes for reading is gone when the reader is; a reader that comes second keeps nothing from that."""
    writer = open_notes()
    add(writer, "one")
    writer.close()
    before = path.read_bytes()
    first, second = open_notes(is_reader=True), open_notes(is_reader=True)

    assert (["one"], ["one"]) == (texts(first), texts(second))
    first.close()
    second.close()
    assert (["notes.db"], before) == ([each.name for each in path.parent.iterdir()], path.read_bytes())


def test_a_reader_leaves_the_log_of_a_killed_process_as_it_is(open_notes, path, tmp_path):
    """It is read, and neither moved into the file nor removed."""
    writer = open_notes()
    add(writer, "one")
    left = tmp_path / "left"
    left.mkdir(mode=0o700)
    for name in ("notes.db", "notes.db-wal"):  # what is on the disk when the process is killed now
        (left / name).write_bytes((path.parent / name).read_bytes())
    before = {each.name: each.read_bytes() for each in left.iterdir()}
    reader = Database(left / "notes.db", NOTES, is_reader=True)

    assert ["one"] == texts(reader)
    reader.close()
    assert before == {name: (left / name).read_bytes() for name in before}


def test_a_reader_needs_no_room_in_a_folder_that_is_read_only(open_notes, path, monkeypatch):
    """SQLite would want to make files for reading there."""
    writer = open_notes()
    add(writer, "one")
    writer.close()
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere
    reader = open_notes(is_reader=True)

    assert ["one"] == texts(reader)
    assert ["notes.db"] == [each.name for each in path.parent.iterdir()]


def test_a_reader_does_not_upgrade(open_notes, path):
    """Reading an older or empty file says what is the matter and changes nothing."""
    first = open_notes()
    add(first, "x")
    first.close()
    newer = NOTES._replace(migrations=(*NOTES.migrations, "DROP TABLE notes;"))
    assert f"the note store {path} has schema 1 of an older holdfast: it is upgraded when next written to" == refusal(
        open_notes(newer, is_reader=True)
    )

    path.write_bytes(b"")
    with (
        pytest.raises(EmptyStoreError, match=r"notes\.db is empty: nothing has been recorded in it yet"),
        open_notes(is_reader=True).snapshot(),
    ):
        pass


def test_tells_damage_from_other_trouble(open_notes, path):
    """A file that is no database is damaged; a missing table is not."""
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"not a database, surely" * 100)
    with pytest.raises(StoreError) as damaged:
        add(open_notes(), "x")
    path.unlink()
    with pytest.raises(StoreError) as mistake, open_notes().transaction() as connection:
        connection.execute("SELECT * FROM nowhere")

    assert [True, False] == [is_corrupt(damaged.value), is_corrupt(mistake.value)]


def test_threads_share_one_database(open_notes):
    """Threads take turns; nothing is lost."""
    database = open_notes(synchronous="NORMAL")
    threads = [threading.Thread(target=lambda: [add(database, "x") for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 200 == len(texts(database))


OPEN_AT_ONCE = """
    import sys
    from holdfast.values._sqlite import Database, Schema
    database = Database(sys.argv[1], Schema("note store", 0x0DDBA11, ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",)), synchronous="NORMAL")
    sys.stdin.readline()
    for n in range(100):
        with database.transaction() as connection:
            connection.execute("INSERT INTO notes (text) VALUES (?)", (sys.argv[2],))
"""


def test_processes_create_and_write_one_file_at_once(open_notes, path):
    """Four processes race for a file that is not there; each finds it whole and writes all it has."""
    children = [run_python(OPEN_AT_ONCE, path, n, stdin=subprocess.PIPE) for n in range(4)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    outcomes = [(child.communicate(timeout=30)[1], child.returncode) for child in children]

    assert [("", 0)] * 4 == outcomes
    assert {str(n): 100 for n in range(4)} == {text: texts(open_notes()).count(text) for text in "0123"}


def test_waits_while_another_process_makes_the_file(open_notes, path):
    """SQLite refuses to switch to WAL at once while another writes; we ask again until it has finished."""
    path.parent.mkdir(mode=0o700)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.05, other.rollback)
    timer.start()
    add(open_notes(), "x")
    timer.join()
    other.close()

    assert ["x"] == texts(open_notes())


def test_waits_for_another_process_and_then_gives_up(open_notes, path):
    """Another writer's lock is waited for as long as asked; then the error says that the file is locked."""
    first, second = open_notes(), open_notes(busy_timeout=0.05)
    add(first, "x")
    with first.transaction():
        assert f"note store {path}: database is locked" == refusal(second)
    add(second, "y")

    assert ["x", "y"] == texts(first)


def test_a_writer_that_never_rests_keeps_nobody_out(open_notes):
    """The lock is asked for again and again, every 5 ms at most: SQLite's own waiting, within one question, would try only every 100 ms."""
    first, second = open_notes(), open_notes()
    add(first, "theirs")
    add(second, "ours")
    asked = []
    second._connection.set_trace_callback(lambda statement: asked.append(statement) if statement == "BEGIN IMMEDIATE" else None)
    waiting = threading.Thread(target=add, args=(second, "ours, too"))
    with first.transaction():
        waiting.start()
        until(lambda: len(asked) >= 10)
        assert 5 == second._patience
    waiting.join(60)

    assert ["theirs", "ours", "ours, too"] == texts(first)


PRELUDE = """
    import gc, os, sys, threading, warnings
    from holdfast.errors import StoreError
    from holdfast.values import _sqlite
    from holdfast.values._sqlite import Database, Schema

    def open_notes():
        return Database(sys.argv[1], Schema("note store", 0x0DDBA11, ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",)))

    def add(text, to=None):
        with (to or database).transaction() as connection:
            connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    def exit_code_of(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def is_open():
        identity = os.stat(sys.argv[1]).st_ino
        numbers = [int(name) for name in os.listdir("/dev/fd")]
        return any(os.fstat(n).st_ino == identity for n in numbers if os.path.exists(f"/dev/fd/{n}"))

    warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)  # forking beside threads is what is tested
    database = open_notes()
    add("parent")
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def run_prelude(work, *arguments, **options):
    """Start a process that has one note written, in the file that is its first argument, and then does ``work``."""
    return run_python(textwrap.dedent(PRELUDE) + textwrap.dedent(work), *arguments, **options)


def finish(child):
    """Wait for a process: output, errors, exit code."""
    return (*child.communicate(timeout=20), child.returncode)


@needs_fork
def test_a_forked_child_keeps_its_commits_when_the_parent_closes(open_notes, path):
    """Nothing of SQLite crosses the fork: else the parent's close would delete the log under the child."""
    child = run_prelude(
        """
        to_child, to_parent = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            add("child")
            os.write(to_parent[1], b"x")
            os.read(to_child[0], 1)
            add("child again")
            sys.exit(7)
        os.read(to_parent[0], 1)
        database.close()
        add("other", to=open_notes())
        os.write(to_child[1], b"x")
        assert 7 == exit_code_of(pid)
        add("parent again")
        """,
        path,
    )
    assert ("", "", 0) == finish(child)

    assert ["parent", "child", "other", "child again", "parent again"] == texts(open_notes())


@needs_fork
def test_a_fork_waits_for_the_transaction_of_another_thread(open_notes, path):
    """A thread that writes finishes first; parent and child both can write afterwards."""
    child = run_prelude(
        """
        _sqlite._FORK_PATIENCE = 3600  # a busy machine may let the timer sleep for longer than a fork waits
        inside, leave = threading.Event(), threading.Event()
        def hold():
            with database.transaction() as connection:
                connection.execute("INSERT INTO notes (text) VALUES ('thread')")
                inside.set()
                leave.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()
        threading.Timer(0.1, leave.set).start()
        pid = os.fork()
        if pid == 0:
            add("child")
            os._exit(5)
        assert 5 == exit_code_of(pid)
        add("parent again")
        thread.join()
        """,
        path,
    )
    assert ("", "", 0) == finish(child)

    assert ["parent", "thread", "child", "parent again"] == texts(open_notes())


@needs_fork
def test_a_transaction_that_does_not_end_is_the_parents_alone(open_notes, path):
    """The child refuses the file, closes nothing, and the parent's transaction goes on."""
    child = run_prelude(
        """
        _sqlite._FORK_PATIENCE = 0.01
        inside, leave = threading.Event(), threading.Event()
        def hold():
            with database.transaction() as connection:
                connection.execute("INSERT INTO notes (text) VALUES ('thread')")
                inside.set()
                leave.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()
        pid = os.fork()
        if pid == 0:
            for each in (database, open_notes()):
                try:
                    add("child", to=each)
                except StoreError as error:
                    assert "it cannot use that note store safely" in str(error)
                else:
                    os._exit(1)
            gc.collect()
            assert is_open()
            sys.exit(5)
        assert 5 == exit_code_of(pid)
        leave.set()
        thread.join()
        add("parent again")
        """,
        path,
    )
    assert ("", "", 0) == finish(child)

    assert ["parent", "thread", "parent again"] == texts(open_notes())


@needs_fork
def test_a_fork_inside_a_transaction_keeps_the_parents_half_only(open_notes, path):
    """The child is refused its commit and told so, without any wait; the parent's stands."""
    child = run_prelude(
        """
        _sqlite._FORK_PATIENCE = 3600
        try:
            with database.transaction() as connection:
                connection.execute("INSERT INTO notes (text) VALUES ('both')")
                pid = os.fork()
        except StoreError as error:
            assert pid == 0 and "forked inside a transaction" in str(error)
        if pid == 0:
            del connection
            gc.collect()
            assert is_open()  # closing the inherited connection would roll back the parent's transaction
            os._exit(3)
        assert 3 == exit_code_of(pid)
        """,
        path,
    )
    assert ("", "", 0) == finish(child)

    assert ["parent", "both"] == texts(open_notes())


@needs_fork
@pytest.mark.parametrize("way", ["close", "drop"])
def test_forks_beside_threads_that_make_files_anew(way, open_notes, path):
    """However they let go of them: each child can use the file, and none hangs on a lock inside SQLite that came along."""
    child = run_prelude(
        """
        from holdfast.values import forks
        _sqlite._FORK_PATIENCE = forks._PATIENCE = 3600  # a disk may be slow
        ended = threading.Event()
        def churn():
            while not ended.is_set():
                made = open_notes()
                add("thread", to=made)
                if sys.argv[2] == "close":
                    made.close()
                del made
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(12):
            pid = os.fork()
            if pid == 0:
                add(f"child {n}", to=open_notes())
                os._exit(5)
            assert 5 == exit_code_of(pid)
        ended.set()
        for thread in threads:
            thread.join()
        """,
        path,
        way,
    )
    assert ("", "", 0) == (*child.communicate(timeout=300), child.returncode)

    assert [f"child {n}" for n in range(12)] == [text for text in texts(open_notes()) if text.startswith("child")]


@needs_fork
def test_a_fork_in_the_middle_of_a_fork(open_notes, path):
    """That of a signal's handler, say: both children can use the file, and so can the parent."""
    child = run_prelude(
        """
        from holdfast.values import forks
        class Handler:
            def before_fork(self):
                pid = os.fork()
                if pid == 0:
                    add("inner", to=open_notes())
                    os._exit(5)
                assert 5 == exit_code_of(pid)
                self.before_fork = lambda: None
            def after_fork_in_parent(self):
                pass
            after_fork_in_child = after_fork_in_parent
        handler = Handler()
        forks.protect(handler, is_file=True)
        pid = os.fork()
        if pid == 0:
            add("outer")
            os._exit(6)
        assert 6 == exit_code_of(pid)
        add("parent again")
        assert {} == forks._forking
        """,
        path,
    )
    assert ("", "", 0) == (*child.communicate(timeout=60), child.returncode)

    assert ["parent", "inner", "outer", "parent again"] == texts(open_notes())


def test_whoever_is_dropped_in_a_circle_leaves_no_connection_open(path, monkeypatch):
    """Though the collector comes to the connection first, which was there before its owner: Python 3.13 warns of open ones."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.exc_value))
    older = Database(path, NOTES)._connect()
    dropped = Database(path, NOTES)
    dropped._connect = lambda kept=[older]: kept.pop()
    add(dropped, "x")
    dropped.circle = dropped
    are_open = [is_open_here(path)]
    del dropped, older
    gc.collect()
    are_open.append(is_open_here(path))

    assert ([], [True, False]) == (said, are_open)


def test_commits_survive_kill_9(open_notes, path):
    """Whatever was committed before the process was killed is there; the half transaction is not."""
    child = run_prelude(
        """
        with database.transaction() as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('half')")
            print("ready", flush=True)
            sys.stdin.read()
        """,
        path,
        stdin=subprocess.PIPE,
    )
    assert "ready\n" == child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=20)

    assert ["parent"] == texts(open_notes())


STUCK = """
    def hold(opened, is_writing):
        def work():
            with opened.transaction() if is_writing else opened.snapshot():
                ready.set()
                threading.Event().wait()
        ready = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
"""


def test_the_end_of_a_process_leaves_one_whole_file(open_notes, path, tmp_path):
    """Also where a thread that does not end refers to the database; its copy has all there is."""
    with run_prelude("threading.Thread(target=lambda mine: threading.Event().wait(), args=[database], daemon=True).start()", path) as child:
        assert ("", "", 0) == finish(child)

    assert ["notes.db"] == [each.name for each in path.parent.iterdir()]
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    assert ["parent"] == texts(Database(copy, NOTES))


@pytest.mark.parametrize("is_writing", [True, False], ids=["writing", "reading"])
def test_the_end_of_a_process_waits_for_no_transaction(open_notes, path, is_writing):
    """What had been committed stays, in the log."""
    with run_prelude(f"{textwrap.dedent(STUCK)}\nhold(database, {is_writing})", path) as child:
        assert ("", "", 0) == finish(child)

    assert ["parent"] == texts(open_notes())


def test_the_end_of_a_process_does_not_wait_for_another_that_reads(open_notes, path):
    """Whoever closes the file last leaves it whole."""
    database = open_notes()
    add(database, "ours")
    with database.snapshot(), run_prelude("", path) as child:
        assert ("", "", 0) == finish(child)
    database.close()

    assert ["notes.db"] == [each.name for each in path.parent.iterdir()]
    assert ["ours", "parent"] == texts(open_notes())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 40, 1), "SQLite 3.40.1 has a rare fault when several processes write one file; 3.51.3 mends it"),
        ((3, 51, 2), "SQLite 3.51.2 has a rare fault when several processes write one file; 3.51.3 mends it"),
        ((3, 51, 3), ""),
        ((4, 0, 0), ""),
    ],
)
def test_names_the_versions_with_the_reset_fault(version, expected):
    """Only versions older than 3.51.3 have something to say."""
    assert expected == version_warning(version)


def test_a_migration_ends_with_a_semicolon(open_notes):
    """A script that ends in half a statement is a mistake of ours, found at once."""
    with pytest.raises(ValueError, match="a migration ends without a semicolon: 'CREATE TABLE x'"):
        add(open_notes(Schema("x", 5, ("CREATE TABLE x",))), "")


def test_the_path_is_fixed_when_made(tmp_path, monkeypatch):
    """A relative path stays where it was meant when the process changes its folder."""
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "notes.db" == Path(Database("notes.db", NOTES).path)
