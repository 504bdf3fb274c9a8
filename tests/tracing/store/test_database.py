"""The trace store keeps spans for several processes, forgets old ones, and never harms the program that writes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap

import msgspec
import pytest

from holdfast import events
from holdfast.errors import PolicyError, StoreError
from holdfast.testing import FakeClock
from holdfast.tracing import store as store_room
from holdfast.tracing.killed.crashed import crashed
from holdfast.tracing.spans.records import SpanRow, encode
from holdfast.tracing.store.choice import Choice
from holdfast.tracing.store.database import SCHEMA, RunSummary, TraceStore, default_path
from holdfast.tracing.store.tree import Summary
from holdfast.values._sqlite import Database

NOW = 1_700_000_000  # seconds since the epoch
DAY = 86_400


@pytest.fixture
def clock():
    """A clock that stands at NOW."""
    with FakeClock(start=NOW) as clock:
        yield clock


@pytest.fixture
def path(tmp_path):
    """Where the store goes."""
    return tmp_path / "state" / "traces.db"


@pytest.fixture
def make(path, clock):
    """Open stores on one file and close them at the end of the test."""
    opened = []

    def make_one(**options):
        opened.append(TraceStore(path, **options))
        return opened[-1]

    yield make_one
    for store in opened:
        store.close()


@pytest.fixture
def notes():
    """What is noted during the test: event, level and text."""
    heard = []

    class Listener:
        def noted(self, note):
            heard.append((note.event, note.level, note.text))

    previous = events.observe(Listener())
    yield heard
    events.observe(previous)


def run_rows(n, *, at=NOW, name="plan", status="unset", outcome="ok", trace=None):
    """Make a run with one task: trace ``n``, one second long."""
    trace_id, run_id = f"{n if trace is None else trace:032x}", f"run-{n:04}"
    shared = {"holdfast.run.id": run_id, "holdfast.thread.id": f"thread-{n}", "holdfast.workflow.name": name}
    start, end = at * 10**9, (at + 1) * 10**9
    task = {**shared, "holdfast.span.type": "task", "holdfast.task.name": "forecast", "holdfast.attempt.number": 1}
    run = {**shared, "holdfast.span.type": "run", "holdfast.run.outcome": outcome}
    return [
        SpanRow(trace_id, f"{n:015x}2", f"{n:015x}1", "forecast", start + 1, end - 1, "unset", "", task),
        SpanRow(trace_id, f"{n:015x}1", "", f"run {name}", start, end, status, "boom" if status == "error" else "", run),
    ]


def ids(found):
    """Run ids of summaries."""
    return [run.run_id for run in found]


def test_lists_what_was_written(make):
    """A run comes back with its figures, read through another store on the same file."""
    assert make().write(run_rows(1))
    (run,) = make().runs()

    assert ("run-0001", f"{1:032x}", "thread-1", "plan", "ok", False, NOW * 10**9, 1.0) == (
        run.run_id,
        run.trace_id,
        run.thread_id,
        run.name,
        run.outcome,
        run.failed,
        run.started_ns,
        run.duration_s,
    )
    assert ("run-0001", Summary(calls=1, attempts=1)) == (run.id, run.summary)


def test_spans_come_back_whole_and_in_order_of_time(make):
    """Rows are equal to those written."""
    task, run = run_rows(1)
    store = make()
    store.write([task, run])
    store.write(run_rows(2))

    assert [run, task] == store.spans(f"{1:032x}")


def test_the_newest_run_comes_first(make):
    """Ordered by start, cut to the limit."""
    store = make()
    for n in range(1, 6):
        store.write(run_rows(n, at=NOW + n))

    assert ["run-0005", "run-0004", "run-0003"] == ids(store.runs(3))


def test_selects_by_what_the_run_is(make):
    """Conditions hold together."""
    store = make()
    store.write(
        run_rows(1, name="plan", at=NOW - 60)
        + run_rows(2, name="plan", status="error", outcome="error")
        + run_rows(3, name="other", status="error")
        + run_rows(4, name="other", outcome="interrupted")
    )

    def found(**choice):
        return set(ids(store.runs(choice=Choice(**choice))))

    assert {"run-0001", "run-0002"} == found(name="plan")
    assert {"run-0002", "run-0003"} == found(status="error")
    assert {"run-0002"} == found(name="plan", status="error")
    assert {"run-0004"} == found(status="interrupted")
    assert {"run-0003"} == found(thread="thread-3")
    assert {"run-0002", "run-0003", "run-0004"} == found(since_ns=NOW * 10**9)
    assert set() == found(name="plan", since_ns=NOW * 10**9 + 1)
    assert {"run-0001", "run-0002", "run-0003", "run-0004"} == found(seen_since_ns=(NOW - 59) * 10**9) == found()
    assert {"run-0002", "run-0003", "run-0004"} == found(seen_since_ns=(NOW - 59) * 10**9 + 1)


def test_selects_runs_that_called_a_task(make):
    """However far back they are: the limit is one of what fits."""
    store = make()
    rows = [run_rows(n, at=NOW + n) for n in range(1, 31)]
    for row in (rows[0][0], rows[1][0]):
        row.attributes["holdfast.task.name"] = "rare"
    store.write([row for each in rows for row in each])

    assert ["run-0002", "run-0001"] == ids(store.runs(5, Choice(task="rare")))
    assert ["run-0002"] == ids(store.runs(1, Choice(task="rare")))
    assert [] == ids(store.runs(5, Choice(task="rar")))


def test_selects_what_has_no_end(make, clock):
    """Running while a sign of life came just now, stopped when it came longer ago."""
    store = make()
    rows = [run_rows(1, outcome=""), run_rows(2, outcome="")]
    for seen, (_, run) in zip((NOW - 6, NOW - 1), rows, strict=True):
        store.write([msgspec.structs.replace(run, start_ns=(NOW - 60) * 10**9, end_ns=seen * 10**9, is_open=True)])
    store.write(run_rows(3))

    assert (["run-0002"], ["run-0001"]) == (ids(store.runs(9, Choice(status="running"))), ids(store.runs(9, Choice(status="stopped"))))


def test_all_spans_of_the_chosen_runs(make):
    """With whatever else is in their traces."""
    store = make()
    store.write(run_rows(1) + run_rows(2, name="other") + [SpanRow(f"{1:032x}", "f" * 16, "", "GET /", NOW, NOW)])

    assert {"forecast", "run plan", "GET /"} == {row.name for row in store.all_spans(Choice(name="plan"))}
    assert 5 == len(list(store.all_spans()))


def test_finds_by_the_beginning_of_an_id(make):
    """Run ids and trace ids; `last` is the latest run; percent signs mean nothing special."""
    store = make()
    store.write(run_rows(10) + run_rows(11, at=NOW + 1) + run_rows(200, at=NOW + 2, trace=0xABC << 116))

    assert ["run-0011", "run-0010"] == ids(store.find("run-001"))
    assert ["run-0200"] == ids(store.find("ABC"))
    assert ["run-0200"] == ids(store.find("last"))
    assert [] == store.find("run-%")


def test_a_run_is_listed_before_it_has_ended(make):
    """A task that ended shows that there is a run; the run's own span then completes the entry."""
    store = make()
    task, run = run_rows(1)
    store.write([task])
    (running,) = store.runs()
    store.write([run])
    (ended,) = store.runs()

    assert [("plan", "", False), ("plan", "ok", False)] == [(each.name, each.outcome, each.failed) for each in (running, ended)]


