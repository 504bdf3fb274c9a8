"""The `holdfast` command, run as people run it: as a process with a store, a terminal or a pipe."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from holdfast.cli import main
from holdfast.tracing.spans.records import SpanRow, decode, encode
from holdfast.tracing.store.database import TraceStore

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
CALL = "from holdfast.cli import main; main()"
FIRST = "0198c0de-0001-7c1b-9a4e-0c8f3c3f7a10"
SECOND = "0198c0de-0002-7c1b-9a4e-0c8f3c3f7a10"
FAILED = "0298c0de-0003-7c1b-9a4e-0c8f3c3f7a10"


@pytest.fixture
def path(tmp_path):
    """Where the store goes."""
    return tmp_path / "state" / "traces.db"


@pytest.fixture
def command(path):
    """Run the command; returns exit code, output and errors."""

    def run(*arguments, code=CALL, **environment):
        known = {"PATH": os.environ["PATH"], "HOLDFAST_TRACES": str(path), "PYTHONIOENCODING": "utf-8"} | environment
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, env=known, timeout=30, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def run_rows(run_id, minutes_ago, *, name="plan", status="unset"):
    """Make a run of one second with one retried task."""
    trace_id = run_id.replace("-", "")
    start = time.time_ns() - minutes_ago * 60 * 10**9 - 5 * 10**9
    shared = {"holdfast.run.id": run_id, "holdfast.workflow.name": name, "holdfast.thread.id": run_id}
    of_task = shared | {"holdfast.task.name": "forecast"}
    task = of_task | {"holdfast.span.type": "task", "holdfast.attempt.count": 2}
    attempt = of_task | {"holdfast.span.type": "attempt", "holdfast.attempt.number": 1, "error.type": "x.Flake"}
    attempt |= {"holdfast.retry.scheduled": True, "holdfast.retry.wait_s": 0.25, "holdfast.retry.reason": "transient"}
    second = of_task | {"holdfast.span.type": "attempt", "holdfast.attempt.number": 2}
    outcome = "ok" if status == "unset" else "error"
    ms = 10**6
    return [
        SpanRow(
            trace_id,
            "1" * 16,
            "",
            f"run {name}",
            start,
            start + 1000 * ms,
            status,
            "",
            shared | {"holdfast.span.type": "run", "holdfast.run.outcome": outcome},
        ),
        SpanRow(trace_id, "2" * 16, "1" * 16, "forecast", start, start + 500 * ms, "unset", "", task),
        SpanRow(trace_id, "3" * 16, "2" * 16, "forecast attempt 1", start, start + 100 * ms, "error", "flaked", attempt),
        SpanRow(trace_id, "4" * 16, "2" * 16, "forecast attempt 2", start + 350 * ms, start + 500 * ms, "unset", "", second),
    ]


@pytest.fixture
def filled(path):
    """A store with three runs."""
    store = TraceStore(path)
    store.write(run_rows(FIRST, 120) + run_rows(SECOND, 3) + run_rows(FAILED, 1, name="other", status="error"))
    store.close()


TREE = """\
✓  run plan                                                               1.00 s
└─ ↻  forecast · 2 attempts                                               0.50 s
   ├─ ✗  attempt 1 · Flake: flaked                                        0.10 s
   │     ⏳ waited 0.25 s · transient
   └─ ✓  attempt 2                                                        0.15 s

1 call · 2 attempts · 1 retry · waited 0.25 s
"""


HANGING = """
import sys, time
import holdfast.tracing
from holdfast import entrypoint, task

@task
def quick(n):
    return n

@task
def hang(city):
    print("hangs", flush=True)
    time.sleep(300)

@entrypoint
def plan(city):
    quick(1).result()
    return hang(city).result()

