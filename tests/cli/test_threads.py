"""`holdfast threads` and `holdfast threads prune`: what a checkpointer's file holds, told without touching it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast import SqliteSaver, entrypoint, interrupt, task
from holdfast.cli.app import app
from holdfast.cli.marks import size
from holdfast.testing import FakeClock
from holdfast.typing import Commit, RunRecord

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
MINUTE, DAY = 60.0, 86400.0


@pytest.fixture
def clock():
    """A clock that stands still, in the past as in the commands."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def path(tmp_path):
    """Where the store goes."""
    return tmp_path / "state" / "runs.db"


@pytest.fixture
def say(path):
    """Run a command on the store; returns exit code, output and errors."""

    def run(*arguments, db=path):
        done = CliRunner().invoke(app, [*arguments, "--db", str(db)])
        return done.exit_code, done.stdout, done.stderr

    return run


def fill(path, clock):
    """Threads in every state: done three times, failed, waiting for two answers, killed in mid-run."""
    saver = SqliteSaver(path)

    @task
    def approve(city):
        return interrupt(f"book a flight to {city}?")

    @task
    def draft(title):
        if title == "bad":
            raise ConnectionError("the server is down")
        return title

    @entrypoint(saver, max_concurrency=1)  # one asks after the other: the table has them in that order
    def plan(cities):
        return [future.result() for future in [approve(city) for city in cities]]

    @entrypoint(saver)
    def write(title):
        return draft(title).result()

    write.invoke("old", thread_id="issue-1")
    write.invoke("less", thread_id="issue-1")
    clock.advance(40 * DAY)
    write.invoke("news", thread_id="issue-1")
    with pytest.raises(ConnectionError):
        write.invoke("bad", thread_id="issue-2")
    clock.advance(2 * 3600)
    plan.invoke(["Oslo", "Lima"], thread_id="trip-1")
    clock.advance(3 * MINUTE)
    lease = saver.claim("trip-2")
    at = clock.time()
    saver.commit([Commit(lease, "r-9", run=RunRecord("r-9", "trip-2", "plan", "", "running", b"\x90", created=at, updated=at))])
    saver.close()  # as its death would, this gives the thread back
    clock.advance(12)


TABLE = """\
   THREAD   ENTRYPOINT  STATUS   RUNS  STEPS   SIZE  UPDATED    OWNED
?  trip-2   plan        stopped     1      0    1 B  12 s ago   no
■  trip-1   plan        waiting     1      2  142 B  3 min ago  no
   ├─ {0}  book a flight to Oslo?
   └─ {1}  book a flight to Lima?
✗  issue-2  write       failed      1      0  {2:>5}  2 h ago    no
   └─ ConnectionError: the server is down
✓  issue-1  write       done        3      3   45 B  2 h ago    no
"""


GOING = """\
   THREAD   GOING  LEFT
-  issue-1      1     2

would go: 1 run with 1 step, 13 B
"""


def test_lists_the_last_updated_first(say, path, clock):
    """One line per thread; below it the questions that wait, or what it failed with."""
    fill(path, clock)
    _, waiting, failed, _ = json.loads(say("threads", "--json")[1])
    ids = [question["id"][:8] for question in waiting["questions"]]

    expected = TABLE.format(*ids, size(failed["size"]))  # the record of a failure holds the verdict on it, in words that may change

    assert (0, expected, "") == say("threads")


def test_the_documentation_shows_it(path, clock):
    """The example in docs/cli.md is what is printed."""
    page = DOCS.read_text(encoding="utf-8")
    ids = re.findall(r"─ ([0-9a-f]{8})  book a flight", page)[:2]

    assert f"```text\n{TABLE.format(*ids, '175 B')}```\n" in page
    assert f"```text\n{GOING}```\n" in page