def test_a_late_task_does_not_undo_the_end(make):
    """Whatever arrives after the run's own span leaves its outcome alone."""
    store = make()
    task, run = run_rows(1, status="error", outcome="error")
    store.write([run])
    store.write([task])

    assert [("error", True)] == [(each.outcome, each.failed) for each in store.runs()]


def test_calls_outside_runs_are_listed_by_trace(make):
    """A call of a resilient function has a trace of its own, named after it; below another program's span its outcome counts too."""
    task = {"holdfast.span.type": "task", "holdfast.task.name": "forecast", "holdfast.task.outcome": "error"}
    store = make()
    store.write([SpanRow("a" * 32, "1" * 16, "", "forecast", NOW * 10**9, NOW * 10**9, "error", "boom", task)])
    store.write([SpanRow("b" * 32, "2" * 16, "9" * 16, "forecast", NOW * 10**9 + 1, NOW * 10**9 + 1, "error", "boom", task)])

    assert [("", "b" * 32, "forecast", "error", True), ("", "a" * 32, "forecast", "error", True)] == [
        (each.run_id, each.id, each.name, each.outcome, each.failed) for each in store.runs()
    ]


def test_other_peoples_spans_are_no_runs(make):
    """A web server's span around a run, and traces without any call of ours, are kept but not listed."""
    trace_id = f"{1:032x}"
    store = make()
    store.write(run_rows(1))
    store.write([SpanRow(trace_id, "f" * 16, "", "GET /", NOW * 10**9, NOW * 10**9)])
    store.write([SpanRow("c" * 32, "e" * 16, "", "GET /", NOW * 10**9, NOW * 10**9)])

    assert (["run-0001"], 3, 1) == (ids(store.runs()), len(store.spans(trace_id)), len(store.spans("c" * 32)))