holdfast.tracing.configure(lines=False, capture="values")
plan.invoke("Oslo")
"""


def test_what_hangs_is_shown_and_after_a_kill_what_hung(command, path):
    """While it runs, with the time by now; killed, it is said to have shown no sign of life since."""
    process = subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE, env=os.environ | {"HOLDFAST_TRACES": str(path)})
    try:
        process.stdout.readline()
        until = time.monotonic() + 60
        while "hang(" not in (shown := command("show")[1]):
            assert time.monotonic() < until, shown
        listed = command("runs")[1]
    finally:
        process.kill()
        process.communicate(timeout=30)
    with sqlite3.connect(path) as store:  # a minute goes by: it is as if all that had been a minute before
        rows = [decode(data) for (data,) in store.execute("SELECT data FROM spans")]
        minute = 60 * 10**9
        older = [msgspec.structs.replace(row, start_ns=row.start_ns - minute, end_ns=row.end_ns - minute) for row in rows]
        store.executemany("UPDATE spans SET data = ? WHERE span_id = ?", [(encode(row), row.span_id) for row in older])
        store.execute("UPDATE runs SET start_ns = start_ns - ?, end_ns = end_ns - ?", (minute, minute))
    store.close()

    assert re.search(
        r"►  run plan · running .*\n├─ ✓  quick\(1\) .*\n└─ ►  hang\(\"Oslo\"\) · running  .*\n\n2 calls · 2 attempts · 1 under way\n",
        shown,
    )
    assert "\n►" in listed
    assert re.search(
        r"\?  run plan · no sign of life for 1 min: killed, or stopped .*\n.*\n└─ \?  hang\(\"Oslo\"\) · no end recorded ",
        command("show")[1],
    )
    assert "\n?" in command("runs")[1]


def test_runs_lists_the_newest_first(command, filled):
    """One line per run: sign, id as short as it can be, age, name, duration and figures."""
    assert (
        0,
        """\
   RUN            STARTED    NAME     TOOK  CALLS  RETRIES  HITS  FAILED
