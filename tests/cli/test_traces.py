"""``holdfast traces heal`` on a trace store, and what ``holdfast show`` says of executions that belong together."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from holdfast.cli.app import app
from holdfast.tracing.killed.crashed import crashed
from holdfast.tracing.spans.records import SpanRow
from holdfast.tracing.store.database import TraceStore

RUN_ID = "0198c0de-0001-7c1b-9a4e-0c8f3c3f7a10"
FIRST = RUN_ID.replace("-", "")
SECOND = "f" * 32
S = 10**9
BASE = 1_735_689_600 - 100  # seconds; the fake clock begins 100 s later


def at(seconds):
    """A moment, nanoseconds since the epoch."""
    return (BASE + seconds) * S


SHARED = {"holdfast.run.id": RUN_ID, "holdfast.workflow.name": "plan", "holdfast.thread.id": "trip-1"}
OPEN_RUN = SpanRow(FIRST, "1" * 16, "", "run plan", at(1), at(9), attributes={"holdfast.span.type": "run", **SHARED}, is_open=True)
OPEN_CALL = SpanRow(
    FIRST, "2" * 16, "1" * 16, "fetch", at(2), at(3), attributes={"holdfast.span.type": "task", **SHARED, "holdfast.attempt.number": 1}, is_open=True
)  # fmt: skip
RESUMED = SpanRow(
    SECOND, "3" * 16, "", "run plan", at(20), at(21),
    attributes={
        "holdfast.span.type": "run", **SHARED, "holdfast.run.outcome": "ok", "holdfast.run.resumed": True,
        "holdfast.resumed_from.run_id": RUN_ID, "holdfast.resumed_from.trace_id": FIRST, "holdfast.resumed_from.span_id": "1" * 16,
    },
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    """A trace store."""
    store = TraceStore(tmp_path / "traces.db")
    yield store
    store.close()


@pytest.fixture
def holdfast(store, clock):
    """The command on that store, at a time that is known; returns exit code and output."""
    assert clock.time() == BASE + 100

    def holdfast(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--db", str(store.path)])
        return done.exit_code, done.output

    return holdfast


def of_ended(store, trace_id=FIRST):
    """What the rows of a trace say of their ends."""
    return [
        (
            row.name,
            row.end_ns // S - BASE,
            row.is_open,
            row.status,
            row.status_text,
            {k: v for k, v in row.attributes.items() if v == "crashed"},
        )
        for row in store.spans(trace_id)
    ]


CRASHED = [
    ("run plan", 9, False, "error", "the process ended before this did", {"holdfast.run.outcome": "crashed", "error.type": "crashed"}),
    (
        "fetch", 9, False, "error", "the process ended before this did",
        {"holdfast.task.outcome": "crashed", "holdfast.attempt.outcome": "crashed", "error.type": "crashed"},
    ),
]  # fmt: skip


def test_what_a_dead_process_left_open_is_ended(store, holdfast):
    """At its last sign of life, once: calls with their run."""
    store.write([OPEN_RUN, OPEN_CALL])

    assert (0, f"would heal run {RUN_ID} (plan), last seen 1 min ago\n") == holdfast("traces", "heal", "--dry-run")
    assert [True, True] == [row.is_open for row in store.spans(FIRST)]
    assert (0, f"healed run {RUN_ID} (plan), last seen 1 min ago\n") == holdfast("traces", "heal")
    assert CRASHED == of_ended(store)
    assert ("crashed", True) == (store.runs()[0].outcome, store.runs()[0].failed)
    assert (0, f"nothing to heal in {store.path}\n") == holdfast("traces", "heal")


def test_who_gave_a_sign_of_life_just_now_is_left_alone(store, holdfast):
    """It is told of each second."""
    store.write([replace(OPEN_RUN, end_ns=at(97)), replace(OPEN_CALL, end_ns=at(97))])

    assert (0, f"nothing to heal in {store.path}\n") == holdfast("traces", "heal")


def test_calls_under_way_end_with_their_run(store, clock):
    """A crashed run that arrives, because somebody has resumed it, takes along what the store alone knows of."""
    assert clock.time() == BASE + 100
    other = replace(OPEN_CALL, span_id="4" * 16, attributes={**OPEN_CALL.attributes, "holdfast.run.id": "another run of this trace"})
    store.write([OPEN_RUN, OPEN_CALL, other])
    store.write([crashed(OPEN_RUN, at(9))])

    assert CRASHED == of_ended(store)[:2]
    assert [True] == [row.is_open for row in store.spans(FIRST)[2:]]


ATTEMPT = SpanRow(
    FIRST, "5" * 16, "2" * 16, "fetch attempt 1", at(3), at(11), "error",
    attributes={"holdfast.span.type": "attempt", **SHARED, "holdfast.attempt.number": 1, "error.type": "ConnectionError"},
)  # fmt: skip
USERS = SpanRow(FIRST, "6" * 16, "2" * 16, "parse", at(3), at(4), is_open=True)


@pytest.mark.parametrize("arrives", [True, False], ids=["told by who resumed it", "healed here"])
def test_what_crashed_ends_no_earlier_than_what_was_inside_it(store, holdfast, arrives):
    """An attempt may have ended, and left, after the last sign of life of all that is around it. What the user had open in it ends as well."""
    store.write([OPEN_RUN, OPEN_CALL, ATTEMPT, USERS])
    if arrives:
        store.write([crashed(OPEN_CALL, at(9)), crashed(OPEN_RUN, at(9))])
    else:
        holdfast("traces", "heal")

    assert [("run plan", 11, False), ("fetch", 11, False), ("fetch attempt 1", 11, False), ("parse", 11, False)] == [
        row[:3] for row in of_ended(store)
    ]
    assert ["run plan", "fetch", "parse"] == [row.name for row in store.spans(FIRST) if row.attributes.get("error.type") == "crashed"]


def test_a_run_that_ends_after_all_takes_its_place_again(store, holdfast):
    """Its process was only stopped, and woke up."""
    store.write([OPEN_RUN])
    holdfast("traces", "heal")
    store.write([replace(OPEN_RUN, end_ns=at(101), is_open=False, attributes={**OPEN_RUN.attributes, "holdfast.run.outcome": "ok"})])

    assert ("ok", False) == (store.runs()[0].outcome, store.runs()[0].failed)


def test_show_leads_from_one_execution_to_the_next(store, holdfast):
    """And back. The id of a run shows its last one."""
    store.write([OPEN_RUN, OPEN_CALL])
    holdfast("traces", "heal")
    store.write([RESUMED])

    assert (0, f"went on from: holdfast show {FIRST}") == last_line(holdfast("show", RUN_ID))
    assert last_line(holdfast("show", RUN_ID)) == last_line(holdfast("show", "0198c0de-0001"))
    assert (0, f"resumed: holdfast show {SECOND}") == last_line(holdfast("show", FIRST))
    assert "✗  run plan · thread trip-1" in holdfast("show", FIRST)[1]
    assert "fetch · crashed: the process ended before this did" in holdfast("show", FIRST)[1]


def test_show_says_what_it_does_not_have(store, holdfast):
    """An execution that went elsewhere, or was not traced."""
    store.write([RESUMED])

    assert (0, f"went on from: {RUN_ID}, which is not in this store") == last_line(holdfast("show"))


def renewal(trace_id, caller, start):
    """Make a refresh behind a call of the trace ``caller``."""
    said = {"holdfast.span.type": "task", "holdfast.task.name": "rate", "holdfast.cache.result": "refresh"}
    link = (caller, "2" * 16, {"holdfast.link.type": "behind"})
    return SpanRow(trace_id, "5" * 16, "", "rate", at(start), at(start + 1), attributes=said, links=[link])


def test_a_resumed_run_is_one_line(store, holdfast):
    """As its last execution, with how many times it had been resumed; nobody started what renewed the cache, so it is no run."""
    store.write([replace(OPEN_RUN, is_open=False), RESUMED, renewal("e" * 32, SECOND, 30)])

    assert [
        "   RUN       STARTED    NAME  RESUMED    TOOK  CALLS  RETRIES  HITS  FAILED",
        "✓  0198c0de  1 min ago  plan        1  1.00 s      0        0     0       0",
    ] == holdfast("runs")[1].splitlines()


def test_all_lists_each_execution(store, holdfast):
    """An earlier one by its trace, since the run's id shows the last; and what renewed the cache."""
    store.write([replace(OPEN_RUN, is_open=False), RESUMED, renewal("e" * 32, SECOND, 30)])

    found = json.loads(holdfast("runs", "--all", "--json")[1])

    assert [("e" * 32, 1, 1, True), (RUN_ID, 2, 2, False), (FIRST, 1, 2, False)] == [
        (each["id"], each["execution"], each["executions"], each["is_behind"]) for each in found
    ]
    assert ["e" * 9, RUN_ID[:9], FIRST[:9]] == [line[3:12] for line in holdfast("runs", "--all")[1].splitlines()[1:]]
    assert 1 == holdfast("runs", "--all")[1].count("rate (behind)")


