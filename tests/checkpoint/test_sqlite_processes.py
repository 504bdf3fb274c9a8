"""SqliteSaver among real processes: killed, stopped, forked, racing, without room."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from holdfast import SqliteSaver, StoreError, clock
from holdfast.errors import ThreadBusyError
from holdfast.testing._contract import a_run, a_step, begin, finished, keep
from holdfast.typing import Commit

PRELUDE = """
import os, resource, signal, sys, threading, time, warnings
from holdfast import SqliteSaver, StoreError
from holdfast.errors import ThreadBusyError
from holdfast.testing._contract import a_run, a_step, begin, keep
from holdfast.typing import Commit

warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)  # forking beside threads is what is tested
saver = SqliteSaver(sys.argv[1])

def say(text):
    os.write(1, f"{text}\\n".encode())

def attempt(work, *arguments, **options):
    try:
        return work(*arguments, **options)
    except Exception as error:
        return type(error).__name__

def exit_code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def saver(path):
    saver = SqliteSaver(path)
    yield saver
    saver.close()


@contextmanager
def started(path, code, *arguments):
    """A process that runs ``code`` on the store; it does not outlive the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(path), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=20)


def tell(child, line):
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def hear(child):
    return child.stdout.readline().strip()


def outcome(path, code, *arguments):
    """What a process says, and with which exit code it ends."""
    with started(path, code, *arguments) as child:
        output, errors = child.communicate(timeout=60)
        assert (0, "") == (child.returncode, errors)
        return output.split("\n")[:-1]


WRITE_FOR_EVER = """
lease = saver.claim("thread", force=True)
latest = saver.latest("thread")
if latest is None:
    begin(saver, lease, a_run())
number = len(saver.steps("run-1"))
while True:
    batch = [Commit(lease, "run-1", steps=(a_step(number + place, b"p" * (place * 700)),)) for place in range(4)]
    assert saver.commit(batch) == [None] * 4
    number += 4
    say(number)
"""


def test_what_a_killed_process_has_committed_is_kept(path):
    """kill -9 at eight random instants: nothing that was reported is lost, nothing is torn, and the next owner need not wait."""
    chance = random.Random(7)
    for _ in range(8):
        with started(path, WRITE_FOR_EVER) as child:
            reported = int(hear(child))
            time.sleep(chance.random() * 0.05)
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split("\n")
        reported = max([reported, *(int(line) for line in rest[:-1] if line)])
        saver = SqliteSaver(path)
        steps = saver.steps("run-1")
        saver.release(saver.claim("thread"))
        saver.close()

        assert reported <= len(steps) <= reported + 4
        assert len(steps) % 4 == 0
        assert [a_step(number, b"p" * (number % 4 * 700)) for number in range(len(steps))] == steps


def test_a_dead_owner_leaves_nothing(path, saver):
    """Its thread is free at once, its file is removed by whoever finds it."""
    with started(path, "saver.claim('thread'); say('claimed'); sys.stdin.readline()") as child:
        hear(child)
        with pytest.raises(ThreadBusyError) as busy:
            saver.claim("thread")
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=20)
        lease = saver.claim("thread")

    assert (
        f"thread 'thread' is being worked on by process {child.pid} on {os.uname().nodename}: wait until that run has ended, "
        "use another thread id, or, if it is stuck, take the thread over: saver.release(saver.claim('thread', force=True))"
        == str(busy.value)
    )
    assert [lease.owner] == [file.name for file in path.with_name("runs.db-owners").iterdir()]


def test_a_stopped_owner_stays_owner_until_somebody_takes_over(path, saver):
    """Thawed, its late writes to the thread that was taken are refused, and only those."""
    code = """
        leases = [saver.claim("taken"), saver.claim("left")]
        for lease in leases:
            begin(saver, lease, a_run(f"run-{lease.thread_id}", lease.thread_id))
        say("ready")
        sys.stdin.readline()
        problems = saver.commit([Commit(lease, f"run-{lease.thread_id}", steps=(a_step(1),)) for lease in leases])
        say(problems[0])
        say(problems[1])
        saver.release(leases[0])
        say("released")
        sys.stdin.readline()
    """
    with started(path, code) as child:
        hear(child)
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(ThreadBusyError, match=f"process {child.pid} on"):
            saver.claim("taken")
        lease = saver.claim("taken", force=True)
        child.send_signal(signal.SIGCONT)
        tell(child, "go")
        said = [hear(child) for _ in range(3)]
        keep(saver, Commit(lease, "run-taken", steps=(a_step(2),)))

        assert (
            f"thread 'taken' is not this writer's any more, it now belongs to process {os.getpid()} on {os.uname().nodename} (claim 2, this "
            "one was claim 1): what this writer does now is not kept; resume the thread to go on from what is" == said[0]
        )
        assert ["None", "released"] == said[1:]
        assert ([a_step(2)], [a_step(1)]) == (saver.steps("run-taken"), saver.steps("run-left"))
        assert {"taken": True, "left": True} == {info.thread_id: info.is_owned for info in saver.threads()}
        assert [True, True, False] == [saver.is_owned(name) for name in ["taken", "left", "new"]]


def test_of_two_processes_that_claim_at_once_one_wins(path):
    """Twenty times, and the winner's steps are the only ones."""
    code = """
        for line in sys.stdin:
            name = line.strip()
            lease = attempt(saver.claim, name)
            if isinstance(lease, str):
                say(lease)
                continue
            keep(saver, Commit(lease, f"run-{name}", run=a_run(f"run-{name}", name), steps=(a_step(1, sys.argv[2].encode()),)))
            say("won")
    """
    with started(path, code, "first") as first, started(path, code, "second") as second:
        results = []
        for number in range(20):
            for child in (first, second):
                tell(child, f"t{number}")
            results.append(sorted(hear(child) for child in (first, second)))

    assert [["ThreadBusyError", "won"]] * 20 == results