def test_two_runs_of_one_trace_count_apart(make):
    """Each has its own figures."""
    store = make()
    store.write(run_rows(1, trace=7) + run_rows(2, trace=7, at=NOW + 1))

    assert [("run-0002", 1), ("run-0001", 1)] == [(run.run_id, run.summary.calls) for run in store.runs()]


def test_writing_a_span_again_changes_nothing(make):
    """A batch that is sent twice is stored once."""
    store = make()
    store.write(run_rows(1))
    store.write(run_rows(1))

    assert (1, 2) == (len(store.runs()), len(store.spans(f"{1:032x}")))


def test_knows_how_long_spans_took(make):
    """Those in the store, the others left out: so the list of runs says what cache hits saved."""
    store = make()
    store.write(run_rows(1))
    hit = {"holdfast.span.type": "task", "holdfast.cache.result": "hit", "holdfast.cache.origin.trace_id": f"{1:032x}"}
    hit["holdfast.cache.origin.span_id"] = f"{1:015x}1"
    store.write([SpanRow("a" * 32, "1" * 16, "", "forecast", (NOW + 5) * 10**9, (NOW + 5) * 10**9, "unset", "", hit)])

    assert {(f"{1:032x}", f"{1:015x}1"): 1.0} == store.durations([(f"{1:032x}", f"{1:015x}1"), ("f" * 32, "f" * 16)])
    assert (1, 1.0, 0) == (store.runs()[0].summary.hits, store.runs()[0].summary.saved_s, store.runs()[0].summary.saved_unknown)


def test_a_missing_file_is_an_empty_store(make, path):
    """Reading makes no file."""
    store = make()

    assert ([], [], [], {}) == (store.runs(), store.find("last"), store.spans("a" * 32), store.durations([("a", "b")]))
    assert not path.parent.exists()


def test_an_empty_file_is_an_empty_store(make, path):
    """Another process may be about to create it."""
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)

    assert [] == make().runs()


def test_nothing_to_write_opens_nothing(make, path):
    """An empty batch makes no file."""
    assert make().write([])
    assert not path.exists()


def test_keeps_the_latest_runs(make):
    """Of too many runs the oldest go, with their spans."""
    store = make(keep_runs=2)
    store.write([row for n in range(1, 5) for row in run_rows(n, at=NOW + n)])

    assert ["run-0004", "run-0003"] == ids(store.runs())
    assert [0, 0, 2, 2] == [len(store.spans(f"{n:032x}")) for n in range(1, 5)]


def refreshes(*numbers, at=NOW):
    """Calls that renewed what is cached: each a trace of its own, which says behind which call that was."""
    shared = {"holdfast.span.type": "task", "holdfast.task.name": "forecast", "holdfast.task.outcome": "ok"}
    behind = [("f" * 32, "f" * 16, {"holdfast.link.type": "behind"})]
    return [
        row
        for n in numbers
        for row in (
            SpanRow(f"{n:032x}", f"{n:015x}1", "", "forecast", (at + n) * 10**9, (at + n) * 10**9, attributes=shared, links=behind),
            SpanRow(f"{n:032x}", f"{n:015x}2", f"{n:015x}1", "GET /", (at + n) * 10**9, (at + n) * 10**9),
        )
    ]