def test_the_list_holds_what_it_is_asked_for_of_last_executions(store, holdfast):
    """A run that waited for an answer and has it waits no longer."""
    waiting = replace(OPEN_RUN, is_open=False, attributes={**OPEN_RUN.attributes, "holdfast.run.outcome": "interrupted"})
    store.write([waiting])
    assert 0 == holdfast("runs", "--status", "interrupted")[0]
    store.write([RESUMED])

    assert (1, "Error: no such run has been recorded\n") == holdfast("runs", "--status", "interrupted")
    assert 0 == holdfast("runs", "--status", "interrupted", "--all")[0]


def test_a_narrow_list_has_fewer_figures(store, holdfast, monkeypatch):
    """No line is broken."""
    store.write([replace(OPEN_RUN, is_open=False), RESUMED])
    monkeypatch.setenv("COLUMNS", "60")

    assert "   RUN       STARTED    NAME  RESUMED    TOOK  FAILED" == holdfast("runs")[1].splitlines()[0]


def test_an_id_in_the_list_is_one_that_show_takes(store, holdfast):
    """However few runs are listed: it tells them from all that are there."""
    other = {**RESUMED.attributes, "holdfast.run.id": "0198c0de-0002-7c1b-9a4e-0c8f3c3f7a10", "holdfast.thread.id": "trip-2"}
    store.write([RESUMED, replace(RESUMED, trace_id="d" * 32, start_ns=at(30), attributes=other)])
    listed = holdfast("runs", "--thread", "trip-1")[1].splitlines()[1].split()[1]

    assert "0198c0de-0001" == listed
    assert 0 == holdfast("show", listed)[0]


