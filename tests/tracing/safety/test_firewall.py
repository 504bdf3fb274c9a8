"""Sinks that hang, raise, are slow or are gone; forks; exits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from holdfast.errors import PolicyError
from holdfast.tracing.safety import firewall, redact
from holdfast.tracing.safety.firewall import Lane
from holdfast.tracing.spans.light_span import LightSpan
from holdfast.tracing.spans.outlet import Outlet, Trace
from tests.waiting import until


@pytest.fixture(autouse=True)
def _no_other_lanes(monkeypatch):
    """What another test has lost, or left hanging, is no matter of a flush here."""
    monkeypatch.setattr(firewall, "_lanes", [firewall._stderr])


@contextlib.contextmanager
def lane(write, **options):
    """A lane that says things into the list it has as ``said``."""
    said = []
    made = Lane("test", write, say=said.append, linger=options.pop("linger", 0.001), **options)
    made.said = said
    try:
        yield made
    finally:
        made.close(0.5)


def python(code, *, timeout=120, **environment):
    """Run a program; its output, and the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )
    return done, time.monotonic() - started


def test_items_reach_the_sink_in_order():
    """And after a flush all of them have."""
    taken = []
    with lane(taken.extend) as line:
        for number in range(2000):
            line.send(number)

        assert line.flush(30.0)
        assert list(range(2000)) == taken


def test_a_batch_is_never_larger_than_asked_for():
    """Exporters have limits."""
    sizes = []
    with lane(lambda batch: sizes.append(len(batch)), batch=10) as line:
        for number in range(95):
            line.send(number)
        line.flush(30.0)

    assert 10 == max(sizes)
    assert 95 == sum(sizes)


def test_a_hanging_sink_delays_nobody():
    """Sending stays quick, flushing gives up in time, and what no longer fits is counted and said once."""
    taken, release = threading.Event(), threading.Event()
    with lane(lambda _batch: (taken.set(), release.wait(60)), capacity=100) as line:
        line.send(0)
        assert taken.wait(30)
        started = time.perf_counter()
        for number in range(1000):
            line.send(number)
        is_flushed = line.flush(0.1)
        took = time.perf_counter() - started
        release.set()

        assert not is_flushed
        assert took < 50  # the sink takes a minute
        assert 900 == line.dropped
        assert ["holdfast: test is being dropped because 100 items are waiting; calls go on"] == line.said


def test_a_lane_keeps_room_for_the_roots_of_traces():
    """They end last, and a trace without its root has no name."""
    began, release, taken = threading.Event(), threading.Event(), []

    def write(batch):
        began.set()
        assert release.wait(60)
        taken.extend(span.name for span in batch)

    trace = Trace(Outlet(TracerProvider(shutdown_on_exit=False)), 1)
    root = LightSpan("root", trace, None, SpanKind.INTERNAL, 0)
    child = LightSpan("child", trace, root, SpanKind.INTERNAL, 0)
    with lane(write, capacity=30) as line:
        line.send(child)
        assert began.wait(30)
        for span in [*[child] * 40, root, child, *[root.readable()] * 10]:
            line.send(span)
        release.set()
        line.flush(30)

        assert ["child"] * (1 + 27) + ["root"] * 3 == taken
        assert 13 + 1 + 8 == line.dropped
        assert ["holdfast: test is being dropped because 27 items are waiting; calls go on"] == line.said


def test_a_raising_sink_is_said_once_and_counted():
    """Whatever it raises; the next batch is tried again."""
    taken = []

    def write(batch):
        taken.append(batch)
        raise OSError("disk full")

    with lane(write) as line:
        for number in range(3):
            line.send(number)
            line.flush(30.0)

        assert [[0], [1], [2]] == taken
        assert 3 == line.failed
        assert ["holdfast: test does not work, calls go on without it: OSError: disk full"] == line.said


def failing_once(problem):
    """A sink whose first batch is lost: it raises, or says so by returning False."""
    problems = [problem]

    def write(batch):
        if not problems:
            return None
        error = problems.pop()
        if error is False:
            return False
        raise error

    return write


@pytest.mark.parametrize("problem", [OSError("refused"), False])
@pytest.mark.parametrize("flush", [Lane.flush, lambda _, timeout: firewall.flush(timeout)])
def test_flush_is_false_when_anything_was_lost_since_the_last_one(problem, flush):
    """Once: what is sent later may well arrive."""
    with lane(failing_once(problem)) as line:
        answers = []
        for number in range(2):
            line.send(number)
            answers.append(flush(line, 30.0))

        assert [False, True] == answers
        assert 1 == line.lost