def test_what_was_renewed_behind_callers_backs_pushes_no_run_out(make):
    """It has a bound of its own, and the runs have theirs."""
    store = make(keep_runs=2)
    store.write(run_rows(1, at=NOW) + run_rows(2, at=NOW + 1) + refreshes(10, 11, 12, 13))
    kept = ["run-0002", "run-0001"]

    assert (kept, kept) == (ids(store.runs(choice=Choice(folded=True))), [run.run_id for run in store.runs() if not run.is_behind])
    assert [f"{13:032x}", f"{12:032x}"] == [run.trace_id for run in store.runs() if run.is_behind]
    assert [0, 0, 2, 2] == [len(store.spans(f"{n:032x}")) for n in (10, 11, 12, 13)]


def alone(n, result, *, at=NOW, status="ok", attempts=0, around=False):
    """A call outside runs, with what it found in the cache; perhaps inside a span of the user's."""
    shared = {
        "holdfast.span.type": "task",
        "holdfast.task.name": "forecast",
        "holdfast.task.outcome": status,
        "holdfast.cache.result": result,
    }
    ended = (at + n) * 10**9
    task = SpanRow(f"{n:032x}", f"{n:015x}1", f"{n:015x}9" * around, "forecast", ended, ended, status=status, attributes=shared)
    tries = [
        SpanRow(f"{n:032x}", f"{n:015x}{k}", f"{n:015x}1", "a", ended, ended, attributes={"holdfast.span.type": "attempt"})
        for k in range(2, 2 + attempts)
    ]
    return [task, *tries] + [SpanRow(f"{n:032x}", f"{n:015x}9", "", "GET /", ended, ended)] * around


@pytest.mark.parametrize("around", [False, True], ids=["alone", "inside a request"])
def test_hits_push_out_nothing_else(make, around):
    """However busy a cache is: what failed, was computed or run is still there; hits have a bound of their own."""
    store = make(keep_runs=2)
    failed, computed = alone(1, "miss", status="error", attempts=1), alone(2, "miss", attempts=1, around=around)
    store.write(failed + computed)
    for n in range(10, 14):
        for row in alone(n, "hit", around=around):  # the user's span may come later
            store.write([row])

    assert [13, 12, 2, 1] == [int(run.trace_id, 16) for run in store.runs()]
    store.write(run_rows(20, at=NOW + 20) + alone(21, "stale"))
    assert [21, 20, 13, 12, 1] == [int(run.trace_id, 16) for run in store.runs()]


@pytest.mark.parametrize("many", ["ok", "error"])
def test_failures_and_successes_push_one_another_out_no_more_than_hits(make, many):
    """Not what failed this morning, by what a busy program did since; not what is as it should be, by an hour in which all fails."""
    few = "error" if many == "ok" else "ok"
    store = make(keep_runs=2)
    for n, status in enumerate([few, few, few, many, many, many, many], 1):
        store.write(alone(n, "miss", status=status, attempts=1))

    assert [7, 6, 3, 2] == [int(run.trace_id, 16) for run in store.runs()]
    assert [0, 2, 2, 0, 0, 2, 2] == [len(store.spans(f"{n:032x}")) for n in range(1, 8)]


def test_a_trace_in_which_one_of_several_runs_failed_is_kept_as_a_failure(make):
    """Its successes are younger, and pushed out nothing."""
    store = make(keep_runs=1)
    store.write(run_rows(1, at=NOW, status="error", trace=1) + run_rows(2, at=NOW + 1, trace=1))
    store.write(run_rows(3, at=NOW + 2) + run_rows(4, at=NOW + 3))

    assert {4, 1} == {int(run.trace_id, 16) for run in store.runs()}


def test_a_refresh_that_failed_is_counted_with_refreshes(make):
    """A source that is down fails them all."""
    store = make(keep_runs=2)
    store.write(alone(1, "miss", status="error", attempts=1))
    store.write([msgspec.structs.replace(row, status="error") for row in refreshes(10, 11, 12, 13)])

    assert [13, 12, 1] == [int(run.trace_id, 16) for run in store.runs()]