def test_many_processes_write_at_once(path, saver):
    """Four processes, each with a thread of its own in the same new file: each keeps all it has."""
    code = """
        name = sys.argv[2]
        sys.stdin.readline()
        lease = saver.claim(name)
        begin(saver, lease, a_run(f"run-{name}", name))
        for number in range(50):
            keep(saver, Commit(lease, f"run-{name}", steps=(a_step(number),)))
        saver.release(lease)
        saver.close()
    """
    with started(path, code, 0) as a, started(path, code, 1) as b, started(path, code, 2) as c, started(path, code, 3) as d:
        for child in (a, b, c, d):
            tell(child, "go")
        ends = [(child.communicate(timeout=60)[1], child.returncode) for child in (a, b, c, d)]

    assert [("", 0)] * 4 == ends
    assert [[a_step(number) for number in range(50)]] * 4 == [saver.steps(f"run-{name}") for name in range(4)]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_a_saver_that_is_dropped_in_the_middle_of_a_fork(path, saver):
    """Nobody but the fork knew it: its connections are closed already, and its end does not wait for the locks that the fork holds."""
    code = """
        from holdfast.values import forks
        class First:
            def before_fork(self):
                savers.clear()
            def after_fork_in_parent(self):
                pass
            after_fork_in_child = after_fork_in_parent
        first = First()
        forks.protect(first, is_file=True)
        savers = [SqliteSaver(sys.argv[1])]
        savers[0].runs("parent")
        pid = os.fork()
        if pid == 0:
            os._exit(5)
        say(exit_code_of(pid))
    """
    with started(path, code) as child:
        assert ("5\n", "") == child.communicate(timeout=60)


def test_the_end_of_a_saver_waits_for_nobody(path, saver):
    """Not for a fork, which may be what drops it, nor for a thread."""
    code = """
        saver.runs("parent")
        reader = saver._reader
        reader.before_fork()
        del saver
        reader.after_fork_in_parent()
        say(reader._connection)
    """
    with started(path, code) as child:
        assert ("None\n", "") == child.communicate(timeout=60)