✗  0298c0de-0003  1 min ago  other  1.00 s      1        1     0       0
✓  0198c0de-0002  3 min ago  plan   1.00 s      1        1     0       0
✓  0198c0de-0001  2 h ago    plan   1.00 s      1        1     0       0
""",
        "",
    ) == command("runs")


def test_runs_chooses(command, filled):
    """By name, by failure, and how many."""

    def names(*options):
        return re.findall(r"0[12]98c0de(?:-\d+)?", command("runs", *options)[1])

    assert ["0298c0de"] == names("--failed")
    assert ["0198c0de-0002", "0198c0de-0001"] == names("--name", "plan")
    assert [["0298c0de"], []] == [names("--limit", "1"), names("--name", "pla")]
    assert ["0198c0de-0001"] == names("--thread", FIRST)
    assert ["0298c0de"] == names("--status", "error")
    assert ["0298c0de-0003", "0198c0de-0002"] == names("--since", "10m", "--task", "forecast")
    assert [[], []] == [names("--status", "cancelled"), names("--task", "book")]
    today = dt.datetime.now().astimezone().date()
    assert 3 == len(names("--since", str(today - dt.timedelta(days=1))))


def test_runs_as_json(command, filled):
    """The fields that docs/cli.md lists, for programs."""
    code, out, _ = command("runs", "--json")
    (newest, *others) = json.loads(out)

    assert (0, 2) == (code, len(others))
    assert {
        "id": FAILED,
        "run_id": FAILED,
        "trace_id": FAILED.replace("-", ""),
        "thread_id": FAILED,
        "name": "other",
        "outcome": "error",
        "failed": True,
        "started_ns": newest["started_ns"],
        "duration_s": 1.0,
        "execution": 1,
        "executions": 1,
        "is_behind": False,
        "summary": {
            "calls": 1,
            "attempts": 2,
            "retries": 1,
            "failures": 0,
            "open": 0,
            "hits": 0,
            "coalesced": 0,
            "replayed": 0,
            "waited_s": 0.25,
            "saved_s": 0.0,
            "saved_unknown": 0,
        },
    } == newest
    for name in [*newest, *newest["summary"]]:
        assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_show_draws_the_tree(command, filled):
    """80 columns into a pipe, no colours."""
    assert (0, TREE, "") == command("show", SECOND)


def test_show_takes_the_last_run_by_default(command, filled):
    """The one that started last."""
    assert "run other" in command("show")[1]


def test_show_takes_a_prefix_or_a_trace_id(command, filled):
    """As short as the list of runs shows it."""
    assert [(0, TREE, "")] * 2 == [command("show", "0198c0de-0002"), command("show", SECOND.replace("-", "").upper())]


def test_show_errors(command, filled):
    """Only what failed."""
    code, out, _ = command("show", SECOND, "--errors")

    assert (0, True, False) == (code, "attempt 1" in out, "attempt 2" in out)


def test_show_as_json(command, filled):
    """The run as `runs` gives it, and each span with the fields that docs/cli.md lists."""
    code, out, _ = command("show", SECOND, "--json")
    answer = json.loads(out)

    assert (0, ["run", "spans"], SECOND, 4) == (code, [*answer], answer["run"]["id"], len(answer["spans"]))
    fields = [
        "trace_id",
        "span_id",
        "parent_id",
        "name",
        "start_ns",
        "end_ns",
        "status",
        "status_text",
        "attributes",
        "events",
        "links",
        "is_open",
        "kind",
        "service",
    ]
    assert fields == [*answer["spans"][0]]
    for name in fields:
        assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_db_names_another_store(command, filled, path, tmp_path):
    """The option wins over the environment."""
    assert (0, TREE, "") == command("show", SECOND, "--db", str(path), HOLDFAST_TRACES=str(tmp_path / "nothing.db"))


def test_an_unknown_run_names_nearby_ones(command, filled):
    """Those whose ids have most in common with what was typed."""
    assert (
        1,
        "",
        f"Error: no run begins with '0198c0de-0009'; nearby: {SECOND} (plan), {FIRST} (plan), {FAILED} (other)\n`holdfast runs` lists them all.\n",
    ) == command("show", "0198c0de-0009")


def test_where_no_id_is_like_it_the_latest_runs_are_named(command, filled):
    """They are not near to it."""
    code, printed, told = command("show", "zzz")

    assert (1, "") == (code, printed)
    assert told.startswith(f"Error: no run begins with 'zzz'; the latest: {FAILED} (other), ")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("tune", "No such command 'tune': did you mean `holdfast cache tune`?"),
        ("ttl", "No such command 'ttl': did you mean `holdfast cache ttl`?"),
        ("shwo", "No such command 'shwo': did you mean `holdfast show`?"),
        ("wxyz", "No such command 'wxyz'."),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(command, typed, answer):
    """Spelt otherwise, or one of a group's."""
    code, printed, told = command(typed)

    assert (2, "", f"Error: {answer}") == (code, printed, told.splitlines()[-1])


def test_an_ambiguous_id_names_its_runs(command, filled):
    """All of them, and what to do."""
    assert (1, "", f"Error: 2 runs begin with '0198': {SECOND} (plan), {FIRST} (plan)\nGive more of the id.\n") == command("show", "0198")


def test_an_id_that_many_runs_begin_with(command, path):
    """A few of them, the latest, are enough to choose from."""
    store = TraceStore(path)
    for n in range(25):
        store.write(run_rows(f"0198c0de-{n:04}-7c1b-9a4e-0c8f3c3f7a10", 60 - n))
    store.close()
    code, _, err = command("show", "0")

    assert (1, "Error: many runs begin with '0', the latest: 0198c0de-0024-", 3) == (code, err[:59], err.count("(plan)"))


@pytest.mark.parametrize("arguments", [("runs",), ("show",), ("show", "abc"), ("runs", "--failed")])
def test_an_empty_store_says_how_to_record(command, path, arguments):
    """Exit code 1, and nothing is made."""
    text = f"""\
Error: nothing has been recorded in {path} yet.
Call holdfast.tracing.configure() once at the start of your program, or run it with HOLDFAST_TRACING=local.
"""
    assert (1, "", text) == command(*arguments)
    assert not path.parent.exists()