def test_a_request_that_failed_is_no_hit(make):
    """Though all that it took was in the cache: the span around it says so."""
    store = make(keep_runs=1)
    task, request = alone(1, "hit", around=True)
    store.write([task])
    store.write([msgspec.structs.replace(request, status="error")])
    store.write(alone(2, "hit") + alone(3, "hit"))

    assert [3, 1] == [int(run.trace_id, 16) for run in store.runs()]


def test_a_store_of_an_older_holdfast_is_read_and_written_on(make, path):
    """It did not say what was renewed behind callers' backs; its spans do."""
    path.parent.mkdir(mode=0o700)
    older = Database(path, SCHEMA._replace(migrations=SCHEMA.migrations[:1]))
    with older.transaction() as connection:
        for row in [*run_rows(1, at=NOW), *refreshes(10)]:
            connection.execute("INSERT INTO spans VALUES (?, ?, ?)", (row.trace_id, row.span_id, encode(row)))
        for trace_id, run_id in ((f"{1:032x}", "run-0001"), (f"{10:032x}", "")):
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, 'plan', '', 'ok', 0, ?, ?, 2, 1)", (trace_id, run_id, NOW * 10**9, NOW * 10**9)
            )
    older.close()

    assert {"run-0001", ""} == set(ids(make().runs(choice=Choice(folded=True))))
    assert make().write(run_rows(2, at=NOW + 60))
    assert ["run-0002", "run-0001"] == ids(make().runs(choice=Choice(folded=True)))
    assert [f"{10:032x}"] == [run.trace_id for run in make().runs() if run.is_behind]


def test_a_store_of_the_last_schema_is_read_and_written_on(make, path):
    """It did not say what was a hit."""
    path.parent.mkdir(mode=0o700)
    older = Database(path, SCHEMA._replace(migrations=SCHEMA.migrations[:2]))
    with older.transaction() as connection:
        for row in alone(1, "hit"):
            connection.execute("INSERT INTO spans VALUES (?, ?, ?)", (row.trace_id, row.span_id, encode(row)))
        connection.execute(
            "INSERT INTO runs VALUES (?, '', 'forecast', '', 'ok', 0, ?, ?, 2, 1, 0)", (f"{1:032x}", NOW * 10**9, NOW * 10**9)
        )
    older.close()

    assert [f"{1:032x}"] == [run.trace_id for run in make().runs()]
    assert make().write(alone(2, "hit"))
    assert [2, 1] == [int(run.trace_id, 16) for run in make().runs()]


def test_what_is_under_way_is_listed_without_an_outcome(make):
    """Until its ended span takes the place."""
    run, call = run_rows(1)
    store = make()
    store.write([msgspec.structs.replace(row, is_open=True, attributes=begun(row)) for row in (run, call)])
    before = store.runs()[0]
    store.write([call, run])
    after = store.runs()[0]

    assert ("plan", "", False, 1, 1) == (before.name, before.outcome, before.failed, before.summary.calls, before.summary.open)
    assert ("plan", "ok", False, 1, 0) == (after.name, after.outcome, after.failed, after.summary.calls, after.summary.open)
    assert [False, False] == [row.is_open for row in store.spans(run.trace_id)]


def begun(row):
    """What is known of a span before its end."""
    return {name: value for name, value in row.attributes.items() if not name.endswith(".outcome")}


def test_forgets_old_runs(make, clock):
    """What ended longer ago than max_age goes; the rest stays."""
    store = make(max_age="14d")
    store.write(run_rows(1, at=NOW - 14 * DAY - 2) + run_rows(2, at=NOW - 14 * DAY + 2))

    assert ["run-0002"] == ids(store.runs())


def test_forgets_traces_without_any_call_of_ours(make):
    """After an hour; they do not push runs out either."""
    store = make(keep_runs=1)
    other = [
        SpanRow(f"{n:032x}", "e" * 16, "", "GET /", at * 10**9, at * 10**9) for n, at in ((50, NOW - 3601), (51, NOW - 60), (52, NOW + 9))
    ]
    store.write(run_rows(1, at=NOW - 100) + other)

    assert [0, 1, 1, 2] == [len(store.spans(f"{n:032x}")) for n in (50, 51, 52, 1)]