def test_as_json(say, path, clock):
    """The fields that docs/cli.md lists, with the questions' full ids."""
    fill(path, clock)
    code, out, _ = say("threads", "--json")
    stopped, waiting, failed, done = json.loads(out)

    assert (0, ["stopped", "waiting", "failed", "done"]) == (code, [each["status"] for each in (stopped, waiting, failed, done)])
    assert {
        "thread_id": "issue-2",
        "entry": "write",
        "status": "failed",
        "runs": 1,
        "steps": 0,
        "size": failed["size"],
        "updated": failed["updated"],
        "is_owned": False,
        "error": "ConnectionError: the server is down",
        "questions": [],
        "doubts": [],
    } == failed
    assert [("book a flight to Oslo?", "", 32)] == [(q["value"], q["error"], len(q["id"])) for q in waiting["questions"][:1]]
    for name in [*failed, *waiting["questions"][0]]:
        assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_a_thread_at_work_is_shown_so(say, path, clock):
    """Its owner lives."""
    fill(path, clock)
    saver = SqliteSaver(path)
    saver.claim("trip-2")

    assert "►  trip-2   plan        running     1      0    1 B  12 s ago   yes\n" in say("threads")[1]


def test_a_thread_in_doubt_is_shown_so(say, path, clock):
    """With the step whose end nobody knows, and what to type; as JSON with all that `resolve` wants."""
    begun = asyncio.Event()

    @task(delivery="at-most-once", name="pay")
    async def pay():
        begun.set()
        await asyncio.Event().wait()

    @entrypoint(SqliteSaver(path), name="order")
    async def order():
        await pay()

    async def die():
        work = asyncio.create_task(order.ainvoke(thread_id="o-1"))
        await begun.wait()
        work.cancel()
        await asyncio.wait([work])

    asyncio.run(die())
    ((doubt,),) = [each["doubts"] for each in json.loads(say("threads", "--json")[1])]
    lines = say("threads")[1].splitlines()

    assert ["?", "o-1", "order", "in", "doubt"] == lines[1].split()[:5]
    what = f"order.resolve(thread_id='o-1', step='{doubt['step']}', result=... | rerun=True)"
    known = f"pay has begun, its end is not known (idempotency key {doubt['idempotency_key']})"
    assert [f"   └─ {doubt['step'][:8]}  {known}: {what}"] == lines[2:]
    assert () == order.resolve(thread_id="o-1", step=doubt["step"], rerun=True)
    assert "cancelled" == json.loads(say("threads", "--json")[1])[0]["status"]


def test_an_odd_thread_id_keeps_to_its_line(say, path, clock):
    """A line break is escaped, not the end of the name, and a long one loses its middle; JSON has both in full."""
    names = ["trip\n1", "o" * 100 + "-7"]
    saver = SqliteSaver(path)

    @entrypoint(saver, name="order")
    def order(_):
        return 1

    for name in names * 3:
        order.invoke(1, thread_id=name)
    saver.close()

    shown = [line.split()[1] for line in say("threads")[1].splitlines()[1:]]
    assert {"trip\\n1", "o" * 19 + "…" + "o" * 17 + "-7"} == set(shown)
    assert set(names) == {each["thread_id"] for each in json.loads(say("threads", "--json")[1])}
    assert "trip\\n1" in say("threads", "prune", "--keep-last", "1", "--dry-run")[1]


def test_says_when_there_are_more(say, path, clock):
    """And how to see them."""
    fill(path, clock)
    code, out, _ = say("threads", "--limit", "1")

    assert (0, "… and more: --limit 10 shows them") == (code, out.splitlines()[-1])
    assert 3 == len(out.splitlines())


def test_looking_changes_nothing(say, path, clock):
    """No file is made, none is written."""
    fill(path, clock)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}
    say("threads")
    say("threads", "prune", "--keep-last", "1", "--dry-run")

    assert before == {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}
    assert {"runs.db", "runs.db-owners"} == {each.name for each in path.parent.iterdir()}