def test_an_id_of_two_runs_names_each_once(store, holdfast):
    """However often they were resumed."""
    other = {**RESUMED.attributes, "holdfast.run.id": "0198c0de-0002-7c1b-9a4e-0c8f3c3f7a10"}
    store.write([OPEN_RUN, RESUMED, replace(RESUMED, trace_id="d" * 32, start_ns=at(30), attributes=other)])

    assert (
        1,
        f"Error: 2 runs begin with '0198c': 0198c0de-0002-7c1b-9a4e-0c8f3c3f7a10 (plan), {RUN_ID} (plan)\nGive more of the id.\n",
    ) == holdfast("show", "0198c")


def test_show_leads_from_what_was_renewed_to_who_got_the_old_value(store, holdfast):
    """By its link; and the last run is the last that somebody started."""
    store.write([RESUMED, renewal("e" * 32, SECOND, 30), renewal("c" * 32, "b" * 32, 31)])

    assert (0, f"behind a call of: holdfast show {SECOND}") == last_line(holdfast("show", "eee"))
    assert (0, f"behind a call of: {'b' * 32}, which is not in this store") == last_line(holdfast("show", "ccc"))
    assert "run plan" in holdfast("show")[1]


def last_line(answer):
    """Exit code and the last line."""
    code, text = answer
    return code, text.splitlines()[-1]