def test_never_keeps_many_more_runs(make, clock):
    """It tidies up now and then: there may be a tenth more than asked for, and never fewer."""
    store = make(keep_runs=20)
    counts = []
    for n in range(1, 61):
        store.write(run_rows(n, at=NOW + n))
        counts.append(len(store.runs(100)))

    assert list(range(1, 21)) == counts[:20]
    assert {20, 21} == set(counts[20:])


def test_tidies_up_among_the_spans_of_one_run(make, clock, monkeypatch):
    """What is too old goes after so many rows, although no run has been added."""
    monkeypatch.setattr("holdfast.tracing.store.database.ROWS_BETWEEN_PRUNES", 8)
    store = make(max_age="1h")
    store.write(run_rows(1, at=NOW))
    clock.advance(2 * 3600)
    counts = []
    for _ in range(5):
        store.write(run_rows(2, at=NOW + 7200))
        counts.append(len(store.runs()))

    assert [2, 2, 2, 1, 1] == counts


def test_max_age_is_checked_when_made(path):
    """A wrong duration is the caller's mistake, said at once."""
    with pytest.raises(PolicyError, match="max_age"):
        TraceStore(path, max_age="soon")


def filled(store, path):
    """Write a run, close the store, and return the bytes of its file."""
    store.write(run_rows(9))
    store.close()
    return path.read_bytes()


DAMAGE = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "header only": lambda whole: whole[:100],
    "pages overwritten": lambda whole: whole[:100] + b"\xff" * (len(whole) - 100),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_set_aside(make, path, notes, how):
    """The rows go into a new file, the old one is kept beside it, and a warning says so."""
    store = make()
    damage = DAMAGE[how](filled(store, path))
    path.write_bytes(damage)
    aside = path.with_name("traces.db.broken-1")

    assert store.write(run_rows(1))
    assert (["run-0001"], damage) == (ids(store.runs()), aside.read_bytes())
    ((event, level, text),) = [note for note in notes if note[1] > events.DEBUG]
    assert ("holdfast.traces.damaged", events.WARNING) == (event, level)
    assert text.endswith(f"moved to {aside}, and a new one begun")


def test_a_second_damaged_file_does_not_take_the_place_of_the_first(make, path, notes):
    """Each has its number."""
    store = make()
    whole = filled(store, path)
    for n in (1, 2):
        path.write_bytes(whole[:100] + bytes([n]) * 9_000)
        assert store.write(run_rows(n))
        store.close()

    assert [b"\x01", b"\x02"] == [path.with_name(f"traces.db.broken-{n}").read_bytes()[-1:] for n in (1, 2)]


def theirs(path):
    """Make somebody else's database."""
    with contextlib.closing(sqlite3.connect(path)) as foreign:
        foreign.executescript("CREATE TABLE precious (x); INSERT INTO precious VALUES (zeroblob(20000))")


FOREIGN = {
    "text": lambda path: path.write_text("my,precious,data\n" * 500),
    "two bytes": lambda path: path.write_bytes(b"x\n"),
    "zeros": lambda path: path.write_bytes(bytes(9000)),
    "their database": theirs,
    "their damaged database": lambda path: (theirs(path), os.truncate(path, 5000)),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_file_that_is_not_ours_stays_where_it_is(make, path, notes, how):
    """Whatever it is: refused at a look, and by a write that meets it all the same; not a byte changes and nothing is left beside it."""
    path.parent.mkdir(mode=0o700)
    FOREIGN[how](path)
    before = path.read_bytes()
    store = make()

    with pytest.raises(StoreError, match="is not a holdfast trace store and is left as it is: choose another path"):
        store.refuse_foreign()
    assert not store.write(run_rows(1))
    store.close()
    assert {"traces.db": before} == {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_garbage_in_our_own_place_is_set_aside(path, notes, monkeypatch, tmp_path):
    """Where nobody has named a file, the place is holdfast's: the store begins anew even when nothing of it can be recognised."""
    monkeypatch.delenv("HOLDFAST_TRACES", raising=False)
    monkeypatch.setattr("holdfast.tracing.store.database.default_path", lambda: path)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"this is no database " * 300)
    store = TraceStore()

    assert store.write(run_rows(1))
    store.close()
    assert path.with_name("traces.db.broken-1").exists()


def test_damage_while_open_is_survived(make, path, notes):
    """A file that breaks under an open connection is replaced as well."""
    store = make()
    store.write(run_rows(1))
    store._writer.close()
    store._reader.close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 12_000)

    assert store.write(run_rows(2))
    assert ["run-0002"] == ids(make().runs())