def test_without_a_file_to_look_at(say, tmp_path):
    """Said so, and not made; and without --db, what to give."""
    missing = tmp_path / "x.db"

    assert (1, "", f"Error: there is no file {missing}\n") == say("threads", db=missing)
    assert (1, "", f"Error: there is no file {missing}\n") == say("threads", "prune", "--keep-last", "1", db=missing)
    assert not missing.exists()
    done = CliRunner().invoke(app, ["threads"])
    assert (2, True) == (done.exit_code, "say which file: --db PATH" in done.stderr)


def test_a_folder_is_no_store(say, tmp_path):
    """Said so, of the root as of any other: no traceback."""
    for command in (["threads"], ["threads", "prune", "--keep-last", "1"], ["runs"], ["show"]):
        for folder in (tmp_path, Path("/")):
            assert (1, "", f"Error: {folder} is a folder: give the file in it\n") == say(*command, db=folder)


def test_a_store_without_threads(say, path):
    """An empty list for programs, a reason for people."""
    saver = SqliteSaver(path)
    saver.release(saver.claim("t"))
    saver.close()

    assert (1, "", f"Error: no thread is kept in {path}\n") == say("threads")
    assert (0, "[]\n", "") == say("threads", "--json")


def test_prune_says_what_would_go(say, path, clock):
    """For each thread how many runs go and how many are left; nothing is changed."""
    fill(path, clock)

    assert (0, GOING, "") == say("threads", "prune", "--max-age", "30d", "--dry-run")
    assert (0, GOING, "") == say("threads", "prune", "--keep-last", "1", "--dry-run")


def test_prune_says_what_went(say, path, clock):
    """Then it is gone."""
    fill(path, clock)
    clock.advance(50 * DAY)
    code, out, _ = say("threads", "prune", "--max-age", "30d")

    assert (
        0,
        """\
   THREAD   GONE  LEFT
-  issue-1     3     0

gone: 3 runs with 3 steps, 45 B; of 1 thread nothing is left
""",
    ) == (code, out)
    assert (0, "nothing to forget\n", "") == say("threads", "prune", "--max-age", "30d")
    assert ["trip-2", "trip-1", "issue-2"] == [each["thread_id"] for each in json.loads(say("threads", "--json")[1])]


def test_prune_as_json(say, path, clock):
    """With the id of every run."""
    fill(path, clock)
    code, out, _ = say("threads", "prune", "--keep-last", "1", "--dry-run", "--json")
    gone = json.loads(out)

    assert (0, {"dry_run": True, "threads": [], "steps": 1, "size": 13}) == (code, {k: v for k, v in gone.items() if k != "runs"})
    assert [SqliteSaver.read_only(path).runs("issue-1")[2].run_id] == gone["runs"]


def test_prune_passes_by_threads_at_work(say, path, clock):
    """And says so."""
    fill(path, clock)
    saver = SqliteSaver(path)
    saver.claim("issue-1")

    assert (0, "nothing would go\npassed by: 1 thread at work\n", "") == say("threads", "prune", "--keep-last", "1", "--dry-run")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "say what may go: --keep-last N, --max-age AGE, or both"),
        (["--keep-last", "0"], "0 is not in the range x>=1"),
        (["--max-age", "soon"], "max_age='soon'"),
    ],
)
def test_prune_needs_to_know_what_may_go(say, path, clock, options, text):
    """Nothing goes by default."""
    fill(path, clock)
    code, out, err = say("threads", "prune", *options)

    assert (2, "", True) == (code, out, text in err), err


def test_prune_takes_the_file_of_its_group(path, clock):
    """`holdfast threads --db PATH prune` is as good."""
    fill(path, clock)
    done = CliRunner().invoke(app, ["threads", "--db", str(path), "prune", "--keep-last", "1", "--dry-run"])

    assert (0, True) == (done.exit_code, "would go: 1 run" in done.stdout)