def test_an_empty_store_is_an_empty_list_for_programs(command):
    """`runs --json` has an answer."""
    assert (0, "[]\n", "") == command("runs", "--json")


def test_no_run_that_fits(command, filled):
    """Said apart from an empty store."""
    assert (1, "", "Error: no such run has been recorded\n") == command("runs", "--name", "nobody")


def test_a_file_that_is_not_there(command, tmp_path):
    """A mistyped path is no empty store."""
    assert (1, "", f"Error: there is no file {tmp_path / 'x.db'}\n") == command("runs", "--db", str(tmp_path / "x.db"))


def test_a_file_that_is_not_ours(command, tmp_path):
    """Somebody's own database is named and left alone."""
    path = tmp_path / "mine.db"
    with sqlite3.connect(path) as mine:
        mine.execute("CREATE TABLE precious (x)")
    mine.close()

    assert (1, "", f"Error: {path} is a SQLite file, but not a holdfast trace store: choose another path\n") == command(
        "runs", "--db", str(path)
    )


def test_a_damaged_file(command, tmp_path):
    """Said, not moved: only a program that records does that."""
    path = tmp_path / "broken.db"
    path.write_bytes(b"no database " * 500)

    assert (1, "", f"Error: cannot open the trace store {path}: file is not a database\n") == command("show", "--db", str(path))
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("runs", "--limit", "0"), "0 is not in the range x>=1"),
        (("runs", "--limit", "many"), "'many' is not a valid integer range"),
        (("nonsense",), "No such command 'nonsense'"),
        (("show", "--nonsense"), "No such option"),
        (("runs", "--since", "yesterday"), "'yesterday' is neither an age, such as 30m, 2h or 1d12h, nor a date, such as 2026-11-21"),
        (("runs", "--failed", "--status", "ok"), "--failed is --status error, and --status ok was given: leave one of them out"),
        (("runs", "--watch"), "--watch draws on a terminal, and the output is none: for a program or a file take --watch --json"),
        (("export",), "Missing option '--to'"),
        (("export", "abc", "--all", "--to", "x.json"), "RUN 'abc' and --all were both given: leave one of them out"),
        (("export", "--to", "x.json", "--protocol", "grpc"), "--protocol grpc means nothing for a file: give a URL"),
        (("export", "--to", "ftp://example.com"), "endpoint='ftp://example.com' is not a URL"),
        (("show", ""), "RUN is empty: give a run id or trace id or its beginning, or leave it out for the last run"),
    ],
)
def test_wrong_use(command, filled, arguments, text):
    """Exit code 2 and what is wrong."""
    code, out, err = command(*arguments)

    assert (2, "", True) == (code, out, text in err)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(command, missing):
    """Says what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None; {CALL}"

    assert (2, "", "the holdfast command needs its extra: pip install 'holdfast[cli]'\n") == command("runs", code=code)


def test_an_import_error_of_ours_is_not_hidden(command):
    """Only the extra's own libraries are the user's to install."""
    code, _, err = command("runs", code=f"import sys; sys.modules['holdfast.cli.app'] = None; {CALL}")

    assert 1 == code
    assert "holdfast.cli.app" in err


def test_version(command):
    """The installed version."""
    assert (0, f"holdfast {importlib.metadata.version('holdfast')}\n", "") == command("--version")


def test_the_module_is_the_command(path):
    """`python -m holdfast` does what the script does, and calls itself by its name."""
    known = {"PATH": os.environ["PATH"], "HOLDFAST_TRACES": str(path)}
    done = subprocess.run([sys.executable, "-m", "holdfast", "show", ""], capture_output=True, env=known, timeout=30, check=False)

    assert 2 == done.returncode
    assert done.stderr.startswith(b"Usage: holdfast show ")


def test_the_console_script_is_this_function():
    """What pip installs as `holdfast`."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="holdfast")

    assert main is script.load()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        *[
            (*command, "--help")
            for command in (["runs"], ["show"], ["top"], ["export"], ["threads"], ["threads", "prune"], ["resume"], ["resolve"])
        ],
    ],
)
def test_the_help_stands_in_the_documentation(command, arguments):
    """docs/cli.md shows what the command prints."""
    code, out, err = command(*arguments)

    assert (0, "") == (code, err)
    assert f"```text\n$ holdfast {' '.join(arguments)}\n{out}```\n" in DOCS.read_text(encoding="utf-8")