@needs_fork
def test_a_fork_while_another_thread_writes(path, saver):
    """Ten forks in the middle of writes: each child reads and writes its own thread, cannot write with the parent's lease, and ends."""
    code = """
        lease = saver.claim("parent")
        begin(saver, lease, a_run("run-parent", "parent"))
        is_over = threading.Event()
        kept = []
        def write():
            while not is_over.is_set():
                keep(saver, Commit(lease, "run-parent", steps=(a_step(len(kept)),)))
                kept.append(1)
        thread = threading.Thread(target=write)
        thread.start()
        for number in range(10):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                (problem,) = saver.commit([Commit(lease, "run-parent", steps=(a_step(9999),))])
                assert isinstance(problem, ThreadBusyError), problem
                assert attempt(saver.claim, "parent") == "ThreadBusyError"
                own = saver.claim(f"child-{number}")
                keep(saver, Commit(own, f"run-{number}", run=a_run(f"run-{number}", f"child-{number}"), steps=(a_step(1),)))
                assert saver.steps(f"run-{number}") == [a_step(1)]
                os._exit(3)
            assert exit_code_of(pid) == 3
        is_over.set()
        thread.join()
        assert saver.steps("run-parent") == [a_step(number) for number in range(len(kept))]
        say("fine")
    """

    assert ["fine"] == outcome(path, code)
    assert [[a_step(1)]] * 10 == [saver.steps(f"run-{number}") for number in range(10)]


@needs_fork
def test_a_child_does_not_keep_its_dead_parent_alive(path, saver):
    """Neither a forked child nor a program that was started holds the lock of the process that owned the thread."""
    code = """
        import subprocess
        saver.claim("thread")
        pid = os.fork()
        if pid == 0:
            sys.stdin.readline()
            os._exit(0)
        other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.readline()"])
        say("claimed")
        time.sleep(60)
    """
    with started(path, code) as child:
        hear(child)
        with pytest.raises(ThreadBusyError):
            saver.claim("thread")
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=20)

        assert 2 == saver.claim("thread").epoch
        tell(child, "end\nend")