def test_the_time_for_a_flush_may_be_text():
    """What is none is refused with its value."""
    assert firewall.flush("5s")
    with pytest.raises(PolicyError, match="timeout='soon' is not a duration: give seconds"):
        firewall.flush("soon")


def test_flush_is_false_when_anything_was_dropped():
    """A full lane loses what is newest."""
    release = threading.Event()
    with lane(lambda _batch: release.wait(60) and None, capacity=2, batch=1) as line:
        for number in range(20):
            line.send(number)
        release.set()

        assert [False, True] == [line.flush(30.0), line.flush(30.0)]


def test_a_lane_that_is_closed_says_how_much_it_lost():
    """Later, nobody else would; and once."""
    with lane(failing_once(OSError("refused"))) as line:
        line.send(1)
        line.close(30.0)
        line.close(30.0)

        assert ["holdfast: 1 item for test was lost on the way"] == line.said[1:]


def test_a_sink_that_asks_to_exit_does_not_end_the_lane():
    """SystemExit would otherwise end the thread without a word."""
    taken = []

    def write(batch):
        taken.extend(batch)
        if batch == [1]:
            sys.exit(1)

    with lane(write) as line:
        line.send(1)
        line.flush(30.0)
        line.send(2)

        assert line.flush(30.0)
        assert [1, 2] == taken


def test_an_error_whose_text_raises_is_still_reported():
    """By its class."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert "Odd" == firewall.describe(Odd())


def test_one_hanging_sink_does_not_hold_back_another():
    """Each has a lane of its own; a flush of everything gives up in time and has woken the quick ones."""
    release, taken = threading.Event(), []
    with lane(lambda _batch: release.wait(60)) as hanging, lane(taken.append) as quick:
        hanging.send(1)
        quick.send(2)
        is_flushed = firewall.flush(0.2)
        until(lambda: taken)
        release.set()

        assert not is_flushed
        assert [[2]] == taken


def test_a_closed_lane_takes_nothing_more():
    """It counts what comes late."""
    taken = []
    with lane(taken.extend) as line:
        line.send(1)
        line.close(30.0)
        line.send(2)

        assert [1] == taken
        assert 1 == line.dropped


def test_threads_lose_nothing_between_them():
    """Eight at once, below capacity."""
    taken = []
    with lane(taken.extend) as line:
        threads = [threading.Thread(target=lambda n=n: [line.send((n, i)) for i in range(500)]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        line.flush(30.0)

    assert {(n, i) for n in range(8) for i in range(500)} == set(taken)
    assert 4000 == len(taken)


def test_synchronous_mode_writes_on_the_callers_thread(inline):
    """For tests: no waiting, and still no exception."""
    threads = []

    def write(batch):
        threads.append(threading.current_thread())
        raise ValueError

    with lane(write) as line:
        line.send(1)

        assert [threading.current_thread()] == threads
        assert 1 == line.failed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ü 日本", "plain ü 日本"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_only_printable_characters_reach_a_terminal(text, expected):
    """Newlines, terminal codes, separators and halves of surrogates are escaped."""
    assert expected == redact.printable(text)


def test_a_line_on_stderr_is_one_line(capsys):
    """Whatever its text."""
    firewall.stderr("one\ntwo")
    firewall.flush(30.0)

    assert "one\\ntwo\n" == capsys.readouterr().err


@pytest.mark.parametrize("closing", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_a_closed_stderr_harms_nobody(closing):
    """The program goes on and ends well."""
    done, _ = python(f"""
        import os, sys
        from holdfast.tracing.safety import firewall
        {closing}
        firewall.stderr("lost")
        firewall.flush(30.0)
        print("went on")
    """)

    assert ("went on\n", 0) == (done.stdout, done.returncode)


def test_a_stderr_nobody_reads_does_not_block():
    """The pipe is full; the program goes on, and its exit is bounded."""
    reading, writing = os.pipe()
    started = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from holdfast.tracing.safety import firewall\nfor _ in range(3000): firewall.stderr('x' * 100)\nprint('went on')",
        ],
        stdout=subprocess.PIPE,
        stderr=writing,
        timeout=60,
        check=False,
    )
    took = time.monotonic() - started
    os.close(reading)
    os.close(writing)

    assert b"went on\n" == done.stdout
    assert took < 15  # two seconds, and the interpreter's own; without a bound it would never end


def test_exit_waits_for_what_is_queued():
    """Nothing is lost by a short program."""
    done, _ = python("""
        import time
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT = 60.0  # the machine may be slow
        lane = firewall.Lane("test", lambda batch: (time.sleep(0.2), print(batch, flush=True)))
        lane.send("kept")
    """)

    assert "['kept']\n" == done.stdout


def test_exit_closes_what_is_open_after_all_was_written():
    """On the lane's thread, and before what is done at last."""
    done, _ = python("""
        import os, threading
        from holdfast.tracing.safety import firewall
        from holdfast.values import endings
        firewall.EXIT_TIMEOUT = 60.0
        where = lambda what: os.write(1, f"{what} {threading.current_thread().name}\\n".encode())  # two threads: in one piece
        endings.at_last(lambda: where("last"))
        lane = firewall.Lane("test", lambda batch: where(batch), at_end=lambda: where("closed"))
        lane.send("kept")
        idle = firewall.Lane("idle", lambda batch: None, at_end=lambda: where("closed, though never used"))
        written = firewall.Lane("written", lambda batch: None, at_end=lambda: where("closed"))
        written.send("before")
        written.flush(30)
    """)

    assert ["['kept'] holdfast-test", "closed holdfast-test", "closed holdfast-written", "last MainThread"] == [
        *sorted(done.stdout.splitlines()[:-1]),
        done.stdout.splitlines()[-1],
    ]
    assert done.stdout.index("kept") < done.stdout.index("closed holdfast-test")