def test_ascii_where_the_encoding_has_no_signs(command, filled):
    """An old terminal gets ASCII signs and no error."""
    code, out, err = command("show", SECOND, PYTHONIOENCODING="ascii")

    assert (0, "", True) == (code, err, out.isascii())
    assert "`- ~  forecast | 2 attempts" in out


def test_strange_letters_in_an_old_terminal(command, path):
    """Names that the encoding lacks are escaped."""
    store = TraceStore(path)
    store.write(run_rows(FIRST, 1, name="plán"))
    store.close()

    assert "run pl\\xe1n" in command("show", PYTHONIOENCODING="ascii")[1]


def terminal(*arguments, path, **environment):
    """Run the command on a terminal of 60 columns; what it prints."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    known = {"PATH": os.environ["PATH"], "HOLDFAST_TRACES": str(path), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | environment
    process = subprocess.Popen([sys.executable, "-c", CALL, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=known)
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 65536):
            said += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert 0 == process.wait(timeout=30)
    return said.decode()


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
@pytest.mark.parametrize(
    ("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)]
)
def test_colours_on_a_terminal_only(filled, path, environment, is_coloured):
    """In the width of the terminal; NO_COLOR is honoured."""
    said = terminal("show", SECOND, path=path, **environment)

    assert is_coloured == ("\x1b[" in said)
    assert {60} == {len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in said.splitlines()[:3]}


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_the_list_has_colours_too(filled, path):
    """A red sign for what failed."""
    assert "\x1b[31m✗" in terminal("runs", path=path)


def test_watch_tells_each_run_once_as_it_ends(filled, path):
    """One line of JSON for each that is there, then for those that come; Ctrl-C ends it quietly."""
    known = os.environ | {"HOLDFAST_TRACES": str(path)}
    arguments = [sys.executable, "-c", CALL, "runs", "--watch", "--json", "--name", "plan"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=known) as process:
        try:
            told = [json.loads(process.stdout.readline())["id"] for _ in range(2)]
            store = TraceStore(path)
            fresh = [f"0198c0de-{n:04}-7c1b-9a4e-0c8f3c3f7a10" for n in (7, 8)]
            for each in fresh:
                store.write(run_rows(each, 0, name="plan") + run_rows(f"9{each[1:]}", 0, name="other"))
                told.append(json.loads(process.stdout.readline())["id"])
            store.close()
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)
        finally:
            process.kill()

    assert ([FIRST, SECOND, *fresh], (b"", b""), 0) == (told, rest, process.returncode)


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_watch_redraws_the_list(path):
    """In place, with what has come since; there may be nothing yet."""
    import pty

    ours, theirs = pty.openpty()
    known = {"PATH": os.environ["PATH"], "HOLDFAST_TRACES": str(path), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen([sys.executable, "-c", CALL, "runs", "--watch"], stdin=theirs, stdout=theirs, stderr=theirs, env=known)
    os.close(theirs)
    try:
        read_until(ours, b"waiting for a first run")
        store = TraceStore(path)
        store.write(run_rows(FIRST, 120))
        read_until(ours, b"0198c0de ")
        store.write(run_rows(FAILED, 1, name="other", status="error"))
        drawn = read_until(ours, b"0298c0de ")
        store.close()
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert b"\x1b[1A\x1b[2K" in drawn  # over what was there


def read_until(terminal, text):
    """What a terminal shows until a text is among it."""
    said = b""
    while text not in said:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, said
        said += os.read(terminal, 65536)
    return said