@pytest.mark.parametrize("after", [1, 2])
def test_a_file_that_another_process_has_replaced_stays(make, path, notes, after):
    """Two processes meet the same damage: the second finds the first one's new file, when it looks again or later, and keeps it."""
    first, second = make(), make()
    path.write_bytes(DAMAGE["pages overwritten"](filled(first, path)))
    second._writer.transaction = replaced_by(first, second._writer.transaction, after)

    assert second.write(run_rows(2))
    assert {"run-0001", "run-0002"} == set(ids(make().runs()))


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_file_that_was_deleted_under_a_program_is_begun_anew(make, path, replaced):
    """What it writes from then on is in the file that has the name, and not in one that nobody can find."""
    store = make()
    store.write(run_rows(1))
    shutil.rmtree(path.parent)
    if replaced:
        make().write(run_rows(2))

    assert store.write(run_rows(3))
    assert store.write(run_rows(4))
    assert {"run-0003", "run-0004"} | ({"run-0002"} if replaced else set()) == set(ids(make().runs()))


def replaced_by(other, transaction, after):
    """Stand in for transactions: once so many have met the damage ``other`` repairs the file, before we can."""
    failures = []

    @contextlib.contextmanager
    def meet():
        try:
            with transaction() as connection:
                yield connection
        except StoreError as error:
            failures.append(error)
            if len(failures) == after:
                other.write(run_rows(1))
            raise

    return meet


def test_reading_a_damaged_file_is_an_error(make, path):
    """A reader changes nothing; it says what is wrong."""
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"no database " * 500)

    with pytest.raises(StoreError, match=r"cannot open the trace store .*: file is not a database"):
        make().runs()
    assert path.exists()


def test_a_foreign_database_is_left_alone(make, path, notes):
    """Rows are lost and one warning says why; later losses are not repeated until a write has worked again."""
    path.parent.mkdir(mode=0o700)
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    store = make()

    assert [False, False] == [store.write(run_rows(1)), store.write(run_rows(2))]
    path.unlink()
    assert store.write(run_rows(3))
    lost = [(level, text) for event, level, text in notes if event == "holdfast.traces.lost"]
    text = f"2 spans were not stored: {path} is a SQLite file, but not a holdfast trace store: choose another path"
    assert [(events.WARNING, text), (events.DEBUG, text)] == lost