FILL = """
resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""


def test_without_room_nothing_is_half_kept_and_with_room_it_goes_on(path, saver):
    """A file that may not grow: the commit is a StoreError, what was kept stays, reading works; later the same saver goes on."""
    code = f"""
        {textwrap.indent(FILL, "        ").strip()}
        lease = saver.claim("thread")
        begin(saver, lease, a_run())
        number = 0
        try:
            while True:
                keep(saver, Commit(lease, "run-1", steps=(a_step(number, os.urandom(20_000)), a_step(number + 1))))
                number += 2
        except StoreError as error:
            say(type(error).__name__)
        say(number > 4 and len(saver.steps("run-1")) == number)
        say(attempt(saver.commit, [Commit(lease, "run-1", steps=(a_step(number, os.urandom(200_000)),))]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        keep(saver, Commit(lease, "run-1", steps=(a_step(number),)))
        say(len(saver.steps("run-1")) == number + 1)
        saver.close()
    """

    assert ["StoreError", "True", "StoreError", "True"] == outcome(path, code)
    assert a_step(0).step == saver.steps("run-1")[0].step


def test_a_full_disk_and_then_room_again(small_disk):
    """ENOSPC: as above, with a real full disk, also when it was full before the first claim."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20)[: 1 << 19])
    saver = SqliteSaver(small_disk / "runs.db")
    lease = saver.claim("thread")
    begin(saver, lease, a_run())
    number = 0
    with pytest.raises(StoreError, match=r"runs\.db: (database or disk is full|disk I/O error)"):
        while True:
            keep(saver, Commit(lease, "run-1", steps=(a_step(number, os.urandom(20_000)),)))
            number += 1
    count = len(saver.steps("run-1"))
    ballast.unlink()
    keep(saver, Commit(lease, "run-1", steps=(a_step(number),)))
    steps = saver.steps("run-1")
    saver.close()

    assert number == count > 0
    assert number + 1 == len(steps)


def test_a_folder_that_has_become_read_only(tmp_path):
    """What is there can be read, a claim is a StoreError, and later the saver goes on."""
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    saver = SqliteSaver(folder / "runs.db")
    finished(saver, "thread", a_run())
    folder.chmod(0o500)
    owners = folder / "runs.db-owners"
    owners.chmod(0o500)
    saver._owners.leave()  # the next claim makes another file
    with not_root(tmp_path), pytest.raises(StoreError, match=r"runs\.db-owners.*Permission denied"):
        saver.claim("thread")
    with not_root(tmp_path):
        assert a_run() == saver.latest("thread")
    owners.chmod(0o700)
    folder.chmod(0o700)

    assert "thread" == saver.claim("thread").thread_id
    saver.close()


@contextmanager
def not_root(folder):
    """Permissions are for everybody but root."""
    if os.geteuid() != 0:
        yield
        return
    parents = [each for each in (folder, *folder.parents) if each.stat().st_uid == 0 and each.stat().st_mode & 0o005 == 0]
    modes = [(each, each.stat().st_mode) for each in parents]
    for each in parents:
        each.chmod(0o755)
    for each in [folder, *folder.rglob("*")]:
        os.chown(each, 65534, -1)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for each, mode in modes:
            each.chmod(mode & 0o7777)
        for each in [folder, *folder.rglob("*")]:
            os.chown(each, 0, -1)


def test_another_process_that_writes_for_long(path):
    """It is waited for as long as asked, then that is a StoreError; afterwards the saver goes on, with the same lease."""
    saver = SqliteSaver(path, busy_timeout=0.1)
    lease = saver.claim("thread")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"runs\.db: database is locked"):
        saver.commit([Commit(lease, "run-1", run=a_run())])
    empty = saver.latest("thread")
    other.execute("ROLLBACK")
    other.close()
    begin(saver, lease, a_run())

    assert (None, a_run()) == (empty, saver.latest("thread"))
    saver.close()


def syncs(path, synchronous, commits, then=""):
    """How often a process that commits so many times, and then does something else, asks the disk to keep what it has."""
    code = f"""
        saver = SqliteSaver(sys.argv[1], synchronous={synchronous!r})
        lease = saver.claim("thread")
        begin(saver, lease, a_run())
        for number in range({commits}):
            keep(saver, Commit(lease, "run-1", steps=(a_step(number),)))
    """
    code = textwrap.dedent(code) + textwrap.dedent(then) + "os._exit(0)\n"
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace")
    command = [strace, "-f", "-c", "-e", "trace=fsync,fdatasync", sys.executable, "-c", PRELUDE + code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip("this user may not trace")
    return sum(int(line.split()[3]) for line in done.stderr.splitlines() if line.split()[-1:] in (["fsync"], ["fdatasync"]))


def test_full_syncs_at_each_commit_and_normal_at_none(tmp_path):
    """That is the difference between surviving power loss and surviving kill -9."""
    cases = [(level, n) for level in ("FULL", "NORMAL") for n in (0, 20)]
    with ThreadPoolExecutor() as pool:
        counts = dict(zip(cases, pool.map(lambda case: syncs(tmp_path / f"{case}.db", *case), cases), strict=True))

    assert 20 == counts["FULL", 20] - counts["FULL", 0]
    assert 0 == counts["NORMAL", 20] - counts["NORMAL", 0]


def test_who_owns_a_thread_waits_for_no_disk(tmp_path):
    """Power loss ends all owners; and whatever is committed afterwards keeps the claim that it was made under."""
    code = """
        saver.claim("other")
        saver.release(saver.claim("third"))
    """
    with ThreadPoolExecutor() as pool:
        alone, beside_others = pool.map(lambda then: syncs(tmp_path / f"{len(then)}.db", "FULL", 3, then), ["", code])

    assert alone == beside_others


def test_time_is_only_for_retention(path, saver):
    """A clock that jumps back a year takes no thread from its owner, and gives none away."""
    lease = saver.claim("thread")
    before = clock.current

    class Past(clock.Clock):
        def time(self):
            return before.time() - 31_536_000

    clock.install(Past())
    try:
        with pytest.raises(ThreadBusyError):
            SqliteSaver(path).claim("thread")
        begin(saver, lease, a_run())
    finally:
        clock.install(before)

    assert a_run() == saver.latest("thread")