@pytest.mark.parametrize(
    ("closing", "limit", "said"),
    [
        ("time.sleep(60)", 2.0, []),
        ("1 / 0", 60.0, ["holdfast: test does not work, calls go on without it: ZeroDivisionError: division by zero"]),
    ],
)
def test_exit_does_not_depend_on_closing(closing, limit, said):
    """It has the two seconds that all have; where it fails, that is said."""
    done, took = python(f"""
        import time
        from holdfast.tracing.safety import firewall
        lane = firewall.Lane("test", lambda batch: print(batch, flush=True), at_end=lambda: {closing})
        lane.send("kept")
        firewall.flush(60)
        firewall.EXIT_TIMEOUT = {limit}
    """)

    assert ("['kept']\n", said) == (done.stdout, done.stderr.splitlines())
    assert took < 50.0  # closing takes a minute


def test_exit_is_bounded_and_says_what_was_lost():
    """For all sinks together, and what is left of the time for saying so."""
    done, took = python("""
        import time
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT, firewall.LAST_WORDS = 32.0, 30.0  # the machine may be slow
        for name in ("a", "b", "c"):
            firewall.Lane(name, lambda batch: time.sleep(60)).send(1)
    """)

    assert 2.0 <= took < 50.0  # the sinks take a minute each
    assert 3 == done.stderr.count("holdfast: 1 item was still waiting for")


def test_what_is_lost_is_said_on_a_machine_that_is_slow_to_run_a_thread():
    """The sinks leave stderr a part of the time."""
    done, _ = python("""
        import time
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT, firewall.LAST_WORDS = 60.0, 59.9
        write = firewall._stderr._write
        firewall._stderr._write = lambda lines: (time.sleep(0.2), write(lines))
        firewall.Lane("a", lambda batch: time.sleep(60)).send(1)
    """)

    assert "holdfast: 1 item was still waiting for a at the end; it is lost\n" == done.stderr


def test_exit_counts_what_was_lost_before():
    """Also when somebody has flushed meanwhile, and so knows that something is gone."""
    done, _ = python("""
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT = 60.0  # the machine may be slow
        def refuse(batch): raise OSError("HTTP 401")
        lane = firewall.Lane("the export", refuse)
        for n in range(50): lane.send(n)
        print(firewall.flush(60))
        print(firewall.flush(60))
    """)

    assert "False\nTrue\n" == done.stdout
    assert [
        "holdfast: the export does not work, calls go on without it: OSError: HTTP 401",
        "holdfast: 50 items for the export were lost on the way",
    ] == done.stderr.splitlines()