def test_a_folder_that_cannot_be_made_is_said_with_a_way_out(tmp_path, notes):
    """What the system says, and what to do; one span is one."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "traces.db"

    assert not TraceStore(path).write(run_rows(1)[:1])
    expected = (
        f"1 span was not stored: cannot open the trace store {path}: [Errno {errno.ENOTDIR}] Not a directory: '{path}'; if that stays so, name a "
        "file that you can write: HOLDFAST_TRACES=PATH, or holdfast.tracing.configure(path=PATH)"
    )
    assert [expected] == [text for event, _, text in notes if event == "holdfast.traces.lost"]


def test_no_error_whatsoever_reaches_the_writer(make, path):
    """Not even nonsense rows; nobody listening is fine too."""
    path.parent.mkdir(mode=0o700)

    assert not make().write([object()])


def test_an_old_sqlite_is_noted_quietly(make, notes, monkeypatch):
    """At DEBUG, once per store."""
    monkeypatch.setattr("holdfast.tracing.store.database.version_warning", lambda: "old")
    store = make()
    store.write(run_rows(1))
    store.write(run_rows(2))

    assert [("holdfast.traces.sqlite", events.DEBUG, "old")] == notes


WRITER = """
    import sys
    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.database import TraceStore
    store = TraceStore(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    number = 0
    while number < int(sys.argv[3]):
        number += 1
        trace_id = f"{sys.argv[2]}{number:031x}"
        attributes = {"holdfast.span.type": "run", "holdfast.run.id": trace_id}
        now = 4_000_000_000 * 10**9 + number
        rows = [SpanRow(trace_id, f"{n:016x}", "" if n == 1 else f"{1:016x}", "run", now, now, attributes=attributes if n == 1 else {}) for n in range(1, 6)]
        assert store.write(rows)
"""


def writer(path, letter, batches):
    """Start a process that writes so many traces of five spans as soon as it is told to."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), letter, str(batches)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def test_two_processes_write_at_once(make, path):
    """From an absent file on; every batch of both arrives whole."""
    processes = [writer(path, letter, 60) for letter in "ab"]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [(process.communicate(timeout=30)[1], process.returncode) for process in processes]

    assert [("", 0)] * 2 == outcomes
    found = make().runs(1000)
    assert {"a": 60, "b": 60} == {letter: sum(run.run_id.startswith(letter) for run in found) for letter in "ab"}
    assert {5} == {len(make().spans(run.trace_id)) for run in found}


RECORDED = """
    import sys, holdfast.tracing
    from holdfast import entrypoint, task
    from holdfast.tracing.safety import firewall
    firewall.EXIT_TIMEOUT = 60.0  # however slow the disk is
    holdfast.tracing.configure(path=sys.argv[1], lines=False)
    @task
    def forecast(): return 4.5
    @entrypoint
    def plan(): return forecast().result()
    plan.invoke()
"""


def test_a_program_leaves_one_whole_file(make, path, tmp_path):
    """A plain copy of it has everything: nothing waits in SQLite's log."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RECORDED), str(path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert ("", 0) == (done.stderr, done.returncode)
    assert ["traces.db"] == [each.name for each in path.parent.iterdir()]
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    assert ["plan"] == [run.name for run in TraceStore(copy).runs()]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_kill_9_during_writing_leaves_a_readable_store(make, path):
    """Whole batches only, and the next process writes on."""
    process = writer(path, "a", 10**9)
    process.stdin.write("go\n")
    process.stdin.flush()
    store = make()
    try:
        while len(store.runs(10)) < 10:
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)

    assert {5} == {len(store.spans(run.trace_id)) for run in store.runs(1000)}
    assert store.write(run_rows(1, at=5_000_000_000))
    assert ["run-0001"] == ids(store.runs(1))


def test_the_path_comes_from_the_environment(monkeypatch, tmp_path):
    """HOLDFAST_TRACES names the file; without it the user's state folder is used."""
    monkeypatch.setenv("HOLDFAST_TRACES", str(tmp_path / "mine.db"))
    assert (tmp_path / "mine.db", tmp_path / "mine.db") == (default_path(), TraceStore().path)

    monkeypatch.delenv("HOLDFAST_TRACES")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ("holdfast", "traces.db") == (default_path().parent.name, default_path().name)


def test_the_package_offers_what_programs_read_runs_with():
    """Each on first use: a SQLite store is loaded by who asks for one."""
    assert {"Choice", "RunSummary", "TraceStore"} == set(store_room.__all__)
    assert (Choice, RunSummary, TraceStore) == (store_room.Choice, store_room.RunSummary, store_room.TraceStore)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        store_room.nonsense  # noqa: B018 - it is the point


def test_a_run_that_was_seen_alive_after_its_last_step_died_then(make):
    """Its record knows of steps alone; what looked at it once a second knows more, of it and of nobody else."""
    store = make()
    _, run = run_rows(1, at=NOW)
    alive = msgspec.structs.replace(run, end_ns=run.start_ns + 3 * 10**9, is_open=True, attributes=begun(run))
    elsewhere = {**begun(run), "holdfast.run.id": "another"}
    other = msgspec.structs.replace(alive, span_id="f" * 16, end_ns=run.start_ns + 9 * 10**9, attributes=elsewhere)
    store.write([alive, other])
    store.write([crashed(alive, run.start_ns + 10**9)])
    store.write([crashed(msgspec.structs.replace(alive, end_ns=0), run.start_ns + 10**9)])  # a second one that heals, say

    shown = {row.span_id: row for row in store.spans(run.trace_id)}
    assert (3.0, "crashed") == (shown[run.span_id].seconds, shown[run.span_id].attributes["holdfast.run.outcome"])
    assert [3.0] == [listed.duration_s for listed in store.runs() if listed.run_id == "run-0001"]