def test_where_no_thread_can_be_had_what_waits_leaves_later(monkeypatch):
    """The system has none for a while: nothing is lost for that, nor is the lane closed for good."""
    taken = []

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with lane(taken.extend) as line:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            line.send(1)
            line.send(2)
        line.send(3)

        assert line.flush(30.0)
        assert ([1, 2, 3], []) == (taken, line.said)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_starts_afresh():
    """It writes its own items, not those its parent had queued, and the parent's are written once."""
    done, _ = python("""
        import os, sys, threading
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT = 60.0  # the machine may be slow
        parent, hold = os.getpid(), threading.Event()
        def write(batch):
            is_parent = os.getpid() == parent
            if is_parent:
                hold.wait(60)
            os.write(1, f"{is_parent} {batch}\\n".encode())
        lane = firewall.Lane("test", write, linger=0.0)
        lane.send("parent's")
        child = os.fork()
        if child == 0:
            lane.send("child's")
            firewall.flush(60)
            os._exit(0)
        os.waitpid(child, 0)
        hold.set()
    """)

    assert ['False ["child\'s"]', 'True ["parent\'s"]'] == sorted(done.stdout.splitlines())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forking_while_writing_hangs_no_child():
    """The lock of a sink is never inherited locked: no write is under way while the process forks."""
    done, _ = python("""
        import os, threading
        from holdfast.tracing.safety import firewall
        firewall.FORK_TIMEOUT = 60.0  # a thread may have to wait for its turn in the middle of a write
        lock = threading.Lock()
        def write(batch):
            with lock:
                sum(range(2000))
        lane = firewall.Lane("test", write, linger=0.0)
        stop = threading.Event()
        def chatter():
            while not stop.is_set():
                lane.send(1)
        threading.Thread(target=chatter, daemon=True).start()
        hung = 0
        for _ in range(30):
            child = os.fork()
            if child == 0:
                os._exit(0 if lock.acquire(timeout=20) else 1)
            hung += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        stop.set()
        print(hung)
    """)

    assert "0\n" == done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_children_of_multiprocessing_lose_nothing():
    """They leave by ``os._exit``, past atexit."""
    done, _ = python("""
        import multiprocessing, os, time
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT = 60.0
        write = lambda batch: (time.sleep(0.1), os.write(1, b"from the child\\n"))
        lane = firewall.Lane("test", write, at_end=lambda: os.write(1, b"closed\\n"))
        def work():
            lane.send(1)
        if __name__ == "__main__":
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
    """)

    assert "from the child\nclosed\n" == done.stdout


def test_sending_takes_microseconds():
    """Far below anything a call would notice, even on a busy machine."""
    with lane(lambda _batch: None, capacity=50_000) as line:
        started = time.thread_time()
        for number in range(20_000):
            line.send(number)
        per_item = (time.thread_time() - started) / 20_000

    assert per_item < 20e-6


def test_a_flush_may_wait_longer_than_threads_can_wait():
    """It ends when all has left."""
    taken = []
    with lane(taken.extend) as made:
        made.send("x")

        assert made.flush(10 * threading.TIMEOUT_MAX)
        assert firewall.flush(10 * threading.TIMEOUT_MAX)
        assert ["x"] == taken


class Beats:
    """A pulse that counts."""

    def __init__(self, *, fails=False):
        self.is_on, self.fails = False, fails
        self.at = threading.Event()
        self.count = 0

    def is_needed(self):
        return self.is_on

    def beat(self):
        self.count += 1
        if self.count == 3:
            self.at.set()
        if self.fails:
            raise ValueError("no")


def test_a_pulse_beats_while_it_is_needed(monkeypatch):
    """From `wake` on, between writes."""
    monkeypatch.setattr(firewall, "PULSE", 0.001)
    taken, pulse = [], Beats()
    with lane(taken.extend, pulse=pulse) as line:
        line.send("a")
        assert line.flush(30.0)
        assert 0 == pulse.count
        pulse.is_on = True
        line.wake()
        assert pulse.at.wait(60)
        line.send("b")
        assert line.flush(30.0)
        assert ["a", "b"] == taken
        pulse.is_on = False


def test_a_pulse_that_raises_is_said_once(monkeypatch):
    """And what is sent goes on arriving."""
    monkeypatch.setattr(firewall, "PULSE", 0.001)
    taken, pulse = [], Beats(fails=True)
    pulse.is_on = True
    with lane(taken.extend, pulse=pulse) as line:
        line.wake()
        assert pulse.at.wait(60)
        line.send("a")
        assert line.flush(30.0)
        pulse.is_on = False
    assert (["a"], ["holdfast: test does not work, calls go on without it: ValueError: no"]) == (taken, line.said)


def test_a_pulse_makes_no_thread_where_all_is_written_at_once(inline):
    """Under the test kit nothing runs beside the test."""
    pulse = Beats()
    pulse.is_on = True
    with lane(list, pulse=pulse) as line:
        line.wake()

        assert line._thread is None
